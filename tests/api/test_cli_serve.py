"""``bandoso serve`` as a user starts it, with a server given by DSN and with the embedded one."""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psycopg
import pytest

from gis.db.server import Database
from tests.api.cli import command, environment, serving
from tests.api.process import ROOT

LAYER = """
sector: {id: trial, title: {vi: Thử, en: Trial}, order: 99}
layers:
  kept_tree:
    title: {vi: Cây, en: Trees}
    geometry: Point
    owner: thkt
    fields:
      - {name: species, title: {vi: Loài, en: Species}, max_length: 100}
      - {name: height_m, title: {vi: Chiều cao, en: Height}, type: number, unit: m}
    style: {colour: '#228833'}
"""


def get(url: str) -> httpx.Response:
    """Patient: other tests may keep the machine busy."""
    return httpx.get(url, timeout=60)


@pytest.fixture
def layer_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "layers"
    folder.mkdir()
    return folder


def test_refused_layer_files_do_not_stop_the_map(
    module_db: Database, tmp_path: Path, layer_folder: Path
) -> None:
    """A machine that restarts at night serves all other layers, and says which change waits for a person."""
    file = layer_folder / "trial.yml"
    file.write_text(LAYER, encoding="utf-8")
    given = ("--dsn", module_db.owner_dsn, "--data-dir", tmp_path)

    def layers(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command("layers", *arguments, *given),
            capture_output=True,
            text=True,
            env=environment(),
            cwd=ROOT,
            check=False,
        )

    assert layers("--apply").returncode == 0
    with psycopg.connect(module_db.owner_dsn, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO layer.kept_tree (species, geom)"
            " VALUES ('Sao đen', ST_SetSRID(ST_MakePoint(603000, 1192000), 9210))"
        )
    file.write_text(re.sub(r".*name: species.*\n", "", LAYER), encoding="utf-8")

    foretold = layers("--apply", "--dry-run")
    assert foretold.returncode == 5, "a script must see that applying would be refused"
    assert "refused: kept_tree.species" in foretold.stdout
    listed = layers()
    assert listed.returncode == 0
    assert "water_pipe" in listed.stdout
    assert "base_orthophoto" in listed.stdout
    assert "not applied" in listed.stderr

    with serving(*given, log=tmp_path / "log") as (url, _, _):
        assert get(f"{url}/collections/water_pipe").status_code == 200
        assert get(f"{url}/collections/kept_tree").status_code == 404
        assert "kept_tree.species: the field is gone" in (tmp_path / "log").read_text()
        file.write_text(LAYER, encoding="utf-8")
        end = time.monotonic() + 30
        # Each worker notices by itself: the one that answers next may be a moment later than the last.
        while (items := get(f"{url}/collections/kept_tree/items")).status_code != 200:
            assert time.monotonic() < end, items.text
            time.sleep(0.2)
        feature = items.json()["features"][0]
        assert feature["properties"]["species"] == "Sao đen"


def test_another_city_on_the_same_database_is_still_refused(module_db: Database, tmp_path: Path) -> None:
    with psycopg.connect(module_db.owner_dsn, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO layer.base_place (geom) VALUES (ST_SetSRID(ST_MakePoint(603000, 1192000), 9210))"
        )
    other = ROOT / "config" / "examples" / "ky4" / "city.yml"
    done = subprocess.run(
        command("serve", "--dsn", module_db.owner_dsn, "--data-dir", tmp_path, "--city", other),
        capture_output=True,
        text=True,
        env=environment(),
        cwd=ROOT,
        timeout=60,
        check=False,
    )
    assert done.returncode == 5
    assert "EPSG:9210" in done.stderr


def import_seconds() -> float:
    """Processor time of a process that imports the application and ends."""
    before = os.times()
    subprocess.run([sys.executable, "-c", "import gis.api.app"], cwd=ROOT, check=True, timeout=60)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def test_second_start_is_ready_within_five_seconds(reachable_tmp: Path) -> None:
    """The embedded server, once made, with two server processes.

    On a machine that others keep busy the clock says nothing; there the processor time of all processes
    of the start is held, of which two cores do 10 s in 5 s. It swells with what others do, too (shared caches
    and hyperthreads: 6.0 to 6.6 s were seen beside two other test files), so it is told in imports of the
    application at the same time (1.1 s alone).
    """
    folder = reachable_tmp / "second-start"
    with serving("--data-dir", folder, log=reachable_tmp / "first.log") as (_, first, _):
        pass
    seconds, work, yardstick = [], [], []
    for _ in range(3):
        yardstick.append(import_seconds())
        given = ("--data-dir", folder, "--workers", "2")
        with serving(*given, log=reachable_tmp / "again.log") as (url, again, cost):
            seconds.append(again)
            work.append(cost)
            assert get(f"{url}/collections/base_sheet").json()["itemCount"] > 10_000
        if again < 5:
            break
    print(
        f"ready after {first:.1f} s at first, then after {', '.join(f'{s:.1f}' for s in seconds)} s,"
        f" of processors {', '.join(f'{w:.1f}' for w in work)} s"
    )
    assert min(seconds) < 5 or (os.getloadavg()[0] > 2 and min(work) < 5.5 * max(1.1, min(yardstick)))
    banner = [line for line in (reachable_tmp / "again.log").read_text().splitlines() if "serves" in line]
    assert banner[0].endswith("Ctrl-C stops)"), "addresses are not broken into two lines of a log"
    shown = re.findall(r"first admin: admin, password: (\w{24})\n", (reachable_tmp / "first.log").read_text())
    assert len(shown) == 1, "the first start shows the admin's password, this once"
    assert "password" not in (reachable_tmp / "again.log").read_text()


def get_raw(url: str, target: bytes) -> tuple[int, bytes]:
    """Status and body of GET with this very target: clients of Python would tidy it up."""
    address = httpx.URL(url)
    with socket.create_connection((address.host, address.port or 80), timeout=120) as connection:
        head = b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        connection.sendall(head)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def test_letters_that_curl_does_not_encode(server: str, sample_db: Database) -> None:
    """``curl '.../items?q=Nguyễn'`` sends the letters as they are; read as Latin-1 they find nothing."""
    with psycopg.connect(sample_db.owner_dsn, autocommit=True) as connection:
        connection.execute("UPDATE layer.water_pipe SET street = 'Nguyễn Cơ Thạch' WHERE fid = 5")
    for target in ("q=Nguyễn", "street=Nguyễn%20Cơ%20Thạch", "filter=street='Nguyễn%20Cơ%20Thạch'"):
        status, body = get_raw(server, f"/collections/water_pipe/items?limit=1&{target}".encode())
        assert status == 200, body
        assert b'"numberReturned":1' in body, target
    for bad in (b"q=\xff\xfe", b"street=\xc3", b"\xe1=1"):
        status, body = get_raw(server, b"/collections/water_pipe/items?" + bad)
        assert status in (200, 400), body


def test_the_request_of_the_readme_works(server: str) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    request = re.search(r"^ *(curl (?:.*\\\n)*.*)$", readme, re.MULTILINE)
    assert request, "the README shows how to ask for data"
    words = shlex.split(request[1].replace("\\\n", " "))
    words = [word.replace("http://127.0.0.1:8080", server) for word in words]
    done = subprocess.run([*words, "-sS", "-f"], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert '"numberMatched"' in done.stdout
