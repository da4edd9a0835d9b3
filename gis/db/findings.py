"""Findings of the checks, where the database's definitions touch them."""

from __future__ import annotations

from psycopg import Connection
from psycopg.sql import SQL, Identifier

from gis.db.sql import LAYERS, columns

PUBLIC, RESTRICTED = "finding", "finding_restricted"


def hide_findings(connection: Connection, layer_id: str) -> int:
    """Take the public findings about a layer that is public no more out of sight, at once and not with the
    next check. Gives how many. Nothing where there are no findings yet."""
    found = connection.execute(
        "SELECT a.attname FROM pg_attribute AS a JOIN pg_attribute AS b ON b.attname = a.attname"
        " WHERE a.attrelid = to_regclass(%s) AND b.attrelid = to_regclass(%s) AND a.attname <> 'fid'"
        " AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
        [f"{LAYERS}.{PUBLIC}", f"{LAYERS}.{RESTRICTED}"],
    ).fetchall()
    if not found:
        return 0
    return connection.execute(
        SQL(
            "WITH gone AS (DELETE FROM {public} WHERE %s = ANY (string_to_array(layers, ',')) RETURNING *),"
            " moved AS (INSERT INTO {restricted} ({columns}) SELECT {columns} FROM gone RETURNING asset_id)"
            " UPDATE bandoso.finding_key AS k SET restricted = true FROM moved WHERE k.id = moved.asset_id"
        ).format(
            public=Identifier(LAYERS, PUBLIC),
            restricted=Identifier(LAYERS, RESTRICTED),
            columns=columns([row[0] for row in found]),
        ),
        [layer_id],
    ).rowcount
