"""Cuts the city into windows of about equal content, by the data itself.

A sample of the boxes' lower left corners (where anchors mostly are) is cut by a kd-tree: dense quarters get
small windows, the rural fringe large ones, so that each fits the memory of a worker. Findings do not
depend on where the cuts are (see gis.checks.window).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg.sql import SQL, Composable, Literal

from gis.checks.source import EVERYWHERE, Box
from gis.db import sql as names
from layers.registry import Catalogue

Floats = npt.NDArray[np.float64]

#: Features of all layers in a window. 25,000 parcels and what rules make of them are 100 MB at most, in a
#: worker that needs 70 MB by itself; smaller windows read more of their neighbours (16,000: 2.5 % more).
TARGET = 16_000.0
#: How much more than its target a window may hold; then it is divided.
SPARE = 1.2
#: Sampled features of a layer; of a smaller one all are known.
SAMPLE = 20_000
#: A feature of so many bytes counts as one; a contour of 3,200 counts as 16.
_BYTES = 200.0


@dataclass(frozen=True)
class Block:
    """A window to be: its box, and about how many features of ordinary size it holds."""

    box: Box
    weight: float


def corners(
    connection: psycopg.Connection,
    catalogue: Catalogue,
    layers: Iterable[str],
    srid: int,
    box: Box = EVERYWHERE,
) -> tuple[Floats, Floats]:
    """(n, 2) lower left corners of a sample of the features in ``box``, and their weights (n)."""
    points, weights = [np.empty((0, 2))], [np.empty(0)]
    for layer in layers:
        row = connection.execute("SELECT bandoso.row_count(%s)", [layer]).fetchone()
        rows = int(row[0]) if row else 0
        if not rows:
            continue
        share = min(1.0, SAMPLE / rows) if box == EVERYWHERE else 1.0
        sample: Composable = SQL("")
        if share < 1:
            sample = SQL("TABLESAMPLE SYSTEM ({}) REPEATABLE (1)").format(Literal(100 * share))
        where: Composable = SQL("TRUE")
        if box != EVERYWHERE:
            edges = [Literal(float(v)) for v in np.clip(box, -1e12, 1e12)]
            where = SQL("geom OPERATOR(public.&&) public.ST_MakeEnvelope({}, {}, {}, {}, {})").format(
                *edges, Literal(srid)
            )
        query = SQL(
            "SELECT array_agg(public.ST_XMin(geom)), array_agg(public.ST_YMin(geom)),"
            " array_agg(pg_column_size(geom)) FROM {} {} WHERE {}"
        ).format(names.table(catalogue.layers[layer]), sample, where)
        found = connection.execute(query, binary=True).fetchone()
        if found and found[0]:
            points.append(np.array(found[:2], dtype=np.float64).T)
            weights.append(np.maximum(1.0, np.array(found[2], dtype=np.float64) / _BYTES) / share)
    return np.concatenate(points), np.concatenate(weights)


def cut(xy: Floats, weight: Floats, box: Box = EVERYWHERE, target: float = TARGET) -> list[Block]:
    """Disjoint boxes that cover ``box``, with about ``target`` of the weight in each.

    Points that coincide cannot be cut apart: their box may hold more.
    """
    total = float(weight.sum())
    parts = int(np.ceil(total / target))
    if parts <= 1:
        return [Block(box, total)]
    left = parts // 2
    for axis in np.argsort(-_spread(xy)):
        value = _where_to_cut(xy[:, axis], weight, left / parts)
        if value is None:
            continue
        low = xy[:, axis] < value
        first, second = list(box), list(box)
        first[axis + 2], second[axis] = value, value
        return cut(xy[low], weight[low], _box(first), target) + cut(
            xy[~low], weight[~low], _box(second), target
        )
    return [Block(box, total)]


def divided(
    connection: psycopg.Connection,
    catalogue: Catalogue,
    layers: Iterable[str],
    srid: int,
    box: Box,
    most: float,
) -> list[Block]:
    """``box``, or where it holds more than ``most`` what it is cut into; by all features, not by a sample.

    Without, one window in a hundred has twice the features that a sample of 20,000 makes it look like.
    """
    edges = SQL(", ").join(Literal(float(v)) for v in np.clip(box, -1e12, 1e12))
    parts = [
        SQL(
            "SELECT sum(greatest(1, pg_column_size(geom) / {})) AS weight FROM {}"
            " WHERE geom OPERATOR(public.&&) public.ST_MakeEnvelope({}, {})"
        ).format(Literal(_BYTES), names.table(catalogue.layers[layer]), edges, Literal(srid))
        for layer in layers
    ]
    query = (
        SQL("SELECT sum(weight)::double precision FROM (") + SQL(" UNION ALL ").join(parts) + SQL(") AS t")
    )
    row = connection.execute(query).fetchone() if parts else None
    weight = float(row[0]) if row and row[0] else 0.0
    if weight <= most:
        return [Block(box, weight)]
    return cut(*corners(connection, catalogue, layers, srid, box), box, most)


def _spread(xy: Floats) -> Floats:
    """Extent along x and y without the outermost twentieth: a stray feature shall not shape the windows."""
    if len(xy) < 40:
        spread: Floats = np.ptp(xy, axis=0)
    else:
        low, high = np.quantile(xy, [0.05, 0.95], axis=0)
        spread = high - low
        if not spread.any():
            spread = np.ptp(xy, axis=0)
    return spread


def _where_to_cut(values: Floats, weight: Floats, share: float) -> float | None:
    """A value with about ``share`` of the weight below it, and some on either side; None if all are equal."""
    order = np.argsort(values, kind="stable")
    ordered, sums = values[order], np.cumsum(weight[order])
    if ordered[0] == ordered[-1]:
        return None
    value = ordered[min(np.searchsorted(sums, share * sums[-1]), len(ordered) - 1)]
    if value == ordered[0]:
        value = ordered[np.searchsorted(ordered, value, side="right")]
    return float(value)


def _box(edges: list[float]) -> Box:
    return float(edges[0]), float(edges[1]), float(edges[2]), float(edges[3])
