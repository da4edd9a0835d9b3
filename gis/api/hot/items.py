"""One item, and pages by key, of a small box or of a value of an indexed field, as GeoJSON in CRS84 with all
attributes.

Statements are those of gis.api.features.query, made once for each layer and form; the documents around their
texts are made once for each layer, language and address of the server.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import orjson
from psycopg import sql
from psycopg.pq.abc import PGresult

from gis import crs
from gis.api.compress import IN_THREAD, LEVEL, MINIMUM, with_suffix
from gis.api.features import links
from gis.api.features.count import EXACT_ROWS, known_count
from gis.api.features.formats import geojson
from gis.api.features.item import OUTPUTS, entity_tag
from gis.api.features.mend import FINDINGS
from gis.api.features.page import Asked as Whole
from gis.api.features.paging import Count, Cursor, make_token, read_token
from gis.api.features.params import DEFAULT_LIMIT, FORMATS, ItemsQuery, View, read_items
from gis.api.features.params import ITEMS as PARAMETERS
from gis.api.features.query import PageForm, one_feature, rows_read, stored_page, version_of
from gis.api.features.smallbox import small_box
from gis.api.features.where import select
from gis.api.hot.asked import STANDARD, Asked, Pairs, is_current, vary
from gis.api.negotiate import page_etag
from gis.api.state import State
from gis.db.quick import NotQuick, Quick, in_order, positional
from layers.model import FieldDef
from layers.registry import Layer

#: Larger pages go the long way: they would hold up what is asked beside them.
MOST_FEATURES: Final = 1000

_NUMBER: Final = r"-?[0-9]{1,3}(?:\.[0-9]{1,15})?"
_QUERY: Final = re.compile(
    r"(?:(?:^|&)(?:limit=(?P<limit>[1-9][0-9]{0,3})|f=(?P<f>json)|after=(?P<after>[A-Za-z0-9_-]{1,1500})"
    rf"|bbox=(?P<bbox>{_NUMBER}(?:(?:,|%2C){_NUMBER}){{3}})"
    r"|(?P<field>(?!(?:limit|f|after|bbox)=)[a-z][a-z0-9_]{0,62})=(?P<value>[A-Za-z0-9_.-]{1,60})))*\Z"
)
#: Names of _QUERY that are no field's.
_NAMES: Final = frozenset(("limit", "f", "after", "bbox"))
#: Of a field's value more rows than these are counted, or estimated, the long way.
MOST_OF_A_VALUE: Final = 20_000
_FID: Final = re.compile(r"[0-9]{1,18}\Z")
#: Stands for the feature's id in a document around it. No address of ours holds it.
_HERE: Final = "\x1a"
_HERE_JSON: Final = b"\\u001a"

#: (status, headers, body)
type Answer = tuple[int, Pairs, bytes]


@dataclass(frozen=True)
class _One:
    """What does not change from one item of a layer to the next."""

    version: bytes
    feature: bytes
    names: tuple[str, ...]


@dataclass(frozen=True)
class _Page:
    text: bytes
    names: tuple[str, ...]
    counting: bytes
    counted: tuple[str, ...]


class Items:
    """What the hot path keeps of one catalogue. ``state``: anyone's."""

    def __init__(self, state: State, quick: Quick) -> None:
        self._state = state
        self._quick = quick
        self._storage = state.city.crs.storage
        self._ones: dict[str, _One] = {}
        self._pages: dict[tuple[str, bool, bool, str | None], _Page] = {}
        self._around: dict[tuple[Asked, str, str], tuple[list[bytes], str]] = {}
        self._tails: dict[tuple[str, str, str], list[bytes]] = {}

    def layer(self, name: str) -> Layer | None:
        """The layer, when all of it is anyone's."""
        layer = self._state.catalogue.layers.get(name)
        if layer is None or layer.access != "public" or layer.revealed or name in FINDINGS:
            return None
        return layer

    def view(self, layer: Layer) -> View:
        """All that is shown of a feature when nothing else is asked for."""
        return View(crs.CRS84, layer.public_fields)

    # --- one item ---------------------------------------------------------------------------------------

    async def one(
        self, layer: Layer, fid_text: str, query: str, asked: Asked, headers: Mapping[bytes, bytes]
    ) -> Answer | None:
        """The answer; None: the long way. Raises NotQuick."""
        if query not in ("", "f=json") or not _FID.match(fid_text) or not (asked.geojson or query):
            return None
        fid = int(fid_text)
        known = self._ones.get(layer.id)
        if known is None:
            known = self._ones[layer.id] = self._one(layer)
        around, form = self._document(layer, query, asked)
        values = in_order(known.names, {"fid": fid})
        matches = headers.get(b"if-none-match")
        if matches is not None:
            found = await self._quick.ask(known.version, values)
            if found.ntuples != 1:
                return None
            etag = f'"{fid}.{_integer(found, found.nfields - 1)}.{form}"'
            if is_current(matches, etag):
                return _unchanged(_OWN, etag, asked, matches)
        found = await self._quick.ask(known.feature, values)
        if found.ntuples != 1:
            return None
        etag = f'"{fid}.{_integer(found, 1)}.{form}"'
        text = found.get_value(0, 0)
        if text is None:
            return None
        body = b"".join((text[:-1], b",", str(fid).encode().join(around)))
        return await _packed(_OWN, etag, asked, body)

    def _one(self, layer: Layer) -> _One:
        shown = sql.SQL("convert_to({}, 'UTF8')").format(geojson.stored_feature(layer))
        feature, names = positional(one_feature(layer, shown, 0).text)
        version, same = positional(version_of(layer, 0).text)
        if names != ("fid",) or same != names:
            raise NotQuick
        return _One(version, feature, names)

    def _document(self, layer: Layer, query: str, asked: Asked) -> tuple[list[bytes], str]:
        """The JSON after the feature's text, in pieces between which its id stands; the form in its ETag."""
        key = (asked, layer.id, query)
        known = self._around.get(key)
        if known is None:
            given = {"f": "json"} if query else {}
            collection = f"{asked.base}/collections/{layer.id}"
            own = links.document_links(
                f"{collection}/items/{_HERE}", given, "json", asked.language, OUTPUTS, collection
            )
            around = orjson.dumps({"links": own})[1:].split(_HERE_JSON)
            whole = _Whole(self._state, layer, given, asked.language, collection)
            etag = entity_tag(cast(Whole, whole), self.view(layer), 0, 0)
            if len(self._around) > 5000:
                self._around.clear()
            known = self._around[key] = (around, etag.rpartition(".")[2].rstrip('"'))
        return known

    # --- pages ------------------------------------------------------------------------------------------

    async def page(
        self, layer: Layer, query: str, asked: Asked, headers: Mapping[bytes, bytes]
    ) -> Answer | None:
        """The answer; None: the long way. Raises NotQuick."""
        found = _QUERY.match(query)
        if found is None:
            return None
        names = [part.partition("=")[0] for part in query.split("&")] if query else []
        if len(set(names)) != len(names) or not (asked.geojson or found["f"]):
            return None
        limit = int(found["limit"] or DEFAULT_LIMIT)
        if limit > MOST_FEATURES:
            return None
        equals: tuple[tuple[FieldDef, object], ...] = ()
        if rest := set(names) - _NAMES:
            field = layer.field(found["field"])
            # a value in a box is rare, and planned by what both hold
            if rest != {found["field"]} or found["bbox"] or field is None or not _looked_up(field):
                return None
            equals = ((field, found["value"]),)
        after = found["after"]
        cursor = read_token(after, "") if after else None
        values: dict[str, object] = {"limit": limit}
        if found["bbox"]:
            west, south, east, north = map(float, found["bbox"].replace("%2C", ",").split(","))
            shapes = small_box((west, south, east, north), crs.WGS84, self._storage)
            if shapes is None:
                return None
            values["p0"], values["p1"] = shapes
        if cursor is not None:
            values["k0"] = cursor.fid
        if equals:
            values["p0"] = found["value"]
        box = _SOME_BOX if found["bbox"] else None
        asking = ItemsQuery(self.view(layer), limit, 0, cursor, box, equals=equals)
        values["more"] = rows_read(asking)
        by = found["field"] if equals else None
        page = self._page(layer, bool(found["bbox"]), cursor is not None, by)
        rows = await self._quick.ask(page.text, in_order(page.names, values))
        # one row without a feature: there are none, or more than are read as a whole
        end = rows.ntuples - 1
        returned, last = (0, None) if rows.get_value(0, 1) is None else (end + 1, rows.get_value(end, 1))
        met, total = _integer(rows, 2), rows.get_value(0, 3)
        if met and not returned:
            return None
        text = b",\n".join([rows.get_value(n, 0) or b"" for n in range(returned)])
        matched = known_count(asking, met, None if total is None else int.from_bytes(total, signed=True))
        if matched is None:
            counted = _integer(await self._quick.ask(page.counting, in_order(page.counted, values)), 0)
            if counted > (MOST_OF_A_VALUE if equals else EXACT_ROWS):
                return None
            matched = Count(counted)
        return await self._written(
            layer, query, asked, headers, text, returned, met, last, total, matched, cursor
        )

    async def _written(
        self,
        layer: Layer,
        query: str,
        asked: Asked,
        headers: Mapping[bytes, bytes],
        text: bytes | None,
        returned: int,
        met: int,
        last: bytes | None,
        total: bytes | None,
        matched: Count,
        cursor: Cursor | None,
    ) -> Answer | None:
        given = query.replace(",", "%2C")
        further = None
        if met > returned and last is not None:
            position = (cursor.position if cursor else 0) + returned
            carried = None if total is not None else matched
            token = make_token(Cursor(int.from_bytes(last, signed=True), (), position, carried), "")
            if token is None:
                return None
            further = _replaced(given, "after", token)
        before = b'{"type":"FeatureCollection","features":[\n'
        estimated = b',"numberMatchedEstimated":true' if matched.estimated else b""
        counts = b'"numberMatched":%d,"numberReturned":%d%s,' % (matched.value, returned, estimated)
        documents = self._links(layer, asked, given, further)
        body = b"".join((before, text or b"", b"\n],", counts, documents))
        etag = page_etag(body)
        own = [*_OWN, (b"ogc-numberreturned", b"%d" % returned)]
        if not matched.estimated:
            own.append((b"ogc-numbermatched", b"%d" % matched.value))
        if further is not None:
            here = f"{asked.base}/collections/{layer.id}/items?{further}"
            own.append((b"link", f'<{here}>; rel="next"; type="application/geo+json"'.encode("latin-1")))
        matches = headers.get(b"if-none-match")
        if is_current(matches, etag):
            return _unchanged(own, etag, asked, cast(bytes, matches))
        return await _packed(own, etag, asked, body)

    def _page(self, layer: Layer, boxed: bool, after: bool, by: str | None) -> _Page:
        key = (layer.id, boxed, after, by)
        known = self._pages.get(key)
        if known is None:
            given = {"limit": "10"}
            if boxed:
                west, south, east, north = self._state.city.extent
                x, y = (west + east) / 2, (south + north) / 2
                given["bbox"] = f"{x},{y},{x + 0.001},{y + 0.001}"
            if after:
                given["after"] = make_token(Cursor(1, (), 1, None), "") or ""
            if by is not None:
                given[by] = "x"
            query = read_items(given, layer, self._state.city, "json")
            selection = select(layer, query, self._storage)
            form = PageForm(
                layer,
                query,
                self._storage,
                "stored",
                (),
                lambda: [geojson.stored_feature(layer)],
            )
            text, names = positional(stored_page(form, selection).text)
            counting = " UNION ALL ".join(f"SELECT 1 FROM {source}" for source in selection.together())  # noqa: S608
            most = (EXACT_ROWS if by is None else MOST_OF_A_VALUE) + 1
            counting = f"SELECT count(*) FROM ({counting} LIMIT {most}) AS counted"  # noqa: S608
            counted_text, counted = positional(counting.encode())
            bound = ("p0", "p1") if boxed else ("p0",) if by is not None else ()
            wanted = {"limit", "more", *bound, *(("k0",) if after else ())}
            if set(names) != wanted or not set(counted) <= wanted:
                raise NotQuick
            known = self._pages[key] = _Page(text, names, counted_text, counted)
        return known

    def _links(self, layer: Layer, asked: Asked, given: str, further: str | None) -> bytes:
        """The rest of the document: its links."""
        key = (asked.base, layer.id, asked.language)
        known = self._tails.get(key)
        if known is None:
            if len(self._tails) > 5000:
                self._tails.clear()
            known = self._tails[key] = self._pieces(layer, asked)
        forms = [given, *(_replaced(given, "f", name) for name in _ALTERNATES)]
        parts = [known[0]]
        for n, form in enumerate(forms):
            parts += [(f"?{form}" if form else "").encode(), known[n + 1]]
        if further is not None:
            parts += [known[-2], further.encode(), known[-1]]
        parts.append(b"]}")
        return b"".join(parts)

    def _pieces(self, layer: Layer, asked: Asked) -> list[bytes]:
        """The links' JSON, cut where the query strings stand: self, alternates, what follows, next."""
        collection = f"{asked.base}/collections/{layer.id}"
        here = f"{collection}/items"
        whole = links.document_links(f"{here}{_HERE}", {}, "json", asked.language, FORMATS, collection)
        for link in whole:
            if link["rel"] == "alternate":
                link["href"] = f"{here}{_HERE}"
        further = links.next_link(f"{here}?{_HERE}", "json", asked.language)
        made = orjson.dumps({"links": whole})[1:-2].split(_HERE_JSON)
        if len(made) != len(_ALTERNATES) + 2:
            raise NotQuick
        head, tail = orjson.dumps(further).split(_HERE_JSON)
        return [*made, b"," + head, tail]


