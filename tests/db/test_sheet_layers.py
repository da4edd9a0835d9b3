"""The sheet index layers: filled over the extent, exact, and again only when the city changes."""

from __future__ import annotations

import psycopg
import pytest

from gis.city import City
from gis.db.server import Database
from gis.db.sheet_layers import fill_sheet_layers
from gis.errors import ConfigError
from gis.sheets import parse_sheet
from layers.registry import Catalogue


def smaller(city: City, *, east: float = 106.75, scales: tuple[int, ...] = (5000, 2000)) -> City:
    """The city's sheets around Ben Thanh only."""
    areas = ((106.65, 10.75, 106.70, 10.80), (106.68, 10.75, east, 10.80))  # they overlap
    return city.model_copy(update={"sheet_areas": areas, "sheet_scales": scales})


def test_whole_city_is_covered_at_both_scales(database: Database, city: City) -> None:
    with psycopg.connect(database.owner_dsn) as connection:
        for layer, systems in city.sheets.items():
            rows = connection.execute(
                "SELECT system, scale, count(*), count(DISTINCT asset_id) "
                f"FROM layer.{layer} GROUP BY 1, 2".encode()
            ).fetchall()
            assert {(system, scale) for system, scale, _, _ in rows} == {
                (system, scale) for system in systems for scale in city.sheet_scales
            }
            assert all(number == different > 1000 for _, _, number, different in rows)


@pytest.mark.parametrize(
    ("layer", "names"),
    [
        ("base_sheet", ["C-48-34-(119)", "C-48-34-(119-a)"]),
        ("cadastre_sheet", ["194 602", "194 602-8"]),
    ],
)
def test_sheets_of_ben_thanh(database: Database, layer: str, names: list[str]) -> None:
    """Names from design/domain/map-sheets.md."""
    with psycopg.connect(database.owner_dsn) as connection:
        found = connection.execute(
            f"SELECT name, ST_AsBinary(geom) FROM layer.{layer} WHERE ST_Intersects(geom, "
            "ST_SetSRID(ST_MakePoint(603481.588, 1191454.611), 9210)) ORDER BY scale DESC".encode()
        ).fetchall()
    assert [name for name, _ in found] == names


def test_sheets_of_a_scale_neither_overlap_nor_leave_gaps(database: Database) -> None:
    with psycopg.connect(database.owner_dsn) as connection:
        for layer in ("base_sheet", "cadastre_sheet"):
            total, joined, parts = connection.execute(
                "SELECT sum(ST_Area(geom)), ST_Area(ST_Union(geom)),"
                " ST_NumGeometries(ST_Multi(ST_Union(geom))) "
                f"FROM layer.{layer} WHERE scale = 2000 AND geom && "
                "ST_MakeEnvelope(600000, 1185000, 610000, 1195000, 9210)".encode()
            ).fetchone() or (0, 0, 0)
            assert parts == 1
            assert joined == pytest.approx(total, abs=1.0), layer  # square metres of more than 10^8


def test_refilled_only_when_the_city_changes(
    module_db: Database, owner: psycopg.Connection, city: City, catalogue: Catalogue
) -> None:
    assert fill_sheet_layers(owner, city, catalogue) == {}
    first = fill_sheet_layers(owner, smaller(city), catalogue)
    assert set(first) == set(city.sheets) and all(0 < n < 500 for n in first.values())
    assert fill_sheet_layers(owner, smaller(city), catalogue) == {}
    wider = fill_sheet_layers(owner, smaller(city, east=106.85), catalogue)
    assert all(wider[layer] > first[layer] for layer in first)
    one_scale = fill_sheet_layers(owner, smaller(city, scales=(5000,)), catalogue)
    assert all(one_scale[layer] < first[layer] for layer in first)
    for layer, number in one_scale.items():
        row = owner.execute("SELECT bandoso.row_count(%s)", (layer,)).fetchone()
        assert row == (number,)
        row = owner.execute(
            f"SELECT name, owner, asset_id = name FROM layer.{layer} LIMIT 1".encode()
        ).fetchone()
        assert row and parse_sheet(row[0]).scale == 5000
        assert row[1:] == (catalogue.layers[layer].definition.owner, True)

    owner.execute("TRUNCATE layer.base_sheet")  # somebody emptied it by hand
    assert set(fill_sheet_layers(owner, smaller(city, scales=(5000,)), catalogue)) == {"base_sheet"}


def test_mistakes_in_the_city_file_are_sentences(
    owner: psycopg.Connection, city: City, catalogue: Catalogue
) -> None:
    with pytest.raises(ConfigError, match=r"sheets\.water_pipe"):
        fill_sheet_layers(
            owner, city.model_copy(update={"sheets": {"water_pipe": ("cadastral",)}}), catalogue
        )
    with pytest.raises(ConfigError, match=r"sheets\.nothing"):
        fill_sheet_layers(owner, city.model_copy(update={"sheets": {"nothing": ("cadastral",)}}), catalogue)
