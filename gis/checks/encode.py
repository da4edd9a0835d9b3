"""Findings as rows for the database: identity, place, sheet, messages, in the text form of COPY."""

from __future__ import annotations

import base64
import hashlib
import math
import uuid
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import orjson
import shapely

from gis import crs
from gis.checks.findings import message
from gis.checks.model import Finding, Mend
from gis.checks.window import Setting
from gis.db.constraints import Storage
from gis.sheets import VN2000_GEOGRAPHIC
from gis.sheets_grid import GRIDS, System

#: Columns of a staged finding, in the order of a row, with their types.
COLUMNS = {
    "task": "integer",
    "app": "text",
    "rule": "text",
    "network": "text",
    "severity": "text",
    "restricted": "boolean",
    "reject": "boolean",
    "base": "uuid",
    "name": "text",
    "content": "uuid",
    "layers": "text",
    "features": "text",
    "about": "text[]",
    "owner": "text",
    "value": "double precision",
    "limit_value": "double precision",
    "unit": "text",
    "sheet": "text",
    "message_vi": "text",
    "message_en": "text",
    "words": "jsonb",
    "mends": "jsonb",
    "ax": "double precision",
    "ay": "double precision",
    "px": "double precision",
    "py": "double precision",
    "geom": "public.geometry",
}
#: Rows are encoded in portions, so that a window with very many findings needs no more memory than others.
PORTION = 2_000
_SCALE = 2000
_MOST_VERTICES = 50_000
#: Features that a finding's row lists; all of them are in its key (bandoso.finding_key.about).
_MOST_LISTED = 60
_JSON = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


