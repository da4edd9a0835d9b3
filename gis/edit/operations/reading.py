"""Features that an operation is about, read as they stand, and what lies around them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import psycopg
import shapely
from psycopg.sql import SQL, Composed

from gis.checks.mends import stored
from gis.checks.model import Mend
from gis.checks.network.graph import unit_m
from gis.checks.window import Setting
from gis.db.sql import columns
from gis.edit.errors import Clash, Conflict
from gis.edit.model import Delete
from gis.edit.operations.standing import Refused, Standing
from gis.edit.rows import table_of
from gis.edit.session import as_member
from gis.errors import NotFoundError
from gis.identity.principal import Principal
from layers.model import NetworkDef
from layers.registry import Layer

#: Features around a place up to which an operation looks; where there are more, something is wrong.
MOST_AROUND = 2_000

Box = tuple[float, float, float, float]


class Ground:
    """Reads in the role bandoso_editor (gis.edit.session.editing): what the caller may see to edit."""

    def __init__(self, connection: psycopg.Connection[Any], setting: Setting, principal: Principal) -> None:
        self._connection, self.setting = connection, setting
        self._sectors = {agency.id: agency.sectors for agency in setting.city.agencies}
        self._principal = principal
        self.srid = setting.city.crs.storage

    @property
    def unit_m(self) -> float:
        """Metres in one unit of the storage CRS."""
        return unit_m(self.setting.city)

    def named(self, layer: Layer, wanted: Sequence[tuple[int, int | None, str]]) -> list[Standing]:
        """Features by (fid, expected version or None, pointer), in this order.

        Raises NotFoundError, or Conflict with all whose version is another one.
        """
        query = self._query(layer) + SQL(" WHERE t.fid = ANY (%s)")
        found = {row[0]: row for row in self._rows(query, [[fid for fid, _, _ in wanted]])}
        clashes, lost = [], []
        for fid, expected, pointer in wanted:
            row = found.get(fid)
            if row is None and expected is None:
                lost.append({"pointer": pointer, "detail": "no such feature"})
            elif row is None or (expected is not None and row[1] != expected):
                change = Delete(layer.id, fid, expected, pointer=pointer)
                clashes.append(Clash(change, None if row is None else row[1]))
        if lost or (clashes and all(clash.found is None for clash in clashes)):
            errors = lost or [{"pointer": c.change.pointer, "detail": "no such feature"} for c in clashes]
            raise NotFoundError("there is no such feature", errors=errors)
        if clashes:
            raise Conflict(clashes)
        return [self._standing(layer, found[fid], pointer) for fid, _, pointer in wanted]

    def around(self, layers: Iterable[Layer], boxes: Sequence[Box]) -> list[Standing]:
        """The features of the layers whose boxes meet one of ``boxes`` (storage CRS)."""
        found: list[Standing] = []
        shapes = [shapely.to_wkb(shapely.box(*box)) for box in boxes]
        for layer in layers:
            query = self._query(layer) + SQL(
                " WHERE t.geom && ANY (SELECT ST_SetSRID(b::geometry, %s) FROM unnest(%s::bytea[]) AS b)"
                " ORDER BY t.fid LIMIT %s"
            )
            rows = self._rows(query, [self.srid, shapes, MOST_AROUND + 1])
            if len(rows) > MOST_AROUND:
                raise Refused(
                    f"more than {MOST_AROUND} features of {layer.id} lie there", code="too-many-around"
                )
            found += [self._standing(layer, row, "") for row in rows]
        return found

    def mends(self, finding: str) -> tuple[Mend, ...]:
        """What is suggested for a public finding (its asset_id) that stands; nothing where the caller may not
        see a layer that it would change."""
        query = (
            "SELECT bandoso.finding_mends(asset_id) FROM layer.finding"
            " WHERE asset_id = %s AND state <> 'mended'"
        )
        with as_member(self._connection):
            row = self._connection.execute(query, [finding]).fetchone()
        found = stored(row[0] or []) if row else ()
        known = self.setting.catalogue.layers
        return found if all(one.layer in known and self._sees(known[one.layer]) for one in found) else ()

    def layers_of(self, networks: Iterable[NetworkDef]) -> list[Layer]:
        """The layers of the networks that the caller may see."""
        ids = dict.fromkeys(layer for network in networks for layer in network.layers)
        known = self.setting.catalogue.layers
        return [known[i] for i in ids if self._sees(known[i])]

    def not_ours(self, changed: Iterable[tuple[Layer, int]]) -> list[dict[str, Any]]:
        """Those of the features that the caller may not write: layer, fid, asset_id, owner, reason."""
        by_layer: dict[str, list[int]] = {}
        layers: dict[str, Layer] = {}
        for layer, fid in changed:
            layers[layer.id] = layer
            by_layer.setdefault(layer.id, []).append(fid)
        found = []
        for layer_id, fids in by_layer.items():
            query = SQL(
                "SELECT t.fid, t.asset_id, t.owner, bandoso.may_write(%s, t.owner, NULL) FROM {} AS t"
                " WHERE t.fid = ANY (%s) AND NOT bandoso.may_write(%s, t.owner, t.geom) ORDER BY t.fid"
            ).format(table_of(layers[layer_id]))
            for fid, asset_id, owner, elsewhere in self._connection.execute(
                query, [layer_id, fids, layer_id]
            ):
                reason = (
                    f"{layer_id}/{fid} ({asset_id}) lies outside the area that you may edit"
                    if elsewhere
                    else f"{layer_id}/{fid} ({asset_id}) is of {owner}"
                )
                found.append(
                    {"layer": layer_id, "fid": fid, "asset_id": asset_id, "owner": owner, "reason": reason}
                )
        return found

    def _sees(self, layer: Layer) -> bool:
        return layer.definition.access == "public" or self._principal.sees_hidden(layer, self._sectors)

    def _query(self, layer: Layer) -> Composed:
        hidden = not self._principal.sees_hidden(layer, self._sectors)
        names = [f.name for f in layer.fields if not hidden or f.access == "public"]
        return SQL(
            "SELECT t.fid, t.version, (SELECT to_jsonb(r) FROM (SELECT {}) AS r), t.geom::bytea FROM {} AS t"
        ).format(columns(names, "t"), table_of(layer))

    def _rows(self, query: Composed, values: list[Any]) -> list[tuple[Any, ...]]:
        with self._connection.cursor(binary=True) as cursor:
            return cursor.execute(query, values).fetchall()

    def _standing(self, layer: Layer, row: tuple[Any, ...], pointer: str) -> Standing:
        return Standing(layer, row[0], row[1], row[2], shapely.from_wkb(row[3]), pointer)


def grown(box: Iterable[float], by: float) -> Box:
    """A box with a margin."""
    a, b, c, d = box
    return a - by, b - by, c + by, d + by
