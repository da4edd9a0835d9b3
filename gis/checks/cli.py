"""``bandoso check``: judge the city, or a part of it, by its rules."""

from __future__ import annotations

import difflib
import functools
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gis.cli_common import Output, common_options, progress, warn_left_out, warn_refused
from gis.errors import NotFoundError, UsageError
from gis.settings import Settings

if TYPE_CHECKING:
    import shapely

    from gis.checks.model import Application, Outcome
    from gis.city import City
    from layers.registry import Catalogue

_SEVERITIES = {"E": "error", "W": "warning", "I": "note"}


def _could_not_run[**P](command: Callable[P, None]) -> Callable[P, None]:
    """Exit 2 for every reason not to have run: 1 means that errors were found in the data."""

    @functools.wraps(command)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except SystemExit as end:
            sys.exit(end.code if end.code in (0, 1, 130) else 2)

    return wrapper


def _box(_context: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[float, ...] | None:
    if value is None:
        return None
    try:
        box = tuple(float(part) for part in value.split(","))
    except ValueError:
        box = ()
    if len(box) != 4 or not (box[0] < box[2] and box[1] < box[3]):
        raise click.BadParameter(
            "must be west,south,east,north: four numbers, west below east, south below north"
        )
    return box


@click.command(
    epilog="""\b
Examples:
  bandoso check                                      everything, by all rules of the layer files
  bandoso check cadastre_parcel --report parcels.html
  bandoso check --rule NET-01 --rule NET-03
  bandoso check --sheet "194 602-8" --report sheet.gpkg
  bandoso check --bbox 106.71,10.76,106.73,10.78 --no-store --json

\b
Exit: 0 no error, 1 errors found, 2 could not run.
"""
)
@click.argument("layer", nargs=-1)
@click.option("--rule", "rule", multiple=True, metavar="ID", help="Only this rule; may be given again.")
@click.option(
    "--bbox",
    callback=_box,
    metavar="W,S,E,N",
    help="Only findings in this box: degrees (WGS 84), or metres of the storage CRS.",
)
@click.option("--sheet", metavar="NAME", help="Only findings on this map sheet, of either system.")
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the findings, too: .html, .json, .csv or .gpkg.",
)
@click.option("--no-store", is_flag=True, help="Look only: keep no findings, mark none as mended.")
@click.option("--workers", type=click.IntRange(0, 256), metavar="N", help="Processes [one for each core].")
@click.option("--scheduler", metavar="ADDRESS", help="Use the workers of this Dask scheduler (tcp://...).")
@_could_not_run
@common_options
def check(settings: Settings, output: Output, /, layer: tuple[str, ...], **options: Any) -> None:
    """Check the topology and quality of all layers, or of those that are named.

    What is found stands in the layer `finding`; a finding that was seen before stays the same one, and one
    that is no more becomes mended. Ctrl-C leaves everything as it was.
    """
    from gis.checks.registry import mistakes
    from gis.checks.report import check_place, write_report
    from gis.checks.report.records import summary
    from gis.checks.run import run_checks
    from gis.checks.window import Setting
    from gis.db.migrate import prepare_what_stands
    from gis.db.server import database

    report: Path | None = options["report"]
    if report is not None:
        check_place(report)
    city = settings.load_city()
    catalogue, broken = settings.load_standing(city)
    warn_left_out((*broken, *mistakes(catalogue)))
    apps = chosen(catalogue, layer, options["rule"])
    area, name = _area(city, options["bbox"], options["sheet"])
    setting = Setting(city, catalogue, city.today())
    with progress("checking") as bar, database(settings) as db:
        # A catalogue that lacks files says nothing about the tables: they stay as they are.
        refusal = None if broken else prepare_what_stands(db.owner_dsn, city, catalogue)
        if refusal is not None:
            warn_refused(refusal)
        outcome = run_checks(
            db,
            setting,
            apps,
            area=area,
            area_name=name,
            workers=options["workers"],
            store=not options["no_store"],
            scheduler=options["scheduler"],
            progress=bar,
            partial=bool(broken),
        )
        if report is not None:
            _write(report, db.owner_dsn, outcome, setting, write_report)
        told: dict[str, Any] = {"summary": summary(outcome, setting)}
    if area is not None and not any(outcome.checked.values()) and not area.intersects(_city(city)):
        raise UsageError(
            f"{name} lies outside the city, and nothing is there",
            hint="a box is west,south,east,north: degrees (longitude first), or metres (east first)",
        )
    if report is not None:
        told["report"] = str(report)
    output.emit(told, as_text(outcome, report))
    sys.exit(1 if outcome.errors() else 0)


