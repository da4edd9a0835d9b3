"""The wheel that ``uv build`` makes serves the same from another environment, without the checkout."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def find_uv() -> str:
    found = ROOT / ".tools" / "bin" / "uv"
    uv = str(found) if found.exists() else shutil.which("uv")
    assert uv, "uv is installed by scripts/test"
    return uv


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="bandoso-wheel-"))
    path.chmod(0o755)  # the unprivileged database user has to pass
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def installed(folder: Path) -> Path:
    """Path of the ``bandoso`` command in a fresh environment that holds only the wheel and the lock."""
    uv = find_uv()
    source = folder / "source"
    # A copy without the built page or the environment: what a fresh checkout holds.
    files = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True).split("\0")
    for name in filter(None, files):
        if (ROOT / name).is_file():
            target = source / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)
    built = ROOT / "gis" / "web" / "dist"
    if built.is_dir():  # the page was built from the same sources: building it again proves nothing here
        shutil.copytree(built, source / "gis" / "web" / "dist")
    subprocess.run([uv, "build", "--quiet", "--out-dir", str(folder / "out")], cwd=source, check=True)
    (wheel,) = (folder / "out").glob("*.whl")
    environment = folder / "env"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(environment)], check=True)
    install = [uv, "pip", "install", "--quiet", "--python", str(environment / "bin" / "python")]
    subprocess.run([*install, "--require-hashes", "-r", str(source / "requirements.lock")], check=True)
    subprocess.run([*install, "--no-deps", str(wheel)], check=True)
    shutil.rmtree(source)
    return environment / "bin" / "bandoso"


def get(url: str, **headers: str) -> tuple[int, bytes]:
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=120) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_the_wheel_serves_map_features_tiles_and_styles(installed: Path, folder: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("BANDOSO_", "PYTHON"))}
    log = (folder / "serve.log").open("wb")
    server = subprocess.Popen(
        [str(installed), "serve", "--port", str(port), "--data-dir", str(folder / "data"), "--workers", "1"],
        cwd=folder,
        env=environ,
        stdout=log,
        stderr=log,
    )
    base = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 400
        while True:
            try:
                if get(f"{base}/readyz")[0] == 200:
                    break
            except OSError:
                pass
            assert server.poll() is None, (folder / "serve.log").read_text()
            assert time.monotonic() < deadline, (folder / "serve.log").read_text()
            time.sleep(0.3)
        status, body = get(f"{base}/collections/cadastre_parcel/items?limit=3")
        assert status == 200
        assert len(json.loads(body)["features"]) == 3
        status, body = get(f"{base}/map")
        assert status == 200
        assert b"<script" in body
        style = json.loads(get(f"{base}/styles/city")[1])
        assert get(style["sprite"] + ".json")[0] == 200
        glyphs = (
            style["glyphs"]
            .replace("{fontstack}", "Be%20Vietnam%20Pro%20Regular")
            .replace("{range}", "7680-7935")
        )
        status, body = get(glyphs)
        assert status == 200
        assert len(body) > 1000
        # fonts and icons of prints are in the wheel, and so is what makes images of them
        printed = f"{base}/print?center=106.7215,10.7785&scale=2000&layers=water_valve,base_road"
        status, body = get(printed)
        assert status == 200, body
        assert body.startswith(b"%PDF-1.7")
        status, body = get(printed.replace("/print", "/image"))
        assert status == 200, body
        assert body.startswith(b"\x89PNG")
        lon, lat = json.loads(get(f"{base}/catalogue")[1])["city"]["view"][:2]
        assert -180 <= lon <= 180
        assert -90 <= lat <= 90
    finally:
        server.send_signal(signal.SIGINT)
        assert server.wait(30) == 0, (folder / "serve.log").read_text()
        log.close()
