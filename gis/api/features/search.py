"""``q=``: all words must begin a word of the feature's search fields, whatever the accents and case."""

from __future__ import annotations

import unicodedata
from typing import Final

from psycopg import sql

from gis.api.features.binding import Bind
from gis.api.features.values import wrong
from gis.db.ddl import search_vector
from layers.registry import Layer

MAX_TERMS: Final = 10


def search_condition(layer: Layer, text: str, bind: Bind) -> sql.Composed:
    """The layer's indexed vector matches every word of ``text`` as a prefix.

    Raises UsageError for a text without letters and digits, or with too many words.
    """
    words = terms(text)
    if not words:
        raise wrong("q", "q has no letters or digits to search for")
    if len(words) > MAX_TERMS:
        raise wrong("q", f"q has more than {MAX_TERMS} words")
    wanted = bind.add(" & ".join(f"{word}:*" for word in words), "string")
    return sql.SQL("{} @@ to_tsquery('simple', {})").format(search_vector(layer), wanted)


def terms(text: str) -> list[str]:
    """The words of a text as bandoso.search_text leaves them: folded, letters and digits only."""
    bare = unicodedata.normalize("NFD", text.replace("đ", "d").replace("Đ", "D"))
    kept = "".join(c if c.isalnum() else " " for c in bare if not unicodedata.combining(c))
    return list(dict.fromkeys(unicodedata.normalize("NFC", kept).lower().split()))
