"""The database dies or its disk fills up under a running map: nothing is lost, and it serves on by itself."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.api.cli import command, environment, serving
from tests.api.process import ROOT

Prepared = Callable[[Path], Path]
PLACES = "asset_id,name,wkt\n" + "".join(
    f"D-{n},Chợ Bến Thành {n},POINT({603000 + n % 500} {1191000 + n // 500})\n" for n in range(20_000)
)


def load(data_dir: Path, file: Path, mode: str = "append") -> subprocess.CompletedProcess[str]:
    given = ("--layer", "base_place", "--crs", "EPSG:9210", "--mode", mode, "--data-dir", data_dir)
    return subprocess.run(
        command("load", file, *given),
        capture_output=True,
        text=True,
        env=environment(),
        cwd=ROOT,
        timeout=270,
        check=False,
    )


def count(url: str) -> int:
    """Features of the layer as the API tells them, or -1 while it cannot."""
    parameters = {"limit": 1, "skipGeometry": "true", "properties": "name"}
    try:
        answer = httpx.get(f"{url}/collections/base_place/items", params=parameters, timeout=20)
    except httpx.HTTPError:
        return -1
    assert answer.status_code in (200, 503), answer.text
    return int(answer.json()["numberMatched"]) if answer.status_code == 200 else -1


def postmaster(folder: Path) -> int | None:
    """Its process id, as its file says; None while there is none."""
    try:
        return int((folder / "postgres" / "postmaster.pid").read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None


def test_a_killed_postmaster_comes_back_under_the_running_map(
    reachable_tmp: Path, tmp_path: Path, prepared_folder: Prepared
) -> None:
    folder, file = prepared_folder(reachable_tmp / "killed-postmaster"), tmp_path / "places.csv"
    file.write_text(PLACES, encoding="utf-8")
    with serving("--data-dir", folder, log=tmp_path / "log") as (url, _, _):
        assert load(folder, file).returncode == 0
        assert count(url) == 20_000
        master = postmaster(folder)
        os.kill(master, signal.SIGKILL)
        began = time.monotonic()
        # its backends answer until they notice, so an answer alone says nothing
        while postmaster(folder) in (master, None) or count(url) != 20_000:
            assert time.monotonic() - began < 240
            time.sleep(0.2)
        print(f"served again {time.monotonic() - began:.1f} s after the postmaster was killed")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 512 MB that may be filled up."""
    folder = Path("/tmp") / f"bandoso-small-{os.getpid()}"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512m,mode=755", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        folder.rmdir()
        pytest.skip("file systems cannot be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
    folder.rmdir()


def test_a_full_disk_refuses_the_load_and_serves_on(small_disk: Path, tmp_path: Path) -> None:
    folder, file = small_disk / "data", tmp_path / "places.csv"
    file.write_text(PLACES, encoding="utf-8")
    with serving("--data-dir", folder, log=tmp_path / "log") as (url, _, _):
        assert load(folder, file).returncode == 0
        filler = small_disk / "filler"
        with filler.open("wb") as output:
            try:
                while True:
                    output.write(bytes(1_000_000))
            except OSError:
                pass
        for mode in ("replace", "upsert"):
            file.write_text(PLACES.replace("Chợ", "Chợ mới"), encoding="utf-8")
            refused = load(folder, file, mode)
            assert refused.returncode == 4, refused.stderr
            assert refused.stderr.startswith("bandoso: the database's disk is full"), refused.stderr
        assert count(url) == 20_000
        parameters = {"limit": 5, "properties": "name"}
        answer = httpx.get(f"{url}/collections/base_place/items", params=parameters, timeout=60)
        assert all(f["properties"]["name"].startswith("Chợ Bến") for f in answer.json()["features"])
        filler.unlink()
        assert load(folder, file, "upsert").returncode == 0
        assert count(url) == 20_000
