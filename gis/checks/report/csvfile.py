"""The CSV report: a finding a line, for spreadsheets (with UTF-8's mark, for Excel)."""

from __future__ import annotations

import csv
from pathlib import Path

import shapely

from gis.checks.findings import message
from gis.checks.model import Outcome
from gis.checks.registry import rules
from gis.checks.report.records import layers_of, owners_of, place, standing, with_geometry
from gis.checks.source import Source
from gis.checks.window import Setting
from gis.crs import WGS84

COLUMNS = (
    *("id", "rule", "title", "severity", "status", "news", "layers", "asset_ids", "owners", "value", "limit"),
    *("unit", "sheet", "longitude", "latitude", "east", "north", "message_vi", "message_en", "first_seen"),
    *("last_seen", "accepted_reason", "accepted_until"),
)


def write(path: Path, outcome: Outcome, setting: Setting, language: str, source: Source | None) -> None:  # noqa: ARG001
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, lineterminator="\r\n")
        writer.writerow(COLUMNS)
        for one, shape in with_geometry(standing(outcome), setting, WGS84):
            found = one.finding
            degrees, metres = shapely.point_on_surface(shape), shapely.point_on_surface(place(one))
            title = rules()[found.rule].rule.title
            writer.writerow(
                [
                    one.id,
                    found.rule,
                    getattr(title, language),
                    found.severity,
                    one.state,
                    one.news,
                    " ".join(layers_of(one)),
                    safe(" ".join(ref.asset_id for ref in found.features)),
                    safe(" ".join(owners_of(one))),
                    "" if found.value is None else repr(found.value),
                    "" if found.limit is None else repr(found.limit),
                    found.unit,
                    one.sheet,
                    *_numbers(degrees, 9),
                    *_numbers(metres, 4),
                    safe(message(found, "vi")),
                    safe(message(found, "en")),
                    one.first_seen.isoformat(),
                    one.last_seen.isoformat(),
                    safe(one.accepted_reason),
                    "" if one.accepted_until is None else one.accepted_until.isoformat(),
                ]
            )


def safe(text: str) -> str:
    """Text that a spreadsheet does not take for a formula (asset ids are the deliverer's)."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _numbers(point: shapely.Point, decimals: int) -> tuple[str, str]:
    if point.is_empty:
        return "", ""
    return f"{point.x:.{decimals}f}", f"{point.y:.{decimals}f}"
