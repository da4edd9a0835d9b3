"""What was read and sent back unchanged stays as it is stored, to the last bit.

Features are served with 9 decimals of a degree or 4 of a metre, and QGIS sends back whole features, in
degrees with 6 decimals. Stored anew, vertices that nobody moved would drift by up to 6 cm, and away from
their neighbours'. So a vertex that equals a stored one within the decimals that it was sent with is that one.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from gis import crs

#: Decimals that are looked at: fewer than the first are a coarse place, not a rounded one (degrees, metres).
_DEGREES: Final = (6, 12)
_METRES: Final = (3, 8)
#: Decimals of what is served (gis.api.features.query.digits), of degrees and of metres.
_SERVED: Final = (9, 4)
#: Heights are compared as they are served.
_HEIGHT: Final = 0.5e-4
#: Pairs of vertices, new and stored, up to which all are compared: quicker than a tree of them.
_FEW_PAIRS: Final = 10_000


def keep_unchanged(
    shape: BaseGeometry, sent: BaseGeometry, stored: BaseGeometry, code: int, storage: int
) -> BaseGeometry:
    """``shape`` (storage CRS) with the vertices of ``stored`` that ``sent`` (it in CRS ``code``, x east)
    repeats; ``shape`` itself where it repeats none, ``stored`` itself where it repeats all: with its heights,
    should the client know of none."""
    projected = crs.definition(code).projected
    low, high = _METRES if projected else _DEGREES
    old = shapely.get_coordinates(stored, include_z=True)
    old_x, old_y = crs.transform_xy(old[:, 0], old[:, 1], storage, code)
    new = shapely.get_coordinates(sent, include_z=True)
    decimals = _decimals(new[:, :2], low, high)
    half = 0.5 * 10.0**-decimals * (1 + 1e-6) + 1e-12 * np.abs(new[:, :2])
    # rounded twice, when it was served and when it was sent back
    served = _SERVED[projected]
    half += np.where(decimals < served, 0.5 * 10.0**-served, 0.0)
    match = _nearest(new[:, :2], np.column_stack([old_x, old_y]), half)
    met = match >= 0
    if not met.any():
        return shape
    xyz = shapely.get_coordinates(shape, include_z=True)
    xyz[met, :2] = old[match[met], :2]
    if shape.has_z:
        same = met.copy()
        same[met] = np.abs(old[match[met], 2] - xyz[met, 2]) <= _HEIGHT
        xyz[same, 2] = old[match[same], 2]
    kept = shapely.set_coordinates(_copy(shape), xyz if shape.has_z else xyz[:, :2])
    plan = shapely.force_2d(stored) if stored.has_z and not shape.has_z else stored
    return stored if shapely.equals_identical(kept, plan) else kept


def _copy(shape: BaseGeometry) -> BaseGeometry:
    copied: BaseGeometry = shapely.from_wkb(shapely.to_wkb(shape, output_dimension=3))
    return copied


def _decimals(xy: Any, low: int, high: int) -> Any:
    """For each number the decimals that it was written with, between ``low`` and ``high``."""
    found = np.full(xy.shape, float(high))
    for places in range(high - 1, low - 1, -1):
        found[np.round(xy, places) == xy] = places
    return found


def _nearest(new: Any, old: Any, half: Any) -> Any:
    """For each position the index of the nearest of ``old`` no further than ``half`` in x and y; -1: none."""
    if len(new) * len(old) <= _FEW_PAIRS:
        return _nearest_of_few(new, old, half)
    usable = np.isfinite(old).all(axis=1)
    tree = shapely.STRtree(shapely.points(np.where(usable[:, None], old, 1e300)))
    boxes = shapely.box(*(new - half).T, *(new + half).T)
    rows, found = tree.query(boxes, predicate="intersects")
    match = np.full(len(new), -1)
    if not len(rows):
        return match
    distance = np.hypot(*(new[rows] - old[found]).T)
    # Of equals the one at the same place in the order: rings repeat their first vertex.
    order = np.lexsort((np.abs(rows - found), distance, rows))
    first = np.unique(rows[order], return_index=True)[1]
    match[rows[order][first]] = found[order][first]
    return match


def _nearest_of_few(new: Any, old: Any, half: Any) -> Any:
    """The same, by every pair."""
    away = np.abs(new[:, None, :] - old[None, :, :])
    distance = np.where((away <= half[:, None, :]).all(axis=2), np.hypot(away[..., 0], away[..., 1]), np.inf)
    best = distance.min(axis=1, initial=np.inf)
    apart = np.abs(np.arange(len(new))[:, None] - np.arange(len(old))[None, :])
    nearest = np.where(distance == best[:, None], apart, len(new) + len(old)).argmin(axis=1)
    return np.where(np.isfinite(best), nearest, -1)
