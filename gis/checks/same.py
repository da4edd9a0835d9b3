"""Which features of one layer are the same as an earlier one: equal shape, wherever rings begin and whichever
way lines run, to a tolerance.

Cheap tests first: almost no two features share four sides of their box. What is left is normalised and
compared by its bytes; only what is nearly equal is compared vertex by vertex.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from gis.checks.paths import paths_of

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Objects = npt.NDArray[np.object_]

#: Weights of a sum of the box's sides; near boxes have near sums, and few others do. Irrational on purpose:
#: in a
#: grid of parcels many plain sums are equal.
_WEIGHTS = np.array([1.0, np.sqrt(3.0), np.sqrt(7.0), np.sqrt(11.0)])

#: Boxes up to which all pairs are compared at once, as around an edit.
_FEW = 64
#: Pairs of a group that are compared from every start of their rings; only odd data has so many.
_PATIENCE = 5_000
#: Vertices in one place from which a ring is tried.
_MOST_STARTS = 20


def first_same(geometry: Objects, kinds: Ints, boxes: Floats, tolerance: float, height: float) -> Ints:
    """(n) for each feature the first one (lowest index) that is the same, or -1 if it is not before it.

    ``geometry`` (n) with finite coordinates, ``kinds`` (n) numbers that must be equal, ``boxes`` (n, 4) its
    bounds. ``tolerance`` (m): the same vertices, each at most so far off in x and in y. ``height`` (m): where
    both have heights, they differ by no more.
    """
    found = np.full(len(geometry), -1, dtype=np.int64)
    rows = _suspects(boxes, tolerance)
    if not len(rows):
        return found
    shapes = shapely.normalize(geometry[rows])
    exact: dict[tuple[bytes, int], int] = {}
    unique: list[int] = []
    twin = np.full(len(rows), -1, dtype=np.int64)
    for n, wkb in enumerate(shapely.to_wkb(shapes, output_dimension=3)):
        key = wkb, int(kinds[rows[n]])
        before = exact.setdefault(key, n)
        if before == n:
            unique.append(n)
        else:
            twin[n] = before
    near = _first_near(shapes, geometry[rows], kinds[rows], boxes[rows], np.array(unique), tolerance, height)
    # The first of a twin's twin is the first of both.
    of_twin = near[np.maximum(twin, 0)]
    first = np.where(twin >= 0, np.where(of_twin >= 0, of_twin, twin), near)
    found[rows[first >= 0]] = rows[first[first >= 0]]
    return found


def _suspects(boxes: Floats, tolerance: float) -> Ints:
    """Ascending indices of boxes for which another box may be within the tolerance on all four sides."""
    rows = np.flatnonzero(np.isfinite(boxes).all(axis=1))
    if len(rows) < 2 or (len(rows) <= _FEW and not _any_near(boxes[rows], tolerance)):
        return np.empty(0, dtype=np.int64)
    local = boxes[rows] - boxes[rows].min(axis=0)  # small numbers: sums keep their last digits
    for weights in (_WEIGHTS, _WEIGHTS[[2, 0, 3, 1]], _WEIGHTS[[1, 3, 0, 2]]):
        reach = tolerance * weights.sum() + 1e-6
        total = local @ weights
        order = np.argsort(total, kind="stable")
        close = np.diff(total[order]) <= reach
        some = np.zeros(len(rows), dtype=np.bool_)
        some[order[1:][close]] = True
        some[order[:-1][close]] = True
        rows, local = rows[some], local[some]
        if len(rows) < 2:
            break
    return rows


def _any_near(boxes: Floats, tolerance: float) -> bool:
    """Whether two of some boxes may be within the tolerance on all four sides."""
    near = (np.abs(boxes[:, None] - boxes[None]) <= tolerance + 1e-6).all(axis=2)
    return bool(np.count_nonzero(near) > len(boxes))


def _first_near(
    shapes: Objects, drawn: Objects, kinds: Ints, boxes: Floats, unique: Ints, tolerance: float, height: float
) -> Ints:
    """(n) for each of ``unique`` the first of them that is nearly the same; -1 for none, and for the others.

    ``shapes`` are ``drawn`` in normal form.
    """
    near = np.full(len(shapes), -1, dtype=np.int64)
    if len(unique) < 2 or tolerance <= 0:
        return near
    marks = np.column_stack([boxes[unique], _means(shapes[unique])])
    marks -= marks.min(axis=0)
    counts = np.column_stack(
        [kinds[unique], shapely.get_type_id(shapes[unique]), shapely.get_num_coordinates(shapes[unique])]
    )
    _, exact = np.unique(counts, axis=0, return_inverse=True)
    for group in _groups(marks, exact.ravel(), tolerance):
        _settle(near, shapes, drawn, unique[group], marks[group], tolerance, height)
    return near


def _means(shapes: Objects) -> Floats:
    """(n, 2) middle of the vertices, which moves no farther than they do; a ring's closing vertex is none.

    Lines have 0: whether one closes, and so where it begins, may be a matter of the tolerance.
    """
    xy, owner = shapely.get_coordinates(shapes, return_index=True)
    paths = paths_of(shapes)
    weight = np.ones(len(xy))
    weight[paths.end[paths.ring] - 1] = 0.0
    origin = xy.min(axis=0)
    count = np.bincount(owner, weight, minlength=len(shapes))
    sums = [np.bincount(owner, weight * (xy[:, i] - origin[i]), minlength=len(shapes)) for i in (0, 1)]
    means = np.column_stack(sums) / np.maximum(count, 1)[:, None]
    means[np.isin(shapely.get_type_id(shapes), (1, 2, 5))] = 0.0
    return means


def _groups(marks: Floats, exact: Ints, tolerance: float) -> list[Ints]:
    """Ascending indices of features that may be near each other, of two or more; none is near one elsewhere.

    Divided at gaps in one mark after the other, until no gap divides.
    """
    done: list[Ints] = []
    order = np.argsort(exact, kind="stable")
    cuts = np.flatnonzero(np.diff(exact[order])) + 1
    waiting = [(group, 0, 0) for group in np.split(order, cuts)]
    reach = 2 * tolerance + 1e-6  # of marks, some of which are means of several vertices
    while waiting:
        group, axis, whole = waiting.pop()
        if len(group) < 2:
            continue
        if whole == marks.shape[1]:
            done.append(np.sort(group))
            continue
        by = group[np.argsort(marks[group, axis], kind="stable")]
        pieces = np.split(by, np.flatnonzero(np.diff(marks[by, axis]) > reach) + 1)
        undivided = whole + 1 if len(pieces) == 1 else 0
        following = (axis + 1) % marks.shape[1]
        waiting += [(piece, following, undivided) for piece in pieces]
    return done


def _settle(
    near: Ints, shapes: Objects, drawn: Objects, group: Ints, marks: Floats, tolerance: float, height: float
) -> None:
    """Give each of the group its first; one after the other against all that have none yet.

    Thousands in one place find theirs in the first rounds, so the rounds are few or short.
    """
    reach = 2 * tolerance + 1e-6
    xyz = shapely.get_coordinates(shapes[group], include_z=True).reshape(len(group), -1, 3)
    free = np.ones(len(group), dtype=np.bool_)
    waiting, patience = np.arange(len(group)), _PATIENCE
    for first in range(len(group) - 1):
        waiting = waiting[free[waiting] & (waiting > first)]
        if not len(waiting):
            return
        may = waiting[(np.abs(marks[waiting] - marks[first]) <= reach).all(axis=1)]
        if not len(may):
            continue
        alike = _alike(xyz[may], xyz[first], tolerance, height)
        # Normal form begins a ring at its least vertex: of two nearly least ones it may be either.
        for n in np.flatnonzero(~alike) if xyz.shape[1] > 1 else ():
            if patience > 0:
                patience -= 1
                alike[n] = same(drawn[group[first]], drawn[group[may[n]]], tolerance, height)
        near[group[may[alike]]] = group[first]
        free[may[alike]] = False


def _alike(many: Floats, one: Floats, tolerance: float, height: float) -> npt.NDArray[np.bool_]:
    """Which of ``many`` (k, m, 3) have the vertices of ``one`` (m, 3), one by one; Z NaN where there is "
    "none."""
    off = np.abs(many - one)
    flat = (off[..., :2] <= tolerance).all(axis=(1, 2))
    return np.asarray(flat & ~(off[..., 2] > height).any(axis=1))