def chosen(catalogue: Catalogue, layers: Sequence[str], rule_ids: Sequence[str]) -> list[Application]:
    """The applications that judge one of ``layers`` by one of ``rule_ids``; empty means all.

    Raises NotFoundError for unknown names, with the nearest known ones, and UsageError when none is left.
    """
    from gis.checks.registry import applications, rules

    wanted = [rule.upper() for rule in rule_ids]
    for rule in wanted:
        if rule not in rules():
            raise _unknown("rule", rule, rules(), "docs/checks.md describes all rules")
    for name in layers:
        if name not in catalogue.layers:
            raise _unknown("layer", name, catalogue.layers, "bandoso layers lists them")
    found = [
        app
        for app in applications(catalogue)
        if (not layers or set(layers) & set(app.layers)) and (not wanted or app.rule.id in wanted)
    ]
    if not found:
        raise UsageError(
            "the layer files ask for no such check",
            hint=f"no rule of {', '.join(wanted) or 'the catalogue'} judges {', '.join(layers) or 'a layer'}",
        )
    return found


def _unknown(kind: str, name: str, known: Iterable[str], otherwise: str) -> NotFoundError:
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else otherwise
    return NotFoundError(f"there is no {kind} {name[:60]!r}", hint=hint)


def _area(
    city: City, box: tuple[float, ...] | None, sheet: str | None
) -> tuple[shapely.Geometry | None, str]:
    """The area in the storage CRS, and what to call it. Raises UsageError."""
    import shapely

    from gis import crs
    from gis.sheets import parse_sheet

    storage = city.crs.storage
    if box is not None and sheet is not None:
        raise UsageError("--bbox and --sheet do not go together")
    if sheet is not None:
        found = parse_sheet(sheet, crs=storage)
        return found.outline(storage), found.name
    if box is None:
        return None, ""
    name = ",".join(f"{value:.12g}" for value in box)
    if all(abs(value) <= 180 for value in box):
        return crs.transform_box((box[0], box[1], box[2], box[3]), 4326, storage), name
    return shapely.box(*box), name


def _city(city: City) -> shapely.Geometry:
    """The extent of the city in the storage CRS."""
    from gis import crs

    west, south, east, north = city.extent
    return crs.transform_box((west, south, east, north), 4326, city.crs.storage)


def _write(report: Path, dsn: str, outcome: Outcome, setting: Any, write_report: Callable[..., None]) -> None:
    """The report, with what lies around the findings from the database."""
    from gis.checks.dbsource import DatabaseSource
    from gis.db.connect import connect

    with connect(dsn) as connection:
        source = DatabaseSource(connection, setting.catalogue, setting.city.crs.storage)
        try:
            write_report(report, outcome, setting, source=source)
        except OSError as error:
            reason = (error.strerror or "the disk refuses").lower()
            raise UsageError(f"the report {report.name} cannot be written: {reason}") from None


def as_text(outcome: Outcome, report: Path | None = None) -> str:
    """What people read: findings by rule and severity, what is new and mended, what was not judged."""
    from gis.checks.registry import rules

    lines = []
    if outcome.counts:
        known = list(rules())
        ordered = sorted(outcome.counts.items(), key=lambda i: ("EWI".index(i[0][1]), known.index(i[0][0])))
        width = max(len(f"{number:,}") for _, number in ordered)
        lines += [
            f"{severity}  {rule}  {number:>{width},}  {rules()[rule].rule.title.en}"
            for (rule, severity), number in ordered
        ]
        lines.append("")
    totals = {
        severity: sum(number for (_, of), number in outcome.counts.items() if of == severity)
        for severity in _SEVERITIES
    }
    found = ", ".join(_many(number, _SEVERITIES[severity]) for severity, number in totals.items() if number)
    accepted = f", {outcome.accepted:,} of them accepted" if outcome.accepted else ""
    where = f" in {outcome.area_name}" if outcome.area_name else ""
    lines.append(
        f"{found or 'nothing found'}{accepted}{where} ({outcome.new:,} new, {outcome.mended:,} mended)"
    )
    features = sum(outcome.checked.values())
    seconds = (outcome.finished - outcome.started).total_seconds()
    lines.append(f"{_many(features, 'feature')} in {_many(len(outcome.checked), 'layer')}, {seconds:.1f} s")
    lines += [f"not judged: {sentence}" for sentence in outcome.undecided]
    if report is not None:
        lines.append(f"report: {report}")
    return "\n".join(lines)


def _many(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
