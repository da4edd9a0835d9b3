"""The HTML report: one file for people, in Vietnamese or English, that needs nothing else and prints well.

It says what stands by rule, sheet and owner, shows where on a map, and draws a few findings of each rule
with what lies around them. The whole list is the business of CSV and GeoPackage; here it ends at a bound.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import shapely
from markupsafe import Markup

from gis.checks.findings import message
from gis.checks.model import Finding, Outcome, Reported
from gis.checks.registry import rules
from gis.checks.report import maps
from gis.checks.report.records import owners_of, place, standing, summary
from gis.checks.report.words import WORDS
from gis.checks.source import Box, Source
from gis.checks.window import Setting

#: Findings that are drawn for each rule, and those that are listed in all.
DRAWN, LISTED = 6, 2_000
#: Rows of the tables by sheet and owner.
ROWS = 60
#: Side (m) of the cells that the overview's dots stand for.
CELL = 100.0


@dataclass
class Tally:
    """What is counted while the findings stream by."""

    by_sheet: dict[str, Counter[str]] = field(default_factory=dict)
    by_owner: dict[str, Counter[str]] = field(default_factory=dict)
    cells: dict[tuple[int, int], Counter[str]] = field(default_factory=dict)
    examples: dict[str, list[Reported]] = field(default_factory=dict)
    listed: list[Reported] = field(default_factory=list)
    total: int = 0

    def add(self, one: Reported) -> None:
        severity = one.finding.severity
        self.total += 1
        self.by_sheet.setdefault(one.sheet, Counter())[severity] += 1
        for owner in owners_of(one) or [""]:
            self.by_owner.setdefault(owner, Counter())[severity] += 1
        x0, y0, x1, y1 = shapely.bounds(place(one))
        if np.isfinite(x0):
            cell = int((x0 + x1) / 2 // CELL), int((y0 + y1) / 2 // CELL)
            self.cells.setdefault(cell, Counter())[severity] += 1
        some = self.examples.setdefault(one.finding.rule, [])
        if len(some) < DRAWN:
            some.append(one)
        if len(self.listed) < LISTED:
            self.listed.append(one)


def write(path: Path, outcome: Outcome, setting: Setting, language: str, source: Source | None) -> None:
    tally = Tally()
    for one in standing(outcome):
        tally.add(one)
    words = WORDS[language]
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("gis.checks.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    agencies = {agency.id: getattr(agency.title, language) for agency in setting.city.agencies}
    asked = summary(outcome, setting)
    text = environment.get_template("report.html.j2").render(
        language=language,
        words=words,
        css=Markup(maps.CSS),  # noqa: S704 - ours
        city=getattr(setting.city.title, language),
        summary=asked,
        finished=outcome.finished.astimezone().strftime("%Y-%m-%d %H:%M"),
        overview=Markup(_overview(tally, setting, source)),  # noqa: S704 - built and escaped by maps
        rules=[_section(entry, tally, setting, source, language) for entry in asked["rules"]],
        sheets=_rows(tally.by_sheet, words["no_sheet"]),
        owners=_rows(tally.by_owner, words["no_owner"], agencies),
        layers={
            layer: (getattr(setting.catalogue.layers[layer].title, language), count)
            for layer, count in outcome.checked.items()
        },
        listed=[_line(one, language) for one in tally.listed],
        total=tally.total,
    )
    path.write_text(text, encoding="utf-8")


def _rows(
    counts: dict[str, Counter[str]], nothing: str, titles: dict[str, str] | None = None
) -> list[dict[str, Any]]:
    most = sorted(counts.items(), key=lambda item: (-item[1]["E"], -item[1]["W"], -item[1]["I"], item[0]))
    rows = [{"name": (titles or {}).get(k, k) or nothing, **{s: c[s] for s in "EWI"}} for k, c in most[:ROWS]]
    rest = sum((c for _, c in most[ROWS:]), Counter())
    if rest:
        rows.append({"name": f"… +{len(most) - ROWS}", **{s: rest[s] for s in "EWI"}})
    return rows


def _section(
    entry: dict[str, Any], tally: Tally, setting: Setting, source: Source | None, language: str
) -> dict[str, Any]:
    rule = rules()[entry["rule"]].rule
    return {
        **entry,
        "title": getattr(rule.title, language),
        "explanation": getattr(rule.explanation, language),
        "source": rule.source,
        "examples": [
            {
                "message": message(one.finding, language),
                "assets": ", ".join(ref.asset_id for ref in one.finding.features[:4]),
                "sheet": one.sheet,
                "map": Markup(_thumbnail(one.finding, setting, source)),  # noqa: S704 - escaped by maps
            }
            for one in tally.examples.get(rule.id, ())
        ],
    }


def _line(one: Reported, language: str) -> dict[str, Any]:
    found = one.finding
    return {
        "id": one.id,
        "rule": found.rule,
        "severity": found.severity,
        "state": one.state,
        "assets": ", ".join(ref.asset_id for ref in found.features[:4]),
        "message": message(found, language),
        "sheet": one.sheet,
    }


def _thumbnail(found: Finding, setting: Setting, source: Source | None) -> str:
    """The place with the features of the finding's layers around it."""
    box = maps.box_around([found.where], ratio=1.5, margin=0.6, least=0.4)
    if box is None:
        return ""
    around = _around(box, found, setting, source) if source is not None else []
    mends = [maps.Drawn(mend.geometry, "mend") for mend in found.mends if mend.geometry is not None]
    return maps.picture(
        box,
        [*around, maps.Drawn(found.where, found.severity), *mends],
        width=210,
        height=140,
        title=found.rule,
    )


