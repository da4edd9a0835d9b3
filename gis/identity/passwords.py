"""Passwords: argon2id, what is taken as one, and secrets made by us."""

from __future__ import annotations

import secrets
import string
import unicodedata

import argon2
from argon2.exceptions import InvalidHashError, VerificationError

from gis.errors import UsageError

#: OWASP's least memory for argon2id with two passes: 19 MiB. One hash takes 30 to 60 ms on one core of the
#: machines that this was measured on, so a core tries some 20 passwords a second, and no more.
HASHER = argon2.PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1, hash_len=32, salt_len=16)

SHORTEST = 10
#: Characters; a longer "password" would make hashing a way to keep us busy.
LONGEST = 256

#: No letters that are mistaken for others when they are read from a terminal.
_LETTERS = "".join(c for c in string.ascii_letters + string.digits if c not in "0O1lI")
GENERATED_LENGTH = 24


def generate() -> str:
    """A password of 138 random bits."""
    return "".join(secrets.choice(_LETTERS) for _ in range(GENERATED_LENGTH))


def check(password: str, name: str = "") -> str:
    """The password as it is hashed. Raises UsageError for one that is too short, too long or the name."""
    password = normalised(password)
    if not SHORTEST <= len(password) <= LONGEST:
        raise UsageError(
            f"a password has {SHORTEST} to {LONGEST} characters",
            code="weak-password",
            hint="leave it out to have one made",
        )
    if len(set(password)) < 4 or (name and name.lower() in (password.lower(), password.lower()[::-1])):
        raise UsageError("the password is too easy to guess", code="weak-password")
    if any(unicodedata.category(c) == "Cc" for c in password):
        raise UsageError("a password has no control characters", code="weak-password")
    return password


def normalised(password: str) -> str:
    """Vietnamese letters are typed composed on one machine and decomposed on the next."""
    return unicodedata.normalize("NFC", password)


def hashed(password: str) -> str:
    """argon2id in the PHC form, with a salt of its own."""
    return HASHER.hash(normalised(password))


def verify(stored: str | None, password: str) -> bool:
    """Whether it is the password; takes as long when there is none stored (or no such account)."""
    try:
        HASHER.verify(stored or NOBODY, normalised(password)[: LONGEST + 1])
    except (VerificationError, InvalidHashError):
        return False
    return stored is not None


#: What a password is compared with where there is no account: nobody knows what it is the hash of.
NOBODY = HASHER.hash(secrets.token_urlsafe(32))
