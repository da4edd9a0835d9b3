"""Statements of /search over layers: by asset id, by parcel number, by words. Each is served by an index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from psycopg import sql

from gis.api.ask.shown import placed_features, seen, title_fields, titled
from gis.api.features.binding import Bind
from gis.ask.text import ParcelNumber
from gis.db.ddl import search_vector, searched_words
from gis.db.sql import column, columns, table
from layers.registry import Layer

#: Sorts after every letter that a text can go on with.
_LAST: Final = "\U0010ffff"
#: Words at the beginning of a street's or ward's name that the name itself may leave out.
_TYPES: Final = frozenset(
    (
        "duong",
        "pho",
        "hem",
        "ngo",
        "dai",
        "lo",
        "quoc",
        "so",
        "nha",
        "phuong",
        "xa",
        "quan",
        "huyen",
        "street",
    )
)


def tsquery(words: Sequence[str], *, prefix: bool = True) -> str:
    """All words; the last may go on (as it does while somebody types), if it says enough by then."""
    last = words[-1]
    more = ":*" if prefix and (len(last) > 2 or (last.isdecimal() and len(last) > 1)) else ""
    return " & ".join([f"'{w}'" for w in words[:-1]] + [f"'{last}'{more}"])


def name_query(words: Sequence[str]) -> str:
    """Names that hold all words, or all but those that only say what kind of thing it is. Each may go on."""
    said = [w for w in words if w not in _TYPES]
    whole = " & ".join(f"'{w}':*" for w in words)
    if not said or len(said) == len(words):
        return whole
    return f"({whole}) | ({' & '.join(f"'{w}':*" for w in said)})"


def hits_of(
    layer: Layer, language: str, where: sql.Composable, limit: int, first: sql.Composable | None = None
) -> sql.Composed:
    """``SELECT layer, fid, title, six numbers, asset_id, address``: features for which ``where``."""
    find = layer.definition.find
    address = next((name for name in (find.addresses if find else ()) if name in seen(layer)), None)
    used = (*title_fields(layer), *(n for n in (find.fields if find else ()) if n in seen(layer)))
    found = sql.SQL("SELECT {needed} FROM {table} AS i WHERE {where}{first} LIMIT {limit}").format(
        needed=columns([*dict.fromkeys(("fid", "asset_id", *used, "geom"))], "i"),
        table=table(layer),
        where=where,
        first=sql.SQL(" ORDER BY {}").format(first) if first else sql.SQL(""),
        limit=sql.Literal(limit),
    )
    shown = sql.SQL("{} AS layer, i.fid, {} AS title").format(sql.Literal(layer.id), titled(layer, language))
    address_column = column(address, "i") if address else sql.SQL("NULL::text")
    further = sql.SQL("i.asset_id, {} AS address").format(address_column)
    return sql.SQL("({})").format(placed_features(layer, shown, further, found))


def together(parts: Sequence[sql.Composable]) -> sql.Composed:
    """All of them as one statement."""
    return sql.SQL(" UNION ALL ").join(parts)


def by_asset_id(layers: Sequence[Layer], language: str, ranges: int) -> sql.Composed:
    """Features whose asset_id lies in one of the ranges (values of ``id_ranges``)."""
    return together([
        hits_of(
            layer,
            language,
            sql.SQL(
                'i.asset_id >= {}::text COLLATE "C" AND i.asset_id < {}::text COLLATE "C"'
            ).format(sql.Placeholder(f"low{n}"), sql.Placeholder(f"high{n}")),
            4,
        )
        for layer in layers
        for n in range(ranges)
    ])  # fmt: skip


def id_ranges(text: str) -> dict[str, str]:
    """What begins with the text, as typed or in capitals."""
    starts = dict.fromkeys((text, text.upper()))
    ends = [(f"low{n}", start) for n, start in enumerate(starts)]
    return dict([*ends, *((f"high{n}", start + _LAST) for n, start in enumerate(starts))])


def by_number(
    layer: Layer, parcel: ParcelNumber, units: Sequence[str], language: str, bind: Bind
) -> sql.Composed:
    """Parcels of this number; ``units``: codes of wards, the present or the former ones (none: any)."""
    find = layer.definition.find
    assert find is not None and find.sheet is not None and find.number is not None
    sheet, number = bind.add(parcel.sheet, "string"), bind.add(parcel.number, "string")
    where: sql.Composable = sql.SQL("{} = {} AND {} = {}").format(
        column(find.sheet, "i"), sheet, column(find.number, "i"), number
    )
    if units and find.units:
        codes = bind.array(units, "string")
        either = sql.SQL(" OR ").join(
            sql.SQL("{} = ANY ({})").format(column(name, "i"), codes) for name in find.units
        )
        where = sql.SQL("{} AND ({})").format(where, either)
    return hits_of(layer, language, where, 300)


def by_words(layers: Sequence[Layer], language: str, limit: int) -> sql.Composed:
    """Features whose search fields hold the words of ``query``."""
    return together([
        hits_of(
            layer,
            language,
            sql.SQL("{} @@ to_tsquery('simple', %(query)s::text)").format(search_vector(layer, "i")),
            limit,
        )
        for layer in layers
        if searched_words(layer)
    ])  # fmt: skip


def by_address(layer: Layer, query: str, number: str, language: str, limit: int, bind: Bind) -> sql.Composed:
    """Features whose search fields hold the words, first those of which an address begins with the number."""
    wanted = bind.add(query, "string")
    begins = bind.add(number, "string")
    names = [n for n in ("address", "house_number") if n in seen(layer)]
    first: sql.Composable | None = None
    if names:
        address = sql.SQL("concat_ws(' ', {}, '')").format(columns(names[:1], "i"))
        # "12" before "12A" before "5, Phường 12"
        first = sql.SQL("NOT starts_with({0}, {1} || ' '), NOT starts_with({0}, {1})").format(address, begins)
    where = sql.SQL("{} @@ to_tsquery('simple', {})").format(search_vector(layer, "i"), wanted)
    return hits_of(layer, language, where, limit, first)


def by_sheet_name(layer: Layer) -> sql.Composed:
    """The fid of the sheet ``name`` of ``system`` in a layer of sheets."""
    return sql.SQL("SELECT fid FROM {} WHERE system = %(system)s AND name = %(name)s LIMIT 1").format(
        table(layer)
    )
