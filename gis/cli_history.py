"""``bandoso history``, ``changesets`` and ``undo``: what was, who changed it, and putting it back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
from psycopg.sql import SQL, Identifier

from gis.cli_common import Output, common_options
from gis.errors import NotFoundError, UsageError
from gis.settings import Settings

if TYPE_CHECKING:
    import psycopg

    from layers.registry import Catalogue

#: Longest value of an attribute in a table.
_LONGEST = 40


class _History(click.Group):
    """``history LAYER FID`` beside ``history purge``."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands:
            args = ["show", *args]
        return super().resolve_command(ctx, args)


@click.group(
    cls=_History,
    epilog="""\b
Examples:
  bandoso history water_pipe 4711
  bandoso history purge --before 2020-01-01 --dry-run
""",
)
def history() -> None:
    """Show the versions of a feature (LAYER FID), or purge old history."""


@history.command(hidden=True)
@click.argument("layer")
@click.argument("fid", type=int)
@common_options
def show(settings: Settings, output: Output, layer: str, fid: int) -> None:
    """Show the versions of a feature, gone or not: the newest first."""
    with _database(settings) as (connection, catalogue):
        if layer not in catalogue.layers:
            raise NotFoundError(f"there is no layer {layer!r}", hint="bandoso layers lists them")
        versions = _versions(connection, layer, fid)
    if not versions:
        raise NotFoundError(f"{layer} has no feature {fid}, and had none")
    lines = []
    for one, older in zip(versions, [*versions[1:], None], strict=True):
        until = one["valid_to"] or "now"
        lines.append(f"version {one['version']}   {one['valid_from']} .. {until}")
        lines.append(f"  made by {_who(one['made'])}")
        if one["valid_to"] and one["deleted"]:
            lines.append(f"  taken away by {_who(one['ended'])}")
        lines += [f"  {line}" for line in _differences(one, older)]
    output.emit({"layer": layer, "fid": fid, "versions": versions}, "\n".join(lines))


@history.command()
@click.option(
    "--before", required=True, metavar="DATE", help="Forget versions that ended before (2020-01-31)."
)
@click.option("--layer", metavar="ID", help="Of this layer alone.")
@click.option("--dry-run", is_flag=True, help="Count what would go, change nothing.")
@common_options
def purge(settings: Settings, output: Output, before: str, layer: str | None, dry_run: bool) -> None:
    """Forget what was before DATE. Features as they stand, and who made them so, stay.

    What is forgotten cannot be shown, compared or undone any more: a question about a time before is refused.
    """
    moment = _moment(before, "--before")
    if moment > datetime.now(UTC):
        raise UsageError("--before lies in the future")
    with _database(settings) as (connection, _), connection.transaction():
        rows = connection.execute(
            "SELECT * FROM bandoso.purge_history(%s, %s, %s)", [moment, layer, not dry_run]
        ).fetchall()
    found = [{"layer": row[0], "versions": row[1], "changes": row[2]} for row in rows]
    lines = [f"{row[0]:<26}{row[1]:>12,} versions{row[2]:>12,} changes" for row in rows]
    done = "would be forgotten" if dry_run else "were forgotten"
    lines.append(f"{sum(row[1] for row in rows):,} versions from before {moment.isoformat()} {done}")
    output.emit({"before": moment.isoformat(), "dry_run": dry_run, "layers": found}, "\n".join(lines))


@click.command(
    epilog="""\b
Examples:
  bandoso changesets --layer water_pipe --since 2026-01-01
  bandoso changesets --author lan
"""
)
@click.option("--layer", metavar="ID", help="Those that touched this layer.")
@click.option("--author", metavar="NAME", help="Those of this account or operator.")
@click.option("--since", metavar="TIME", help="Those since then.")
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="The newest so many."
)
@common_options
def changesets(
    settings: Settings, output: Output, layer: str | None, author: str | None, since: str | None, limit: int
) -> None:
    """List changesets, the newest first: edits, loads, undos, and SQL of the database's owner."""
    moment = _moment(since, "--since") if since else None
    with _database(settings) as (connection, _):
        rows = connection.execute(
            "SELECT id, at, author, agency, kind, comment, source, undoes, summary FROM bandoso.changeset"
            " WHERE (%(layer)s::text IS NULL OR summary ? %(layer)s::text)"
            " AND (%(author)s::text IS NULL OR author = %(author)s)"
            " AND (%(since)s::timestamptz IS NULL OR at >= %(since)s) ORDER BY id DESC LIMIT %(limit)s",
            {"layer": layer, "author": author, "since": moment, "limit": limit},
        ).fetchall()
    names = ("id", "at", "author", "agency", "kind", "comment", "source", "undoes", "layers")
    found = [{**dict(zip(names, row, strict=True)), "at": _time(row[1])} for row in rows]
    lines = [_line(one) for one in found] or ["there are none"]
    output.emit({"changesets": found}, "\n".join(lines))


