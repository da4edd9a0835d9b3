"""Attributes that all network features share, varied by place so that statistics look like a city's."""

from __future__ import annotations

from gis.demo.features import Value
from gis.demo.plan import Superblock

_CONDITIONS = ("good", "good", "fair", "good", "poor")


def network(
    block: Superblock,
    salt: int,
    material: str,
    *,
    since: int,
    accuracy: float,
    levels: tuple[str, ...],
    buried: bool = True,
) -> dict[str, Value]:
    """Material, year of installation (``since`` and 24 years more), condition, quality and accuracy.

    ``levels`` are the quality levels that occur; ``salt`` varies all of them within a superblock.
    """
    number = block.column * 7 + block.row * 5 + salt * 3
    found: dict[str, Value] = {
        "material": material,
        "installed_year": since + number % 25,
        "condition": _CONDITIONS[number % 5],
        "quality_level": levels[number % len(levels)],
        "horizontal_accuracy_m": accuracy,
        "source_scale": 2000,
    }
    if buried:
        found["underground_status"] = "underground"
        found["depth_method"] = "surveyed"
        found["vertical_accuracy_m"] = accuracy
    return found