def same(one: Any, other: Any, tolerance: float, height: float) -> bool:
    """Whether two geometries of one type have the same vertices to the tolerance, in each line and ring the
    same way around or the other, from wherever a ring begins."""
    mine, theirs = _pieces(one), _pieces(other)
    if len(mine) != len(theirs):
        return False
    left = list(theirs)
    for piece in mine:
        match = next((n for n, p in enumerate(left) if _same_piece(piece, p, tolerance, height)), None)
        if match is None:
            return False
        del left[match]
    return True


def _pieces(shape: Any) -> list[tuple[bool, Floats]]:
    """Lines and rings (true) as coordinates (k, 3), Z NaN where there is none; a ring without its end."""
    pieces = []
    for part in shapely.get_parts(shape):
        ring = shapely.get_type_id(part) == 3
        for run in shapely.get_rings(part) if ring else [part]:
            xyz = shapely.get_coordinates(run, include_z=True)
            pieces.append((bool(ring), xyz[:-1] if ring else xyz))
    return pieces


def _same_piece(
    one: tuple[bool, Floats], other: tuple[bool, Floats], tolerance: float, height: float
) -> bool:
    (ring, a), (_, b) = one, other
    if len(a) != len(b) or one[0] != other[0]:
        return False
    if not len(a):
        return True
    if not ring:
        if _alike(b[None], a, tolerance, height)[0] or _alike(b[None, ::-1], a, tolerance, height)[0]:
            return True
        if not (_closed(a) and _closed(b)):
            return False
        a, b = a[:-1], b[:-1]  # a closed line may begin anywhere, as a ring
    starts = np.flatnonzero((np.abs(b[:, :2] - a[0, :2]) <= tolerance).all(axis=1))
    for begin in starts[:_MOST_STARTS]:
        forth = np.roll(b, -begin, axis=0)
        back = np.roll(forth[::-1], 1, axis=0)
        if _alike(np.stack([forth, back]), a, tolerance, height).any():
            return True
    return False


def _closed(line: Floats) -> bool:
    return len(line) > 3 and bool((line[0, :2] == line[-1, :2]).all())
