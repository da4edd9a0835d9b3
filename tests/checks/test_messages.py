"""What findings say: numbers as each language writes them, words that go with their number."""

from __future__ import annotations

import re
from typing import Any

import pytest
import shapely

from gis.checks.findings import message
from gis.checks.model import Finding
from gis.checks.registry import rules


def said(rule: str, value: float | None, limit: float | None, unit: str, **words: Any) -> dict[str, str]:
    found = Finding(rule, "E", (), shapely.Point(0, 0), (0, 0), value, limit, unit, words)
    return {language: message(found, language) for language in ("vi", "en")}


def test_vietnamese_writes_a_decimal_comma() -> None:
    text = said("GEN-05", 0.0004, 0.001, "m", count=2)
    assert "0,001 m" in text["vi"]
    assert "0.001 m" in text["en"]
    what = {"vi": "2 đoạn (gần nhất cách 12.649 m)", "en": "the nearest are 12.649 m apart"}
    assert said("GEN-04", 12.649, 0.001, "m", what=what)["vi"] == "2 đoạn (gần nhất cách 12,649 m)"


@pytest.mark.parametrize("asset_id", ["C-12.5", "1.5", "P1.20"])
def test_asset_ids_keep_their_points(asset_id: str) -> None:
    text = said("DRN-01", 0.05, 0, "m", line=asset_id)["vi"]
    assert f"Cống {asset_id} dâng" in text
    assert "0,05 m" in text


@pytest.mark.parametrize(("count", "words"), [(1, "1 pair of"), (3, "3 pairs of")])
def test_words_go_with_their_number(count: int, words: str) -> None:
    assert said("GEN-05", 0.0, 0.001, "m", count=count)["en"].startswith(words)


def test_sources_name_what_users_can_find() -> None:
    for known in rules().values():
        rule = known.rule
        texts = [rule.source, rule.explanation.vi, rule.explanation.en]
        assert not re.search(r"\bshared/|\.md\b", " ".join(texts)), rule.id
