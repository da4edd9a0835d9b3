"""The query string of an items request, read and checked as a whole before the database is asked."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from gis import crs
from gis.api.features.asof import keeps_states, read_datetime
from gis.api.features.boxes import is_everywhere
from gis.api.features.filters import read_filter
from gis.api.features.filters.reader import Tree
from gis.api.features.paging import Cursor, read_token
from gis.api.features.values import (
    Interval,
    boolean_value,
    integer_value,
    number_value,
    text_value,
    typed,
    wrong,
)
from gis.city import City
from gis.crs import Box, CrsRef
from gis.errors import LimitError, UsageError
from gis.sheets import Sheet, parse_sheet
from layers.model import FieldDef
from layers.registry import Layer

#: Format -> media types, the first is the one sent. The order of negotiation.
FORMATS: Final[dict[str, tuple[str, ...]]] = {
    "json": ("application/geo+json", "application/json"),
    "jsonfg": ("application/vnd.ogc.fg+json",),
    "csv": ("text/csv; charset=utf-8",),
    "fgb": ("application/flatgeobuf",),
    "gpkg": ("application/geopackage+sqlite3",),
    "html": ("text/html; charset=utf-8",),
}
#: Files that people take away: they hold as much as one answer may.
DOWNLOADS: Final = ("csv", "fgb", "gpkg")
#: Formats that ``limit=all`` gives whole, in one answer that flows.
WHOLE: Final = ("csv", "fgb")

DEFAULT_LIMIT: Final = 1000
DEFAULT_LIMIT_HTML: Final = 50
MAX_LIMIT: Final = 10_000
#: Skipping is linear in the offset; the next links go by key and cost the same on every page.
MAX_OFFSET: Final = 100_000_000
MAX_SORT_KEYS: Final = 8
MAX_SEARCH: Final = 200

COMMON: Final = ("f", "lang")
ONE_ITEM: Final = (*COMMON, "crs", "properties", "skipGeometry")
ITEMS: Final = (
    *COMMON,
    "limit",
    "offset",
    "after",
    "bbox",
    "bbox-crs",
    "crs",
    "datetime",
    "filter",
    "filter-lang",
    "filter-crs",
    "sortby",
    "properties",
    "skipGeometry",
    "q",
    "sheet",
)


@dataclass(frozen=True)
class BboxParam:
    """A box in traditional order (x east) with its CRS, and heights if given."""

    box: Box
    crs: CrsRef
    heights: tuple[float, float] | None = None


@dataclass(frozen=True)
class SortKey:
    """One key of sortby."""

    field: FieldDef
    descending: bool = False

    def __str__(self) -> str:
        return ("-" if self.descending else "+") + self.field.name


@dataclass(frozen=True)
class View:
    """What is shown of each feature: of one item as of a page."""

    crs: CrsRef
    fields: tuple[FieldDef, ...]
    geometry: bool = True


@dataclass(frozen=True)
class ItemsQuery:
    """An items request."""

    view: View
    limit: int = DEFAULT_LIMIT
    offset: int = 0
    after: Cursor | None = None
    bbox: BboxParam | None = None
    datetime: Interval | None = None
    #: The layer as it was at this time (gis.api.features.asof).
    as_of: dt.datetime | None = None
    equals: tuple[tuple[FieldDef, object], ...] = ()
    filter: Tree | None = None
    filter_crs: CrsRef = crs.CRS84
    sort: tuple[SortKey, ...] = ()
    search: str | None = None
    sheet: Sheet | None = None
    #: All features in one answer that flows (csvstream, fgbstream of gis.api.features.formats).
    whole: bool = False

    @property
    def selects(self) -> bool:
        """Whether anything narrows the layer down."""
        return (
            any(
                v is not None
                for v in (self.bbox, self.datetime, self.as_of, self.filter, self.search, self.sheet)
            )
            or self.equals != ()
        )


def property_parameters(layer: Layer) -> tuple[FieldDef, ...]:
    """Fields that are parameters of their own; a field named like a parameter is reached by filter."""
    return tuple(f for f in layer.public_fields if f.name not in ITEMS)


def item_parameters(layer: Layer) -> tuple[str, ...]:
    """The parameters of one item."""
    return (*ONE_ITEM, "datetime") if keeps_states(layer) else ONE_ITEM


def offered_crs(city: City) -> tuple[CrsRef, ...]:
    """The CRSs of ``crs``, ``bbox-crs`` and ``filter-crs``; the first is the default."""
    return _offered((city.crs.storage, *city.crs.offered))


@lru_cache(maxsize=100)
def _offered(codes: tuple[int, ...]) -> tuple[CrsRef, ...]:
    every = dict.fromkeys((crs.WGS84, crs.WEB_MERCATOR, *codes))
    return (crs.CRS84, *(crs.ref(code) for code in every))


def read_crs(given: Mapping[str, str], city: City) -> CrsRef:
    """``crs`` of a request; CRS84 without it. Raises UsageError."""
    return _crs(given, "crs", city)


def read_bbox(given: Mapping[str, str], city: City) -> BboxParam | None:
    """``bbox`` and ``bbox-crs`` of a request; None where they leave nothing out. Raises UsageError."""
    return _bbox(given, city)


def read_view(given: Mapping[str, str], layer: Layer, city: City) -> View:
    """The parameters that one item and a page have in common."""
    return View(
        crs=_crs(given, "crs", city),
        fields=_properties(given.get("properties"), layer),
        geometry=not _flag(given, "skipGeometry"),
    )


def read_items(given: Mapping[str, str], layer: Layer, city: City, output: str) -> ItemsQuery:
    """All parameters of a page. Raises UsageError and LimitError that name the parameter."""
    for name, value in given.items():
        text_value(value, name)
    whole = output in WHOLE and given.get("limit") == "all"
    if whole and not given.keys().isdisjoint(("after", "offset", "sortby")):
        raise wrong(
            "limit", "limit=all gives everything in order of fid", "leave out after, offset and sortby"
        )
    sort = _sort(given.get("sortby"), layer)
    as_of, interval = read_datetime(given, layer)
    query = ItemsQuery(
        view=read_view(given, layer, city),
        limit=MAX_LIMIT if whole else _limit(given.get("limit"), output),
        offset=_offset(given.get("offset")),
        after=read_token(given["after"], sort_signature(sort)) if "after" in given else None,
        bbox=_bbox(given, city),
        datetime=interval,
        as_of=as_of,
        equals=_equals(given, layer),
        filter=_filter(given),
        filter_crs=_crs(given, "filter-crs", city),
        sort=sort,
        search=_search(given.get("q")),
        sheet=_sheet(given.get("sheet"), city),
        whole=whole,
    )
    if query.after and "offset" in given:
        raise wrong("offset", "after and offset cannot be given together", "follow the next links")
    return query


def sort_signature(sort: tuple[SortKey, ...]) -> str:
    """The order that a token belongs to."""
    return ",".join(map(str, sort))


def _limit(text: str | None, output: str) -> int:
    if text is None:
        return MAX_LIMIT if output in DOWNLOADS else DEFAULT_LIMIT_HTML if output == "html" else DEFAULT_LIMIT
    limit = integer_value(text, "limit")
    if limit < 1:
        raise wrong("limit", "limit must be at least 1")
    return min(limit, MAX_LIMIT)  # Features core 1.0.1: above the maximum, the maximum is used


def _offset(text: str | None) -> int:
    if text is None:
        return 0
    offset = integer_value(text, "offset")
    if not 0 <= offset <= MAX_OFFSET:
        raise wrong("offset", f"offset must be 0 to {MAX_OFFSET}", "follow the next links instead")
    return offset


def _crs(given: Mapping[str, str], name: str, city: City) -> CrsRef:
    if name not in given:
        return crs.CRS84
    offered = offered_crs(city)
    try:
        asked = crs.parse_uri(given[name])
    except UsageError as error:
        raise UsageError(
            f"{name} is not a CRS that is offered here",
            code=error.code,
            hint="the collection lists them under crs",
            errors=[{"parameter": name, "detail": error.message}],
        ) from None
    if asked not in offered:
        raise UsageError(
            f"{name} is not a CRS that is offered here",
            code="unknown-crs",
            hint="the collection lists them under crs",
            errors=[{"parameter": name, "detail": "not offered"}],
        )
    return asked


def _bbox(given: Mapping[str, str], city: City) -> BboxParam | None:
    asked = _crs(given, "bbox-crs", city)
    if "bbox" not in given:
        return None
    parts = given["bbox"].split(",")
    if len(parts) not in (4, 6):
        raise wrong("bbox", "bbox must have 4 or 6 numbers", "as minx,miny,maxx,maxy")
    numbers = [number_value(p.strip(), "bbox") for p in parts]
    half = len(numbers) // 2
    low, high = numbers[:half], numbers[half:]
    if any(a > b for a, b in zip(low, high, strict=True)):
        raise wrong("bbox", "bbox has its corners the wrong way round", "as minx,miny,maxx,maxy")
    if asked.swap:
        low[:2], high[:2] = low[1::-1], high[1::-1]
    # Beyond the poles is a mistake; longitudes may be anything, as maps that show the world twice send.
    if not crs.definition(asked.code).projected and max(abs(low[1]), abs(high[1])) > 90:
        raise wrong("bbox", "bbox has latitudes over 90 degrees", "is the axis order right?")
    heights = (low[2], high[2]) if half == 3 else None
    box = (low[0], low[1], high[0], high[1])
    if heights is None and is_everywhere(box, asked.code, city.crs.storage):
        return None
    return BboxParam(box, asked, heights)


def _properties(text: str | None, layer: Layer) -> tuple[FieldDef, ...]:
    public = layer.public_fields
    if text is None:
        return public
    wanted = {name.strip() for name in text.split(",")} - {""}
    unknown = wanted - {f.name for f in public}
    if unknown:
        raise wrong("properties", "properties names a field that this collection does not have")
    return tuple(f for f in public if f.name in wanted)


def _flag(given: Mapping[str, str], name: str) -> bool:
    return boolean_value(given[name], name) if name in given else False


def _equals(given: Mapping[str, str], layer: Layer) -> tuple[tuple[FieldDef, object], ...]:
    return tuple(
        (f, typed(given[f.name], f.type, f.name)) for f in property_parameters(layer) if f.name in given
    )


def _filter(given: Mapping[str, str]) -> Tree | None:
    language = given.get("filter-lang", "cql2-text")
    if language not in ("cql2-text", "cql2-json"):
        raise wrong("filter-lang", "filter-lang must be cql2-text or cql2-json")
    return read_filter(given["filter"], language) if "filter" in given else None


def _sort(text: str | None, layer: Layer) -> tuple[SortKey, ...]:
    if text is None:
        return ()
    keys: list[SortKey] = []
    for part in text.split(","):
        # an unencoded + arrives as a blank
        name = part[1:] if part[:1] in ("+", "-", " ") else part
        field = next((f for f in layer.public_fields if f.name == name), None)
        if field is None:
            raise wrong("sortby", "sortby names a field that this collection does not have")
        if any(k.field is field for k in keys):
            raise wrong("sortby", f"sortby names {field.name} twice")
        keys.append(SortKey(field, part.startswith("-")))
    if len(keys) > MAX_SORT_KEYS:
        raise LimitError(f"sortby has more than {MAX_SORT_KEYS} fields")
    return tuple(keys)


def _search(text: str | None) -> str | None:
    if text is None:
        return None
    value = text_value(text, "q").strip()
    if not value:
        raise wrong("q", "q is empty")
    if len(value) > MAX_SEARCH:
        raise wrong("q", f"q is longer than {MAX_SEARCH} characters")
    return value


def _sheet(name: str | None, city: City) -> Sheet | None:
    """A sheet by its name; cadastral names are those of the city's zone."""
    if name is None:
        return None
    try:
        return parse_sheet(name.strip(), crs=city.crs.storage)
    except UsageError as error:
        raise UsageError(
            error.message,
            code=error.code,
            hint=error.hint,
            errors=[{"parameter": "sheet", "detail": error.message}],
        ) from None
