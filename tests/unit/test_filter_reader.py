"""CQL2 text to the tree: meaning where pygeofilter errs, and caps that hold before the parser runs."""

from __future__ import annotations

import threading

import pytest

from gis.api.features.filters import read_filter
from gis.errors import LimitError, UsageError


def _text(text: str) -> object:
    return read_filter(text, "cql2-text")


def test_and_binds_closer_than_or() -> None:
    tree = _text("a = 1 OR b = 2 AND c = 3")
    assert tree["op"] == "or"  # type: ignore[index]
    assert tree["args"][1]["op"] == "and"  # type: ignore[index]


def test_not_takes_a_bracket() -> None:
    tree = _text("NOT (a = 1 AND b = 2)")
    assert (tree["op"], tree["args"][0]["op"]) == ("not", "and")  # type: ignore[index]


def test_quotes_are_doubled_in_texts_and_names_may_be_vietnamese() -> None:
    assert _text("tên = 'it''s'") == {"op": "=", "args": [{"property": "tên"}, "it's"]}


@pytest.mark.parametrize(
    "text",
    [
        "(" * 3000 + "a=1" + ")" * 3000,
        "(" * 8000,
        "f(" * 2000 + "a" + ")" * 2000,
        "not " * 1900 + "a=1",
        "a=" + "-" * 7000 + "1",
        "a=" + "- " * 3000 + "1",
        "a" + "=a" * 3000,
        "a=2" + "^2" * 3500,
        "a" + " or a" * 1500,
        "a=1 and " * 900 + "a=1",
        "a_contains(" + "(" * 2000 + "a" + ")" * 2000 + ",b)",
        "s_intersects(g," + "GEOMETRYCOLLECTION(" * 300 + "POINT(1 1)" + ")" * 300 + ")",
    ],
    ids=lambda text: text[:12],
)
def test_deep_and_long_texts_are_refused_before_the_parser(text: str) -> None:
    """cql2 recurses on the native stack: some of these end the process when they reach it."""
    with pytest.raises(LimitError):
        _text(text)


def test_the_parser_needs_little_stack_for_what_is_let_through() -> None:
    texts = [
        "(" * 31 + "a=1" + ")" * 31,
        "not (" * 15 + "a=1" + ")" * 15,
        "casei(" * 30 + "a" + ")" * 30 + "='x'",
        "a in (" * 31 + "1" + ")" * 31,
        "a=" + "-(" * 15 + "1" + ")" * 15,
    ]
    failed: list[str] = []

    def parse() -> None:
        for text in texts:
            try:
                _text(text)
            except UsageError:
                failed.append(text)

    before = threading.stack_size(256 * 1024)
    try:
        thread = threading.Thread(target=parse)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    assert all(t.startswith("a in") for t in failed)


@pytest.mark.parametrize("language", ["cql2-text", "cql2-json"])
@pytest.mark.parametrize("text", ["a='" + "x" * 8192 + "'", "a = '\0'", "", "   "])
def test_too_long_nul_and_empty(text: str, language: str) -> None:
    with pytest.raises(UsageError):
        read_filter(text, language)


@pytest.mark.parametrize(
    "text",
    ["[" * 8000, '{"op":' * 1000, "NaN", "null", "1", '"a"', "[]", "{", '{"op":"=","args":[1e999,1]}\x01'],
)
def test_json_that_is_no_filter(text: str) -> None:
    with pytest.raises(UsageError):
        read_filter(text, "cql2-json")


def test_error_names_the_place_and_nothing_of_the_parser() -> None:
    with pytest.raises(UsageError) as caught:
        _text("diameter_mm >")
    assert "line 1, column 14" in caught.value.message
    assert "SingleQuotedString" not in (caught.value.hint or "")
    assert caught.value.errors == [{"parameter": "filter", "detail": caught.value.message}]
