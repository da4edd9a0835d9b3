"""Jobs in the database, as the web processes reach them: by the functions of migration 0007, nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection, errors, sql
from psycopg.rows import class_row
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool

from gis.api.problems import Refusal
from gis.db.sql import JOBS

Pool = AsyncConnectionPool[AsyncConnection]

_ROLE = sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(JOBS))


@dataclass(frozen=True)
class Job:
    """A row of bandoso.job_info."""

    id: str
    process: str
    request: dict[str, Any]
    steward: bool
    status: str
    progress: int
    message: dict[str, str]
    failure: dict[str, Any] | None
    created: datetime
    started: datetime | None
    finished: datetime | None
    updated: datetime
    attempts: int
    result_type: str | None
    result_bytes: int | None

    @property
    def is_over(self) -> bool:
        return self.finished is not None


@dataclass(frozen=True)
class Order:
    """A job to be queued; see bandoso.job_submit."""

    id: str
    process: str
    request: dict[str, Any]
    steward: bool
    small: bool
    most_seconds: int
    keep_seconds: int
    client: str | None
    repeat_key: str | None
    most_waiting: int
    most_of_client: int


async def submit(pool: Pool, order: Order) -> tuple[str, str]:
    """Outcome (made, again, differs, full, client-full) and the id of the job. Raises Refusal (503)."""
    async with _as_jobs(pool, write=True) as connection:
        cursor = await connection.execute(
            "SELECT outcome, id FROM bandoso.job_submit(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (
                order.id,
                order.process,
                Jsonb(order.request),
                order.steward,
                order.small,
                order.most_seconds,
                order.keep_seconds,
                order.client,
                order.repeat_key,
                order.most_waiting,
                order.most_of_client,
            ),
        )
        row = await cursor.fetchone()
        assert row
        return row[0], row[1]


async def get(pool: Pool, job: str) -> Job | None:
    """The job, or None."""
    found = await _jobs(pool, "SELECT * FROM bandoso.job_get(%s)", (job,))
    return found[0] if found else None


async def find(
    pool: Pool,
    *,
    by: int | None,
    processes: Sequence[str] | None,
    statuses: Sequence[str] | None,
    made: tuple[datetime | None, datetime | None],
    seconds: tuple[float | None, float | None],
    limit: int,
    offset: int,
) -> list[Job]:
    """Jobs, the newest first. ``by``: those that this account asked for as a steward; None: all."""
    return await _jobs(
        pool,
        "SELECT * FROM bandoso.job_list_of(%s::bigint, %s::text[], %s::text[], %s, %s, %s, %s, %s, %s)",
        (
            by,
            None if processes is None else list(processes),
            None if statuses is None else list(statuses),
            *made,
            *seconds,
            limit,
            offset,
        ),
    )


async def dismiss(pool: Pool, job: str) -> Job | None:
    """End the job, or take its result away; as it is then."""
    found = await _jobs(pool, "SELECT * FROM bandoso.job_dismiss(%s)", (job,), write=True)
    return found[0] if found else None


async def forget(pool: Pool, job: str) -> None:
    """Remove a finished job."""
    async with _as_jobs(pool, write=True) as connection:
        await connection.execute("SELECT bandoso.job_forget(%s)", (job,))


async def part(pool: Pool, job: str, number: int) -> bytes | None:
    """A part of the gzip stream of a result; None after the last."""
    async with _as_jobs(pool) as connection:
        cursor = await connection.execute("SELECT bandoso.job_part(%s, %s)", (job, number), binary=True)
        row = await cursor.fetchone()
        return None if row is None else row[0]


async def _jobs(pool: Pool, query: str, values: Sequence[Any], *, write: bool = False) -> list[Job]:
    async with _as_jobs(pool, write=write) as connection:
        cursor = connection.cursor(row_factory=class_row(Job))
        await cursor.execute(query.encode(), values)
        return await cursor.fetchall()


@asynccontextmanager
async def _as_jobs(pool: Pool, *, write: bool = False) -> AsyncIterator[AsyncConnection]:
    """A transaction with the rights of bandoso_jobs. Raises Refusal where this database has no such thing."""
    try:
        async with pool.connection() as connection, connection.transaction():
            if write:
                await connection.execute("SET TRANSACTION READ WRITE")
            await connection.execute(_ROLE)
            yield connection
    except (
        errors.ReadOnlySqlTransaction,  # a standby, or a role whose transactions are read only
        errors.FeatureNotSupported,  # "cannot set transaction read-write mode during recovery"
        errors.InsufficientPrivilege,
        errors.InvalidParameterValue,  # there is no such role
        errors.UndefinedFunction,
        errors.UndefinedTable,
        errors.InvalidSchemaName,
    ) as error:
        raise Refusal(
            503,
            "processes-unavailable",
            "this server only reads: its database takes no jobs",
            hint="ask the server that writes; layers, items and tiles are served here as always",
            headers={"Retry-After": "300"},
        ) from error
