"""The same request sent twice is made once, and gets the same answer (gis/db/sql/0012_changesets.sql).

A request with a key waits for one with the same key that is under way. What was refused is not kept: sent
again, it is judged again.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import orjson
import psycopg
from psycopg import errors as pg
from psycopg.types.json import Jsonb

from gis.edit.errors import EditError
from gis.edit.session import Connection

#: Days for which answers are kept.
KEPT_DAYS: Final = 7


class Replayed(Exception):  # noqa: N818 - the answer, raised
    """This request was made before: ``answer`` is what it got."""

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__("the request was made before")
        self.answer = answer


class KeyReused(EditError):  # noqa: N818
    """The key was used for another request."""

    default_code = "key-reused"


class StillRunning(EditError):  # noqa: N818
    """The first request with this key is not at its end."""

    status = 409
    default_code = "still-running"


class Keeper:
    """One request with a key. ``key`` is the client's; ``content`` all that its answer depends on."""

    def __init__(self, key: str, *content: Any) -> None:
        self.key = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
        self.content = hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).digest()

    def begin(self, connection: Connection) -> None:
        """In gis.edit.session.editing: go on, or raise Replayed, KeyReused or StillRunning."""
        try:
            row = connection.execute(
                "SELECT same, reply FROM bandoso.request_begin(%s, %s)", [self.key, self.content]
            ).fetchone()
        except (pg.LockNotAvailable, pg.QueryCanceled):
            raise StillRunning(
                "the first request with this idempotency key is still being worked on",
                hint="send it again in a few seconds",
            ) from None
        if row is None:
            return
        if not row[0]:
            raise KeyReused(
                "the idempotency key was used for another request",
                hint=f"take a new key for every request; keys are kept for {KEPT_DAYS} days",
            )
        raise Replayed(row[1])

    def keep(self, connection: psycopg.Connection[Any], answer: dict[str, Any]) -> None:
        """In the transaction that made the changeset."""
        connection.execute(
            "SELECT bandoso.request_keep(%s, %s, %s)",
            [self.key, self.content, Jsonb(answer, dumps=orjson.dumps)],
        )
