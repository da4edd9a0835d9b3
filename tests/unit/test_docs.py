"""The documents name every setting and command that exists."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from gis.cli import LazyGroup
from gis.settings import DESCRIPTIONS, Settings

ROOT = Path(__file__).resolve().parents[2]


def test_operators_guide_lists_every_setting() -> None:
    guide = (ROOT / "docs" / "operators.md").read_text(encoding="utf-8").replace("`", "")
    for f in fields(Settings):
        assert f"BANDOSO_{f.name.upper()} |" in guide, f.name
        assert DESCRIPTIONS[f.name] in guide, f"the sentence of {f.name} differs from the guide"
    assert {f.name for f in fields(Settings)} == set(DESCRIPTIONS)


def test_readme_shows_the_two_commands_and_every_subcommand() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "./scripts/run" in readme
    assert "./scripts/test" in readme
    for name in LazyGroup.commands_by_name:
        assert f"bandoso {name}" in readme, name


def test_guides_show_pictures_that_are_there() -> None:
    shown = [
        (guide.name, name)
        for guide in (ROOT / "docs").glob("*.md")
        for name in re.findall(r"\(pictures/([a-z0-9-]+\.png)\)", guide.read_text(encoding="utf-8"))
    ]
    assert {guide for guide, _ in shown} >= {"guide-planner.md", "guide-editor.md"}
    assert [name for _, name in shown if not (ROOT / "docs" / "pictures" / name).is_file()] == []
