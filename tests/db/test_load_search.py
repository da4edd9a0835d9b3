"""The quick search vector holds the very words that PostgreSQL's parser finds in the folded text."""

from __future__ import annotations

import psycopg
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

LETTERS = "abcxyzABC0129  -/._,:;@#&+=?%~()'\"’*|<>[]!đĐễỄơướẠéü中Я\u0301\u00a0\n"


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(st.none(), st.text(LETTERS, max_size=30)), min_size=1, max_size=3))
@example(["12/5A đường Nguyễn Huệ", None, "pipe-123"])
@example(["1e5 1.5 -3 0x1f 10.0.0.1 a@b.vn www.x.vn/y"])
@example(["x" * 3000])
@example(["", " ", "--"])
def test_the_same_words(owner: psycopg.Connection, texts: list[str | None]) -> None:
    row = owner.execute(
        "SELECT bandoso.search_vector(VARIADIC %(t)s::text[]),"
        " strip(to_tsvector('simple', bandoso.search_text(VARIADIC %(t)s::text[])))",
        {"t": texts},
    ).fetchone()
    assert row
    assert row[0] == row[1]


def test_the_reader_may_search(module_db: object, owner: psycopg.Connection) -> None:
    with owner.transaction():
        owner.execute("SET LOCAL ROLE bandoso_reader")
        row = owner.execute("SELECT bandoso.search_vector('Đường Lê Lợi')::text").fetchone()
    assert row == ("'duong' 'le' 'loi'",)
