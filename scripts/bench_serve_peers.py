"""Peers of the bench of serving: how each is installed, started, and asked for the same things.

Each gets a plain table with the same rows, attributes and index (schema ``peer`` of the bench's database),
because they need a typed geometry column. tipg and pygeoapi are installed by uv into an environment of their
own. A peer that cannot be had says why, and is left out.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psycopg
from psycopg.conninfo import conninfo_to_dict

from tests.api.process import free_port

#: What is installed, as it was measured.
PACKAGES = (
    "tipg==1.6.1",
    "pygeoapi==0.24.0",
    "uvicorn",
    "uvloop",
    "httptools",
    "psycopg2-binary",
    "geoalchemy2",
)

FIELDS = (
    "fid, asset_id, owner, status, version, updated_at, commune_code, legacy_commune_code, sheet_no,"
    " parcel_no, source_sheet, source_scale, survey_date, horizontal_accuracy_m, remark, land_use,"
    " land_use_text, legal_area_m2, legal_edges_m, map_scale, address, valid_from"
)


_QUIET = ("--no-access-log", "--log-level", "warning")


class CannotBeHad(Exception):  # noqa: N818 - not an error of the bench
    """A peer that is not here; the text says why."""


@dataclass
class Peer:
    """A running peer: ``paths`` turns a workload's request into its address."""

    name: str
    url: str
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def pids(self) -> list[int]:
        return [p.pid for p in self.processes]

    def stop(self) -> None:
        """End what was started."""
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def copy_table(owner_dsn: str) -> None:
    """``peer.parcel``: the parcels with a typed geometry, and the indexes that our table has."""
    with psycopg.connect(owner_dsn, autocommit=True) as connection:
        if connection.execute("SELECT to_regclass('peer.parcel_commune')").fetchone() != (None,):
            return
        connection.execute("DROP TABLE IF EXISTS peer.parcel")
        row = connection.execute(
            "SELECT string_agg(DISTINCT GeometryType(geom), ','), min(ST_SRID(geom))"
            " FROM layer.cadastre_parcel"
        ).fetchone()
        assert row is not None
        kinds, srid = row
        connection.execute("CREATE SCHEMA IF NOT EXISTS peer")
        connection.execute(
            f"CREATE TABLE peer.parcel AS SELECT {FIELDS},"  # noqa: S608 - ours
            f" geom::geometry({kinds if ',' not in kinds else 'Geometry'}, {int(srid)}) AS geom"
            " FROM layer.cadastre_parcel ORDER BY fid"
        )
        connection.execute("ALTER TABLE peer.parcel ADD PRIMARY KEY (fid)")
        connection.execute("CREATE INDEX ON peer.parcel USING gist (geom)")
        connection.execute("CREATE INDEX parcel_commune ON peer.parcel (commune_code)")
        connection.execute("VACUUM ANALYZE peer.parcel")