@click.command(
    epilog="""\b
Examples:
  bandoso undo 4711 --comment 'loaded twice'
  bandoso undo 4711 --dry-run
"""
)
@click.argument("number", type=int)
@click.option("--comment", metavar="TEXT", help="Why, for the history.")
@click.option("--author", metavar="NAME", help="Who undoes it, for the history [your login name].")
@click.option("--dry-run", is_flag=True, help="Say whether it can be undone, change nothing.")
@common_options
def undo(
    settings: Settings, output: Output, number: int, comment: str | None, author: str | None, dry_run: bool
) -> None:
    """Undo changeset NUMBER by a new one, unless later changes stand in the way.

    The checks judge the result as they judge an edit, and may refuse it.
    """
    from gis.checks.window import Setting
    from gis.edit.undo import CannotUndo, undo_as_operator, undoing
    from gis.ingest.versions import operator

    city = settings.load_city()
    with _database(settings) as (connection, catalogue):
        try:
            if dry_run:
                planned = undoing(connection, catalogue, number)
                what = f"changeset {number} can be undone: {len(planned.changes)} features"
                output.emit({"undoes": number, "features": len(planned.changes), "dry_run": True}, what)
                return
            setting = Setting(city, catalogue, city.today())
            done = undo_as_operator(connection, setting, number, author or operator(), comment)
        except CannotUndo as refused:
            refused.errors = [
                {"pointer": f"/{o.layer}/{o.fid}", "detail": o.sentence} for o in refused.obstacles
            ]
            raise
    result = {"changeset": done.changeset_id, "undoes": number, "features": len(done.features)}
    output.emit(result, f"changeset {done.changeset_id} undoes {number}: {len(done.features)} features")


@contextmanager
def _database(settings: Settings) -> Iterator[tuple[psycopg.Connection, Catalogue]]:
    from gis.db.migrate import prepare_what_stands
    from gis.db.pool import owner_connection
    from gis.db.server import database

    city = settings.load_city()
    catalogue = settings.load_catalogue(city)
    with database(settings) as db:
        prepare_what_stands(db.owner_dsn, city, catalogue)
        with owner_connection(db) as connection:
            yield connection, catalogue


def _versions(connection: psycopg.Connection, layer: str, fid: int) -> list[dict[str, Any]]:
    rows = connection.execute(
        SQL(
            "SELECT v.version, v.valid_from, v.valid_to, v.owner, v.properties, ST_AsText(v.geom, 3),"
            " e.made_by, e.ended_by, e.goes_on FROM ("
            "SELECT version, valid_from, valid_to, owner, properties, geom"
            " FROM bandoso.version WHERE layer = %(layer)s AND fid = %(fid)s"
            " UNION ALL SELECT version, updated_at, NULL, owner,"
            " to_jsonb(t) - '{{fid,version,updated_at,owner,geom}}'::text[], geom"
            " FROM {} AS t WHERE fid = %(fid)s"
            ") AS v JOIN bandoso.version_events(%(layer)s, %(fid)s) AS e USING (version)"
            " ORDER BY v.version DESC"
        ).format(Identifier("layer", layer)),
        {"layer": layer, "fid": fid},
    ).fetchall()
    told = {
        row[0]: dict(zip(("changeset", "at", "author", "agency", "kind", "comment"), row, strict=True))
        for row in connection.execute(
            "SELECT id, at, author, agency, kind, comment FROM bandoso.changeset WHERE id = ANY (%s)",
            [[n for row in rows for n in row[6:8] if n is not None]],
        ).fetchall()
    }
    for one in told.values():
        one["at"] = _time(one["at"])
    return [
        {
            "version": number,
            "valid_from": _time(begins),
            "valid_to": _time(ends),
            "made": told.get(made),
            "ended": told.get(ended),
            "deleted": ends is not None and not goes_on,
            "properties": {"owner": owner, **{k: v for k, v in sorted(values.items()) if k != "load_id"}},
            "geometry": shape,
        }
        for number, begins, ends, owner, values, shape, made, ended, goes_on in rows
    ]


def _differences(one: dict[str, Any], older: dict[str, Any] | None) -> list[str]:
    now, then = one["properties"], older["properties"] if older else {}
    lines = [
        f"{name}: {_short(then.get(name))} -> {_short(now.get(name))}"
        for name in dict.fromkeys([*then, *now])
        if now.get(name) != then.get(name)
    ]
    if older is None or older["geometry"] != one["geometry"]:
        lines.append(f"geometry: {_short(one['geometry'])}")
    return lines


def _short(value: Any) -> str:
    text = "-" if value is None else str(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _who(one: dict[str, Any] | None) -> str:
    if one is None:
        return "nobody that is known"
    agency = f" of {one['agency']}" if one["agency"] else ""
    said = f": {one['comment']}" if one["comment"] else ""
    return f"{one['author']}{agency} in changeset {one['changeset']} ({one['kind']}){said}"


def _line(one: dict[str, Any]) -> str:
    layers = ", ".join(
        f"{name} " + "".join(f"{sign}{what[key]}" for key, sign in _SIGNS if what.get(key))
        for name, what in sorted((one["layers"] or {}).items())
    )
    undoes = f" of {one['undoes']}" if one["undoes"] else ""
    said = f"  {one['comment']}" if one["comment"] else ""
    return f"{one['id']:>8}  {one['at'][:19]}  {one['kind']}{undoes}  {one['author']}  {layers}{said}"


_SIGNS = (("created", "+"), ("updated", "~"), ("deleted", "-"))


def _time(value: datetime | None) -> Any:
    return None if value is None else value.astimezone(UTC).isoformat(timespec="microseconds")


def _moment(text: str, option: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{option} must be a date, or a time as 2026-01-31T07:00:00Z") from None
    return found if found.tzinfo else found.astimezone()
