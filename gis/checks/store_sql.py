"""The statements of gis.checks.store: temporary tables, pairing, and writing only what changed."""

from __future__ import annotations

from functools import cache

from psycopg.sql import SQL, Composable, Composed, Identifier, Placeholder

from gis.checks.encode import COLUMNS
from gis.db import sql as names

#: Made once in a session (a pool's connection sees many edits, and each new table would be rows in the system
#: catalogues), emptied at each commit.
_TABLES = (
    SQL("CREATE TEMP TABLE IF NOT EXISTS staged (n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, ")
    + SQL(", ").join(SQL(f"{name} {kind}") for name, kind in COLUMNS.items())
    + SQL(") ON COMMIT DELETE ROWS"),
    SQL(
        'CREATE TEMP TABLE IF NOT EXISTS known (id text COLLATE "C" PRIMARY KEY, restricted boolean,'
        " base uuid, content uuid, app text, ax double precision, ay double precision, px double precision,"
        " py double precision, about text[], state text, first_seen timestamptz, last_seen timestamptz,"
        " accepted_reason text, accepted_until date) ON COMMIT DELETE ROWS"
    ),
    SQL(
        'CREATE TEMP TABLE IF NOT EXISTS pair (n bigint PRIMARY KEY, id text COLLATE "C" UNIQUE)'
        " ON COMMIT DELETE ROWS"
    ),
    # was: where its row is (null: nowhere yet); news: new or again; changed: something is to be written
    SQL(
        'CREATE TEMP TABLE IF NOT EXISTS judged (n bigint PRIMARY KEY, id text COLLATE "C", ordinal integer,'
        " was boolean, state text, news text, changed boolean, first_seen timestamptz, accepted_reason text,"
        " accepted_until date) ON COMMIT DELETE ROWS"
    ),
    SQL(
        'CREATE TEMP TABLE IF NOT EXISTS gone (id text COLLATE "C" PRIMARY KEY, app text, restricted boolean)'
        " ON COMMIT DELETE ROWS"
    ),
    SQL(
        "CREATE TEMP TABLE IF NOT EXISTS newer (apps text[], minx double precision, miny double precision,"
        " maxx double precision, maxy double precision, about text[], area public.geometry,"
        " everywhere boolean) ON COMMIT DELETE ROWS"
    ),
)
_NAMES = ("staged", "known", "pair", "judged", "gone", "newer")
#: In one go. Emptied row by row: an edit has few, and a run starts without any.
TEMPORARY = names.rendered(
    SQL("; ").join(
        [
            SQL("SET LOCAL client_min_messages = warning"),
            *_TABLES,
            *(SQL("DELETE FROM {}").format(Identifier("pg_temp", name)) for name in _NAMES),
        ]
    )
)

STAGED_WITHIN = SQL("DELETE FROM pg_temp.staged WHERE NOT public.ST_Intersects(geom, %s::public.geometry)")

LOOK = SQL(
    "INSERT INTO pg_temp.known SELECT k.id, k.restricted, k.base, k.content, k.app, k.ax, k.ay, k.px, k.py,"
    " k.about, f.state, f.first_seen, f.last_seen, f.accepted_reason, f.accepted_until"
    " FROM bandoso.finding_key AS k JOIN {table} AS f ON f.asset_id = k.id WHERE ({where})"
    " ON CONFLICT (id) DO NOTHING"
)


def in_box(suffix: str = "") -> Composable:
    """Keys ``k`` of some applications with an anchor in a box (parameters: apps, minx, ...; with a suffix).

    By the index first: native boxes are closed and compare with a tolerance of 1e-6, hence a little larger.
    """
    names_of = {name: Placeholder(f"{name}{suffix}") for name in ("apps", "minx", "miny", "maxx", "maxy")}
    return SQL(
        "k.app = ANY ({apps}::text[]) AND k.ax IS NOT NULL AND point(k.ax, k.ay) <@ box("
        "point(greatest({minx}, -1e12) - 0.001, greatest({miny}, -1e12) - 0.001),"
        " point(least({maxx}, 1e12) + 0.001, least({maxy}, 1e12) + 0.001))"
        " AND k.ax >= {minx} AND k.ax < {maxx} AND k.ay >= {miny} AND k.ay < {maxy}"
    ).format(**names_of)


@cache
def look_in_boxes(layer_id: str, number: int) -> bytes:
    """LOOK at findings in one of so many windows (parameters: those of in_box, with suffixes from 0)."""
    table = Identifier(names.LAYERS, layer_id)
    return names.rendered(LOOK.format(table=table, where=in_boxes(number)))


