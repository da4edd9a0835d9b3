"""A constant offset between two sets of points that show the same things, found by voting.

Every point of one set votes for the vectors to its neighbours in the other. Where both show the same
things, the vectors of the right partners agree and those of the wrong ones do not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from gis.checks.features import Bools, Floats, Ints

#: Neighbours of a point that it votes for.
_NEIGHBOURS = 8
#: Size of a cell of votes, as a share of the spread.
_CELL = 0.5


@dataclass(frozen=True)
class Offset:
    """From set ``first`` to set ``second``. ``votes`` points agree, of ``asked`` that had a neighbour.

    ``plan`` (2) and ``height`` (m): the median of those that agree; height is NaN when too few have one, or
    when they do not agree. ``at_rest``: points that have a partner at the same place.
    """

    first: int
    second: int
    plan: Floats
    height: float
    votes: int
    asked: int
    at_rest: int
    #: The points of the first set that agree.
    points: Ints


def offsets(
    first: Floats, first_set: Ints, second: Floats, second_set: Ints, *, within: float, spread: float
) -> Iterator[Offset]:
    """The vector that most points agree on, for each pair of sets of points (n, 3; Z may be NaN).

    Only neighbours ``within`` this distance (m) count; vectors agree that are within ``spread`` of it.
    """
    if not len(first) or not len(second):
        return
    tree = cKDTree(second[:, :2])
    count = min(_NEIGHBOURS, len(second))
    distance, partner = tree.query(first[:, :2], k=count, distance_upper_bound=within)
    distance, partner = distance.reshape(len(first), count), partner.reshape(len(first), count)
    near = np.isfinite(distance)
    point = np.nonzero(near)[0]
    other = partner[near]
    vectors = second[other] - first[point]
    sets, of = np.unique(np.stack([first_set[point], second_set[other]], axis=1), axis=0, return_inverse=True)
    order = np.argsort(of.ravel(), kind="stable")
    starts = np.searchsorted(of.ravel()[order], np.arange(len(sets) + 1))
    for number, (a, b) in enumerate(sets.tolist()):
        mine = order[starts[number] : starts[number + 1]]
        yield _vote(int(a), int(b), point[mine], vectors[mine], spread)


def _vote(a: int, b: int, point: Ints, vectors: Floats, spread: float) -> Offset:
    plan = vectors[:, :2]
    cells, number = np.unique(np.round(plan / (_CELL * spread)), axis=0, return_counts=True)
    # Of equal votes the smallest offset: nobody moved.
    best = np.lexsort(((cells**2).sum(axis=1), -number))[0]
    centre = cells[best] * _CELL * spread
    for _ in range(3):
        agree = _near(plan, centre, spread)
        centre = np.median(plan[agree], axis=0) if agree.any() else centre
    agree = _near(plan, centre, spread)
    voters = np.unique(point[agree])
    rest = np.unique(point[_near(plan, np.zeros(2), spread)])
    heights = vectors[agree, 2]
    heights = heights[np.isfinite(heights)]
    height = float(np.median(heights)) if len(heights) else np.nan
    if len(heights) and (np.abs(heights - height) <= spread).sum() * 2 < len(voters):
        height = np.nan
    return Offset(a, b, centre, height, len(voters), len(np.unique(point)), len(rest), voters)


def _near(plan: Floats, centre: Floats, spread: float) -> Bools:
    found: Bools = ((plan - centre) ** 2).sum(axis=1) <= spread**2
    return found
