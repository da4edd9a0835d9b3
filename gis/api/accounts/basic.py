"""HTTP Basic: argon2 in few threads, failures counted in the database, a short memory of what was right.

QGIS sends name and password with every request, and argon2 takes 50 ms of a core on purpose. So a pair that
was right is remembered for a minute, for the client that showed it, as an HMAC under a key of this process.
It counts only as long as the stored hash is the one that it was right for, which is looked at again after a
second at the latest (gis.api.auth). A pair that was wrong is remembered in the same way: a QGIS with an old
password is told so at once, and its hundred requests are one failure, not a hundred.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import math
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from gis.api.accounts import door
from gis.api.problems import Refusal
from gis.identity import passwords
from gis.identity.principal import Principal

#: Threads that hash; 19 MiB each.
THREADS = 2
#: Logins that may wait for them; more are answered 503.
MOST_WAITING = 64
#: Seconds that a verified pair is remembered, and how many are.
REMEMBERED, MOST_REMEMBERED = 60.0, 2000

_NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,62}\Z")


class Wrong(Exception):  # noqa: N818 - what a secret is
    """These are not the credentials of an account."""


class Basic:
    """The passwords of one process."""

    def __init__(self, pool: door.Pool) -> None:
        self._pool = pool
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="argon2")
        self._waiting = 0
        #: HMAC of client and pair -> (stored hash that it was held against, whether it was right, until when)
        self._judged: dict[bytes, tuple[str | None, bool, float]] = {}

    async def principal(self, credentials: str, pair: bytes, client: str) -> Principal:
        """Who shows these credentials. Raises Wrong, or Refusal (429, 503)."""
        name, password = decoded(credentials)
        known = await door.login(self._pool, name)
        stored = known.password
        judged = self._judged.get(pair)
        if judged is not None and judged[0] == stored and time.monotonic() < judged[2]:
            if judged[1] and known.principal is not None:
                return known.principal
            raise Wrong
        attempt = await self._attempt(name, client)
        right = await self._verify(stored, password) and known.principal is not None
        while len(self._judged) >= MOST_REMEMBERED:
            del self._judged[next(iter(self._judged))]
        self._judged[pair] = (stored, right, time.monotonic() + REMEMBERED)
        if not right or known.principal is None:
            raise Wrong
        await door.login_passed(self._pool, attempt, name, client)
        return known.principal

    async def verify(self, name: str, password: str, client: str) -> None:
        """Raises Wrong unless it is the password; counted as a login is (Refusal 429, 503)."""
        known = await door.login(self._pool, name)
        attempt = await self._attempt(name, client)
        if not await self._verify(known.password, password):
            raise Wrong
        await door.login_passed(self._pool, attempt, name, client)

    async def _attempt(self, name: str, client: str) -> int:
        """Count an attempt, and give its number. Raises Refusal (429) when too many have failed."""
        attempt, wait = await door.login_try(self._pool, name, client)
        if attempt is None:
            raise Refusal(
                429,
                "too-many-logins",
                "too many logins have failed",
                hint="wait as long as Retry-After says; an API token is not held up",
                headers={"Retry-After": str(max(1, math.ceil(wait)))},
            )
        return attempt

    async def hashed(self, password: str) -> str:
        """The hash of a password that was checked."""
        return await self._in_thread(passwords.hashed, password)

    async def _verify(self, stored: str | None, password: str) -> bool:
        return await self._in_thread(passwords.verify, stored, password)

    async def _in_thread[*P, T](self, work: Callable[[*P], T], *arguments: *P) -> T:
        if self._waiting >= MOST_WAITING:
            raise Refusal(503, "busy", "too many logins are being looked at", hint="try again in a moment")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)
        finally:
            self._waiting -= 1


def decoded(credentials: str) -> tuple[str, str]:
    """Name and password of RFC 7617; "" for a name that no account can have. Raises Wrong."""
    try:
        raw = base64.b64decode(credentials, validate=True)
    except (binascii.Error, ValueError):
        raise Wrong from None
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    name, colon, password = text.partition(":")
    if not colon:
        raise Wrong
    name = name.strip().lower()
    return (name if _NAME.match(name) else ""), password