@cache
def known_before(number: int) -> bytes:
    """Before an edit is judged: whether there is a finding in one of so many windows, the applications with
    one about a feature (parameter about), and the places of what no edit may judge (keys with "!")."""
    query = SQL(
        "SELECT EXISTS (SELECT FROM bandoso.finding_key AS k WHERE {}),"
        " (SELECT array_agg(DISTINCT k.app) FROM bandoso.finding_key AS k WHERE k.about && %(about)s),"
        " (SELECT array_agg(k.app || ' ' || k.ax || ' ' || k.ay) FROM bandoso.finding_key AS k"
        "  WHERE k.app LIKE '%%!')"
    )
    return names.rendered(query.format(in_boxes(number)))


def in_boxes(number: int) -> Composed:
    return SQL(" OR ").join([SQL("FALSE"), *(in_box(str(n)) for n in range(number))])


LOOK_AWAY = SQL(
    "DELETE FROM pg_temp.known WHERE app = ANY (%(apps)s)"
    " AND ax >= %(minx)s AND ax < %(maxx)s AND ay >= %(miny)s AND ay < %(maxy)s"
)

NEWER = SQL(
    "INSERT INTO pg_temp.newer"
    " SELECT apps, minx, miny, maxx, maxy, about, NULL, false FROM bandoso.check_edit"
    " WHERE at > %(as_of)s - interval '1 day' AND NOT pg_visible_in_snapshot(xid, %(snapshot)s::pg_snapshot)"
    " UNION ALL"
    " SELECT apps, NULL, NULL, NULL, NULL, NULL, area, area IS NULL FROM bandoso.check_run"
    " WHERE as_of > %(as_of)s AND finished_at IS NOT NULL AND id <> %(run)s"
)

_IS_NEWER = SQL(
    "t.app = ANY (e.apps) AND (e.everywhere"
    " OR t.ax >= e.minx AND t.ax < e.maxx AND t.ay >= e.miny AND t.ay < e.maxy"
    " OR t.about && e.about"
    " OR e.area IS NOT NULL AND public.ST_Intersects(e.area, {place}))"
)
_LEAVE = SQL("DELETE FROM pg_temp.{table} AS t WHERE EXISTS (SELECT FROM pg_temp.newer AS e WHERE {newer})")
_PLACE = SQL("public.ST_SetSRID(public.ST_MakePoint(t.px, t.py), public.ST_SRID(e.area))")
LEAVE_NEWER = (
    _LEAVE.format(table=SQL("staged"), newer=_IS_NEWER.format(place=SQL("t.geom"))),
    _LEAVE.format(table=SQL("known"), newer=_IS_NEWER.format(place=_PLACE)),
)

#: Where rule and features tell already: one found, one known. Nearly all findings of a rerun.
PAIR_ALONE = SQL(
    "INSERT INTO pg_temp.pair SELECT s.n, o.id"
    " FROM (SELECT base, min(n) AS n FROM pg_temp.staged GROUP BY base HAVING count(*) = 1) AS s"
    " JOIN (SELECT base, min(id) AS id FROM pg_temp.known GROUP BY base HAVING count(*) = 1) AS o"
    " USING (base)"
)
#: Of several, those at the same millimetre; of several there, in the order of what they say.
PAIR_SAME_PLACE = SQL(
    "INSERT INTO pg_temp.pair SELECT s.n, o.id FROM"
    " (SELECT n, base, round(px * 1000) AS x, round(py * 1000) AS y, row_number() OVER (PARTITION BY base,"
    "  round(px * 1000), round(py * 1000) ORDER BY content, n) AS r FROM pg_temp.staged AS t"
    "  WHERE NOT EXISTS (SELECT FROM pg_temp.pair AS p WHERE p.n = t.n)) AS s"
    " JOIN (SELECT id, base, round(px * 1000) AS x, round(py * 1000) AS y, row_number() OVER (PARTITION BY"
    "  base, round(px * 1000), round(py * 1000) ORDER BY id) AS r FROM pg_temp.known AS t"
    "  WHERE NOT EXISTS (SELECT FROM pg_temp.pair AS p WHERE p.id = t.id)) AS o"
    " USING (base, x, y, r)"
)
#: What is left of bases that have some on either side.
LEFT = SQL(
    "SELECT base, n, id, px, py FROM (SELECT *, count(n) OVER same AS news, count(id) OVER same AS olds"
    " FROM (SELECT base, n, NULL::text AS id, px, py FROM pg_temp.staged AS s"
    " WHERE NOT EXISTS (SELECT FROM pg_temp.pair AS p WHERE p.n = s.n)"
    " UNION ALL SELECT base, NULL, id, px, py FROM pg_temp.known AS o"
    " WHERE NOT EXISTS (SELECT FROM pg_temp.pair AS p WHERE p.id = o.id)"
    ") AS rest WINDOW same AS (PARTITION BY base)) AS counted"
    " WHERE news > 0 AND olds > 0 ORDER BY base, n, id"
)

