"""The city file: what day it is there."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from gis.city import City, load_city
from gis.errors import ConfigError
from gis.resources import config_dir


def with_zone(folder: Path, name: str) -> City:
    text = (config_dir() / "city.yml").read_text(encoding="utf-8")
    assert "time_zone: Asia/Ho_Chi_Minh" in text
    path = folder / "city.yml"
    path.write_text(text.replace("time_zone: Asia/Ho_Chi_Minh", f"time_zone: {name}"), encoding="utf-8")
    return load_city(path)


def test_the_day_is_that_of_the_city(tmp_path: Path) -> None:
    # 26 hours apart: never the same day, whatever the clock of this machine is set to
    last, first = with_zone(tmp_path, "Etc/GMT+12").today(), with_zone(tmp_path, "Pacific/Kiritimati").today()
    assert timedelta(days=1) <= first - last <= timedelta(days=2)


@pytest.mark.parametrize(
    "name", ["Asia/Saigon2", "Asia", "../../etc/passwd", "a" * 300, "''", "'/etc/passwd'"]
)
def test_an_unknown_zone_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="time_zone"):
        with_zone(tmp_path, name)
