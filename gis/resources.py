"""Finds the files that ship with bandoso, in a checkout and in an installed wheel alike."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parent


def config_dir() -> Path:
    """The shipped ``config/``: beside the package in a checkout, inside it in a wheel."""
    installed = _PACKAGE / "_config"
    return installed if installed.is_dir() else _PACKAGE.parent / "config"


def web_dir() -> Path:
    """The built page (index.html, assets, glyphs, sprites)."""
    return _PACKAGE / "web" / "dist"