JUDGE = SQL(
    "INSERT INTO pg_temp.judged (n, id, ordinal, was, state, news, changed, first_seen, accepted_reason,"
    " accepted_until)"
    " SELECT n, id, NULL, was, state, news,"
    "  id IS NULL OR state <> old_state OR old_content <> content OR was <> restricted OR old_app <> app,"
    "  first_seen, accepted_reason, accepted_until"
    " FROM (SELECT s.n, s.content, s.restricted, s.app, o.id, o.restricted AS was, o.content AS old_content,"
    "   o.app AS old_app, o.state AS old_state, o.first_seen, o.accepted_reason, o.accepted_until,"
    "   CASE WHEN o.state = 'accepted' AND (o.accepted_until IS NULL OR o.accepted_until >= %(today)s)"
    "    THEN 'accepted' ELSE 'open' END AS state,"
    "   CASE WHEN o.id IS NULL OR o.state = 'mended' THEN 'new' ELSE 'again' END AS news"
    "  FROM pg_temp.staged AS s LEFT JOIN pg_temp.pair AS p ON p.n = s.n"
    "  LEFT JOIN pg_temp.known AS o ON o.id = p.id) AS both_sides"
)

#: The first of a base has its plain name, others -2, -3 in the order of their places.
NAME_NEW = SQL(
    "UPDATE pg_temp.judged AS j SET ordinal = named.ordinal,"
    " id = named.name || CASE WHEN named.ordinal = 1 THEN '' ELSE '-' || named.ordinal END"
    " FROM (SELECT s.n, s.name, coalesce(taken.most, 0)"
    "   + row_number() OVER (PARTITION BY s.base ORDER BY s.px, s.py, s.content, s.n) AS ordinal"
    "  FROM pg_temp.judged AS u JOIN pg_temp.staged AS s ON s.n = u.n AND u.id IS NULL"
    "  LEFT JOIN (SELECT k.base, max(k.ordinal) AS most FROM bandoso.finding_key AS k"
    "   WHERE k.base IN (SELECT t.base FROM pg_temp.staged AS t JOIN pg_temp.judged AS v ON v.n = t.n"
    "    AND v.id IS NULL) GROUP BY k.base) AS taken ON taken.base = s.base) AS named"
    " WHERE j.n = named.n"
)

GONE = SQL(
    "INSERT INTO pg_temp.gone SELECT o.id, o.app, o.restricted FROM pg_temp.known AS o"
    " WHERE o.state <> 'mended' AND NOT EXISTS (SELECT FROM pg_temp.pair AS p WHERE p.id = o.id)"
)

SHOWN = (
    "owner", "rule", "severity", "layers", "features", "value", "limit_value", "unit", "sheet", "message_vi",
    "message_en", "geom",
)  # fmt: skip
KEY = (
    "restricted", "content", "app", "ax", "ay", "px", "py", "about", "network", "reject", "words", "mends",
)  # fmt: skip
_JUDGED = SQL("pg_temp.judged AS j JOIN pg_temp.staged AS s ON s.n = j.n")


def taken(columns: tuple[str, ...]) -> Composed:
    """``column = s.column`` of each."""
    return SQL(", ").join(SQL("{} = {}").format(names.column(c), names.column(c, "s")) for c in columns)


