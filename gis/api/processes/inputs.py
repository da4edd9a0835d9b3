"""Reads an execute request of ``check``: every member known, every value of its type, and allowed.

Mistakes are InvalidParameterValue with a JSON pointer. What a stranger may not do is refused here, before
anything is queued: the run itself knows only what is written into the job.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import shapely
from shapely.geometry.base import BaseGeometry

from gis import crs
from gis.api.ogc.config import offered_crs
from gis.api.problems import Refusal
from gis.api.processes.asker import Asker
from gis.api.processes.description import GEOJSON, JSON, known_rules
from gis.city import City
from gis.errors import BandosoError, UsageError
from gis.settings import Settings
from gis.sheets import parse_sheet
from layers.registry import Catalogue

INVALID = "InvalidParameterValue"

_INPUTS = ("layers", "rules", "bbox", "bbox-crs", "sheet", "store")
_MEMBERS = ("inputs", "outputs", "response")
#: Values of one input; more ids than there are layers or rules cannot be meant.
MOST_VALUES = 500


@dataclass(frozen=True)
class Wanted:
    """An execute request that may be run. ``request`` goes into the job, and says everything."""

    request: dict[str, Any]
    #: It ends soon enough to be waited for.
    small: bool
    #: A steward asks for what is his to ask for.
    steward: bool


def wrong(pointer: str, detail: str, hint: str | None = None) -> NoReturn:
    """Refuse a value."""
    raise Refusal(
        400,
        "invalid-parameter",
        detail,
        hint=hint or "GET /processes/check describes the inputs",
        errors=[{"pointer": pointer, "detail": detail}],
        kind=INVALID,
    )


def forbidden(code: str, pointer: str, detail: str, hint: str) -> NoReturn:
    """Refuse what only a steward may do."""
    raise Refusal(403, code, detail, hint=hint, errors=[{"pointer": pointer, "detail": detail}])


def read(
    body: Any,
    city: City,
    catalogue: Catalogue,
    settings: Settings,
    *,
    asker: Asker,
    restricted: Collection[str] = (),
) -> Wanted:
    """The request of a body that was parsed. ``restricted``: ids of layers that only stewards of the city
    may name, beside those of ``catalogue``, which is as the asker sees it.

    Raises Refusal (400, 403).
    """
    if not isinstance(body, dict):
        wrong("", "the body must be a JSON object with the member inputs")
    for name in body:
        if name == "subscriber":
            wrong("/subscriber", "callbacks are not offered", "ask for the job's status instead")
        if name not in _MEMBERS:
            wrong(
                _pointer(name),
                "the request has a member that is not known",
                f"known are: {', '.join(_MEMBERS)}",
            )
    inputs = body.get("inputs", {})
    if not isinstance(inputs, dict):
        wrong("/inputs", "inputs must be an object")
    for name in inputs:
        if name not in _INPUTS:
            wrong(_pointer("inputs", name), "the process has no such input", f"it has: {', '.join(_INPUTS)}")
    media_type = _output(body.get("outputs", {}))
    response = body.get("response", "raw")
    if response not in ("raw", "document"):
        wrong("/response", "response must be raw or document")
    values = {name: _plain(value, name) for name, value in inputs.items()}
    area, area_name = _area(values, city)
    store = values.get("store", False)
    if not isinstance(store, bool):
        wrong("/inputs/store", "store must be true or false")
    known = {i for i, one in catalogue.layers.items() if one.is_public}
    layers = _ids(values, "layers", known | set(restricted) if asker.of_city else known)
    steward = asker.is_steward_of(layers)
    rules = _ids(values, "rules", set(known_rules(catalogue)))
    square_km = math.inf if area is None else area.area / 1e6
    if not steward:
        _check_stranger(values, store, area, square_km, settings.job_public_km2)
    elif store and not asker.may_store(layers):
        forbidden(
            "insufficient-scope", "/inputs/store", "this token was not made for edit", "make another one"
        )
    small = square_km <= settings.job_public_km2
    return Wanted(
        {
            "small": small,
            "layers": layers,
            "rules": rules,
            "area": None if area is None else shapely.to_wkb(area, hex=True),
            "area_name": area_name,
            "store": store,
            "media_type": media_type,
            "response": response,
            **({"by": asker.account, "shown": "all" if asker.of_city else "public"} if steward else {}),
        },
        small,
        steward,
    )


def _check_stranger(
    values: dict[str, Any], store: bool, area: BaseGeometry | None, square_km: float, most: int
) -> None:
    hint = "stewards log in, and those of an agency name layers of theirs"
    if store:
        forbidden("steward-only", "/inputs/store", "only a steward may store findings", hint)
    if area is None:
        forbidden(
            "area-required",
            "/inputs/bbox",
            f"without a steward's login a bbox or sheet of at most {most} km² must be given",
            hint,
        )
    if square_km > most:
        where = "sheet" if "sheet" in values else "bbox"
        forbidden(
            "area-too-large",
            f"/inputs/{where}",
            f"the area has {square_km:.0f} km²; without a steward's login it may have {most} km²",
            f"give a smaller area; {hint}",
        )


def _plain(value: Any, name: str) -> Any:
    """A value out of its qualification ({"value": ...}). Links are never followed."""
    if isinstance(value, dict):
        if "href" in value:
            wrong(_pointer("inputs", name), "inputs by reference are not taken", "give the value itself")
        if "value" in value:
            return value["value"]
    return value


def _ids(values: dict[str, Any], name: str, known: set[str]) -> list[str]:
    given = values.get(name, [])
    if isinstance(given, str):
        given = [given]
    if not isinstance(given, list):
        wrong(f"/inputs/{name}", f"{name} must be an id or an array of ids")
    if len(given) > MOST_VALUES:
        wrong(f"/inputs/{name}", f"{name} has more than {MOST_VALUES} values")
    found: list[str] = []
    for index, one in enumerate(given):
        plain = _plain(one, name)
        # One that is there but hidden gets the same answer as one that is not.
        if not isinstance(plain, str) or plain not in known:
            wrong(f"/inputs/{name}/{index}", f"{name} names something that is not there")
        found.append(plain)
    return sorted(set(found))


def _area(values: dict[str, Any], city: City) -> tuple[BaseGeometry | None, str]:
    """Where to check, as a polygon in the storage CRS, and its name; None is everywhere."""
    if "sheet" in values:
        if "bbox" in values or "bbox-crs" in values:
            wrong("/inputs/sheet", "give either a sheet or a bbox")
        name = values["sheet"]
        if not isinstance(name, str):
            wrong("/inputs/sheet", "sheet must be a name")
        try:
            sheet = parse_sheet(name.strip(), crs=city.crs.storage)
        except UsageError as error:
            wrong("/inputs/sheet", error.message, error.hint)
        return _inside(sheet.outline(city.crs.storage), "sheet"), sheet.name
    if "bbox" not in values:
        if "bbox-crs" in values:
            wrong("/inputs/bbox-crs", "bbox-crs says the CRS of a bbox, and there is none")
        return None, ""
    numbers, uri = _box(values, city)
    low, high = numbers[:2], numbers[2:]
    if any(a >= b for a, b in zip(low, high, strict=True)):
        wrong("/inputs/bbox", "bbox must be minx, miny, maxx, maxy, and have an area")
    reference = crs.parse_uri(uri)
    if reference.swap:
        low, high = low[::-1], high[::-1]
    if not crs.definition(reference.code).projected and max(abs(low[1]), abs(high[1])) > 90:
        wrong("/inputs/bbox", "bbox has latitudes over 90 degrees", "is the axis order right?")
    try:
        shape = crs.transform_box((low[0], low[1], high[0], high[1]), reference.code, city.crs.storage)
    except BandosoError as error:
        wrong("/inputs/bbox", error.message)
    return _inside(shape, "bbox"), "bbox " + ", ".join(f"{n:.10g}" for n in numbers)


def _box(values: dict[str, Any], city: City) -> tuple[list[float], str]:
    """Four finite numbers, and the URI of an offered CRS."""
    offered = offered_crs(city)
    given = values["bbox"]
    uri = values.get("bbox-crs")
    if isinstance(given, dict):
        if set(given) - {"bbox", "crs"} or "bbox" not in given:
            wrong("/inputs/bbox", "bbox has the members bbox and crs")
        if "crs" in given and uri is not None:
            wrong("/inputs/bbox-crs", "the bbox names its CRS already")
        uri = given.get("crs", uri)
        given = given["bbox"]
    if not isinstance(given, list) or len(given) != 4:
        wrong("/inputs/bbox", "bbox must be an array of four numbers")
    numbers: list[float] = []
    for one in given:
        if isinstance(one, bool) or not isinstance(one, int | float) or not _finite(one):
            wrong("/inputs/bbox", "bbox must have finite numbers")
        numbers.append(float(one))
    if uri is None:
        return numbers, offered[0]
    try:
        known = isinstance(uri, str) and crs.parse_uri(uri).uri in offered
    except UsageError:
        known = False
    if not known:
        wrong("/inputs/bbox", "the CRS of the bbox is not offered", "collections list the CRSs under crs")
    return numbers, uri


def _finite(value: float) -> bool:
    """Finite, and small enough to be a coordinate (an integer may have thousands of digits)."""
    return abs(value) < 1e12


def _inside(shape: BaseGeometry, name: str) -> BaseGeometry:
    if shape.is_empty or not shape.area > 0 or not math.isfinite(shape.area):
        wrong(f"/inputs/{name}", f"{name} lies outside of where the city's coordinates are used")
    return shape


def _output(outputs: Any) -> str:
    """The media type of the report."""
    if not isinstance(outputs, dict):
        wrong("/outputs", "outputs must be an object")
    for name in outputs:
        if name != "report":
            wrong(_pointer("outputs", name), "the process has no such output", "it has: report")
    asked = outputs.get("report", {})
    if not isinstance(asked, dict) or set(asked) - {"format", "transmissionMode"}:
        wrong("/outputs/report", "an output has the members format and transmissionMode")
    if asked.get("transmissionMode", "value") != "value":
        wrong("/outputs/report/transmissionMode", "the output is transmitted by value")
    form = asked.get("format", {})
    if not isinstance(form, dict) or set(form) - {"mediaType", "encoding", "schema"}:
        wrong("/outputs/report/format", "a format has the member mediaType")
    media_type = form.get("mediaType", JSON)
    if media_type not in (JSON, GEOJSON):
        wrong(
            "/outputs/report/format/mediaType",
            "the report is not made in this format",
            f"{JSON} or {GEOJSON}",
        )
    return str(media_type)


def _pointer(*names: str | Sequence[str]) -> str:
    """A JSON pointer; names of strangers are cut."""
    return "".join("/" + str(name)[:100].replace("~", "~0").replace("/", "~1") for name in names)
