"""API tokens: what they look like, what is kept of them, and what they may be for."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable

from gis.errors import UsageError

#: Programs that look for leaked secrets know a token by its beginning.
PREFIX = "bnd_"
_FORM = re.compile(r"bnd_[A-Za-z0-9_-]{43}\Z")
_SCOPE = re.compile(r"(?:read|edit|manage|(?:read|edit):[a-z][a-z0-9_]{0,62})\Z")

DEFAULT_SCOPES = ("read", "edit")
DEFAULT_DAYS = 90
LONGEST_DAYS = 3660
MOST_SCOPES = 64


def new_secret() -> str:
    """A token of 256 random bits."""
    return PREFIX + secrets.token_urlsafe(32)


def digest(secret: str) -> bytes:
    """What is kept: SHA-256. It has 256 random bits, so nothing slower is needed."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


def looks_like_one(secret: str) -> bool:
    """Whether it has the form of an API token."""
    return _FORM.match(secret) is not None


def checked_scopes(scopes: Iterable[str]) -> list[str]:
    """Sorted scopes. Raises UsageError for an unknown one, and for none."""
    wanted = sorted(set(scopes))
    if not wanted or len(wanted) > MOST_SCOPES:
        raise UsageError(f"a token has 1 to {MOST_SCOPES} scopes", code="invalid-scope")
    for scope in wanted:
        if not _SCOPE.match(scope):
            raise UsageError(
                f"there is no scope {scope[:80]!r}",
                code="invalid-scope",
                hint="read, edit, manage, or of one layer: read:water_pipe, edit:water_pipe",
            )
    return wanted


def checked_days(days: int) -> int:
    """Raises UsageError for a time that a token cannot last."""
    if not 1 <= days <= LONGEST_DAYS:
        raise UsageError(f"a token lasts 1 to {LONGEST_DAYS} days", code="invalid-days")
    return days
