"""The document of a changeset: what is to be made, changed and taken away, with its mistakes.

A new feature has a placeholder (``"id": "new:1"``). Where a text attribute of a change has exactly such a
placeholder as its value, the asset_id of that feature is stored (from_node, to_node, outlet_id ...), whether
the feature stands before or after in the list.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from gis.api.state import State
from gis.api.write import body
from gis.checks.window import Setting
from gis.crs import CrsRef
from gis.edit.errors import Invalid
from gis.edit.model import Changeset, Create, Delete, FeatureChange, Ref, Update
from gis.edit.plan import plan_of
from gis.edit.validate import Errors, pointer
from gis.errors import UsageError
from gis.identity.principal import Principal
from layers.registry import Layer

#: Most changes of a changeset; more come by ``bandoso load``.
MOST: Final = 5_000
#: Longest comment and source.
MOST_TEXT: Final = 2_000
_MEMBERS: Final = ("comment", "source", "changes", "key")
_OF: Final[Mapping[str, tuple[str, ...]]] = {
    "create": ("op", "layer", "id", "feature"),
    "update": ("op", "layer", "fid", "version", "properties", "geometry"),
    "delete": ("op", "layer", "fid", "version"),
}
PLACEHOLDER: Final = re.compile(r"new:[A-Za-z0-9._-]{1,64}\Z")


def changeset_of(
    document: Any, ref: CrsRef, state: State, principal: Principal, *, lenient: bool
) -> Changeset:
    """The changeset. Raises Invalid with every mistake of every change, and what plan_of raises."""
    if not isinstance(document, dict):
        raise UsageError("the body must be a JSON object with the member changes", code="invalid-body")
    errors: Errors = []
    for name in document:
        if name not in _MEMBERS:
            said = f"a changeset has no member of this name: it has {', '.join(_MEMBERS)}"
            errors.append({"pointer": pointer(name[:200]), "detail": said})
    comment, source = (text_of(document, name, errors) for name in ("comment", "source"))
    given = document.get("changes")
    if not isinstance(given, list) or not given:
        errors.append({"pointer": "/changes", "detail": "changes must be a list of one change or more"})
        given = []
    if len(given) > MOST:
        said = f"there are {len(given)} changes, and a changeset takes {MOST}"
        raise Invalid([{"pointer": "/changes", "detail": said}], code="too-many-changes")
    names = _placeholders(given, errors)
    changes = []
    for number, one in enumerate(given):
        change = _change(one, f"/changes/{number}", ref, state, errors)
        if change is not None:
            changes.append(_named(change, names, errors))
    changeset = Changeset(changes, comment, source, lenient=lenient)
    if errors:
        try:  # all mistakes at once: those of form, and those of what is well formed
            plan_of(Setting(state.city, state.known, state.city.today()), principal, changeset)
        except Invalid as invalid:
            errors += invalid.errors
        raise Invalid(sorted(errors, key=_place))
    return changeset


def text_of(document: dict[str, Any], name: str, errors: Errors) -> str | None:
    """A text of the request, such as its comment."""
    value = document.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or "\0" in value:
        errors.append({"pointer": pointer(name), "detail": f"{name} must be a text"})
        return None
    if len(value) > MOST_TEXT:
        errors.append({"pointer": pointer(name), "detail": f"{name} may have {MOST_TEXT} characters"})
        return None
    return value.strip() or None


def whole_number(given: Any, least: int, most: int) -> int | None:
    """A JSON number that is one; None for anything else."""
    if isinstance(given, bool) or not isinstance(given, int) or not least <= given <= most:
        return None
    return given


def layer_of(given: Any, state: State, at: str, errors: Errors) -> Layer | None:
    """The layer as it is defined, if the caller may see it."""
    seen = state.catalogue.layers.get(given) if isinstance(given, str) else None
    if seen is None or not seen.is_public:
        errors.append({"pointer": at, "detail": "there is no such layer; see /collections for the list"})
        return None
    return state.known.layers.get(seen.id)


def _change(one: Any, at: str, ref: CrsRef, state: State, errors: Errors) -> FeatureChange | None:
    if not isinstance(one, dict):
        errors.append({"pointer": at, "detail": "a change must be an object"})
        return None
    op = one.get("op")
    members = _OF.get(op) if isinstance(op, str) else None
    if members is None:
        errors.append({"pointer": f"{at}/op", "detail": f"op must be one of {', '.join(_OF)}"})
        return None
    met = len(errors)
    for name in one:
        if name not in members:
            said = f"{op} has no member of this name: it has {', '.join(members)}"
            errors.append({"pointer": at + pointer(name[:200]), "detail": said})
    layer = layer_of(one.get("layer"), state, f"{at}/layer", errors)
    if op == "create":
        return _create(one, layer, at, ref, state, errors)
    fid = whole_number(one.get("fid"), 0, 2**63 - 1)
    version = whole_number(one.get("version"), 1, 2**31 - 1)
    if fid is None:
        errors.append({"pointer": f"{at}/fid", "detail": "fid must be the id of a feature"})
    if version is None:
        said = "version must be the version of the feature that the change is based on"
        errors.append({"pointer": f"{at}/version", "detail": said})
    if op == "update" and not {"properties", "geometry"} & set(one):
        errors.append({"pointer": at, "detail": "an update has properties, geometry or both"})
    if layer is None or fid is None or version is None or len(errors) > met:
        return None
    if op == "delete":
        return Delete(layer.id, fid, version, pointer=at)
    patch = {name: one[name] for name in ("properties", "geometry") if name in one}
    return body.patch_of(patch, layer, fid, version, ref, state.city, at)


def _create(
    one: dict[str, Any], layer: Layer | None, at: str, ref: CrsRef, state: State, errors: Errors
) -> Create | None:
    feature = one.get("feature")
    if not isinstance(feature, dict) or feature.get("type") == "FeatureCollection":
        errors.append({"pointer": f"{at}/feature", "detail": "feature must be a GeoJSON feature"})
        return None
    if layer is None:
        return None
    made = body.create_of(feature, layer, ref, state.city, f"{at}/feature")
    return replace(made, placeholder=one["id"]) if isinstance(one.get("id"), str) else made


def _placeholders(given: list[Any], errors: Errors) -> set[str]:
    """The names of new features, each given once."""
    names: set[str] = set()
    for number, one in enumerate(given):
        if not isinstance(one, dict) or one.get("op") != "create" or one.get("id") is None:
            continue
        name = one["id"]
        at = f"/changes/{number}/id"
        if not isinstance(name, str) or not PLACEHOLDER.match(name):
            said = "the id of a new feature is a placeholder: new: and up to 64 letters, digits, . _ or -"
            errors.append({"pointer": at, "detail": said})
        elif name in names:
            errors.append({"pointer": at, "detail": "another new feature has this placeholder"})
        else:
            names.add(name)
    return names


def _named(change: FeatureChange, names: set[str], errors: Errors) -> FeatureChange:
    """The change with references in place of placeholders."""
    if isinstance(change, Delete) or not change.properties:
        return change
    found: dict[str, Any] = {}
    for name, value in change.properties.items():
        if name in ("asset_id", "owner") or not isinstance(value, str) or not PLACEHOLDER.match(value):
            continue
        if value in names:
            found[name] = Ref(value)
        else:
            at = change.pointer + pointer("properties", name)
            errors.append({"pointer": at, "detail": "no new feature of the changeset has this placeholder"})
    if not found:
        return change
    properties = {**change.properties, **found}
    return replace(change, properties=properties) if isinstance(change, Create | Update) else change


def _place(error: dict[str, str]) -> tuple[int, str]:
    """In the order of the changes."""
    parts = error["pointer"].split("/")
    number = int(parts[2]) if len(parts) > 2 and parts[1] == "changes" and parts[2].isdecimal() else -1
    return number, error["pointer"]