def environment(folder: Path) -> Path:
    """The Python of the peers' own environment, made by uv when it is not there. Raises CannotBeHad."""
    python = folder / "bin" / "python"
    if python.exists():
        return python
    root = Path(__file__).resolve().parent.parent
    uv = next(
        (p for p in (root / ".tools" / "bin" / "uv", shutil.which("uv")) if p and Path(p).exists()), None
    )
    if uv is None:
        raise CannotBeHad("uv is not here (scripts/bench installs it)")
    for command in (
        [str(uv), "venv", "--quiet", "--python", sys.executable, str(folder)],
        [str(uv), "pip", "install", "--quiet", "--python", str(python), *PACKAGES],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            shutil.rmtree(folder, ignore_errors=True)
            raise CannotBeHad(f"its packages could not be installed: {done.stderr.strip()[-200:]}")
    return python


def ready(peer: Peer, path: str, seconds: float = 60.0) -> Peer:
    """The peer, when it answers. Raises CannotBeHad."""
    end = time.monotonic() + seconds
    said = "no answer"
    while time.monotonic() < end:
        if any(p.poll() is not None for p in peer.processes):
            said = "it ended"
            break
        try:
            answer = httpx.get(peer.url + path, timeout=30, verify=False)  # noqa: S501 - no TLS here
            if answer.status_code == 200:
                return peer
            said = f"{answer.status_code} {answer.text[:200]}"
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    peer.stop()
    raise CannotBeHad(f"it does not serve: {said}")


def _parts(owner_dsn: str) -> dict[str, str]:
    return {k: str(v) for k, v in conninfo_to_dict(owner_dsn).items()}


def tipg(owner_dsn: str, python: Path, folder: Path, workers: int) -> Peer:
    """tipg (asyncpg, uvicorn), without a limit of features in a tile."""
    parts, port = _parts(owner_dsn), free_port()
    host = parts["host"].replace("/", "%2F")
    settings = {
        "DATABASE_URL": f"postgresql://{parts['user']}@{host}:{parts.get('port', '5432')}/{parts['dbname']}",
        "TIPG_DB_SCHEMAS": '["peer"]',
        "TIPG_MAX_FEATURES_PER_TILE": "10000000",
        "TIPG_DB_MAX_CONN_SIZE": "8",
    }
    log = (folder / "tipg.log").open("wb")
    started = subprocess.Popen(
        [
            str(python),
            "-m",
            "uvicorn",
            "tipg.main:app",
            "--port",
            str(port),
            "--workers",
            str(workers),
            *_QUIET,
        ],
        env={**os.environ, **settings},
        stdout=log,
        stderr=log,
    )
    return ready(
        Peer("tipg", f"http://127.0.0.1:{port}", [started]), "/collections/peer.parcel/items?limit=1"
    )


_PYGEOAPI = """
server:
  bind: {{host: 127.0.0.1, port: {port}}}
  url: http://127.0.0.1:{port}
  mimetype: application/json; charset=UTF-8
  encoding: utf-8
  languages: [en-US]
  limits: {{default_items: 10, max_items: 10000}}
  map: {{url: 'https://example.org/', attribution: none}}
logging: {{level: ERROR}}
metadata:
  identification: {{title: bench, description: bench, keywords: [bench], url: 'https://example.org',
    keywords_type: theme, terms_of_service: none}}
  license: {{name: none, url: 'https://example.org'}}
  provider: {{name: bench, url: 'https://example.org'}}
  contact: {{name: bench, email: bench@example.org, url: 'https://example.org'}}
resources:
  parcel:
    type: collection
    title: parcel
    description: parcel
    keywords: [parcel]
    extents: {{spatial: {{bbox: [106, 10, 108, 12], crs: 'http://www.opengis.net/def/crs/OGC/1.3/CRS84'}}}}
    providers:
      - type: feature
        name: PostgreSQL
        data: {{host: '{host}', port: {db_port}, dbname: {dbname}, user: {user}, password: none,
          search_path: [peer, public]}}
        id_field: fid
        table: parcel
        geom_field: geom
        storage_crs: http://www.opengis.net/def/crs/EPSG/0/{srid}
        crs: ['http://www.opengis.net/def/crs/OGC/1.3/CRS84']
"""


def pygeoapi(owner_dsn: str, python: Path, folder: Path, workers: int, srid: int) -> Peer:
    """pygeoapi's own PostgreSQL provider (SQLAlchemy, uvicorn)."""
    parts, port = _parts(owner_dsn), free_port()
    config, openapi = folder / "pygeoapi.yml", folder / "pygeoapi.openapi.yml"
    config.write_text(
        _PYGEOAPI.format(
            port=port,
            host=parts["host"],
            db_port=parts.get("port", "5432"),
            dbname=parts["dbname"],
            user=parts["user"],
            srid=srid,
        )
    )
    settings = {**os.environ, "PYGEOAPI_CONFIG": str(config), "PYGEOAPI_OPENAPI": str(openapi)}
    made = subprocess.run(
        [str(python.parent / "pygeoapi"), "openapi", "generate", str(config), "--output-file", str(openapi)],
        env=settings,
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise CannotBeHad(f"its description could not be made: {made.stderr.strip()[-300:]}")
    log = (folder / "pygeoapi.log").open("wb")
    started = subprocess.Popen(
        [
            str(python),
            "-m",
            "uvicorn",
            "pygeoapi.starlette_app:APP",
            "--port",
            str(port),
            "--workers",
            str(workers),
            *_QUIET,
        ],
        env=settings,
        stdout=log,
        stderr=log,
    )
    return ready(
        Peer("pygeoapi", f"http://127.0.0.1:{port}", [started]), "/collections/parcel/items?limit=1&f=json"
    )


def nginx(root: Path, folder: Path, workers: int) -> Peer:
    """nginx with files as they are; files are gzip, as our archive's tiles are."""
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    if not Path(program).exists():
        raise CannotBeHad("it is not installed (apt-get install nginx-light)")
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(
        f"worker_processes {workers}; pid {folder}/nginx.pid; error_log {folder}/nginx.err; daemon off;\n"
        "events { worker_connections 1024; }\n"
        "http { access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000;"
        " default_type application/vnd.mapbox-vector-tile; open_file_cache max=10000 inactive=600s;"
        f" server {{ listen 127.0.0.1:{port}; root {root}; add_header Content-Encoding gzip; }} }}\n"
    )
    started = subprocess.Popen([program, "-c", str(config)], stderr=subprocess.DEVNULL)
    return ready(Peer("nginx", f"http://127.0.0.1:{port}", [started]), "/ready")
