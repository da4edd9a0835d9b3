"""Features of one layer as columns: what rules compute on. Arrays, not objects, because a city is large."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from gis.checks.model import FeatureRef
from gis.checks.paths import Paths, paths_of
from layers.registry import Layer

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Objects = npt.NDArray[np.object_]


class Features:
    """``n`` features of one layer, in the order of their asset ids (so that reading order never matters).

    ``fid`` int64 (n), ``asset_id`` and ``owner`` str (n), ``geometry`` shapely (n) in the storage CRS, Z as
    stored (None when the features were read without geometry). ``columns``: numbers as float64 with NaN
    for null, booleans and texts as objects with None for null, dates and times as datetime64 with NaT.
    """

    def __init__(
        self,
        layer: Layer,
        fid: Ints,
        asset_id: Objects,
        owner: Objects,
        geometry: Objects | None,
        columns: Mapping[str, npt.NDArray[Any]],
    ) -> None:
        self.layer = layer
        self.fid, self.asset_id, self.owner = fid, asset_id, owner
        self._geometry = geometry
        self.columns = dict(columns)

    def __len__(self) -> int:
        return len(self.fid)

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        """A column by name. KeyError means that the rule did not ask for it in its needs."""
        return self.columns[name]

    @property
    def geometry(self) -> Objects:
        if self._geometry is None:
            raise ValueError(f"{self.layer.id} was read without geometry")
        return self._geometry

    def ref(self, index: int) -> FeatureRef:
        """The reference of feature ``index`` for a finding."""
        return FeatureRef(
            self.layer.id, int(self.fid[index]), str(self.asset_id[index]), str(self.owner[index])
        )

    def take(self, which: Ints | Bools) -> Features:
        """Some of the features, by index or mask. What was derived of them (boxes) goes along."""
        taken = Features(
            self.layer,
            self.fid[which],
            self.asset_id[which],
            self.owner[which],
            None if self._geometry is None else self._geometry[which],
            {name: column[which] for name, column in self.columns.items()},
        )
        for name in ("boxes", "sound"):
            if name in self.__dict__:
                taken.__dict__[name] = self.__dict__[name][which]
        return taken

    @cached_property
    def boxes(self) -> Floats:
        """(n, 4) minx, miny, maxx, maxy; NaN for geometry without a finite box, such as an empty one."""
        found: Floats = shapely.bounds(self.geometry)
        found[~np.isfinite(found).all(axis=1)] = np.nan
        return found

    @cached_property
    def sound(self) -> Bools:
        """(n) geometry that overlay and distance may be asked about: not empty, finite, valid by OGC.

        shapely.is_valid neither repairs nor builds anything, and was never seen to crash (design/database.md
        tells of make_valid, which did).
        """
        sound: Bools = np.isfinite(self.boxes).all(axis=1)
        if sound.all():
            sound = shapely.is_valid(self.geometry)
        else:
            sound[sound] = shapely.is_valid(self.geometry[sound])
        return sound

    @property
    def sound_only(self) -> Features:
        """The sound features; the same object when all are."""
        # Not cached in itself: a cycle stays until Python's collector comes by, which is many windows later.
        return self if self._all_sound else self._sound_taken

    @cached_property
    def _all_sound(self) -> bool:
        return not len(self) or bool(self.sound.all())

    @cached_property
    def _sound_taken(self) -> Features:
        return self.take(self.sound)

    @cached_property
    def tree(self) -> shapely.STRtree:
        """Spatial index of the geometry."""
        return shapely.STRtree(self.geometry)

    @cached_property
    def vertices(self) -> tuple[Floats, Ints]:
        """Coordinates (m, 2) of all vertices in order, and the index of the feature each belongs to (m)."""
        xy, index = shapely.get_coordinates(self.geometry, return_index=True)
        return xy, index.astype(np.int64, copy=False)

    @cached_property
    def paths(self) -> Paths:
        """Lines and rings as runs of the vertices."""
        return paths_of(self.geometry)
