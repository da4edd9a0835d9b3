"""The catalogue of rules (shared/domain/check-rules.md) is implemented whole, and each rule has its cases."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gis.checks.registry import rules
from tests.checks.cases import all_cases

CATALOGUE_OF_RULES = (
    [f"GEN-{n:02}" for n in range(1, 15)]
    + [f"CAD-{n:02}" for n in range(1, 16)]
    + [f"NET-{n:02}" for n in range(1, 16)]
    + [f"DRN-{n:02}" for n in range(1, 11)]
    + [f"XLY-{n:02}" for n in range(1, 8)]
)


def test_every_rule_of_the_catalogue_is_there() -> None:
    assert list(rules()) == CATALOGUE_OF_RULES


@pytest.mark.parametrize("rule", CATALOGUE_OF_RULES)
def test_every_rule_has_a_positive_and_a_negative_case(rule: str) -> None:
    mine = [case for case in all_cases() if case.rule == rule]
    assert any(case.findings for case in mine) and any(not case.findings for case in mine)
    assert any(case.picture for case in mine)


def test_the_documentation_is_what_the_rules_say() -> None:
    program = Path(__file__).resolve().parents[2] / "scripts" / "rule_docs.py"
    done = subprocess.run([sys.executable, str(program), "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
