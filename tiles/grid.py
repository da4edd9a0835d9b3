"""The tile grid WebMercatorQuad (OGC 17-083r4, Annex D.1): addresses, boxes, metadata. Pure.

A tile is z (level), x (column, from the west), y (row, from the **north**). Its box is in EPSG:3857
metres, where the whole world is a square of 2 x HALF.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from gis.crs import Box
from gis.errors import NotFoundError, UsageError

GRID = "WebMercatorQuad"
URI = "http://www.opengis.net/def/tilematrixset/OGC/1.0/WebMercatorQuad"
CRS_URI = "http://www.opengis.net/def/crs/EPSG/0/3857"

#: Half the side of the world in EPSG:3857: pi times the radius 6378137 m.
HALF = math.pi * 6_378_137.0
#: Deepest level served. A tile is 9.5 m wide there, a tile unit 2.3 mm.
MAX_ZOOM = 22
#: Deepest level that clients are told of; they enlarge its tiles beyond (a tile unit is 37 mm).
SOURCE_MAX_ZOOM = 18
#: Tile units along a side.
EXTENT = 4096
#: Northernmost latitude of the grid in degrees.
MAX_LATITUDE = math.degrees(math.atan(math.sinh(math.pi)))

_SCALE_0 = 559_082_264.0287178  # scale denominator of level 0 with 256 pixels of 0.28 mm
_INTEGER = re.compile(r"[0-9]{1,9}\Z")


@dataclass(frozen=True)
class Tile:
    """An address that exists: 0 <= z <= MAX_ZOOM, 0 <= x, y < 2^z."""

    z: int
    x: int
    y: int

    @property
    def side(self) -> float:
        """Length of a side in metres of EPSG:3857."""
        return 2 * HALF / (1 << self.z)

    def box(self, buffer: int = 0) -> Box:
        """The box in EPSG:3857, larger by ``buffer`` tile units on each side."""
        side = self.side
        margin = side * buffer / EXTENT
        west, north = self.x * side - HALF, HALF - self.y * side
        return (west - margin, north - side - margin, west + side + margin, north + margin)


def parse_tile(z: str, y: str, x: str) -> Tile:
    """The tile of three texts of a URL, in the order of the URL (level, row, column).

    Raises UsageError when one is not a plain whole number, NotFoundError when there is no such tile.
    """
    texts = {"tileMatrix": z, "tileRow": y, "tileCol": x}
    for name, text in texts.items():
        if not _INTEGER.match(text):
            raise UsageError(
                "a tile is addressed by three whole numbers: level, row, column",
                code="invalid-tile",
                hint=f"tiles/{GRID}/{{z}}/{{y}}/{{x}}, with the row before the column",
                errors=[{"parameter": name, "detail": "not a whole number of at most nine digits"}],
            )
    level, row, column = int(z), int(y), int(x)
    if level > MAX_ZOOM:
        raise NotFoundError(f"there are no tiles beyond level {MAX_ZOOM}", code="no-such-tile")
    if row >= 1 << level or column >= 1 << level:
        raise NotFoundError(
            f"row and column of level {level} are 0 to {(1 << level) - 1}",
            code="no-such-tile",
            hint="the address is z/y/x, with the row before the column",
        )
    return Tile(level, column, row)


def tile_at(lon: float, lat: float, z: int) -> Tile:
    """The tile that holds a point (degrees, WGS 84); points outside the grid go to its edge."""
    count = 1 << z
    lat = max(-MAX_LATITUDE, min(MAX_LATITUDE, lat))
    x = math.floor((lon + 180) / 360 * count)
    y = math.floor((1 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2 * count)
    return Tile(z, max(0, min(count - 1, x)), max(0, min(count - 1, y)))


def limits(extent: Box, min_zoom: int, max_zoom: int) -> list[dict[str, Any]]:
    """``tileMatrixSetLimits`` of an extent (west, south, east, north in degrees)."""
    west, south, east, north = extent
    found = []
    for z in range(min_zoom, max_zoom + 1):
        first, last = tile_at(west, north, z), tile_at(east, south, z)
        found.append(
            {
                "tileMatrix": str(z),
                "minTileRow": first.y,
                "maxTileRow": last.y,
                "minTileCol": first.x,
                "maxTileCol": last.x,
            }
        )
    return found


def definition() -> dict[str, Any]:
    """The tile matrix set as JSON (OGC 17-083r4), with the levels that are served."""
    return {
        "id": GRID,
        "title": "Google Maps Compatible for the World",
        "uri": URI,
        "crs": CRS_URI,
        "orderedAxes": ["X", "Y"],
        "wellKnownScaleSet": "http://www.opengis.net/def/wkss/OGC/1.0/GoogleMapsCompatible",
        "tileMatrices": [
            {
                "id": str(z),
                "scaleDenominator": _SCALE_0 / (1 << z),
                "cellSize": 2 * HALF / 256 / (1 << z),
                "cornerOfOrigin": "topLeft",
                "pointOfOrigin": [-HALF, HALF],
                "tileWidth": 256,
                "tileHeight": 256,
                "matrixWidth": 1 << z,
                "matrixHeight": 1 << z,
            }
            for z in range(MAX_ZOOM + 1)
        ],
    }
