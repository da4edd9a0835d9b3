"""A real QGIS, headless, lists the collections and loads some. scripts/test_qgis installs it (0.5 GB)."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

SHARED = True  # (tests/api/conftest.py)

SYSTEM_PYTHON = "/usr/bin/python3"
CLIENT = Path(__file__).with_name("qgis_client.py")


def has_qgis() -> bool:
    environ = {"PATH": os.environ["PATH"], "QT_QPA_PLATFORM": "offscreen"}
    done = subprocess.run(
        [SYSTEM_PYTHON, "-c", "import qgis.core"], capture_output=True, env=environ, check=False
    )
    return done.returncode == 0


@pytest.mark.skipif(not Path(SYSTEM_PYTHON).exists() or not has_qgis(), reason="QGIS is not installed")
def test_qgis_lists_and_loads(server: str) -> None:
    environ = {
        "PATH": os.environ["PATH"],
        "QT_QPA_PLATFORM": "offscreen",
        "HOME": "/tmp",
        "LC_ALL": "C.UTF-8",
    }
    done = subprocess.run(
        [SYSTEM_PYTHON, str(CLIENT), server, "water_pipe", "cadastre_parcel"],
        capture_output=True,
        text=True,
        env=environ,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert {"water_pipe", "power_line", "drainage_conduit"} <= set(result["listed"])
    for name, layer in result["layers"].items():
        assert layer["valid"], (name, layer)
        assert layer["read"] == layer["feature_count"] > 0, (name, layer)
        assert layer["first_id"] in layer["around_first"]
        assert len(layer["around_first"]) < layer["read"]
        assert layer["crs"] in ("OGC:CRS84", "EPSG:4326")
        assert 106 < layer["extent"][0] < 108, layer["extent"]
        assert "asset_id" in layer["fields"]
