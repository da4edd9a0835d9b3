"""Deliveries held against the layer: CRS mistakes inside the city, rows that come twice, dry runs, units."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pyogrio
import pyproj
import pytest
import shapely

from gis import crs
from gis.city import City
from gis.db.server import Database
from gis.errors import LoadRefused, UsageError
from gis.ingest.load import LoadRequest, load
from gis.ingest.report import LoadReport
from gis.settings import Settings
from layers.registry import Catalogue

ROOT = Path(__file__).resolve().parents[2]
Load = Callable[..., LoadReport]
Shapes = np.ndarray[Any, Any]
COUNT = 120


@pytest.fixture
def loaded(module_db: Database, settings: Settings, city: City, catalogue: Catalogue, tmp_path: Path) -> Load:
    """``loaded(file, layer, **options)`` into the module's database."""

    def run(file: Path, layer: str = "water_pipe", **options: Any) -> LoadReport:
        options.setdefault("rejects", tmp_path / "rejects.geojson")
        return load(settings, module_db, city, catalogue, LoadRequest(file, layer, **options))

    return run


@pytest.fixture
def present(loaded: Load, tmp_path: Path, owner: psycopg.Connection) -> Iterator[Shapes]:
    """Pipes of a quarter as they should be, in EPSG:9210, loaded with asset ids p0, p1, ..."""
    random = np.random.default_rng(7)
    starts = random.uniform([601000, 1189000], [606000, 1194000], (COUNT, 2))
    legs = np.cumsum(random.uniform(-60, 60, (COUNT, 4, 2)), axis=1)
    shapes = shapely.linestrings(np.concatenate([starts[:, None], starts[:, None] + legs], axis=1))
    loaded(write(tmp_path / "present.gpkg", shapes, asset_id=ids()), mode="replace")
    yield shapes
    owner.execute("TRUNCATE layer.water_pipe")


def ids() -> list[str]:
    return [f"p{i}" for i in range(COUNT)]


def state(owner: psycopg.Connection) -> list[Any]:
    return owner.execute(
        "SELECT fid, asset_id, version, ST_AsEWKB(geom) FROM layer.water_pipe ORDER BY fid"
    ).fetchall()


def write(path: Path, shapes: Shapes, epsg: int = 9210, **columns: list[str]) -> Path:
    """A file of shapes; its format by its suffix."""
    pyogrio.raw.write(
        path, np.array(shapely.to_wkb(shapes), dtype=object),
        [np.array(v, dtype=object) for v in columns.values()], list(columns),
        geometry_type="Unknown", crs=f"EPSG:{epsg}", driver="LIBKML" if path.suffix == ".kml" else "GPKG",
    )  # fmt: skip
    return path


def by(shapes: Shapes, transform: Callable[[Any, Any], tuple[Any, Any]]) -> Shapes:
    return np.asarray(shapely.transform(shapes, lambda c: np.column_stack(transform(c[:, 0], c[:, 1]))))


def unshifted(shapes: Shapes) -> Shapes:
    """Degrees of VN-2000, given out as WGS 84: the datum shift was left out."""
    return crs.transform_geometries(shapes, 9210, 4756)


def unshifted_the_other_way(shapes: Shapes) -> Shapes:
    """GPS coordinates drawn in the plane of EPSG:9210 without the datum shift."""
    lonlat = crs.transform_geometries(shapes, 9210, 4326)
    return crs.transform_geometries(lonlat, 4756, 9210)


def unpinned(shapes: Shapes) -> Shapes:
    """What pyproj, PostGIS and GDAL make of it when they are not told which operation is right."""
    return by(shapes, pyproj.Transformer.from_crs("EPSG:9210", "EPSG:4326", always_xy=True).transform)


