"""Findings as reports show them, read again from where a run has put them, a few at a time."""

from __future__ import annotations

import pickle
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
import psycopg
import shapely
from psycopg.rows import dict_row
from psycopg.sql import SQL, Composable

from gis.checks import mends
from gis.checks import store_sql as text
from gis.checks.model import FeatureRef, Finding, Reported
from gis.checks.store import PUBLIC, RESTRICTED
from gis.db import sql as names
from gis.db.connect import connect
from layers.registry import Catalogue

_PORTION = 2_000


def stored(
    dsn: str, catalogue: Catalogue, run: int, apps: Sequence[str], area: bytes | None, as_of: datetime
) -> Callable[[], Iterator[Reported]]:
    """The findings of ``apps`` (in ``area``, EWKB) that stand, and those that run ``run`` found mended."""

    def read() -> Iterator[Reported]:
        where: Composable = SQL("k.app = ANY (%(apps)s) AND (f.state <> 'mended' OR k.mended_run = %(run)s)")
        if area is not None:
            where += SQL(" AND public.ST_Intersects(f.geom, %(area)s::public.geometry)")
        news = SQL(
            "CASE WHEN f.state = 'mended' THEN 'mended' WHEN k.new_run = %(run)s THEN 'new' ELSE 'again' END"
        )
        parts = [
            text.REPORTED.format(news=news)
            + SQL(" FROM {} AS f JOIN bandoso.finding_key AS k ON k.id = f.asset_id WHERE ").format(
                names.table(catalogue.layers[layer])
            )
            + where
            for layer in (PUBLIC, RESTRICTED)
        ]
        query = SQL("SELECT * FROM (") + SQL(" UNION ALL ").join(parts) + SQL(") AS found") + text.ORDER
        values = {"apps": list(apps), "run": run, "area": area}
        with (
            connect(dsn) as connection,
            connection.transaction(),
            connection.cursor("reported", row_factory=dict_row) as cursor,
        ):
            cursor.itersize = _PORTION
            for row in cursor.execute(query, values):
                yield reported(row, as_of)

    return read


def spooled(connection: psycopg.Connection[Any], as_of: datetime) -> Callable[[], Iterator[Reported]]:
    """The judged findings of a run that stores nothing, kept in a file without a name."""
    spool = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the function that reads it
    with connection.cursor("spooled", row_factory=dict_row) as cursor:
        cursor.execute(text.STAGED_REPORT, {"as_of": as_of})
        while rows := cursor.fetchmany(_PORTION):
            pickle.dump(rows, spool)

    def read() -> Iterator[Reported]:
        spool.seek(0)
        while True:
            try:
                rows = pickle.load(spool)  # noqa: S301 - our own file, which no other process can open
            except EOFError:
                return
            # The place in the file is kept: a second reader may start while this one pauses.
            place = spool.tell()
            for row in rows:
                yield reported(row, as_of)
            spool.seek(place)

    weakref.finalize(read, spool.close)
    return read


def reported(row: Mapping[str, Any], as_of: datetime) -> Reported:
    """A row of text.REPORTED or text.STAGED_REPORT; ``as_of``: when it was seen last, if it stands."""
    features = tuple(
        FeatureRef(ref["layer"], ref["fid"], ref["asset_id"], ref.get("owner", ""))
        for ref in orjson.loads(row["features"] or "[]")
    )
    found = Finding(
        rule=row["rule"],
        severity=row["severity"],
        features=features,
        where=shapely.from_wkb(bytes(row["geom"])),
        anchor=(_number(row["ax"]), _number(row["ay"])),
        value=row["value"],
        limit=row["limit_value"],
        unit=row["unit"] or "",
        words=row["words"],
        mends=mends.stored(row["mends"] or ()),
        reject=row["reject"],
        restricted=row["restricted"],
        network=row["network"],
    )
    last_seen = row["last_seen"]
    return Reported(
        id=row["asset_id"],
        finding=found,
        sheet=row["sheet"] or "",
        state=row["state"],
        first_seen=row["first_seen"],
        # A standing finding that is as it was is not written again: this run has seen it all the same.
        last_seen=last_seen if row["state"] == "mended" else max(last_seen, as_of),
        accepted_reason=row["accepted_reason"] or "",
        accepted_until=row["accepted_until"],
        news=row["news"],
    )


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
