"""``q=``: all words must begin a word of the feature's search fields, whatever the accents and case.

Ids are found by their beginning instead: a feature whose asset_id begins with the whole text is found too.
An id beside other words, or a part of an id that is not its beginning, is not looked for.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Final

from psycopg import sql

from gis.api.features.binding import Bind
from gis.api.features.values import wrong
from gis.db.ddl import search_vector, searched_words
from gis.db.sql import column
from layers.registry import Layer

MAX_TERMS: Final = 10


#: Sorts after every letter that a text can go on with.
_LAST: Final = "\U0010ffff"


def search_branches(layer: Layer, text: str, bind: Bind) -> list[sql.Composable]:
    """Conditions of which one has to hold, each served by an index.

    asset_id begins with the text; or every word of the text begins a word of the other search fields.
    Raises UsageError for a text without letters and digits, or with too many words.
    """
    words = terms(text)
    if not words:
        raise wrong("q", "q has no letters or digits to search for")
    if len(words) > MAX_TERMS:
        raise wrong("q", f"q has more than {MAX_TERMS} words")
    found: list[sql.Composable] = []
    if "asset_id" in layer.definition.search:  # first: it costs least where rows are looked at one by one
        found.append(sql.SQL("({})").format(sql.SQL(" OR ").join(_ids(text.strip(), bind))))
    if searched_words(layer):
        wanted = bind.add(" & ".join(f"{word}:*" for word in words), "string")
        found.append(sql.SQL("{} @@ to_tsquery('simple', {})").format(search_vector(layer), wanted))
    return found or [sql.SQL("FALSE")]


def _ids(text: str, bind: Bind) -> Iterator[sql.Composed]:
    """asset_id begins with the text as typed, in upper or in lower case (a register's are of one case).

    A range rather than LIKE: it is all that the index has to know, while LIKE keeps PostgreSQL looking at
    every row that any branch has found once more, and works out the words of each again. No sign in the text
    means anything but itself. Bytes are compared, as in the index.
    """
    for start in dict.fromkeys((text, text.upper(), text.lower())):
        yield sql.SQL('({id} >= {low} COLLATE "C" AND {id} < {high} COLLATE "C")').format(
            id=column("asset_id"), low=bind.add(start, "string"), high=bind.add(start + _LAST, "string")
        )


def terms(text: str) -> list[str]:
    """The words of a text as bandoso.search_text leaves them: folded, letters and digits only."""
    bare = unicodedata.normalize("NFD", text.replace("đ", "d").replace("Đ", "D"))
    kept = "".join(c if c.isalnum() else " " for c in bare if not unicodedata.combining(c))
    return list(dict.fromkeys(unicodedata.normalize("NFC", kept).lower().split()))