def _looked_up(field: FieldDef) -> bool:
    """Whether anyone may ask for a value of the field, and its index finds it in order of fid."""
    return (
        field.type == "string" and field.index and field.access == "public" and field.name not in PARAMETERS
    )


_ALTERNATES: Final = tuple(name for name in FORMATS if name != "json")
_OWN: Final[Pairs] = [
    *STANDARD,
    (b"content-type", FORMATS["json"][0].encode()),
    (b"content-crs", f"<{crs.CRS84.uri}>".encode()),
    (b"cache-control", b"no-cache"),
]
_VARY: Final = vary("Accept", "Accept-Language")
_VARY_GZIP: Final = vary("Accept", "Accept-Language", "Accept-Encoding")


@dataclass(frozen=True)
class _Whole:
    """As much of gis.api.features.page.Asked as an ETag depends on."""

    state: State
    layer: Layer
    given: Mapping[str, str]
    language: str
    collection: str
    output: str = "json"


class _SomeBox:
    """Stands for a box where only that there is one counts."""


_SOME_BOX: Final = cast(Any, _SomeBox())


def _replaced(given: str, name: str, value: str) -> str:
    """A query string with a parameter replaced where it stands, or at its end."""
    if not given:
        return f"{name}={value}"
    parts = given.split("&")
    for n, part in enumerate(parts):
        if part.startswith(f"{name}="):
            parts[n] = f"{name}={value}"
            return "&".join(parts)
    return f"{given}&{name}={value}"


def _integer(result: PGresult, column: int) -> int:
    return int.from_bytes(result.get_value(0, column) or b"", signed=True)


def _unchanged(own: Pairs, etag: str, asked: Asked, matches: bytes) -> Answer:
    if asked.gzip and b'-gzip"' in matches:
        etag = with_suffix(etag)
    return 304, [*own, _VARY, (b"etag", etag.encode())], b""


async def _packed(own: Pairs, etag: str, asked: Asked, body: bytes) -> Answer:
    """The answer, compressed as gis.api.compress does it."""
    if not asked.gzip:
        pairs = [*own, _VARY, (b"etag", etag.encode()), (b"content-length", b"%d" % len(body))]
        return 200, pairs, body
    pairs = [*own, _VARY_GZIP]
    if len(body) >= MINIMUM:
        body = await asyncio.to_thread(_gzip, body) if len(body) > IN_THREAD else _gzip(body)
        etag = with_suffix(etag)
        pairs.append((b"content-encoding", b"gzip"))
    return 200, [*pairs, (b"etag", etag.encode()), (b"content-length", b"%d" % len(body))], body


def _gzip(body: bytes) -> bytes:
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, 31)
    return packer.compress(body) + packer.flush()
