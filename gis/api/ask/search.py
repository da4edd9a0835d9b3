"""GET /search: one box for all that people look for, answered while they type.

What a text may mean is read without the database (gis.ask.text); then each meaning is asked for by a
statement of its own, from the surest on. Every statement is served by an index of few matches: large layers
are only asked for numbers with their words, names are looked up in the list of names (gis.db.names). Should
one take too long all the same, its results are left out and ``complete`` is false.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from gis import crs
from gis.api.ask import branches, names
from gis.api.ask.hits import ALIKE, Hit, best, from_row, worth
from gis.api.ask.params import read_point
from gis.api.ask.reading import Reading, composed, reading
from gis.api.ask.shown import answer
from gis.api.features.binding import Bind
from gis.api.features.values import integer_value, text_value, wrong
from gis.api.negotiate import choose_language, known_parameters
from gis.api.ogc.stats import Stats
from gis.api.state import State, state_of
from gis.ask.text import MAX_TEXT, Place, Question, read, words_of
from gis.db.ddl import searched_words
from gis.db.door import FINDINGS
from gis.sheets import Sheet
from layers.registry import Layer

MAX_LIMIT: Final = 50
DEFAULT_LIMIT: Final = 10
#: A statement that takes longer gives nothing. Hundreds of times what one takes: for what nobody foresaw.
TIMEOUT_MS: Final = 3000
#: Layers of no more features are asked for any words, larger ones for words with a number.
SMALL: Final = 20_000


async def search(request: Request) -> Response:
    """The results, best first."""
    given = known_parameters(request, ("q", "limit", "near", "lang"))
    state = state_of(request)
    if "q" not in given:
        raise wrong("q", "q is missing: what is looked for")
    if len(given["q"]) > MAX_TEXT:
        raise wrong("q", f"q has more than {MAX_TEXT} characters")
    limit = integer_value(given.get("limit", str(DEFAULT_LIMIT)), "limit")
    if limit < 1:
        raise wrong("limit", "limit must be at least 1")
    near = read_point(given["near"], "near") if "near" in given else tuple(state.city.view[:2])
    city = state.city
    asked = read(text_value(given["q"], "q"), city.crs.storage, city.crs.offered, city.extent)
    stats = await request.app.state.ogc.statistics.get(state)
    finder = Finder(state, stats, choose_language(request, city.languages), asked, min(limit, MAX_LIMIT))
    hits = await finder.find((near[0], near[1]))
    return answer(request, state, {"results": [h.shown() for h in hits], "complete": finder.complete})


class Finder:
    """One question, and what is found for it."""

    def __init__(self, state: State, stats: Stats, language: str, asked: Question, limit: int) -> None:
        self.state, self.stats, self.language, self.asked, self.limit = state, stats, language, asked, limit
        self.layers = {layer.id: layer for layer in state.catalogue.public() if layer.id not in FINDINGS}
        self.named = names.named_layers(list(self.layers.values()))
        self.complete = True

    async def find(self, near: tuple[float, float]) -> list[Hit]:
        """The best results."""
        hits = [self._place(place) for place in self.asked.places]
        if not hits and self.asked.words:
            async with reading(self.state, list(self.layers.values()), TIMEOUT_MS) as connection:
                hits += [await self._sheet(connection, sheet) for sheet in self.asked.sheets]
                hits += await self._parcels(connection)
                if not (hits and {"thua", "parcel"} & set(self.asked.words)):  # what else could that be
                    hits += await self._asset_ids(connection)
                    found = await self._names(connection)
                    parcels = any(hit.kind == "parcel" for hit in hits)
                    hits += found
                    # "12/34 Củ Chi" was a parcel; "12/34 Nguyễn Huệ" is an address
                    if not (parcels and any(p.ward or p.unit for p in self.asked.parcels)):
                        hits += await self._addresses(connection, found)
                    if sum(hit.score > ALIKE + 101 for hit in hits) < self.limit:
                        hits += await self._others(connection)
                hits = best(hits, near, self.limit)
                await self._tell_wards(connection, hits)
                self.complete = connection.complete
        return best(hits, near, self.limit)

    def _place(self, place: Place) -> Hit:
        if place.code == crs.WGS84:
            title, system = f"{place.lat:.6f}, {place.lon:.6f}", "WGS 84"
        else:
            # as surveyors write it: X is north
            title = f"X {place.y:.3f} · Y {place.x:.3f}"
            system = crs.definition(place.code).name
        box = (place.lon, place.lat, place.lon, place.lat)
        first = place.code in (crs.WGS84, self.state.city.crs.storage)
        hit = Hit("coordinates", title, (place.lon, place.lat), box, score=1000.0 if first else 900.0)
        hit.say(f"Tọa độ {system}", f"Coordinates, {system}")
        hit.say(f"{place.lat:.6f}, {place.lon:.6f}")
        return hit

    async def _sheet(self, connection: Reading, sheet: Sheet) -> Hit:
        west, south, east, north = sheet.outline(crs.WGS84).bounds
        hit = Hit("sheet", sheet.name, ((west + east) / 2, (south + north) / 2), (west, south, east, north))
        hit.score = 860.0
        hit.say(f"Mảnh bản đồ 1:{sheet.scale}", f"Map sheet 1:{sheet.scale}")
        for layer_id in self.state.city.sheets:
            layer = self.layers.get(layer_id)
            if layer is None or layer.field("system") is None:
                continue
            rows = await connection.rows(
                branches.by_sheet_name(layer), {"name": sheet.name, "system": sheet.system}
            )
            if rows:
                hit.layer, hit.fid = layer.id, rows[0][0]
        hit.placed = False
        return hit

    async def _parcels(self, connection: Reading) -> list[Hit]:
        hits: list[Hit] = []
        for parcel in self.asked.parcels:
            units: list[str] = []
            if parcel.ward or parcel.unit:
                units, known = await names.codes_of(connection, self.named, parcel.ward, parcel.unit)
                if not known:  # "12/34 Nguyễn Huệ" is an address
                    continue
            for layer in self.layers.values():
                find = layer.definition.find
                if find is None or find.sheet is None:
                    continue
                bind = Bind()
                query = branches.by_number(layer, parcel, units, self.language, bind)
                for row in await connection.rows(query, bind.values):
                    hit = self._hit(layer, row)
                    hit.score = 940.0
                    hits.append(hit)
        return hits

    async def _asset_ids(self, connection: Reading) -> list[Hit]:
        text = self.asked.text
        if " " in text or len(text) < 3 or "/" in text:
            return []
        searched = [one for one in self.layers.values() if "asset_id" in one.definition.search]
        values = branches.id_ranges(text)
        ranges = len(values) // 2
        query = composed(
            ("ids", self.state.catalogue.fingerprint, self.language, ranges),
            lambda: branches.by_asset_id(searched, self.language, ranges),
        )
        hits = []
        for row in await connection.rows(query, values):
            hit = self._hit(self.layers[row[0]], row)
            exact = str(row[9]).casefold() == text.casefold()
            hit.kind, hit.score = "asset", 920.0 if exact else 640.0 - len(str(row[9])) / 10
            hits.append(hit)
        return hits

    async def _names(self, connection: Reading) -> list[Hit]:
        """Streets, places and wards: by all words, or by those without a house number."""
        asked = self.asked
        found = await names.find_names(connection, self.named, asked.words, 3 * self.limit)
        exact = [n for n in found if n.alike is None]
        if not exact and asked.numbered and asked.letters:
            more = await names.find_names(connection, self.named, asked.letters, self.limit)
            found = [n for n in more if n.alike is None] + [n for n in more if n.alike is not None] + found
        return await names.look_up(connection, self.named, found, " ".join(asked.words), self.limit)

    async def _addresses(self, connection: Reading, found: Sequence[Hit]) -> list[Hit]:
        """House numbers with a street, as typed, or with the street that was meant."""
        asked = self.asked
        if not asked.numbered or not asked.letters:
            return []
        layers = sorted(
            (one for one in self.layers.values() if _has_addresses(one)),
            key=lambda one: not (one.definition.find and one.definition.find.addresses),
        )
        hits: list[Hit] = []
        typed = (*asked.letters, *asked.numbered)
        queries = [branches.tsquery(typed, prefix=False), branches.tsquery(typed)]
        streets = [h.title for h in found if h.kind == "street" and h.score < ALIKE + 101]
        queries += [
            branches.tsquery((*words_of(street), *asked.numbered), prefix=False)
            for street in dict.fromkeys(streets[:2])
        ]
        number = asked.number_as_typed
        for query in dict.fromkeys(queries):
            for layer in layers:  # those of parcels first; of a building there is mostly a parcel
                bind = Bind()
                statement = branches.by_address(layer, query, number, self.language, 12, bind)
                begun = False
                for row in await connection.rows(statement, bind.values):
                    hit = self._hit(layer, row)
                    if hit.kind == "parcel" and row[10]:
                        hit.title, told = str(row[10]), hit.title
                        hit.kind = "address"
                        hit.say(told)
                    if hit.kind == "address":
                        begins = words_of(hit.title)[: len(asked.numbered)] == asked.numbered
                        begun = begun or begins
                        hit.score = worth("address", hit.title, asked.folded) + (40 if begins else 0)
                        hits.append(hit)
                if begun:
                    return hits
        return hits

    async def _others(self, connection: Reading) -> list[Hit]:
        """Any other layer by the words of its search fields: codes, names of facilities."""
        asked = self.asked
        if sum(map(len, asked.words)) < 3 or not asked.words:
            return []
        selective = bool(asked.numbered) and max(map(len, asked.words)) > 2
        chosen = [
            layer
            for layer in self.layers.values()
            if not _has_addresses(layer)
            and layer.id not in self.named
            and searched_words(layer)
            and (selective or (self.stats.of(layer.id).count or 0) <= SMALL)
        ]
        if not chosen:
            return []
        query = composed(
            ("words", self.state.catalogue.fingerprint, self.language, tuple(one.id for one in chosen)),
            lambda: branches.by_words(chosen, self.language, 5),
        )
        hits = []
        for row in await connection.rows(query, {"query": branches.tsquery(asked.words)}):
            hit = self._hit(self.layers[row[0]], row)
            hit.score = worth(hit.kind, hit.title, asked.folded) - 250
            hits.append(hit)
        return hits

    def _hit(self, layer: Layer, row: Sequence[Any]) -> Hit:
        find = layer.definition.find
        hit = from_row(find.kind if find else "asset", row[1:], layer.id)
        hit.say(layer.title.vi, layer.title.en)
        hit.say(str(row[10] or ""))
        if str(row[9]) != hit.title:
            hit.say(str(row[9]))
        hit.placed = not row[10]
        return hit

    async def _tell_wards(self, connection: Reading, hits: Sequence[Hit]) -> None:
        placed = [h for h in hits if h.placed]
        wards = await names.wards_at(
            connection, self.named, [h.point for h in placed], self.state.city.crs.storage
        )
        for hit, ward in zip(placed, wards, strict=True):
            hit.say(ward or "")


def _has_addresses(layer: Layer) -> bool:
    find = layer.definition.find
    return find is not None and (find.kind == "address" or bool(find.addresses))