MISTAKES: list[tuple[Callable[[Shapes], Shapes], int, str, str, str]] = [
    # what was made of the right shapes, the CRS that the file names, and what must be said of it
    (unshifted, 4326, "null-shift", "225.5", "--crs EPSG:4756"),
    (unshifted_the_other_way, 9210, "null-shift", "225.5", "EPSG:6960"),
    (unpinned, 4326, "epsg-5194", "0.80 m", "EPSG:6960"),
    (lambda s: crs.transform_geometries(s, 9210, 9209), 9210, "other-zone", "27,3", "--crs EPSG:9209"),
    (lambda s: crs.transform_geometries(s, 9210, 9211), 9210, "other-zone", "27,3", "--crs EPSG:9211"),
    (lambda s: crs.transform_geometries(s, 9210, 3405), 9210, "other-zone", "81,", "--crs EPSG:3405"),
    (lambda s: crs.transform_geometries(s, 9210, 32648), 3405, "null-shift", "225.", "--crs EPSG:32648"),
]  # fmt: skip
NAMES = ["degrees of VN-2000", "GPS in 9210", "5194", "105-30", "106-00", "48N", "WGS 84 UTM as VN-2000 UTM"]


def test_mistakes_inside_the_city_are_named(
    loaded: Load, present: Shapes, owner: psycopg.Connection, tmp_path: Path
) -> None:
    before = state(owner)
    for name, (made, epsg, mistake, metres, hint) in zip(NAMES, MISTAKES, strict=True):
        wrong = write(tmp_path / f"{name}.gpkg", made(present), epsg, asset_id=ids())
        with pytest.raises(LoadRefused) as refused:
            loaded(wrong, mode="upsert")
        assert refused.value.code == f"crs-{mistake}", name
        assert metres in refused.value.message, refused.value.message
        assert f"{COUNT} features of the layer with the same asset_id" in refused.value.message
        assert hint in (refused.value.hint or "")
        assert "--allow-shift" in (refused.value.hint or "")
    assert state(owner) == before


@pytest.mark.parametrize("mode", ["append", "upsert", "replace"])
def test_in_every_mode(
    loaded: Load, present: Shapes, owner: psycopg.Connection, tmp_path: Path, mode: str
) -> None:
    before = state(owner)
    wrong = write(tmp_path / "wrong.gpkg", unshifted(present), 4326, asset_id=ids())
    for dry_run in (True, False):
        with pytest.raises(LoadRefused) as refused:
            loaded(wrong, mode=mode, dry_run=dry_run)
        assert refused.value.code == "crs-null-shift"
    assert state(owner) == before


@pytest.mark.parametrize(("made", "epsg", "mistake", "metres", "hint"), MISTAKES, ids=NAMES)
def test_a_mistake_is_known_by_shape_where_no_ids_match(
    loaded: Load, present: Shapes, owner: psycopg.Connection, tmp_path: Path,
    made: Callable[[Shapes], Shapes], epsg: int, mistake: str, metres: str, hint: str,
) -> None:  # fmt: skip
    before = state(owner)
    wrong = write(tmp_path / "wrong.gpkg", made(present), epsg, street=["Lê Lợi"] * COUNT)
    with pytest.raises(LoadRefused, match="of the same shape") as refused:
        loaded(wrong)
    assert refused.value.code == f"crs-{mistake}"
    assert metres in refused.value.message
    assert state(owner) == before
    # what the hint says to do works, and is quiet
    if "--crs" in hint:
        right = loaded(wrong, crs=int(hint.removeprefix("--crs EPSG:")), mode="replace")
        assert (right.loaded, right.warnings) == (COUNT, [])


