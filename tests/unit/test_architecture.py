"""Imports go one way, modules stay small: the house stays as design/architecture.md draws it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MOST_LINES = 450

PURE = {
    f"gis.{name}"
    for name in ("errors", "settings", "city", "resources", "crs", "sheets", "encodings", "log", "priority")
} | {
    "gis.geometry",
    "gis.crs_diagnose",
    "gis.cli_common",
}
#: place -> what it may import beside the pure modules, the standard library and packages.
ALLOWED: dict[str, set[str]] = {
    "layers": {"layers"},
    "pure": {"layers"},
    "gis.db": {"layers", "gis.db"},
    "gis.ingest": {"layers", "gis.db", "gis.ingest"},
    "gis.export": {"gis.ingest", "gis.export"},
    "gis.jobs": {"layers", "gis.db", "gis.jobs"},
    "gis.checks": {"layers", "gis.db", "gis.ingest", "gis.jobs", "gis.checks"},
    "gis.identity": {"layers", "gis.db", "gis.identity"},
    "gis.publish": {"layers", "gis.db", "gis.ingest", "gis.checks", "gis.identity", "gis.publish"},
    "gis.edit": {"layers", "gis.db", "gis.ingest", "gis.checks", "gis.identity", "gis.publish", "gis.edit"},
    "gis.demo": {"layers", "gis.db", "gis.ingest", "gis.demo"},
    "gis.ask": {"layers", "gis.checks", "gis.ask"},
    "tiles": {"layers", "gis.db", "tiles"},
    "gis.qgis": {"layers", "tiles", "gis.qgis"},
    "gis.print": {"layers", "gis.db", "tiles", "gis.print"},
    "gis.api": {
        "layers",
        "gis.db",
        "gis.ingest",
        "gis.checks",
        "gis.identity",
        "gis.publish",
        "gis.edit",
        "gis.export",
        "gis.jobs",
        "gis.qgis",
        "gis.print",
        "gis.ask",
        "tiles",
        "gis.api",
    },
    "cli": {
        "layers",
        "gis.db",
        "gis.identity",
        "gis.ingest",
        "gis.demo",
        "gis.qgis",
        "gis.print",
        "tiles",
        "gis.checks",
        "gis.publish",
        "gis.edit",
        "gis.api",
        "cli",
    },
}


def modules() -> list[tuple[str, Path]]:
    found = []
    for top in ("gis", "layers", "tiles"):
        for path in sorted((ROOT / top).rglob("*.py")):
            relative = path.relative_to(ROOT)
            if "node_modules" in relative.parts:
                continue
            parts = list(relative.with_suffix("").parts)
            if parts[-1] == "__init__":
                parts.pop()
            found.append((".".join(parts), path))
    return found


def place_of(module: str) -> str:
    if module in PURE or any(module.startswith(f"{p}_") or module.startswith(f"{p}.") for p in PURE):
        return "pure"
    if module.startswith("gis.cli"):
        return "cli"
    for place in ALLOWED:
        if module == place or module.startswith(f"{place}."):
            return place
    return module


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            base = node.module
            # `from gis import crs` names a module; `from gis.crs import f` does not.
            found |= {
                f"{base}.{alias.name}" if base in ("gis", "tiles", "layers") else base for alias in node.names
            }
    return {name for name in found if name.split(".")[0] in ("gis", "layers", "tiles")}


@pytest.mark.parametrize(("module", "path"), modules(), ids=lambda v: v if isinstance(v, str) else "")
def test_imports_go_one_way(module: str, path: Path) -> None:
    place = place_of(module)
    if place == "gis":
        return
    for imported in imports_of(path):
        target = place_of(imported)
        if target in ("pure", "gis") or imported == "gis.__version__":
            continue
        assert target in ALLOWED[place], f"{module} may not import {imported}"


@pytest.mark.parametrize(("module", "path"), modules(), ids=lambda v: v if isinstance(v, str) else "")
def test_modules_stay_small(module: str, path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MOST_LINES, f"{module} has {lines} lines: it wants to be two"


def test_every_place_is_known() -> None:
    places = {place_of(name) for name, _ in modules()} - {"gis"}
    assert places <= set(ALLOWED), places - set(ALLOWED)
