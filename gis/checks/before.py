"""What was wrong before an edit: findings of the state that the edit's changeset ended (bandoso.version).

Stored findings tell of it too, but only where somebody has checked. Asked only when an edit would be refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import psycopg
import shapely

from gis.checks.concern import Change
from gis.checks.dbsource import DatabaseSource
from gis.checks.encode import identity
from gis.checks.features import Features
from gis.checks.findings import in_window, needs_of
from gis.checks.model import Application, Finding
from gis.checks.source import SYSTEM_COLUMNS, Box, column_array, column_kind, empty
from gis.checks.window import Setting, grown

_OLD = (
    "SELECT DISTINCT ON (fid) fid, owner, version, properties, public.ST_AsBinary(geom) FROM bandoso.version"
    " WHERE layer = %s AND fid = ANY (%s)"
    " AND ended_by = nullif(current_setting('bandoso.changeset', true), '')::bigint ORDER BY fid, version"
)


def caused(
    connection: psycopg.Connection[Any],
    setting: Setting,
    changes: Sequence[Change],
    found: Iterable[tuple[Application, Finding]],
) -> list[Finding]:
    """Those of the findings that the state before the edit did not have. Raises psycopg.Error.

    Of rules that need a whole layer or network, all are taken for caused.
    """
    source = _Before(connection, setting, changes)
    seen: dict[tuple[str, Box], set[bytes]] = {}
    kept = []
    for app, one in found:
        named = {(ref.layer, ref.fid) for ref in one.features}
        boxes = [box for c in changes if (c.layer, c.fid) in named for box in c.boxes()]
        if app.rule.scope == "local" and boxes:
            west, south, east, north = zip(*boxes, strict=True)
            reach = max((need.reach for need in needs_of([app], setting.catalogue)), default=0.0)
            box = grown((min(west), min(south), max(east), max(north)), reach + 1.0)
            if (app.key, box) not in seen:
                before = in_window(box, source, setting, [app])  # type: ignore[arg-type]
                seen[app.key, box] = {identity(old) for old in before}
            if identity(one) in seen[app.key, box]:
                continue
        kept.append(one)
    return kept


class _Before:
    """As Source, for windows: the features as they were."""

    def __init__(
        self, connection: psycopg.Connection[Any], setting: Setting, changes: Iterable[Change]
    ) -> None:
        self._connection, self._catalogue = connection, setting.catalogue
        self._now = DatabaseSource(connection, setting.catalogue, setting.city.crs.storage)
        self._fids: dict[str, set[int]] = {}
        for change in changes:
            self._fids.setdefault(change.layer, set()).add(change.fid)
        self._old: dict[str, list[tuple[Any, ...]]] = {}

    def features(self, layer: str, box: Box, columns: Sequence[str]) -> Features:
        now = self._now.features(layer, box, columns)
        if layer not in self._fids:
            return now
        old = self._were(layer, columns)
        meets = (
            (old.boxes[:, 0] <= box[2])
            & (old.boxes[:, 2] >= box[0])
            & (old.boxes[:, 1] <= box[3])
            & (old.boxes[:, 3] >= box[1])
        )
        return _joined(now.take(~np.isin(now.fid, list(self._fids[layer]))), old.take(meets))

    def _were(self, layer: str, columns: Sequence[str]) -> Features:
        of = self._catalogue.layers[layer]
        if layer not in self._old:
            rows = self._connection.execute(_OLD, [layer, sorted(self._fids[layer])]).fetchall()
            self._old[layer] = rows
        rows = self._old[layer]
        if not rows:
            return empty(of, columns)
        fids = np.array([row[0] for row in rows], dtype=np.int64)
        asset_ids, owners = (
            column_array("text", values)
            for values in ([row[3].get("asset_id") for row in rows], [row[1] for row in rows])
        )
        known = {"fid": fids, "asset_id": asset_ids, "owner": owners}
        held = {
            name: known[name] if name in SYSTEM_COLUMNS else _column(of, name, [row[3] for row in rows])
            for name in columns
        }
        shapes = shapely.from_wkb(np.array([row[4] for row in rows], dtype=object))
        return Features(of, fids, asset_ids, owners, shapes, held)


def _column(layer: Any, name: str, rows: Iterable[Mapping[str, Any]]) -> Any:
    kind = column_kind(layer, name)
    values = [row.get(name) for row in rows]
    if kind == "time":
        values = [None if v is None else _moment(v) for v in values]
    return column_array(kind, values)


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:  # infinity
        return None
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _joined(one: Features, other: Features) -> Features:
    """Both, in the order of asset ids."""
    if not len(other):
        return one
    asset_id = np.concatenate([one.asset_id, other.asset_id])
    both = Features(
        one.layer,
        np.concatenate([one.fid, other.fid]),
        asset_id,
        np.concatenate([one.owner, other.owner]),
        np.concatenate([one.geometry, other.geometry]),
        {name: np.concatenate([column, other.columns[name]]) for name, column in one.columns.items()},
    )
    return both.take(np.array(sorted(range(len(asset_id)), key=asset_id.__getitem__), dtype=np.int64))