def test_a_mistake_in_a_part_of_the_city(loaded: Load, present: Shapes, tmp_path: Path) -> None:
    """PROJ takes EPSG:5194 in its area only: the wards north and east of it are right."""
    mixed = crs.transform_geometries(present, 9210, 4326)
    mixed[: COUNT * 7 // 10] = unpinned(present[: COUNT * 7 // 10])
    with pytest.raises(LoadRefused) as refused:
        loaded(write(tmp_path / "mixed.gpkg", mixed, 4326))
    assert refused.value.code == "crs-epsg-5194"


def test_points_have_no_shape_and_are_known_all_the_same(loaded: Load, tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    poles = shapely.points(random.uniform([601000, 1189000], [604000, 1192000], (80, 2)))
    loaded(write(tmp_path / "a.gpkg", poles), "power_support", mode="replace")
    with pytest.raises(LoadRefused, match=r"225\.\d+ m off \(195\.\d+ m west") as refused:
        loaded(write(tmp_path / "b.gpkg", unshifted(poles), 4326), "power_support")
    assert refused.value.code == "crs-null-shift"
    # other poles of the same quarter are no mistake
    others = shapely.points(random.uniform([601000, 1189000], [604000, 1192000], (80, 2)))
    assert loaded(write(tmp_path / "c.gpkg", others), "power_support").warnings == []


def test_a_zone_is_known_by_its_surroundings_alone(loaded: Load, present: Shapes, tmp_path: Path) -> None:
    """New features, none of which the layer has: as declared, all of them lie 27 km from anything."""
    new = by(present, lambda x, y: (x + 7.0 + (y - 1189000) * 0.01, y + 3.0))
    wrong = write(tmp_path / "new.gpkg", crs.transform_geometries(new, 9210, 9211), 9210)
    with pytest.raises(LoadRefused, match="of which none is near") as refused:
        loaded(wrong)
    assert refused.value.code == "crs-other-zone"
    assert "--crs EPSG:9211" in (refused.value.hint or "")
    assert loaded(write(tmp_path / "right.gpkg", new)).warnings == []


def test_swapped_axes_are_refused(loaded: Load, present: Shapes, tmp_path: Path) -> None:
    for name, shapes, epsg in (
        ("plane", by(present, lambda x, y: (y, x)), 9210),
        ("degrees", by(crs.transform_geometries(present, 9210, 4326), lambda x, y: (y, x)), 4326),
        ("zone", by(crs.transform_geometries(present, 9210, 9211), lambda x, y: (y, x)), 9211),
    ):
        with pytest.raises(LoadRefused) as refused:
            loaded(write(tmp_path / f"{name}.gpkg", shapes, epsg, asset_id=ids()), mode="upsert")
        assert refused.value.code == "crs-swapped-axes", name


def test_allow_shift_takes_the_file_and_keeps_the_finding(
    loaded: Load, present: Shapes, owner: psycopg.Connection, tmp_path: Path
) -> None:
    """When the layer's rows are the wrong ones, the right file looks shifted."""
    wrong = unshifted_the_other_way(present)
    loaded(write(tmp_path / "wrong.gpkg", wrong, asset_id=ids()), mode="replace", allow_shift=True)
    right = write(tmp_path / "right.gpkg", present, asset_id=ids())
    with pytest.raises(LoadRefused, match=r"225\.\d+ m off"):
        loaded(right, mode="upsert")
    report = loaded(right, mode="upsert", allow_shift=True)
    assert report.updated == COUNT
    assert len(report.warnings) == 1
    assert "no datum shift was made" in report.warnings[0]
    stored = owner.execute("SELECT report->'warnings' FROM bandoso.load WHERE id = %s", [report.load_id])
    assert stored.fetchone() == (report.warnings,)


def test_a_format_that_names_its_own_crs_gets_another_hint(
    loaded: Load, present: Shapes, tmp_path: Path
) -> None:
    source = write(tmp_path / "a.kml", unshifted(present), 4326, asset_id=ids())
    with pytest.raises(LoadRefused) as refused:
        loaded(source, mode="upsert")
    assert refused.value.code == "crs-null-shift"
    assert "save it as GeoPackage" in (refused.value.hint or "")


# --- no false alarms ------------------------------------------------------------------------------


def test_features_that_moved_each_their_own_way(loaded: Load, present: Shapes, tmp_path: Path) -> None:
    random = np.random.default_rng(11)
    moved = present.copy()
    for i in random.choice(COUNT, COUNT * 3 // 10, replace=False):
        dx, dy = random.normal(0, 30, 2)
        moved[i] = shapely.affinity.translate(present[i], dx, dy)
    source = write(tmp_path / "edited.gpkg", moved, asset_id=ids())
    report = loaded(source, mode="upsert")
    assert (report.updated, report.warnings) == (COUNT * 3 // 10, [])
    # and a file with the mistake is known by the others
    with pytest.raises(LoadRefused, match=r"225\.\d+ m off"):
        loaded(write(tmp_path / "wrong.gpkg", unshifted(present), 4326, asset_id=ids()), mode="upsert")


def test_four_features_say_nothing(loaded: Load, present: Shapes, tmp_path: Path) -> None:
    few = write(tmp_path / "few.gpkg", unshifted_the_other_way(present[:4]), asset_id=ids()[:4])
    assert loaded(few, mode="upsert").warnings == []
    some = write(tmp_path / "some.gpkg", unshifted_the_other_way(present[4:9]), asset_id=ids()[4:9])
    with pytest.raises(LoadRefused):
        loaded(some, mode="upsert")


@pytest.mark.parametrize("vector", [(0.8, 0.0), (0.0, 0.8), (-0.5, -0.6), (3.0, 0.78), (-195.7, 50.0)])
def test_a_street_that_was_moved_is_a_warning(
    loaded: Load, present: Shapes, tmp_path: Path, vector: tuple[float, float]
) -> None:
    street = shapely.transform(present[:12], lambda c: c + vector)
    report = loaded(write(tmp_path / "street.gpkg", street, asset_id=ids()[:12]), mode="upsert")
    assert report.updated == 12
    (said,) = report.warnings
    assert f"{np.hypot(*vector):.2f} m off" in said
    assert "12 features of the layer with the same asset_id" in said


def test_an_offset_is_known_by_shape_too(loaded: Load, present: Shapes, tmp_path: Path) -> None:
    off = shapely.transform(present, lambda c: c + np.array([3.0, 0.78]))
    report = loaded(write(tmp_path / "off.gpkg", off))
    (said,) = report.warnings
    assert "3.10 m off (3.00 m east, 0.78 m north)" in said


def test_rounded_coordinates_agree_and_rounded_mistakes_are_known(
    loaded: Load, present: Shapes, tmp_path: Path
) -> None:
    """Seven decimals of a degree are a centimetre."""
    rounded = by(crs.transform_geometries(present, 9210, 4326), lambda x, y: (x.round(7), y.round(7)))
    assert loaded(write(tmp_path / "a.gpkg", rounded, 4326, asset_id=ids()), mode="upsert").warnings == []
    loaded(write(tmp_path / "back.gpkg", present, asset_id=ids()), mode="upsert")
    wrong = by(unpinned(present), lambda x, y: (x.round(7), y.round(7)))
    with pytest.raises(LoadRefused) as refused:
        loaded(write(tmp_path / "b.gpkg", wrong, 4326, asset_id=ids()), mode="upsert")
    assert refused.value.code == "crs-epsg-5194"


def test_recycled_ids_are_no_mistake(loaded: Load, present: Shapes, tmp_path: Path) -> None:
    """Serial numbers that mean other features in another agency's file."""
    report = loaded(write(tmp_path / "a.gpkg", present[::-1], asset_id=ids()), mode="upsert")
    assert report.warnings == []


def test_a_layer_of_regular_shapes(loaded: Load, tmp_path: Path) -> None:
    """Equal parcels in rows: the next block is no copy of this one."""
    block = [
        shapely.box(603000 + i * 5, 1191000 + j * 20, 603005 + i * 5, 1191020 + j * 20)
        for i in range(20)
        for j in range(10)
    ]
    loaded(write(tmp_path / "a.gpkg", np.array(block)), "cadastre_parcel", mode="replace")
    other = np.array([shapely.affinity.translate(b, 130.0, 40.0) for b in block])
    assert loaded(write(tmp_path / "b.gpkg", other), "cadastre_parcel").warnings == []


# --- rows that come twice, and dry runs -----------------------------------------------------------


def test_the_same_file_twice_without_ids_is_told(loaded: Load, present: Shapes, tmp_path: Path) -> None:
    source = write(tmp_path / "a.gpkg", present[:10], street=["Lê Lợi"] * 10)
    assert loaded(source).warnings == []  # the layer's rows have no street
    for dry_run in (True, False):
        (said,) = loaded(source, dry_run=dry_run).warnings
        assert said.startswith("10 of the 10 rows equal rows that water_pipe has already")
        assert "--mode replace" in said


def test_a_dry_run_compares_with_the_layer(
    loaded: Load, present: Shapes, owner: psycopg.Connection, tmp_path: Path
) -> None:
    shapes = np.concatenate([present[:3], by(present[3:5], lambda x, y: (x + 0.05, y)), present[-1:]])
    source = write(tmp_path / "a.gpkg", shapes, asset_id=["p0", "p1", "p2", "p3", "p4", "new"])
    before, drawn = state(owner), owner.execute("SELECT last_value FROM layer.water_pipe_fid_seq").fetchone()
    loads = owner.execute("SELECT count(*) FROM bandoso.load").fetchone()
    dry = {m: loaded(source, mode=m, dry_run=True) for m in ("append", "upsert", "replace")}
    counted = {m: (r.added, r.updated, r.unchanged, r.removed, r.rejected) for m, r in dry.items()}
    assert counted == {
        "append": (1, 0, 0, 0, 5),
        "upsert": (1, 2, 3, 0, 0),
        "replace": (1, 2, 3, COUNT - 5, 0),
    }
    assert "would be loaded into water_pipe (1 added, 2 updated, 3 unchanged)" in dry["upsert"].as_text()
    listed = json.loads((tmp_path / "rejects.geojson").read_text())["features"]
    assert [f["properties"]["_row"] for f in listed] == [1, 2, 3, 4, 5]
    assert state(owner) == before
    assert owner.execute("SELECT last_value FROM layer.water_pipe_fid_seq").fetchone() == drawn
    assert owner.execute("SELECT count(*) FROM bandoso.load").fetchone() == loads
    # the load does what the dry run said
    for mode in ("append", "upsert", "replace"):
        loaded(write(tmp_path / "back.gpkg", present, asset_id=ids()), mode="replace")
        r = loaded(source, mode=mode)
        assert counted[mode] == (r.added, r.updated, r.unchanged, r.removed, r.rejected)


def test_a_dry_run_without_a_database_says_so(tmp_path: Path, present: Shapes) -> None:
    source = write(tmp_path / "a.gpkg", present[:3], asset_id=ids()[:3])
    done = subprocess.run(
        [sys.executable, "-m", "gis.cli", "load", str(source), "--layer", "water_pipe", "--dry-run"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "BANDOSO_DATA_DIR": str(tmp_path / "none")},
        capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "3 of 3 rows of a.gpkg would be loaded into water_pipe in" in done.stdout
    assert "not compared with water_pipe: there is no database yet" in done.stdout
    assert not (tmp_path / "none").exists()


# --- wrong calls and odd units --------------------------------------------------------------------


def test_a_rejects_file_in_no_folder_is_refused_first(loaded: Load, present: Shapes, tmp_path: Path) -> None:
    source = write(tmp_path / "a.gpkg", present[:3])
    with pytest.raises(UsageError, match="there is no folder") as refused:
        loaded(source, rejects=tmp_path / "nope" / "x.csv")
    assert "make the folder" in (refused.value.hint or "")
    assert not (tmp_path / "nope").exists()
    with pytest.raises(UsageError, match="is a folder"):
        loaded(source, rejects=tmp_path)


def test_a_crs_that_is_not_known_is_refused_first(loaded: Load, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="EPSG:1 is not a CRS that bandoso knows") as refused:
        loaded(tmp_path / "a.gpkg", crs=1)
    assert "9210" in (refused.value.hint or "")
    assert "definitions" in (refused.value.hint or "")


def test_coordinate_columns_of_a_csv_are_used(loaded: Load, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("ma,x,y,gps\n1,603000,1191000,a\n", encoding="utf-8")
    assert loaded(tmp_path / "a.csv", "power_support", crs=9210, dry_run=True).unmatched == ["gps"]
    (tmp_path / "b.csv").write_text('ma,wkt\n1,"POINT (603000 1191000)"\n', encoding="utf-8")
    assert loaded(tmp_path / "b.csv", "power_support", crs=9210, dry_run=True).unmatched == []


def test_diameters_in_metres_are_told(loaded: Load, present: Shapes, tmp_path: Path) -> None:
    def file(name: str, values: list[float]) -> Path:
        pyogrio.raw.write(
            tmp_path / name, shapely.to_wkb(present[: len(values)]), [np.array(values)], ["diameter"],
            geometry_type="LineString", crs="EPSG:9210",
        )  # fmt: skip
        return tmp_path / name

    metres = file("a.gpkg", [0.1, 0.15, 0.2, 0.3, 0.0, 0.6])
    (said,) = loaded(metres, dry_run=True).warnings
    assert said == (
        "half of diameter_mm is below 0.2, but 15 to 4000 is usual;"
        " it looks like metres (scale: 1000): use a mapping with that scale"
    )
    (tmp_path / "m.yml").write_text("fields: {diameter_mm: {column: diameter, scale: 1000}}\n")
    assert loaded(metres, dry_run=True, mapping=tmp_path / "m.yml").warnings == []
    assert loaded(file("b.gpkg", [100.0, 150, 200, 300, 0, 600]), dry_run=True).warnings == []
