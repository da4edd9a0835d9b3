"""The document of a write: a GeoJSON feature, or a merge patch (RFC 7396) of one."""

from __future__ import annotations

from typing import Any, Final

from shapely.geometry.base import BaseGeometry

from gis import crs
from gis.city import City
from gis.edit import geometry as shapes
from gis.edit.errors import Invalid
from gis.edit.model import KEEP, Create, Keep, Unreadable, Update
from gis.edit.validate import Errors, pointer
from gis.errors import UsageError
from layers.registry import Layer

#: Members of our own answers: what comes back unchanged is passed over.
_ECHOED: Final = ("type", "id", "geometry", "properties", "links", "bbox", "findings", "timeStamp")


def create_of(document: Any, layer: Layer, ref: crs.CrsRef, city: City, at: str = "") -> Create:
    """A new feature. Its id is given by bandoso, whatever id is sent."""
    feature, errors = _feature(document, layer, ref, at)
    shape: BaseGeometry | Unreadable
    read = shapes.read(feature.get("geometry"), ref, layer, city, at)
    shape = read if isinstance(read, Unreadable) else read[0]
    properties = _properties(feature, errors, at)
    properties.pop("fid", None)
    return Create(layer.id, properties, _with(shape, errors), pointer=at)


def replace_of(
    document: Any, layer: Layer, fid: int, expected: int | None, ref: crs.CrsRef, city: City, at: str = ""
) -> Update:
    """A whole feature in the place of one."""
    feature, errors = _feature(document, layer, ref, at)
    if "geometry" not in feature:
        errors.append({"pointer": at + pointer("geometry"), "detail": "a whole feature has a geometry"})
    properties = _properties(feature, errors, at)
    _same_id(feature, properties, fid, errors, at)
    return _update(layer, fid, expected, feature, properties, errors, ref, city, at, replace=True)


def patch_of(
    document: Any, layer: Layer, fid: int, expected: int | None, ref: crs.CrsRef, city: City, at: str = ""
) -> Update:
    """A merge patch: what it does not name stays, null unsets, a geometry is given whole."""
    if not isinstance(document, dict):
        raise _not_an_object()
    errors: Errors = []
    if document.get("type", "Feature") != "Feature":
        errors.append({"pointer": at + "/type", "detail": "the type of a feature is Feature"})
    if "properties" in document and document["properties"] is None:
        errors.append({"pointer": at + "/properties", "detail": "the attributes cannot be taken away"})
    _strangers(document, layer, ref, errors, at, strict=True)
    properties = _properties(document, errors, at)
    _same_id(document, properties, fid, errors, at)
    return _update(layer, fid, expected, document, properties, errors, ref, city, at, replace=False)


def _update(
    layer: Layer,
    fid: int,
    expected: int | None,
    feature: dict[str, Any],
    properties: dict[str, Any],
    errors: Errors,
    ref: crs.CrsRef,
    city: City,
    at: str,
    *,
    replace: bool,
) -> Update:
    shape: BaseGeometry | Keep | Unreadable = KEEP
    sent = None
    if "geometry" in feature:
        read = shapes.read(feature["geometry"], ref, layer, city, at)
        if isinstance(read, Unreadable):
            shape = read
        else:
            shape, sent = read[0], (ref.code, read[1])
    if errors:
        shape = Unreadable((*(shape.errors if isinstance(shape, Unreadable) else ()), *errors))
    return Update(layer.id, fid, expected, properties, shape, replace, at, sent)


def _with(shape: BaseGeometry | Unreadable, errors: Errors) -> BaseGeometry | Unreadable:
    if not errors:
        return shape
    return Unreadable((*(shape.errors if isinstance(shape, Unreadable) else ()), *errors))


def _feature(document: Any, layer: Layer, ref: crs.CrsRef, at: str) -> tuple[dict[str, Any], Errors]:
    if not isinstance(document, dict):
        raise _not_an_object()
    errors: Errors = []
    kind = document.get("type")
    if kind == "FeatureCollection":
        raise Invalid(
            [{"pointer": at + "/type", "detail": "one feature is taken here, not a collection"}],
            hint="several changes that belong together go to /changesets",
        )
    if kind != "Feature":
        errors.append({"pointer": at + "/type", "detail": "the type of a feature is Feature"})
    _strangers(document, layer, ref, errors, at, strict=False)
    return document, errors


def _not_an_object() -> UsageError:
    return UsageError("the body must be a JSON object, a feature", code="invalid-body")


def _strangers(
    document: dict[str, Any], layer: Layer, ref: crs.CrsRef, errors: Errors, at: str, *, strict: bool
) -> None:
    """Members beside GeoJSON's: an attribute in the wrong place must not be lost without a word."""
    for name, value in document.items():
        if name in _ECHOED:
            continue
        place = at + pointer(name[:200])
        if name == "crs":
            if value is not None and _named(value) != ref:
                said = "the CRS is told by the header Content-Crs, and this says another"
                errors.append({"pointer": place, "detail": said})
        elif layer.field(name) is not None:
            errors.append({"pointer": place, "detail": f"{name} is an attribute: it belongs into properties"})
        elif strict:
            errors.append({"pointer": place, "detail": "a feature has no member of this name"})


def _named(member: Any) -> crs.CrsRef | None:
    """The CRS of GeoJSON 2008's member."""
    try:
        return crs.parse_uri(member["properties"]["name"])
    except (KeyError, TypeError, AttributeError, UsageError):
        return None


def _properties(feature: dict[str, Any], errors: Errors, at: str) -> dict[str, Any]:
    given = feature.get("properties")
    if given is None:
        return {}
    if not isinstance(given, dict):
        errors.append({"pointer": at + "/properties", "detail": "the attributes must be an object"})
        return {}
    return dict(given)


def _same_id(feature: dict[str, Any], properties: dict[str, Any], fid: int, errors: Errors, at: str) -> None:
    """The id of a feature does not change: one that is sent must be its own."""
    for place, value in (("/id", feature.get("id")), ("/properties/fid", properties.pop("fid", None))):
        if value is not None and (isinstance(value, bool) or str(value) != str(fid)):
            errors.append({"pointer": at + place, "detail": "the id of a feature cannot be changed"})
