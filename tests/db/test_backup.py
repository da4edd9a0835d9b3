"""The backup that docs/operators.md describes: its very commands, on embedded servers."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psycopg

from gis.city import City
from gis.db.binaries import find_binaries
from gis.db.migrate import prepare
from gis.db.server import database as open_database
from gis.settings import Settings
from layers.registry import Catalogue

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "operators.md"


def commands(section: str) -> dict[str, str]:
    """The indented commands of a section of the guide, by program."""
    text = GUIDE.read_text(encoding="utf-8").partition(f"## {section}\n")[2].partition("\n## ")[0]
    lines = re.findall(r"^    (\S.*)$", text, re.MULTILINE)
    return {line.split()[0]: line for line in lines}


def run(command: str, data_dir: Path, cwd: Path) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", command.replace("DATA_DIR", str(data_dir))],
        cwd=cwd,
        env={**os.environ, "PATH": f"{find_binaries().folder}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stderr}"


def test_dump_and_restore_as_the_guide_says(
    settings: Settings,
    city: City,
    catalogue: Catalogue,
    reachable_tmp: Path,
    tmp_path: Path,
    prepared_folder: Callable[[Path], Path],
) -> None:
    guide = commands("Backup")
    assert set(guide) == {"pg_dump", "dropdb", "pg_restore"}
    folders = [prepared_folder(reachable_tmp / name) for name in ("backed-up", "restored")]
    first, second = (replace(settings, data_dir=folder) for folder in folders)
    with open_database(first) as db:
        prepare(db.owner_dsn, city, catalogue)
        with psycopg.connect(db.owner_dsn) as connection:
            connection.execute(
                "INSERT INTO layer.base_place (asset_id, name, geom)"
                " VALUES ('D-1', 'Chợ Bến Thành', ST_SetSRID(ST_MakePoint(603481.588, 1191454.611), 9210))"
            )
        run(guide["pg_dump"], first.data_dir, tmp_path)
    with open_database(second) as db:
        prepare(db.owner_dsn, city, catalogue)
        run(guide["dropdb"], second.data_dir, tmp_path)
        run(guide["pg_restore"], second.data_dir, tmp_path)
    with open_database(second) as db:
        prepare(db.owner_dsn, city, catalogue)
        with psycopg.connect(db.owner_dsn) as connection:
            found = connection.execute(
                "SELECT name, ST_X(ST_Transform(geom, 4326)), bandoso.row_count('base_place'),"
                " bandoso.row_count('base_sheet') FROM layer.base_place"
            ).fetchall()
            assert [row[0] for row in found] == ["Chợ Bến Thành"]
            assert abs(found[0][1] - 106.698) < 2e-8, "the pinned CRS rows came with the dump"
            assert found[0][2] == 1
            assert found[0][3] > 10_000
        with psycopg.connect(db.app_dsn, autocommit=True) as connection:
            connection.execute("SET ROLE bandoso_reader")
            assert connection.execute("SELECT count(*) FROM layer.base_place").fetchone() == (1,)
            may = connection.execute(
                "SELECT has_table_privilege('layer.water_meter', 'SELECT'),"
                " has_database_privilege(current_database(), 'TEMP')"
            ).fetchone()
            assert may == (False, False), "what nobody may do is still forbidden"
