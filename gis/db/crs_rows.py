"""Our pinned CRS definitions in the database's spatial_ref_sys, which is what ST_Transform believes."""

from __future__ import annotations

import hashlib

import psycopg
from psycopg import Connection
from psycopg.sql import SQL

from gis import crs
from gis.db.state import one, set_state, state
from gis.errors import DatabaseError

_KEY = "crs"
_STORED = """
SELECT md5(string_agg(ROW (srid, auth_name, auth_srid, srtext, proj4text)::text, ' ' ORDER BY srid))
FROM spatial_ref_sys WHERE srid = ANY (%s)
"""


def write_crs_rows(connection: Connection) -> int:
    """Write our definitions into spatial_ref_sys where they differ; the number of rows written.

    Sessions that have already transformed with an old row keep it until they reconnect. Raises
    DatabaseError if the table may not be written.
    """
    codes = [each.code for each in crs.registry()]
    wanted = hashlib.sha256(repr(list(crs.registry())).encode()).hexdigest()
    # Working the rows out takes 80 ms, which every start would pay.
    if state(connection, _KEY) == f"{wanted} {one(connection, _STORED, codes)}":
        return 0
    with connection.transaction():
        written = _write(connection)
        set_state(connection, _KEY, f"{wanted} {one(connection, _STORED, codes)}")
    return written


def _write(connection: Connection) -> int:
    rows = crs.spatial_ref_rows()
    columns = ("srid", "auth_name", "auth_srid", "srtext", "proj4text")
    values = [[getattr(row, name) for row in rows] for name in columns]
    differing = SQL(
        "SELECT * FROM unnest(%s::int[], %s::text[], %s::int[], %s::text[], %s::text[])"
        " EXCEPT SELECT srid, auth_name, auth_srid, srtext, proj4text FROM spatial_ref_sys"
    )
    if not connection.execute(differing, values).fetchall():
        return 0
    insert = SQL(
        "INSERT INTO spatial_ref_sys (srid, auth_name, auth_srid, srtext, proj4text) {}"
        " ON CONFLICT (srid) DO UPDATE SET auth_name = excluded.auth_name,"
        " auth_srid = excluded.auth_srid, srtext = excluded.srtext, proj4text = excluded.proj4text"
    )
    try:
        return connection.execute(insert.format(differing), values).rowcount
    except psycopg.errors.InsufficientPrivilege:
        raise DatabaseError(
            "the database user may not write the table spatial_ref_sys",
            hint="an administrator has to run once: GRANT INSERT, UPDATE ON spatial_ref_sys TO the user",
        ) from None
