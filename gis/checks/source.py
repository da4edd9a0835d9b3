"""Where rules read features from: a database (gis.checks.dbsource) or memory (tests, previews, pictures)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import shapely

from gis.checks.features import Features
from layers.registry import Catalogue, Layer

#: minx, miny, maxx, maxy in the storage CRS (m); may be infinite.
Box = tuple[float, float, float, float]
EVERYWHERE: Box = (-np.inf, -np.inf, np.inf, np.inf)
#: The box of what lies nowhere: features without a finite box (empty, NaN, infinite) and findings without a
#: place. Boxes that cover EVERYWHERE, and NOWHERE, are a whole city. Our tables forbid such geometry.
NOWHERE: Box = (np.nan, np.nan, np.nan, np.nan)

#: Beyond any plane CRS (m); PostGIS wants finite boxes.
_FAR = 1e12

#: Columns that every Features has as attributes; rules may ask for them by name, too.
SYSTEM_COLUMNS = ("fid", "asset_id", "owner")


def bounded(box: Box) -> list[float]:
    """The four sides, finite."""
    return [min(max(float(side), -_FAR), _FAR) for side in box]


#: Features that a process holds of something that may be as large as the city.
PORTION = 20_000


@dataclass(frozen=True)
class Repeated:
    """Features that are equal in some columns, in the order of asset ids. All of them; or, of a group too
    large to be held, a part: ``goes_on`` says that it belongs to the group of the part before."""

    features: Features
    goes_on: bool = False


class Source(Protocol):
    """Features of one state of the city. All reads of one source see the same state."""

    def features(self, layer: str, box: Box, columns: Sequence[str], *, geometry: bool = True) -> Features:
        """Features whose bounding box meets ``box`` (closed), in the order of asset ids; for NOWHERE those
        that have no finite box."""

    def ask(self, wanted: Iterable[tuple[str, Box, tuple[str, ...]]]) -> None:
        """Say which ``features`` (layer, box, columns) will be wanted, so that they can come together."""

    def stream(
        self, layer: str, columns: Sequence[str], *, geometry: bool = True, size: int = PORTION
    ) -> Iterator[Features]:
        """All features of a layer in portions, so that memory stays bounded."""

    def repeated(
        self,
        layer: str,
        columns: Sequence[str],
        among: Sequence[Sequence[Any]] | None = None,
        *,
        more: Sequence[str] = (),
        held: Sequence[str] = (),
    ) -> Iterator[Repeated]:
        """Groups of two or more features that are equal in all ``columns`` (null equals null), each with
        these columns, ``more``, and geometry. A feature whose last column is null, or one of ``held``, is in
        no group. ``among``: only groups with one of these values. Memory stays bounded, however many there
        are."""

    def pick(self, layer: str, fids: Sequence[int], columns: Sequence[str]) -> Features:
        """The features of these ids, with geometry, in the order of asset ids; those that are gone are not
        there. For global rules that ask where an edit was."""

    def count(self, layer: str) -> int:
        """Number of features; 0 for a layer without any."""


def column_kind(layer: Layer, name: str) -> str:
    """``number``, ``text``, ``boolean`` or ``time``: how Features holds a column. KeyError if unknown."""
    if name in ("load_id", "fid", "version"):
        return "number"
    field = layer.field(name)
    if field is None:
        raise KeyError(f"{layer.id} has no field {name}")
    if field.type in ("integer", "number"):
        return "number"
    if field.type in ("date", "datetime"):
        return "time"
    return "boolean" if field.type == "boolean" else "text"


_NAT = np.datetime64("NaT", "us")


def column_array(kind: str, values: Sequence[Any]) -> npt.NDArray[Any]:
    """The values of a column as Features holds them (see column_kind)."""
    if kind == "number":
        return np.array([np.nan if v is None else v for v in values], dtype=np.float64)
    if kind == "time":
        return np.array([_NAT if v is None else np.datetime64(v) for v in values], "M8[us]")
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


class MemorySource:
    """Features held in memory, by layer."""

    def __init__(self, catalogue: Catalogue, layers: Mapping[str, Features]) -> None:
        self._catalogue = catalogue
        self._layers = {name: _sorted(held) for name, held in layers.items()}

    def features(self, layer: str, box: Box, columns: Sequence[str], *, geometry: bool = True) -> Features:
        held = self._whole(layer, columns, geometry=geometry)
        if layer not in self._layers:
            return held
        boxes = self._layers[layer].boxes
        placed = np.isfinite(boxes).all(axis=1)
        if np.isnan(box[0]):
            return held.take(~placed)
        meets = (
            (boxes[:, 0] <= box[2])
            & (boxes[:, 2] >= box[0])
            & (boxes[:, 1] <= box[3])
            & (boxes[:, 3] >= box[1])
        )
        return held.take(placed & meets)

    def ask(self, wanted: Iterable[tuple[str, Box, tuple[str, ...]]]) -> None:
        """Nothing has to come."""

    def stream(
        self, layer: str, columns: Sequence[str], *, geometry: bool = True, size: int = PORTION
    ) -> Iterator[Features]:
        held = self._whole(layer, columns, geometry=geometry)
        for start in range(0, len(held), size):
            yield held.take(np.arange(start, min(start + size, len(held))))

    def repeated(
        self,
        layer: str,
        columns: Sequence[str],
        among: Sequence[Sequence[Any]] | None = None,
        *,
        more: Sequence[str] = (),
        held: Sequence[str] = (),
    ) -> Iterator[Repeated]:
        features = self._whole(layer, list(dict.fromkeys([*columns, *more])), geometry=True)
        groups: dict[tuple[Any, ...], list[int]] = {}
        wanted = None if among is None else {tuple(values) for values in among}
        given = [name in held or name == columns[-1] for name in columns]
        for index in range(len(features)):
            key = tuple(plain(features[name][index]) for name in columns)
            lacking = any(value is None for value, must in zip(key, given, strict=True) if must)
            if not lacking and (wanted is None or key in wanted):
                groups.setdefault(key, []).append(index)
        return (Repeated(features.take(np.array(some))) for some in groups.values() if len(some) > 1)

    def pick(self, layer: str, fids: Sequence[int], columns: Sequence[str]) -> Features:
        held = self._whole(layer, columns, geometry=True)
        return held.take(np.isin(held.fid, np.asarray(fids, dtype=np.int64)))

    def count(self, layer: str) -> int:
        return len(self._layers[layer]) if layer in self._layers else 0

    def _whole(self, layer: str, columns: Sequence[str], *, geometry: bool) -> Features:
        if layer not in self._layers:
            return empty(self._catalogue.layers[layer], columns)
        held = self._layers[layer]
        missing = {
            name: column_array(column_kind(held.layer, name), [None] * len(held))
            for name in columns
            if name not in held.columns and name not in SYSTEM_COLUMNS
        }
        missing |= {name: getattr(held, name) for name in columns if name in SYSTEM_COLUMNS}
        return Features(
            held.layer,
            held.fid,
            held.asset_id,
            held.owner,
            held.geometry if geometry else None,
            {name: missing.get(name, held.columns.get(name)) for name in columns},  # type: ignore[misc]
        )


def empty(layer: Layer, columns: Sequence[str]) -> Features:
    """No features of a layer."""
    none = np.empty(0, dtype=object)
    no_fid = np.empty(0, np.int64)
    found = {
        name: no_fid if name == "fid" else column_array(column_kind(layer, name), []) for name in columns
    }
    return Features(layer, no_fid, none, none, np.empty(0, dtype=shapely.Geometry), found)


def _sorted(features: Features) -> Features:
    """The features in the order of asset ids."""
    order = np.argsort(features.asset_id.astype(str), kind="stable")
    return features if (order == np.arange(len(order))).all() else features.take(order)


def plain(value: Any) -> Any:
    """A comparable value; null is None."""
    if isinstance(value, float | np.floating):
        return None if np.isnan(value) else float(value)
    if isinstance(value, np.datetime64):
        return None if np.isnat(value) else value
    return value
