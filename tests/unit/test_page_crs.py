"""The page's own copy of proj4 reads every system that the city may show."""

from __future__ import annotations

import re
from pathlib import Path

from gis import crs

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_has_the_projections_of_the_definitions() -> None:
    built = re.search(r"PROJECTIONS = \[([^\]]+)\]", (ROOT / "gis/web/vite.config.ts").read_text("utf-8"))
    assert built
    has = {*re.findall(r'"(\w+)"', built[1]), "longlat", "merc"}
    needed = set(re.findall(r"\+proj=(\w+)", (ROOT / "config/crs.yml").read_text("utf-8")))
    # /catalogue writes Web Mercator as merc (gis/api/catalogue.py)
    assert needed - {"webmerc"} <= has


def test_no_definition_names_a_datum_that_the_page_has_not() -> None:
    written = [row.proj4text for row in crs.spatial_ref_rows()]
    assert len(written) > 20
    named = {name for text in written for name in re.findall(r"\+datum=(\w+)", text)}
    assert named <= {"WGS84"}
