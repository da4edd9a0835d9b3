"""Coordinates from one CRS to another, by pipelines composed from pinned definitions only.

PROJ is never asked which operation it would like: for VN-2000 in the south of Viet Nam it answers
EPSG:5194 and is 0.8 m off (domain of EPSG:6960 is right). A pipeline here is: source projection
backwards, Helmert step of the source's datum, that of the target's datum backwards, target projection.
Equal datums skip both. Heights pass unchanged; they enter the Helmert step as PostGIS does it too.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
import pyproj.network
import shapely
from pyproj.transformer import Transformer

from gis.crs.definitions import CrsDef, Datum, definition

Floats = npt.NDArray[np.float64]

# No grids are used, so none may be fetched: a transform is a pure function of the definitions.
pyproj.network.set_network_enabled(active=False)  # type: ignore[attr-defined]


def pipeline(src: int, dst: int) -> str:
    """The PROJ pipeline between two codes, x east and y north, degrees where geographic."""
    a, b = definition(src), definition(dst)
    steps = [_to_radians(a)]
    if a.datum_id != b.datum_id:
        steps += _datum_steps(a.datum, forward=True) + _datum_steps(b.datum, forward=False)
    steps.append(_from_radians(b))
    return "+proj=pipeline +step " + " +step ".join(steps)


def _to_radians(crs: CrsDef) -> str:
    return f"+inv {crs.proj}" if crs.projected else "+proj=unitconvert +xy_in=deg +xy_out=rad"


def _from_radians(crs: CrsDef) -> str:
    return crs.proj if crs.projected else "+proj=unitconvert +xy_in=rad +xy_out=deg"


def _datum_steps(datum: Datum, *, forward: bool) -> list[str]:
    """Between a datum and WGS 84; none where the definition says so."""
    if datum.shift == "none":
        return []
    ours, wgs = f"+proj=cart +ellps={datum.ellipsoid}", "+proj=cart +ellps=WGS84"
    first, last = (ours, wgs) if forward else (wgs, ours)
    helmert = datum.shift.step if forward else f"+inv {datum.shift.step}"
    return ["+proj=push +v_3", first, helmert, f"+inv {last}", "+proj=pop +v_3"]


@cache
def _transformer(src: int, dst: int) -> Transformer:
    # A pyproj Transformer keeps one PROJ object per thread (threading.local), so sharing it is safe.
    return Transformer.from_pipeline(pipeline(src, dst))


def transform_xy(x: npt.ArrayLike, y: npt.ArrayLike, src: int, dst: int) -> tuple[Floats, Floats]:
    """Transform coordinates, x east or longitude and y north or latitude, in the CRSs' units.

    Any shape. The inputs are left alone; equal codes give copies. What has no image becomes
    infinite, NaN stays NaN. Raises UsageError for an unknown code.
    """
    xs, ys = np.array(x, dtype=np.float64), np.array(y, dtype=np.float64)
    if src == dst:
        definition(src)
        return xs, ys
    ex, ny = _transformer(src, dst).transform(xs, ys, inplace=True)
    return np.asarray(ex, dtype=np.float64), np.asarray(ny, dtype=np.float64)


def transform_geometries(geometries: npt.NDArray[np.object_], src: int, dst: int) -> npt.NDArray[np.object_]:
    """Transform shapely geometries (None stays None). Z is kept as it is; M is not supported."""
    given = np.asarray(geometries, dtype=object)
    definition(src), definition(dst)
    if src == dst or given.size == 0:
        return given.copy()
    # With a mixed array shapely would give every geometry a Z, so 2D and 3D are done apart.
    deep = shapely.has_z(given)
    done = given.copy()
    if not deep.all():
        done[~deep] = shapely.transform(given[~deep], lambda c: _move(c, src, dst))
    if deep.any():
        done[deep] = shapely.transform(given[deep], lambda c: _move(c, src, dst), include_z=True)
    return done


def _move(coordinates: Floats, src: int, dst: int) -> Floats:
    moved = coordinates.copy()
    if coordinates.shape[1] == 2:
        moved[:, 0], moved[:, 1] = transform_xy(coordinates[:, 0], coordinates[:, 1], src, dst)
        return moved
    z = np.nan_to_num(coordinates[:, 2], nan=0.0, posinf=0.0, neginf=0.0)
    x, y, _ = _transformer(src, dst).transform(coordinates[:, 0], coordinates[:, 1], z)
    moved[:, 0], moved[:, 1] = x, y
    return moved
