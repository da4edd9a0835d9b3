"""The list of injected errors as a file."""

from __future__ import annotations

from pathlib import Path

from gis.city import City
from gis.demo.defects.inject import Defect
from gis.demo.plan import Plan
from gis.errors import UsageError


def write_list(path: Path, defects: list[Defect], plan: Plan, city: City) -> None:
    raise UsageError("--defects is not there yet")
