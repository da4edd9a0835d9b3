"""The SQL of a tile: one statement for any number of layers, the same text for all tiles of a zoom class.

Each layer is one aggregate (ST_AsMVT), joined by UNION ALL: a tile is one round trip, and a layer without
features costs an index probe. $1 is the tile's buffered envelope in the storage CRS (for ``&&``, so the
index is used and no row outside is transformed), $2 its box in EPSG:3857, $3 a tile unit in the storage
CRS; further parameters are lists of field values. The envelope comes from the densely transformed box, so
it misses nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import shapely
from psycopg import sql

from gis.crs import WEB_MERCATOR, definition, transform_box
from gis.db.sql import column, table
from gis.db.web import has_web
from layers.registry import Catalogue, Layer
from tiles.general import is_low, low_part
from tiles.grid import EXTENT, MAX_ZOOM, SOURCE_MAX_ZOOM, Tile
from tiles.web import GAPS, web_part

#: Most features of one layer in one tile. A tile that has more says so (Rendered.truncated): it is the
#: guard of a wrongly set min_zoom, not a way of thinning.
MAX_FEATURES = 250_000

#: Statements kept by one process; more are only made when clients ask for many sets of layers.
MAX_PLANS = 1_000


@dataclass(frozen=True)
class Plan:
    """A statement for some layers at one zoom. It yields rows (layer id, MVT bytes, number of features)."""

    layers: tuple[str, ...]
    statement: bytes
    #: Values of $4 and following.
    values: tuple[list[str], ...]
    #: The largest buffer of the layers in tile units.
    buffer: int


def shows(layer: Layer, z: int) -> bool:
    """Whether a layer is in tiles of this level. The last level clients are told of is not an end."""
    tiles = layer.definition.tiles
    last = tiles.max_zoom if tiles.max_zoom < SOURCE_MAX_ZOOM else MAX_ZOOM
    return tiles.min_zoom <= z <= last


def attributes(layer: Layer, z: int) -> tuple[str, ...]:
    """Names of the attributes in tiles of this level: the layer's own list, and what its style needs.

    Only public fields; ``fid`` is not among them, since it is the id of the feature.
    """
    public = {f.name for f in layer.public_fields} - {"fid"}
    return tuple(name for name in layer.tile_fields(z) if name in public)


def plan(layers: Sequence[Layer], z: int) -> Plan | None:
    """The statement for the layers that are in tiles of this level; None when no layer is."""
    shown = [layer for layer in layers if shows(layer, z)]
    if not shown:
        return None
    values: list[list[str]] = []
    parts = [_one(layer, z, values) for layer in shown]
    return Plan(
        layers=tuple(layer.id for layer in shown),
        statement=(GAPS + sql.SQL(" UNION ALL ").join(parts)).as_string(None).encode(),
        values=tuple(values),
        buffer=max(layer.definition.tiles.buffer for layer in shown),
    )


def _one(layer: Layer, z: int, values: list[list[str]]) -> sql.Composed:
    """The aggregate of one layer; appends to ``values`` what it binds."""
    if is_low(layer, z):
        low = low_part(layer, z, attributes(layer, z), list(_by_value(layer, z, values)))
        return sql.SQL(
            "SELECT {id}::text, ST_AsMVT(t, {id}, {extent}, 'geom', 'fid'), count(*) FROM ({low}) AS t"
        ).format(id=sql.Literal(layer.id), extent=sql.Literal(EXTENT), low=low)
    if has_web(layer):
        stored = web_part(layer, z, attributes(layer, z), list(_by_value(layer, z, values)), MAX_FEATURES + 1)
        return sql.SQL(
            "SELECT {id}::text, ST_AsMVT(t, {id}, {extent}, 'geom', 'fid'), count(*) FROM ({stored}) AS t"
        ).format(id=sql.Literal(layer.id), extent=sql.Literal(EXTENT), stored=stored)
    conditions = [sql.SQL("geom && $1::geometry"), *_by_value(layer, z, values)]
    # A height would move the point by a millimetre in the datum shift (crs.md), and costs.
    shape = sql.SQL("geom" if layer.definition.z == "none" else "ST_Force2D(geom)")
    return sql.SQL(
        "SELECT {id}::text, ST_AsMVT(t, {id}, {extent}, 'geom', 'fid'), count(*) FROM ("
        "SELECT fid{attributes}, {geometry} AS geom FROM {table} WHERE {conditions}"
        # In order of fid the same features give the same bytes on every server, so ETags agree.
        " ORDER BY fid LIMIT {most}) AS t"
    ).format(
        id=sql.Literal(layer.id),
        extent=sql.Literal(EXTENT),
        attributes=sql.SQL("").join(_attribute(layer, name) for name in attributes(layer, z)),
        geometry=_geometry(layer, shape),
        table=table(layer),
        conditions=sql.SQL(" AND ").join(conditions),
        most=sql.Literal(MAX_FEATURES + 1),
    )


def _geometry(layer: Layer, shape: sql.Composable) -> sql.Composable:
    """The geometry in tile units, clipped; NULL (left out by ST_AsMVT) where nothing is in the tile.

    Snapping makes what is smaller than a tile unit vanish. Such a feature is drawn as a box or a stroke of
    one or two units instead: a city's cabinets must not thin out because they are small.
    """
    clipped = sql.SQL("ST_AsMVTGeom(ST_Transform({}, {}), $2::box2d, {}, {}, true)")

    def in_tile(what: sql.Composable) -> sql.Composed:
        buffer = layer.definition.tiles.buffer
        return clipped.format(what, sql.Literal(WEB_MERCATOR), sql.Literal(EXTENT), sql.Literal(buffer))

    if layer.dimension == 0:
        return in_tile(shape)
    grown = sql.SQL("ST_Expand({}, $3::float8 / 2)").format(shape)
    box, stroke = (
        in_tile(sql.SQL("ST_Envelope({})").format(grown)),
        in_tile(sql.SQL("ST_BoundingDiagonal({})").format(grown)),
    )
    instead = {2: box, 1: stroke}.get(
        layer.dimension,
        sql.SQL("CASE ST_Dimension(geom) WHEN 2 THEN {} WHEN 1 THEN {} END").format(box, stroke),
    )
    return sql.SQL(
        "COALESCE({}, CASE WHEN ST_XMax(geom) - ST_XMin(geom) < $3::float8"
        " AND ST_YMax(geom) - ST_YMin(geom) < $3::float8 THEN {} END)"
    ).format(in_tile(shape), instead)


def _attribute(layer: Layer, name: str) -> sql.Composed:
    f = layer.field(name)
    # MVT has no dates: ISO 8601 text (the session's time zone is UTC).
    template = {
        "date": ", to_char({}, 'YYYY-MM-DD') AS {}",
        "datetime": ", to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS {}",
    }.get(f.type if f else "", ", {}")
    return sql.SQL(template).format(*[column(name)] * template.count("{}"))


def _by_value(layer: Layer, z: int, values: list[list[str]]) -> Iterator[sql.Composable]:
    """The condition of ``tiles.zooms_by`` at this level, if it hides anything there."""
    chosen = layer.definition.tiles.zooms_by
    if chosen is None:
        return
    others_from = layer.definition.tiles.min_zoom if chosen.otherwise is None else chosen.otherwise
    hidden = sorted(value for value, first in chosen.zooms.items() if first > z)
    shown = sorted(value for value, first in chosen.zooms.items() if first <= z)
    if others_from <= z and not hidden:
        return
    f = layer.field(chosen.field)
    name = column(chosen.field)
    text = name if f and f.type == "string" else sql.SQL("{}::text").format(name)
    place = sql.SQL(f"${len(values) + 4}::text[]")
    if others_from <= z:
        values.append(hidden)
        yield sql.SQL("({} IS NULL OR {} <> ALL ({}))").format(name, text, place)
    else:
        values.append(shown)
        yield sql.SQL("{} = ANY ({})").format(text, place)


class Plans:
    """The statements of one catalogue. Make a new one when the catalogue changes."""

    def __init__(self, catalogue: Catalogue, storage: int) -> None:
        self.catalogue = catalogue
        self.storage = storage
        self._kept: OrderedDict[tuple[tuple[str, ...], int], Plan | None] = OrderedDict()

    def get(self, layers: Sequence[Layer], z: int) -> Plan | None:
        """The plan of these layers of the catalogue at a level; None when no layer is in its tiles."""
        key = (tuple(layer.id for layer in layers), z)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        made = plan(layers, z)
        self._kept[key] = made
        if len(self._kept) > MAX_PLANS:
            self._kept.popitem(last=False)
        return made


@dataclass(frozen=True)
class Window:
    """A tile seen from the storage CRS."""

    #: The buffered tile's bounding box as hex EWKB.
    envelope: str
    #: Length of a tile unit at the equator, so not less than it is here.
    unit: float


@lru_cache(maxsize=8192)
def window(tile: Tile, buffer: int, storage: int) -> Window | None:
    """The buffered tile in the storage CRS; None where that CRS is not used.

    The box is transformed densely: a tile's edges are curves in the storage CRS, so its corners do not
    bound it. What lies outside is cut, so level 0 (the whole world) is fine. Kept, since it takes 0.4 ms.
    """
    tolerance = max(1e-3, tile.side / EXTENT / 4)
    shape = transform_box(tile.box(buffer), WEB_MERCATOR, storage, tolerance)
    if shape.is_empty:
        return None
    west, south, east, north = shape.bounds
    box = shapely.box(west - tolerance, south - tolerance, east + tolerance, north + tolerance)
    text = shapely.to_wkb(shapely.set_srid(box, storage), hex=True, include_srid=True)
    return Window(str(text), tile.side / EXTENT / definition(storage).unit_m)
