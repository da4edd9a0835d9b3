"""What runners ask of the table of jobs, each in one statement (see gis/db/sql/0007_jobs.sql)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg import Connection
from psycopg.types.json import Jsonb

#: A job that was begun so often and never ended is given up.
MOST_ATTEMPTS = 3
#: Seconds between two signs of life of a runner, and after which silence a job is taken from it.
BEAT = 2.0
LOST = 15.0
#: Finished jobs that anyone asked for, kept at most; older ones go first.
MOST_PUBLIC = 200

Words = dict[str, str]

QUEUED: Words = {"vi": "Đang chờ đến lượt.", "en": "Waiting for its turn."}
AGAIN: Words = {
    "vi": "Lần chạy trước bị gián đoạn; sẽ chạy lại.",
    "en": "The run was interrupted; it starts again.",
}
BEGUN: Words = {"vi": "Đang bắt đầu.", "en": "Starting."}
GIVEN_UP: Words = {
    "vi": f"Đã bị gián đoạn {MOST_ATTEMPTS} lần nên không chạy nữa.",
    "en": f"The run was interrupted {MOST_ATTEMPTS} times and was given up.",
}
TOO_LONG: Words = {
    "vi": "Vượt quá thời gian cho phép.",
    "en": "The run took longer than it may.",
}


@dataclass(frozen=True)
class Claimed:
    """A job that this runner has to run; ``attempt`` fences its run."""

    id: str
    attempt: int
    most_seconds: int


def failure(status: int, code: str, message: Words, hint: str | None = None) -> dict[str, Any]:
    """Why a job failed, as the table keeps it; ``status`` is the HTTP status of its results."""
    return {"status": status, "code": code, "message": message, **({"hint": hint} if hint else {})}


def claim(connection: Connection, runner: str, *, any_size: bool) -> Claimed | None:
    """The next job, now this runner's: a steward's before anyone's, then the oldest. None: nothing to do.

    ``any_size`` false takes only jobs with an end in sight.
    """
    row = connection.execute(
        "UPDATE bandoso.job SET status = 'running', runner = %s, attempts = attempts + 1, progress = 0,"
        " message = %s, started = clock_timestamp(), heartbeat = clock_timestamp(),"
        " updated = clock_timestamp()"
        " WHERE id = (SELECT id FROM bandoso.job WHERE status = 'accepted' AND (small OR %s)"
        " ORDER BY NOT steward, created LIMIT 1 FOR UPDATE SKIP LOCKED)"
        " RETURNING id, attempts, most_seconds",
        (runner, Jsonb(BEGUN), any_size),
    ).fetchone()
    return Claimed(*row) if row else None


def beat(connection: Connection, job: Claimed, runner: str, percent: int, message: Words | None) -> bool:
    """Give a sign of life and say how far the job is; False: it is not this runner's any more."""
    done = connection.execute(
        "UPDATE bandoso.job SET heartbeat = clock_timestamp(),"
        " updated = CASE WHEN progress <> %(p)s OR message <> coalesce(%(m)s, message)"
        " THEN clock_timestamp() ELSE updated END,"
        " progress = %(p)s, message = coalesce(%(m)s, message)"
        " WHERE id = %(id)s AND runner = %(runner)s AND attempts = %(attempt)s AND status = 'running'",
        {
            "p": percent,
            "m": None if message is None else Jsonb(message),
            "id": job.id,
            "runner": runner,
            "attempt": job.attempt,
        },
    )
    return done.rowcount == 1


def fail(connection: Connection, job: Claimed, why: dict[str, Any]) -> None:
    """The job has failed for good."""
    connection.execute(
        "UPDATE bandoso.job SET status = 'failed', failure = %s, message = %s, client = NULL,"
        " finished = clock_timestamp(), updated = clock_timestamp()"
        " WHERE id = %s AND attempts = %s AND status = 'running'",
        (Jsonb(why), Jsonb(why["message"]), job.id, job.attempt),
    )


def interrupted(connection: Connection, job: Claimed) -> None:
    """The run ended without an outcome: the job waits again, or is given up after MOST_ATTEMPTS."""
    _again(connection, job=job.id, attempt=job.attempt)


def requeue_lost(connection: Connection, runner: str | None = None) -> int:
    """Take jobs from runners that were not heard of for LOST seconds; how many.

    ``runner``: also what an earlier process of this runner had. (A runner's name is that of its server:
    what its present process has not started is not running.)
    """
    return _again(connection, runner=runner, lost=LOST)


def _again(
    connection: Connection,
    *,
    job: str | None = None,
    attempt: int | None = None,
    runner: str | None = None,
    lost: float | None = None,
) -> int:
    done = connection.execute(
        "UPDATE bandoso.job SET runner = NULL, heartbeat = NULL, progress = 0, updated = clock_timestamp(),"
        " status = CASE WHEN attempts < %(most)s THEN 'accepted' ELSE 'failed' END,"
        " finished = CASE WHEN attempts < %(most)s THEN NULL ELSE clock_timestamp() END,"
        " client = CASE WHEN attempts < %(most)s THEN client END,"
        " failure = CASE WHEN attempts < %(most)s THEN NULL ELSE %(why)s END,"
        " message = CASE WHEN attempts < %(most)s THEN %(again)s ELSE %(up)s END"
        " WHERE status = 'running' AND (id = %(job)s AND attempts = %(attempt)s OR runner = %(runner)s"
        " OR heartbeat < clock_timestamp() - make_interval(secs => %(lost)s))",  # null: not asked
        {
            "job": job,
            "attempt": attempt,
            "runner": runner,
            "lost": lost,
            "most": MOST_ATTEMPTS,
            "why": Jsonb(failure(500, "interrupted", GIVEN_UP)),
            "again": Jsonb(AGAIN),
            "up": Jsonb(GIVEN_UP),
        },
    )
    if done.rowcount:
        connection.execute("SELECT pg_notify('bandoso_job', 'new')")
    return done.rowcount


def hand_back(connection: Connection, job: Claimed) -> None:
    """This runner stops in order: another, or the next one, runs the job. That is no attempt."""
    connection.execute(
        "UPDATE bandoso.job SET status = 'accepted', runner = NULL, heartbeat = NULL, progress = 0,"
        " attempts = attempts - 1, message = %s, updated = clock_timestamp()"
        " WHERE id = %s AND attempts = %s AND status = 'running'",
        (Jsonb(QUEUED), job.id, job.attempt),
    )
    connection.execute("SELECT pg_notify('bandoso_job', 'new')")


def purge(connection: Connection) -> int:
    """Remove finished jobs whose time is over, and the oldest public ones over MOST_PUBLIC; how many."""
    return connection.execute(
        "DELETE FROM bandoso.job WHERE finished < clock_timestamp() - make_interval(secs => keep_seconds)"
        " OR id IN (SELECT id FROM bandoso.job WHERE finished IS NOT NULL AND NOT steward"
        " ORDER BY finished DESC OFFSET %s)",
        (MOST_PUBLIC,),
    ).rowcount
