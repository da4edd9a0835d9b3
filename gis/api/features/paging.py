"""Pages by key: an opaque token names the last feature of a page, so every page costs the same.

A token holds no secret and is not signed: whoever changes one changes only which page he gets, and each
of its values is bound in the type of its column.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any, Final

import orjson

from gis.api.features.values import INT8_MAX, INT8_MIN, wrong
from gis.errors import UsageError

#: Longer tokens (sorted by a long text) are not made; such next links go by offset.
MAX_TOKEN: Final = 1500


@dataclass(frozen=True)
class Count:
    """numberMatched: exact, or the planner's estimate."""

    value: int
    estimated: bool = False


@dataclass(frozen=True)
class Cursor:
    """The last feature of a page: its fid, its sort keys as text (None is null), and what is known so far."""

    fid: int
    keys: tuple[str | None, ...]
    position: int
    matched: Count | None


def make_token(cursor: Cursor, signature: str) -> str | None:
    """The token of a cursor in the order ``signature``; None when it would be too long for a link."""
    matched = [cursor.matched.value, cursor.matched.estimated] if cursor.matched else None
    raw = orjson.dumps([cursor.fid, signature, list(cursor.keys), cursor.position, matched])
    token = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    return token if len(token) <= MAX_TOKEN else None


def read_token(text: str, signature: str) -> Cursor:
    """Raises UsageError for a token that was not made here, or for another order."""
    try:
        if len(text) > MAX_TOKEN:
            raise ValueError
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        fid, order, keys, position, matched = _list(orjson.loads(raw), 5)
        _check(fid, INT8_MIN)
        _check(position, 0)
        count = None
        if matched is not None:
            value, estimated = _list(matched, 2)
            _check(value, 0)
            count = Count(value, bool(estimated))
        if not isinstance(keys, list) or not all(k is None or isinstance(k, str) for k in keys):
            raise ValueError
        if any(k is not None and "\0" in k for k in keys):
            raise ValueError
    except (ValueError, binascii.Error, orjson.JSONDecodeError):
        raise _invalid() from None
    if order != signature or len(keys) != (signature.count(",") + 1 if signature else 0):
        raise wrong("after", "after belongs to another sortby", "start from the first page")
    return Cursor(fid, tuple(keys), position, count)


def _list(value: Any, length: int) -> list[Any]:
    if not isinstance(value, list) or len(value) != length:
        raise ValueError
    return value


def _check(value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= INT8_MAX:
        raise ValueError


def _invalid() -> UsageError:
    return wrong("after", "after is not a token of this collection's pages", "follow the next links")
