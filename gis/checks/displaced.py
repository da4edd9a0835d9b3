"""Features against those of other layers that share vertices with them: did a mistake displace them?

Looked at in a few places only. Layers that share no vertices with any other say nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from gis import crs
from gis.checks.features import Bools, Features, Floats, Ints
from gis.checks.source import Box, Source
from gis.checks.window import grown

#: Half the side of a place, and the largest displacement that is looked for (m): by a mistake of the datum.
#: the datum.
SITE_M, FARTHEST_M = 150.0, 480.0
#: Vertices of one layer in one place that are compared, points and others.
_MOST_POINTS, _MOST_VERTICES = 2_000, 40_000
#: Matches that a verdict needs, and the share that lies right as it is from which no mistake is looked for.
_FEWEST, _RIGHT = 10, 0.1


@dataclass(frozen=True)
class Displaced:
    """``offset`` names the mistake; ``vertices`` (n, 2) are where they are, ``layers`` whose vertices they
    share once it is undone."""

    offset: crs.Offset
    vertices: Floats
    layers: tuple[str, ...]


@dataclass(frozen=True)
class Sites:
    """Places where layers are compared: ``middles`` (n, 2) in the CRS ``storage``. ``match`` (CRS units) and
    ``share``: vertices so near are shared, and so many of them must be."""

    source: Source
    storage: int
    middles: Floats
    match: float
    share: float

    def compare(
        self, layer: str, others: Sequence[str], only: Callable[[Features], Bools] | None = None
    ) -> Displaced | None:
        """The mistake that displaced the layer (or ``only`` some of its features); None when it lies right,
        or nothing tells."""
        unit = crs.definition(self.storage).unit_m
        ours: list[Floats] = []
        theirs: list[Floats] = []
        whose: list[Ints] = []
        for at in self.middles:
            box = grown((at[0], at[1], at[0], at[1]), SITE_M / unit)
            mine = self.source.features(layer, box, ("load_id",))
            points = _inside(mine if only is None else mine.take(only(mine)), box)
            around = grown(box, FARTHEST_M / unit)
            near = [_inside(self.source.features(other, around, ()), around) for other in others]
            if not len(points) or not any(map(len, near)):
                continue
            ours.append(points)
            theirs += near
            whose += [np.full(len(found), number, dtype=np.int64) for number, found in enumerate(near)]
            if _hits(points, np.vstack(near), self.match)[0].mean() > _RIGHT:
                return None
        return (
            self._judge(np.vstack(ours), np.vstack(theirs), np.concatenate(whose), others) if ours else None
        )

    def _judge(self, ours: Floats, theirs: Floats, whose: Ints, others: Sequence[str]) -> Displaced | None:
        unit = crs.definition(self.storage).unit_m
        for trial in crs.undone(ours, self.storage, self.storage):
            with np.errstate(invalid="ignore"):
                moved = float(np.median(np.hypot(*(trial.right - ours).T))) * unit
            if moved > FARTHEST_M:
                continue
            hit, nearest = _hits(trial.right, theirs, self.match)
            if hit.sum() < _FEWEST or hit.mean() < self.share:
                continue
            offset = crs.judge(ours[hit], theirs[nearest[hit]], self.storage, self.storage)
            if offset.kind == "mistake":
                layers = tuple(others[number] for number in np.unique(whose[nearest[hit]]))
                return Displaced(offset, ours[hit], layers)
        return None


def _hits(xy: Floats, among: Floats, within: float) -> tuple[Bools, Ints]:
    """Which of ``xy`` (n, 2) have one of ``among`` within the distance, and the index of the nearest."""
    finite = np.isfinite(xy).all(axis=1)
    found: Any = cKDTree(among).query(np.where(finite[:, None], xy, 0.0), distance_upper_bound=within)
    apart, index = found
    return np.asarray(finite & np.isfinite(apart)), np.minimum(index, len(among) - 1)


def _inside(features: Features, box: Box) -> Floats:
    """Vertices in the box, each once; at most so many, spread."""
    xy, _ = features.vertices
    minx, miny, maxx, maxy = box
    inside = (xy[:, 0] >= minx) & (xy[:, 0] <= maxx) & (xy[:, 1] >= miny) & (xy[:, 1] <= maxy)
    distinct = np.unique(xy[inside], axis=0)
    most = _MOST_POINTS if features.layer.dimension == 0 else _MOST_VERTICES
    return np.asarray(distinct[:: -(-len(distinct) // most) or 1])
