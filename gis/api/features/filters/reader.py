"""CQL2 text and JSON to one tree (that of CQL2 JSON), within caps that hold before any parser runs.

Texts are parsed by the cql2 package, because pygeofilter 0.4 reads ``a OR b AND c`` as ``(a OR b) AND c``
and refuses ``NOT (a AND b)``, ``'it''s'`` and names of one letter. cql2 recurses on the native stack,
where 3,000 brackets end the process, so a text is scanned first: depth is counted without recursion.
It reads one coordinate of WKT in ten off by its last bit (0.1 nm); JSON is exact.
"""

from __future__ import annotations

import re
from typing import Any, Final

import cql2
import orjson

from gis.errors import LimitError, UsageError

MAX_BYTES: Final = 8192
MAX_DEPTH: Final = 32
MAX_NODES: Final = 256
MAX_IN: Final = 1000
MAX_POINTS: Final = 1000

#: A text or name in quotes, a word, a number, or one sign.
_TOKEN = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|[^\W\d][\w.:]*|[0-9][\w.]*|[(),]|[-+]|[^\s\w]", re.UNICODE)
#: Keywords that make a node although no name or literal comes with them.
_PREFIXES = frozenset({"-", "+", "not"})

#: Names, keywords and comparison signs outside brackets: a node has fewer than four of them.
_MAX_WORDS: Final = 4 * MAX_NODES

Tree = Any


def read_filter(text: str, language: str) -> Tree:
    """The tree of a filter. ``language`` is ``cql2-text`` or ``cql2-json``.

    Raises LimitError over 8 KB, 32 levels, and UsageError for what is not CQL2. The caps on nodes,
    points and lists are counted by the compiler, which visits each node once.
    """
    if len(text.encode(errors="surrogatepass")) > MAX_BYTES:
        raise _limit(f"the filter is longer than {MAX_BYTES} bytes")
    if "\0" in text:
        raise invalid("the filter holds a NUL character")
    if not text.strip():
        raise invalid("the filter is empty")
    return _json(text) if language == "cql2-json" else _text(text)


def invalid(message: str, hint: str | None = None) -> UsageError:
    """The error for a filter that is wrong."""
    return UsageError(
        message, code="invalid-filter", hint=hint, errors=[{"parameter": "filter", "detail": message}]
    )


def _limit(message: str) -> LimitError:
    return LimitError(
        message,
        hint=f"at most {MAX_NODES} operators, {MAX_DEPTH} levels, {MAX_POINTS} points, {MAX_IN} values",
        errors=[{"parameter": "filter", "detail": message}],
    )


def too_many(what: str, most: int) -> LimitError:
    """The error for a filter over one of its caps."""
    return _limit(f"the filter has more than {most} {what}")


def _text(text: str) -> Tree:
    _scan(text)
    try:
        return cql2.parse_text(text).to_json()
    except cql2.ParseError as error:
        place = re.search(r"--> (\d+):(\d+)", str(error))
        where = f" at line {place[1]}, column {place[2]}" if place else ""
        raise invalid(f"the filter is not valid CQL2 text{where}", _expected(str(error))) from None
    except Exception:
        raise invalid("the filter is not valid CQL2 text") from None


def _scan(text: str) -> None:
    """Refuse what would make the parser recurse or chain deeply, counting only."""
    depth = run = words = 0
    for match in _TOKEN.finditer(text):
        word = match[0].lower()
        if word == "(":
            depth += 1
        elif word == ")":
            depth -= 1
        elif word[0] not in "'-+,0123456789":
            words += 1
        run = run + 1 if word in _PREFIXES else 0
        if depth + run > MAX_DEPTH:
            raise too_many("levels", MAX_DEPTH)
        if words > _MAX_WORDS:
            raise too_many("operators", MAX_NODES)


#: Names of the parser's rules -> what a person writes.
_RULES = {
    "Identifier": "a property",
    "SingleQuotedString": "'text'",
    "DECIMAL": "a number",
    "GEOMETRY": "a geometry",
    "EOI": "the end",
    "Eq": "=",
    "And": "AND",
    "Or": "OR",
    "ExpressionInParentheses": "(",
}


def _expected(message: str) -> str | None:
    found = re.search(r"expected (.+)", message)
    if not found:
        return None
    names = [_RULES[n] for n in re.findall(r"\w+", found[1]) if n in _RULES]
    return f"expected {' or '.join(names)}" if names else None


def _json(text: str) -> Tree:
    try:
        # orjson stops at 1,024 levels by itself; the compiler goes down 32.
        tree = orjson.loads(text.encode())
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        raise invalid("the filter is not valid JSON") from None
    if not isinstance(tree, dict | bool):
        raise invalid("a filter in CQL2 JSON is an object with op and args")
    return tree
