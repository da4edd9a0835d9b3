"""Names of streets, places and wards in /search: found in the list of names, then looked up as features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from psycopg import sql

from gis.api.ask.branches import name_query
from gis.api.ask.hits import Hit, from_row, worth
from gis.api.ask.reading import Reading
from gis.api.ask.shown import placed, placed_features, seen
from gis.ask.text import words_of
from gis.db.ddl import search_vector, searched_words
from gis.db.names import listed_fields
from gis.db.sql import column, table
from layers.registry import Layer

#: Pieces of streets of one name that are farther apart (m) are streets of their own.
_APART: Final = 250
#: Features of a name that are looked at.
_MOST: Final = 3000
#: Streets that only addresses know, of which it is looked up where these are: large layers are asked.
_ADDRESSED: Final = 3
_NOTHING: Final = sql.SQL("NULL::text")

_FOUND: Final = """
SELECT layer, kind, name, folded, NULL::real FROM bandoso.name
WHERE bandoso.search_vector(folded) @@ to_tsquery('simple', %(query)s) AND layer = ANY (%(layers)s)
ORDER BY folded <> %(folded)s, NOT starts_with(folded, %(folded)s), length(folded), name LIMIT %(limit)s
"""
_ALIKE: Final = "SELECT * FROM bandoso.names_like(%(folded)s, %(layers)s, %(limit)s)"


@dataclass(frozen=True)
class Name:
    """A name of the list. ``alike``: 0..1 where it is only written like what was typed."""

    layer: str
    kind: str
    name: str
    folded: str
    alike: float | None


def named_layers(layers: Sequence[Layer]) -> dict[str, Layer]:
    """Layers whose names are in the list."""
    return {layer.id: layer for layer in layers if listed_fields(layer)}


async def find_names(
    reading: Reading, layers: dict[str, Layer], words: Sequence[str], limit: int, kinds: Sequence[str] = ()
) -> list[Name]:
    """Names that hold the words; if those are few, names that are written like them."""
    if not words or not layers or sum(map(len, words)) < 2:
        return []
    wanted = [i for i, one in layers.items() if not kinds or _kind(one, "name") in kinds]
    folded = " ".join(words)
    values = {"layers": wanted, "folded": folded, "limit": limit, "query": name_query(words)}
    found = [Name(*row) for row in await reading.rows(_FOUND, values)]
    if not found and len(folded) >= 4:
        del values["query"]
        known = {(n.layer, n.kind, n.name) for n in found}
        alike = [Name(*row) for row in await reading.rows(_ALIKE, values)]
        found += [n for n in alike if (n.layer, n.kind, n.name) not in known]
    return found


def _kind(layer: Layer, kind: str) -> str:
    find = layer.definition.find
    assert find is not None
    return {"former": "ward_old", "street": "street"}.get(kind, find.kind)


async def look_up(
    reading: Reading, layers: dict[str, Layer], names: Sequence[Name], folded: str, most: int
) -> list[Hit]:
    """The features of names: one hit for each street, place or ward."""
    # a street of the map says where it lies; one that only addresses know is looked up by these
    roads = {n.folded for n in names if n.kind == "name" and _kind(layers[n.layer], "name") == "street"}
    chosen: list[Name] = []
    addressed = 0
    known: set[tuple[str, str]] = set()
    for name in names:
        kind = _kind(layers[name.layer], name.kind)
        if name.kind == "street":
            addressed += name.folded not in roads
            if name.folded in roads or addressed > _ADDRESSED:
                continue
        if (kind, name.folded) in known and name.kind != "name":
            continue
        known.add((kind, name.folded))
        chosen.append(name)
    hits: list[Hit] = []
    groups: dict[tuple[str, str], list[Name]] = {}
    for name in chosen[:most]:
        groups.setdefault((name.layer, name.kind), []).append(name)
    for (layer_id, kind), some in groups.items():
        layer = layers[layer_id]
        rows = await reading.rows(
            _features(layer, kind),
            {
                "names": [n.name for n in some],
                "query": _either(some),
                "queries": [_either([n]) for n in some],
            },
        )
        alike = {n.name: n.alike for n in some}
        for name, *row in rows:
            hit = from_row(_kind(layer, kind), [row[0], name, *row[1:]], layer_id)
            hit.score = worth(hit.kind, name, folded, alike.get(name))
            hit.say(layer.title.vi, layer.title.en)
            if kind == "former":
                hit.say(f"nay là {row[7]}", f"now {row[7]}")
            hit.placed = hit.kind not in ("ward", "ward_old")
            hits.append(hit)
    return hits


def _either(names: Sequence[Name]) -> str:
    parts = [" & ".join(f"'{w}'" for w in words_of(n.folded)) for n in names]
    return " | ".join(f"({part})" for part in dict.fromkeys(parts) if part) or "'-'"


def _features(layer: Layer, kind: str) -> sql.Composed:
    """``SELECT name, fid, six numbers, what it is now``: features of ``names`` (found by ``query``)."""
    if kind == "street":
        return _streets(layer)
    fields = listed_fields(layer)["former" if kind == "former" else "names"]
    if kind == "former":
        found = sql.SQL(
            "SELECT btrim(x) AS _name, i.fid, {now}, i.geom FROM {table} AS i,"
            " regexp_split_to_table(i.{former}, '[,;]') AS x WHERE btrim(x) = ANY (%(names)s) LIMIT 50"
        ).format(
            now=column(listed_fields(layer)["names"][0], "i"),
            table=table(layer),
            former=sql.Identifier(fields[0]),
        )
        now = column(listed_fields(layer)["names"][0], "i")
        return placed_features(layer, sql.SQL("i._name, i.fid"), now, found)
    words: sql.Composable = sql.SQL("TRUE")
    if searched_words(layer) and set(fields) <= set(searched_words(layer)):
        words = sql.SQL("{} @@ to_tsquery('simple', %(query)s)").format(search_vector(layer, "i"))
    name = sql.SQL("coalesce({})").format(
        sql.SQL(", ").join(
            sql.SQL("CASE WHEN {0} = ANY (%(names)s) THEN {0} END").format(column(f, "i")) for f in fields
        )
    )
    chosen = sql.SQL(
        "SELECT * FROM (SELECT {name} AS _name, i.fid, i.geom FROM {table} AS i WHERE {words} LIMIT {most})"
        " AS i WHERE _name IS NOT NULL"
    ).format(name=name, table=table(layer), words=words, most=sql.Literal(_MOST))
    if layer.dimension == 1:
        return _gathered(chosen)
    return placed_features(layer, sql.SQL("i._name, i.fid"), _NOTHING, chosen)


def _streets(layer: Layer) -> sql.Composed:
    """Where the addresses of streets are; of very many the box of some."""
    listed = listed_fields(layer)
    fields = [column(f, "i") for f in listed["streets"]]
    addresses = [column(f, "i") for f in listed["addresses"]]
    words: sql.Composable = sql.SQL("TRUE")
    if {*listed["streets"], *listed["addresses"]} <= set(searched_words(layer)):
        words = sql.SQL("{} @@ to_tsquery('simple', n.query)").format(search_vector(layer, "i"))
    either = [sql.SQL("{} = n.name").format(f) for f in fields]
    either += [sql.SQL("strpos({}, n.name) > 0").format(f) for f in addresses]
    found = sql.SQL(
        "SELECT n.name AS _name, i.box"
        ""
        " FROM unnest(%(names)s::text[], %(queries)s::text[]) AS n (name, query), LATERAL"
        " (SELECT ST_SetSRID(ST_Extent(i.geom)::geometry, min(ST_SRID(i.geom))) AS box"
        " FROM (SELECT i.geom FROM {table} AS i WHERE {words} AND ({either}) LIMIT 60) AS i) AS i"
        " WHERE i.box IS NOT NULL"
    ).format(table=table(layer), words=words, either=sql.SQL(" OR ").join(either))
    shown = sql.SQL("i._name, NULL::bigint AS fid")
    return placed(shown, _NOTHING, sql.SQL("ST_Centroid(i.box)"), sql.SQL("i.box"), found)


def _gathered(chosen: sql.Composable) -> sql.Composed:
    """Lines of one name that lie together as one."""
    found = sql.SQL(
        "SELECT _name, min(fid) AS fid, ST_Collect(geom) AS lines,"
        " ST_SetSRID(ST_Extent(geom)::geometry, min(ST_SRID(geom))) AS box FROM (SELECT *,"
        " ST_ClusterDBSCAN(geom, {apart}, 1) OVER (PARTITION BY _name) AS part FROM ({chosen}) AS i) AS i"
        " GROUP BY _name, part"
    ).format(apart=sql.Literal(_APART), chosen=chosen)
    point = sql.SQL("ST_ClosestPoint(i.lines, ST_Centroid(i.box))")
    return placed(sql.SQL("i._name, i.fid"), _NOTHING, point, sql.SQL("i.box"), found)


async def codes_of(
    reading: Reading, layers: dict[str, Layer], words: Sequence[str], code: str | None
) -> tuple[list[str], bool]:
    """Codes of the wards of a name or code, with those of the wards that they were made of.

    The second value is False where no ward is named so.
    """
    wards = {
        i: one for i, one in layers.items() if (f := one.definition.find) and f.code and f.code in seen(one)
    }
    codes = [code] if code else []
    names = await find_names(reading, wards, words, 8) if words else []
    if names:  # those that fit as well as the best
        top = names[0].alike
        names = [n for n in names if (n.alike is None) == (top is None)]
    for layer in wards.values():
        find = layer.definition.find
        assert find is not None and find.code is not None
        listed = listed_fields(layer)
        either: list[sql.Composable] = [
            sql.SQL("{} = ANY (%(names)s)").format(column(f, "i")) for f in listed["names"]
        ]
        former: sql.Composable = sql.SQL("NULL::text")
        if listed["former"]:
            former = column(listed["former"][0], "i")
            either.append(
                sql.SQL("regexp_split_to_array({}, '\\s*[,;]\\s*') && %(either)s::text[]").format(former)
            )
        if code:
            either.append(sql.SQL("{} = %(code)s").format(column(find.code, "i")))
        rows = await reading.rows(
            sql.SQL("SELECT {}, {} FROM {} AS i WHERE {} LIMIT 40").format(
                column(find.code, "i"), former, table(layer), sql.SQL(" OR ").join(either)
            ),
            {
                "names": [n.name for n in names if n.layer == layer.id],
                "either": [n.name for n in names if n.layer == layer.id] + ([code] if code else []),
                "code": code,
            },
        )
        for own, made_of in rows:
            # an old code means that part of the ward alone
            codes += [] if code else [one.strip() for one in (made_of or "").replace(";", ",").split(",")]
            codes += [own] if own and not (code and code != own) else []
    codes = [one for one in dict.fromkeys(codes) if one]
    return codes, bool(codes)


async def wards_at(
    reading: Reading, layers: dict[str, Layer], points: Sequence[tuple[float, float]], storage: int
) -> list[str | None]:
    """The name of the ward in which each point (degrees) lies."""
    ward = next((one for one in layers.values() if _kind(one, "name") == "ward"), None)
    if ward is None or not points:
        return [None] * len(points)
    query = sql.SQL(
        "SELECT p.n, i.{name}"
        " FROM unnest(%(lon)s::float8[], %(lat)s::float8[]) WITH ORDINALITY AS p (lon, lat, n),"
        " LATERAL (SELECT w.{name} FROM {table} AS w WHERE ST_Intersects(w.geom,"
        " ST_Transform(ST_SetSRID(ST_MakePoint(p.lon, p.lat), 4326), {storage})) LIMIT 1) AS i"
    ).format(
        name=sql.Identifier(listed_fields(ward)["names"][0]),
        table=table(ward),
        storage=sql.Literal(storage),
    )
    rows: list[tuple[Any, ...]] = await reading.rows(
        query, {"lon": [p[0] for p in points], "lat": [p[1] for p in points]}
    )
    found = {int(n): str(name) for n, name in rows if name}
    return [found.get(n + 1) for n in range(len(points))]
