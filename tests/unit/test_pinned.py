"""No coordinate is transformed outside gis/crs: libraries left to themselves are 0.8 m off (crs.md)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

#: What lets a library choose an operation, or relabels coordinates. Case counts, but not in SQL.
FORBIDDEN = {
    "pyproj's or pyogrio's choice": r"\b(?:from_crs|TransformerGroup|to_crs|set_crs|area_of_interest)\b",
    "GDAL's choice": r"\b(?:TransformTo|CoordinateTransformation|reproject_geometry)\b|-t_srs",
    "a transformer elsewhere": r"\b(?:from_epsg|from_pipeline|Transformer|Proj)\s*\(|Transformer\.from",
    "rasterio's or rio-tiler's choice": (
        r"\brasterio\.warp\b|\b(?:calculate_default_transform|transform_bounds|transform_geom)\b|\brio_tiler\.io\b"
    ),
    "pyproj elsewhere": r"^\s*from\s+pyproj\b|\bpyproj\.(?!__|proj_version|datadir)",
}
#: ST_Transform with anything that is text: a literal, a format string, a cast.
TEXT_CRS = re.compile(
    r"ST_Transform\s*\((?:[^()]|\([^()]*\))*,\s*(?:E?'|\"(?!\s*\+)|f['\"]|[^,()]*::\s*(?:text|varchar))", re.I
)


def sources() -> list[Path]:
    found = [
        path
        for top in ("gis", "layers", "tiles", "scripts")
        for suffix in ("*.py", "*.sql")
        for path in (ROOT / top).rglob(suffix)
        if "node_modules" not in path.parts and (ROOT / "gis" / "crs") not in path.parents
    ]
    assert len(found) > 10, "the scan found nothing to scan"
    return found


def findings(text: str) -> list[str]:
    """What in a source's text chooses a transform by itself."""
    found = [
        f"line {text[: m.start()].count(chr(10)) + 1}: {why}: {m.group().strip()}"
        for why, pattern in FORBIDDEN.items()
        for m in re.finditer(pattern, text, re.M)
    ]
    return found + [f"ST_Transform with a text: {m.group()}" for m in TEXT_CRS.finditer(text)]


def test_every_transform_is_pinned() -> None:
    found = {str(path.relative_to(ROOT)): findings(path.read_text(encoding="utf-8")) for path in sources()}
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "text",
    [
        "t = Transformer.from_crs(9210, 4326)",
        "frame = frame.to_crs(4326)",
        "frame.set_crs('EPSG:9210', allow_override=True)",
        "group = TransformerGroup(a, b)",
        "code = pyproj.CRS(9210)",
        "    from pyproj import CRS",
        "t = Transformer.from_pipeline('+proj=noop')",
        "geometry.TransformTo(other)",
        "SELECT ST_Transform(geom, 'EPSG:3857')",
        "SELECT st_transform(ST_SetSRID(geom, 9210), '+proj=longlat')",
        "SELECT ST_Transform(geom, %s::text)",
        "SELECT ST_Transform(geom, '+proj=x', 4326)",
        "from rasterio.warp import reproject",
        "from rio_tiler.io import Reader",
        "['ogr2ogr', '-t_srs', 'EPSG:4326']",
    ],
)
def test_the_scan_sees(text: str) -> None:
    assert findings(text)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT ST_Transform(geom, 3857)",
        "SELECT ST_Transform(ST_SetSRID(ST_MakePoint(%s, %s), %s::int), %s::int) AS p, 'x' AS y",
        "sql.SQL('ST_Transform({geom}, {srid})')",
        "x, y = transform_xy(x, y, 9210, 4326)",
    ],
)
def test_the_scan_lets_pass(text: str) -> None:
    assert findings(text) == []
