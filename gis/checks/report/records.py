"""Findings as records for files: messages filled in, geometry in the CRS that the file wants."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import batched
from typing import Any

import numpy as np
import shapely

from gis import crs
from gis.checks.findings import message
from gis.checks.mends import in_crs
from gis.checks.model import Outcome, Reported
from gis.checks.registry import rules
from gis.checks.window import Setting

#: Findings that are held at a time.
BATCH = 2_000


def standing(outcome: Outcome) -> Iterator[Reported]:
    """The findings that are not mended."""
    return (one for one in outcome.findings() if one.state != "mended")


def with_geometry(
    found: Iterable[Reported], setting: Setting, code: int
) -> Iterator[tuple[Reported, shapely.Geometry]]:
    """Findings with ``where`` in CRS ``code`` (x east, y north)."""
    storage = setting.city.crs.storage
    for some in batched(found, BATCH):
        shapes = np.empty(len(some), dtype=object)
        shapes[:] = [place(one) for one in some]
        moved = shapes if code == storage else crs.transform_geometries(shapes, storage, code)
        yield from zip(some, moved, strict=True)


def place(one: Reported) -> shapely.Geometry:
    """Where the finding is; an empty point when its coordinates are not finite."""
    where = one.finding.where
    return where if np.isfinite(shapely.get_coordinates(where)).all() else shapely.Point()


def layers_of(one: Reported) -> list[str]:
    """Layers of the features, each once, the judged one first."""
    return list(dict.fromkeys(ref.layer for ref in one.finding.features))


def owners_of(one: Reported) -> list[str]:
    return list(dict.fromkeys(ref.owner for ref in one.finding.features if ref.owner))


def plain(one: Reported) -> dict[str, Any]:
    """A finding as the JSON report has it, without geometry."""
    found = one.finding
    return {
        "id": one.id,
        "rule": found.rule,
        "severity": found.severity,
        "layers": layers_of(one),
        "features": [
            {"layer": ref.layer, "fid": ref.fid, "asset_id": ref.asset_id, "owner": ref.owner}
            for ref in found.features
        ],
        "value": found.value,
        "limit": found.limit,
        "unit": found.unit,
        "sheet": one.sheet,
        "status": one.state,
        "news": one.news,
        "message": {"vi": message(found, "vi"), "en": message(found, "en")},
        "first_seen": one.first_seen.isoformat(),
        "last_seen": one.last_seen.isoformat(),
        **(
            {"accepted": {"reason": one.accepted_reason, "until": _iso(one.accepted_until)}}
            if one.state == "accepted"
            else {}
        ),
    }


def mends_of(one: Reported, setting: Setting, code: int) -> list[dict[str, Any]]:
    """Suggested changes: what to do with which feature, how far it moves, geometry in CRS ``code``."""
    return in_crs(one.finding.mends, setting.city.crs.storage, code)


def summary(outcome: Outcome, setting: Setting) -> dict[str, Any]:
    """What was looked at and what came of it, in numbers."""
    severities = {"E": 0, "W": 0, "I": 0}
    by_rule: dict[str, dict[str, int]] = {}
    for (rule, severity), count in sorted(outcome.counts.items()):
        severities[severity] += count
        by_rule.setdefault(rule, {"E": 0, "W": 0, "I": 0})[severity] = count
    asked = {app.rule.id for app in outcome.applications}
    return {
        "city": setting.city.id,
        "started": outcome.started.isoformat(),
        "finished": outcome.finished.isoformat(),
        "area": outcome.area_name,
        "errors": severities["E"],
        "warnings": severities["W"],
        "information": severities["I"],
        "accepted": outcome.accepted,
        "new": outcome.new,
        "mended": outcome.mended,
        "rules": [
            {
                "rule": rule,
                "title": entry.rule.title.model_dump(),
                **by_rule.get(rule, {"E": 0, "W": 0, "I": 0}),
            }
            for rule, entry in rules().items()
            if rule in asked
        ],
        "features": dict(sorted(outcome.checked.items())),
        "undecided": list(outcome.undecided),
    }


def _iso(value: Any) -> str | None:
    return None if value is None else value.isoformat()
