"""``bandoso finding``: accept a finding with a reason, open it again, look at one and its suggested mend."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import click
import orjson

from gis.cli_common import Output, common_options
from gis.errors import UsageError
from gis.settings import Settings


@click.group(
    epilog="""\b
Examples:
  bandoso finding show F-1a2b3c --mend mend.geojson
  bandoso finding accept F-1a2b3c F-4d5e6f --reason "siphon under the canal" --until 2027-06-30
  bandoso finding reopen F-1a2b3c
"""
)
def finding() -> None:
    """Look at findings of the checks and say what becomes of them. Their ids are in every report."""


@finding.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@click.option("--reason", required=True, help="Why it may stay; shown with the finding.")
@click.option(
    "--until",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="YYYY-MM-DD",
    help="The last day that it is accepted [for good].",
)
@common_options
def accept(
    settings: Settings, output: Output, /, ids: tuple[str, ...], reason: str, until: datetime | None
) -> None:
    """Accept findings: they stay in the layer, but no longer count as errors."""
    from gis.checks.accept import accept as accept_findings

    last = until.date() if until else None
    changed = _say(
        settings,
        lambda connection, catalogue, today: accept_findings(
            connection, catalogue, ids, reason=reason, until=last, today=today
        ),
    )
    output.emit(
        {"accepted": list(ids), "until": last, "changed": changed},
        f"{changed} accepted{f' until {last}' if last else ''}"
        + (f", {len(set(ids)) - changed} were so already" if changed < len(set(ids)) else ""),
    )


@finding.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@common_options
def reopen(settings: Settings, output: Output, /, ids: tuple[str, ...]) -> None:
    """Take acceptances back: the findings count again."""
    from gis.checks.accept import reopen as reopen_findings

    changed = _say(
        settings, lambda connection, catalogue, _today: reopen_findings(connection, catalogue, ids)
    )
    output.emit({"open": list(ids), "changed": changed}, f"{changed} open again")


@finding.command()
@click.argument("finding_id", metavar="ID")
@click.option(
    "--mend",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the suggested mend as GeoJSON (CRS84): a feature for each geometry.",
)
@common_options
def show(settings: Settings, output: Output, /, finding_id: str, mend: Path | None) -> None:
    """Show a finding, and write the mend that is suggested for it. Nothing is changed."""
    import numpy as np

    from gis import crs
    from gis.checks.accept import one_finding
    from gis.checks.report.jsonfile import mend_features, record
    from gis.checks.report.records import place
    from gis.checks.window import Setting
    from gis.db.connect import connect
    from gis.db.server import database

    city = settings.load_city()
    catalogue = settings.load_catalogue(city)
    setting = Setting(city, catalogue, city.today())
    with database(settings) as db, connect(db.owner_dsn) as connection:
        one = one_finding(connection, catalogue, finding_id)
    shape = crs.transform_geometries(np.array([place(one)], dtype=object), city.crs.storage, crs.WGS84)[0]
    content = orjson.loads(orjson.dumps(record(one, shape, setting)))
    if mend is not None:
        if not one.finding.mends:
            raise UsageError(
                f"no mend is suggested for {finding_id}", hint=f"{one.finding.rule} has none here"
            )
        try:
            mend.write_bytes(orjson.dumps(mend_features(one, setting)))
        except OSError as error:
            raise UsageError(f"{mend.name} cannot be written: {(error.strerror or '').lower()}") from None
    output.emit(content, _as_text(content, mend))


def _as_text(content: dict[str, Any], mend: Path | None) -> str:
    features = ", ".join(f"{f['layer']} {f['asset_id']}" for f in content["features"])
    lines = [
        f"{content['id']}  {content['rule']}  {content['severity']}  {content['status']}",
        content["message"]["en"],
        content["message"]["vi"],
        f"features: {features}",
        f"sheet: {content['sheet'] or 'none'}",
        f"first seen {content['first_seen'][:16]}, last {content['last_seen'][:16]}",
    ]
    if accepted := content.get("accepted"):
        until = f" until {accepted['until']}" if accepted["until"] else ""
        lines.append(f"accepted{until}: {accepted['reason']}")
    lines += [
        f"suggested: {m['action']} {m['layer']} {m['asset_id']}"
        + ("" if m["action"] == "delete" else f", moves {m['moved_m']:.3f} m")
        for m in content.get("mends", ())
    ]
    if mend is not None:
        lines.append(f"mend: {mend}")
    return "\n".join(lines)


def _say(settings: Settings, change: Any) -> int:
    from gis.db.connect import connect
    from gis.db.migrate import prepare_what_stands
    from gis.db.server import database

    city = settings.load_city()
    catalogue = settings.load_catalogue(city)
    with database(settings) as db:
        prepare_what_stands(db.owner_dsn, city, catalogue)
        with connect(db.owner_dsn, autocommit=False) as connection:
            changed: int = change(connection, catalogue, city.today())
            connection.commit()
    return changed