class Encoder:
    """Makes rows of findings for one city."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._storage = Storage.of(setting.city)
        self._sheets = Sheets(setting)
        west, south, east, north = setting.city.extent
        x, y = crs.transform_xy(
            np.array([(west + east) / 2]), np.array([(south + north) / 2]), 4326, setting.city.crs.storage
        )
        self._somewhere = shapely.Point(x[0], y[0])
        self._agencies = frozenset(setting.city.agency_ids)

    def rows(self, task: int, found: Sequence[tuple[str, Finding]]) -> bytes:
        """Rows of COPY for findings, each with the key of its application."""
        shapes = [self._shape(one) for _, one in found]
        places = shapely.get_coordinates(shapely.centroid(shapes))
        wkb = shapely.to_wkb(shapely.set_srid(shapes, self._storage.srid), hex=True, include_srid=True)
        sheets = self._sheets.names([one.rule for _, one in found], places)
        lines = [
            self._row(task, app, one, place, sheet, geometry)
            for (app, one), place, sheet, geometry in zip(found, places, sheets, wkb, strict=True)
        ]
        return "".join(lines).encode()

    def _row(self, task: int, app: str, one: Finding, place: Any, sheet: str, geometry: str) -> str:
        digest = identity(one)
        owner = one.features[0].owner if one.features else ""
        told = (
            one.severity,
            "t" if one.restricted else "f",
            "t" if one.reject else "f",
            ",".join(dict.fromkeys(ref.layer for ref in one.features))[:500],
            _listed(one),
            "{" + ",".join(dict.fromkeys(f"{ref.layer}/{ref.fid}" for ref in one.features)) + "}",
            owner if owner in self._agencies else self._setting.city.agency_ids[0],
            _number(one.value),
            _number(one.limit),
            one.unit,
            sheet,
            message(one, "vi")[:1000],
            message(one, "en")[:1000],
            orjson.dumps(one.words, option=_JSON, default=str).decode(),
            None
            if not one.mends
            else orjson.dumps([_mend(m, self._storage.srid) for m in one.mends]).decode(),
            _number(one.anchor[0]),
            _number(one.anchor[1]),
            _number(place[0]),
            _number(place[1]),
            geometry,
        )
        fields = [_field(value) for value in told]
        content = hashlib.blake2b("\t".join(fields).encode(), digest_size=16).digest()
        head = [
            str(task),
            _field(app),
            one.rule,
            _field(one.network),
            fields[0],
            fields[1],
            fields[2],
            str(uuid.UUID(bytes=digest)),
            _name(one.rule, digest),
            str(uuid.UUID(bytes=content)),
        ]
        return "\t".join(head + fields[3:]) + "\n"

    def _shape(self, one: Finding) -> Any:
        """Where the finding is, in a form that the table takes."""
        shape = one.where
        if shape is not None and not shape.is_empty:
            shape = shapely.force_2d(shape)
            if shape.geom_type == "GeometryCollection":
                shape = _of_one_kind(shape)
            elif shape.geom_type == "LinearRing":
                shape = shapely.LineString(shape)
            if self._inside(shape):
                return (
                    shape if shapely.get_num_coordinates(shape) <= _MOST_VERTICES else shapely.envelope(shape)
                )
        anchor = shapely.Point(*one.anchor)
        return anchor if self._inside(anchor) else self._somewhere

    def _inside(self, shape: Any) -> bool:
        minx, miny, maxx, maxy = self._storage.bounds
        xy = shapely.get_coordinates(shape)
        inside = (xy[:, 0] >= minx) & (xy[:, 0] <= maxx) & (xy[:, 1] >= miny) & (xy[:, 1] <= maxy)
        return bool(len(xy)) and bool(inside.all())


def identity(one: Finding) -> bytes:
    """16 bytes that are the same in every run: rule, network, and the features by layer and asset id.

    Several findings of one rule about the same features have the same; they are told apart by place.
    """
    refs = sorted({(ref.layer, ref.asset_id) for ref in one.features})
    return hashlib.blake2b(orjson.dumps([one.rule, one.network, refs]), digest_size=16).digest()


def _listed(one: Finding) -> str:
    """The features as JSON, as many as the field takes."""
    listed = [
        {"layer": ref.layer, "fid": ref.fid, "asset_id": ref.asset_id, "owner": ref.owner}
        for ref in one.features[:_MOST_LISTED]
    ]
    text = orjson.dumps(listed).decode()
    while len(text) > 10_000:
        listed.pop()
        text = orjson.dumps(listed).decode()
    return text


def _name(rule: str, digest: bytes) -> str:
    return f"{rule}-{base64.b32encode(digest[:10]).decode().lower()}"


def _of_one_kind(shape: Any) -> Any:
    """The parts of highest dimension of a collection, as a multi-geometry."""
    parts = [part for part in shapely.get_parts(shape) if not part.is_empty]
    while any(part.geom_type == "GeometryCollection" or part.geom_type.startswith("Multi") for part in parts):
        parts = [p for part in parts for p in shapely.get_parts(part)]
    highest = max((shapely.get_dimensions(part) for part in parts), default=-1)
    kept = [part for part in parts if shapely.get_dimensions(part) == highest]
    make = {0: shapely.MultiPoint, 1: shapely.MultiLineString, 2: shapely.MultiPolygon}.get(int(highest))
    return shapely.Point() if make is None else make(kept)


def _mend(mend: Mend, srid: int) -> dict[str, Any]:
    """As bandoso.finding_key.mends has it: geometry as EWKB in hexadecimal, null proposes to delete."""

    def text(shape: Any) -> str | None:
        return (
            None
            if shape is None
            else shapely.to_wkb(shapely.set_srid(shape, srid), hex=True, include_srid=True)
        )

    return {
        "layer": mend.layer,
        "fid": mend.fid,
        "asset_id": mend.asset_id,
        "geometry": text(mend.geometry),
        "moved_m": float(mend.moved_m),
        "split": [text(part) for part in mend.split],
    }


def _number(value: float | None) -> str | None:
    """Exact, and the same text for the same number; null for what is no number."""
    return None if value is None or not math.isfinite(value) else repr(float(value))


def _field(value: str | None) -> str:
    """A field of COPY's text form."""
    if value is None:
        return "\\N"
    if "\\" in value:
        value = value.replace("\\u0000", "").replace("\\", "\\\\")
    for sign, escaped in (("\0", ""), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r")):
        if sign in value:
            value = value.replace(sign, escaped)
    return value


class Sheets:
    """Map sheets at 1:2000 that findings are on: cadastral ones for parcels, else topographic."""

    def __init__(self, setting: Setting) -> None:
        self._storage = setting.city.crs.storage
        self._systems = {system for systems in setting.city.sheets.values() for system in systems}
        scales = setting.city.sheet_scales
        self._scale = _SCALE if _SCALE in scales or not scales else min(scales)

    def names(self, rules: Sequence[str], xy: Any) -> list[str]:
        """The sheet of each place (n, 2; storage CRS); empty where there is none."""
        found = [""] * len(rules)
        for system in self._systems:
            which = [i for i, rule in enumerate(rules) if (rule[:3] == "CAD") == (system == "cadastral")]
            if not which:
                continue
            x, y = xy[which, 0], xy[which, 1]
            if system == "topographic":
                x, y = crs.transform_xy(x, y, self._storage, VN2000_GEOGRAPHIC)
            for index, name in zip(which, self._named(system, x, y), strict=True):
                found[index] = name
        return found

    def _named(self, system: System, x: Any, y: Any) -> Iterable[str]:
        grid = GRIDS[system]
        west, south, east, north = grid.limits
        if self._scale not in grid.sizes:
            return [""] * len(x)
        columns, rows = np.floor(x * grid.units), np.floor(y * grid.units)
        inside = (columns >= west) & (columns < east) & (rows >= south) & (rows < north)
        return [
            _sheet(system, grid.cell(int(column), int(row), self._scale)) if within else ""
            for column, row, within in zip(columns, rows, inside, strict=True)
        ]


@lru_cache(maxsize=50_000)
def _sheet(system: System, cell: tuple[int, int, int]) -> str:
    return GRIDS[system].name(cell)
