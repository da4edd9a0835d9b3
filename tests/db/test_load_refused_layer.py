"""A changed layer file that is refused keeps its own layer from being loaded, and no other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from gis.db.server import Database

BLOCK = """
sector: {id: trees, title: {vi: Cây xanh, en: Trees}, order: 90}
layers:
  city_tree:
    title: {vi: Cây xanh, en: Trees}
    geometry: Point
    owner: city
    fields: [FIELDS]
    style: {colour: '#228833'}
"""
SPECIES = "{name: species, title: {vi: Loài cây, en: Species}}"


def bandoso(database: Database, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "BANDOSO_DSN": database.owner_dsn, "BANDOSO_DATA_DIR": str(folder)}
    environ["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])
    command = [sys.executable, "-m", "gis.cli", *arguments]
    return subprocess.run(command, env=environ, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def refused(module_db: Database, tmp_path: Path) -> Path:
    """A data folder whose only layer file has lost a field that holds data."""
    (tmp_path / "layers").mkdir()
    file = tmp_path / "layers" / "trees.yml"
    file.write_text(BLOCK.replace("FIELDS", SPECIES), encoding="utf-8")
    done = bandoso(module_db, tmp_path, "layers", "--apply")
    assert done.returncode == 0, done.stderr
    with psycopg.connect(module_db.owner_dsn, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO layer.city_tree (species, geom)"
            " VALUES ('Dầu rái', ST_SetSRID(ST_MakePoint(603481, 1191454), 9210))"
        )
    file.write_text(BLOCK.replace("FIELDS", ""), encoding="utf-8")
    place = {"type": "Point", "coordinates": [106.698, 10.7725]}
    feature = {"type": "Feature", "geometry": place, "properties": {"asset_id": "V-1"}}
    delivery = {"type": "FeatureCollection", "features": [feature]}
    (tmp_path / "one.geojson").write_text(json.dumps(delivery))
    return tmp_path


def test_other_layers_are_loaded(module_db: Database, refused: Path) -> None:
    other = bandoso(module_db, refused, "load", "one.geojson", "--layer", "water_valve")
    assert other.returncode == 0, other.stderr
    assert "city_tree" in other.stderr
    own = bandoso(module_db, refused, "load", "one.geojson", "--layer", "city_tree")
    assert own.returncode == 5, own.stderr
    with psycopg.connect(module_db.owner_dsn) as connection:
        rows = connection.execute("SELECT asset_id FROM layer.water_valve").fetchall()
        trees = connection.execute("SELECT count(*) FROM layer.city_tree").fetchone()
    assert rows == [("V-1",)]
    assert trees == (1,)