def _around(box: Box, found: Finding, setting: Setting, source: Source) -> list[maps.Drawn]:
    drawn = []
    styles = {0: "point", 1: "line", 2: "area", -1: "line"}
    layers = list(dict.fromkeys(ref.layer for ref in found.features))
    for layer in sorted(layers, key=lambda name: -setting.catalogue.layers[name].dimension):
        features = source.features(layer, box, ())
        style = styles[setting.catalogue.layers[layer].dimension]
        for shape, asset in zip(features.geometry[:400], features.asset_id, strict=False):
            drawn.append(maps.Drawn(shape, style, str(asset)))
    return drawn


def _together(dots: list[maps.Drawn]) -> list[maps.Drawn]:
    """The dots without the few that lie far off (a feature in the wrong province would shrink the rest)."""
    if len(dots) < 8:
        return dots
    xy = np.array([(d.shape.x, d.shape.y) for d in dots])
    low, high = np.quantile(xy, [0.1, 0.9], axis=0)
    middle, reach = (low + high) / 2, np.maximum((high - low) * 2, 10 * CELL)
    near = (np.abs(xy - middle) <= reach).all(axis=1)
    return [dot for dot, keep in zip(dots, near, strict=True) if keep]


def _overview(tally: Tally, setting: Setting, source: Source | None) -> str:
    """Where the findings are: a dot a cell, as large as there are many, in the colour of the worst."""
    dots = []
    for (column, row), counts in sorted(tally.cells.items(), key=lambda item: item[1].total()):
        worst = next(s for s in "EWI" if counts[s])
        place = shapely.Point((column + 0.5) * CELL, (row + 0.5) * CELL)
        dots.append(
            maps.Drawn(place, worst, str(counts.total()), radius=min(2 + counts.total() ** 0.5 / 2, 12))
        )
    box = maps.box_around([d.shape for d in _together(dots)], ratio=1.6, margin=0.08, least=500)
    if box is None:
        return ""
    wards = (
        source.features("admin_ward", box, ())
        if source and "admin_ward" in setting.catalogue.layers
        else None
    )
    back = []
    if wards is not None and len(wards):
        simple = shapely.simplify(wards.sound_only.geometry, (box[2] - box[0]) / 800)
        back = [maps.Drawn(shape, "back") for shape in simple]
    # The smallest dots of very many would only blacken the picture and swell the file.
    return maps.picture(box, [*back, *dots[-4_000:]], width=720, height=450, title="")