@cache
def write(layer_id: str) -> tuple[bytes, ...]:
    """The statements for one of the two layers (parameters: restricted, as_of). A finding that became public,
    or stopped being so, moves."""
    parts = {
        "table": Identifier(names.LAYERS, layer_id),
        "judged": _JUDGED,
        "shown": names.columns(SHOWN),
        "values": names.columns(SHOWN, "s"),
        "taken": taken(SHOWN),
    }
    statements = (
        SQL(
            "DELETE FROM {table} AS f USING pg_temp.judged AS j, pg_temp.staged AS s WHERE s.n = j.n"
            " AND f.asset_id = j.id AND j.was = %(restricted)s AND s.restricted <> %(restricted)s"
        ).format(**parts),
        SQL(
            "UPDATE {table} AS f SET state = j.state, last_seen = %(as_of)s, version = f.version + 1,"
            " updated_at = now(), {taken} FROM {judged} WHERE f.asset_id = j.id AND j.changed"
            " AND j.was = %(restricted)s AND s.restricted = %(restricted)s"
        ).format(**parts),
        SQL(
            "INSERT INTO {table} (asset_id, state, first_seen, last_seen, accepted_reason, accepted_until,"
            " {shown}) SELECT j.id, j.state, coalesce(j.first_seen, %(as_of)s), %(as_of)s,"
            " j.accepted_reason, j.accepted_until, {values} FROM {judged} WHERE s.restricted = %(restricted)s"
            " AND (j.was IS NULL OR j.was <> %(restricted)s) ORDER BY j.id"
        ).format(**parts),
        SQL(
            "UPDATE {table} AS f SET state = 'mended', version = f.version + 1, updated_at = now(),"
            " last_seen = greatest(f.last_seen, a.as_of)"
            " FROM pg_temp.gone AS g LEFT JOIN bandoso.check_app AS a ON a.app = g.app"
            " WHERE f.asset_id = g.id AND g.restricted = %(restricted)s"
        ).format(**parts),
    )
    return tuple(names.rendered(statement) for statement in statements)


_WRITE_KEYS = (
    SQL(
        "UPDATE bandoso.finding_key AS k SET {taken},"
        " new_run = CASE WHEN j.news = 'new' THEN %(run)s ELSE k.new_run END FROM {judged}"
        " WHERE k.id = j.id AND j.changed AND j.ordinal IS NULL"
    ).format(taken=taken(KEY), judged=_JUDGED),
    SQL(
        "INSERT INTO bandoso.finding_key (id, base, ordinal, new_run, {key})"
        " SELECT j.id, s.base, j.ordinal, %(run)s, {values} FROM {judged} WHERE j.ordinal IS NOT NULL"
    ).format(key=names.columns(KEY), values=names.columns(KEY, "s"), judged=_JUDGED),
    SQL("UPDATE bandoso.finding_key AS k SET mended_run = %(run)s FROM pg_temp.gone AS g WHERE k.id = g.id"),
)
WRITE_KEYS = tuple(names.rendered(statement) for statement in _WRITE_KEYS)

COUNT = SQL(
    "SELECT s.rule, s.severity, j.state, j.news, count(*)::integer FROM pg_temp.judged AS j"
    " JOIN pg_temp.staged AS s ON s.n = j.n GROUP BY 1, 2, 3, 4"
)

COUNT_STANDING = SQL(
    "SELECT f.rule, f.severity, f.state, count(*)::integer FROM {table} AS f"
    " JOIN bandoso.finding_key AS k ON k.id = f.asset_id"
    " WHERE k.app = ANY (%(apps)s) AND f.state <> 'mended' AND (%(area)s::public.geometry IS NULL"
    "  OR public.ST_Intersects(f.geom, %(area)s::public.geometry)) GROUP BY 1, 2, 3"
)

#: What a report reads, of rows ``f`` (layer columns) and ``k`` (key columns): see gis.checks.reported.
REPORTED = SQL(
    "SELECT f.asset_id, f.rule, f.severity, f.state, f.features, f.value, f.limit_value, f.unit, f.sheet,"
    " f.first_seen, f.last_seen, f.accepted_reason, f.accepted_until, public.ST_AsBinary(f.geom) AS geom,"
    " k.ax, k.ay, k.words, k.mends, k.reject, k.restricted, k.network, k.app, {news} AS news"
)
ORDER = SQL(" ORDER BY array_position(ARRAY['E', 'W', 'I'], severity), rule, sheet, asset_id")
#: What a run that stores nothing found, with the state of findings that are known already.
STAGED_REPORT = (
    SQL(
        "SELECT j.id AS asset_id, s.rule, s.severity, j.state, s.features, s.value, s.limit_value, s.unit,"
        " s.sheet, coalesce(j.first_seen, %(as_of)s) AS first_seen, %(as_of)s AS last_seen,"
        " j.accepted_reason, j.accepted_until, public.ST_AsBinary(s.geom) AS geom, s.ax, s.ay, s.words,"
        " s.mends, s.reject, s.restricted, s.network, s.app, j.news FROM {judged}"
    ).format(judged=_JUDGED)
    + ORDER
)
