"""The parameters of an operation, read out of the document of a request with all mistakes at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gis import crs
from gis.edit.errors import Invalid
from gis.edit.operations.standing import Floats
from gis.edit.validate import Errors, pointer
from layers.registry import Layer

#: Most vertices of a line that is given, most parcels and parts.
MOST_VERTICES, MOST_MEMBERS = 1_000, 50
_INT8 = 2**63 - 1


class Asked:
    """An object of the request. Every member must be read; the rest are mistakes (``done``).

    ``layer_of`` gives the layer of an id, if the caller may see it; ``ref`` is the CRS of coordinates.
    """

    def __init__(
        self,
        document: Any,
        layer_of: Callable[[str], Layer | None],
        ref: crs.CrsRef,
        storage: int,
        at: str = "",
        errors: Errors | None = None,
    ) -> None:
        self.errors: Errors = [] if errors is None else errors
        self._layer_of, self._ref, self._storage, self.at = layer_of, ref, storage, at
        self._read: set[str] = set()
        if not isinstance(document, dict):
            self.wrong("", "must be an object")
            document = {}
        self._document: dict[str, Any] = document

    def wrong(self, name: str, detail: str) -> None:
        """Note a mistake of a member."""
        at = self.at + (pointer(name) if name else "")
        self.errors.append({"pointer": at, "detail": f"{name} {detail}" if name else detail})

    def has(self, name: str) -> bool:
        """Whether the member is given."""
        self._read.add(name)
        return self._document.get(name) is not None

    def get(self, name: str) -> Any:
        """The member as it is."""
        self._read.add(name)
        return self._document.get(name)

    def done(self) -> None:
        """Raises Invalid with all mistakes, unread members among them."""
        self.unread()
        if self.errors:
            raise Invalid(self.errors)

    def unread(self) -> None:
        """Note members that nobody asked for."""
        for name in self._document:
            if name not in self._read:
                known = ", ".join(sorted(self._read))
                self.errors.append(
                    {
                        "pointer": self.at + pointer(name[:200]),
                        "detail": f"there is no member of this name here: known are {known}",
                    }
                )

    def layer(self, name: str = "layer") -> Layer | None:
        given = self.get(name)
        found = self._layer_of(given) if isinstance(given, str) else None
        if found is None:
            self.wrong(name, "must be the id of a layer; see /collections for the list")
        return found

    def whole(self, name: str, least: int, most: int = _INT8, *, required: bool = True) -> int:
        given = self.get(name)
        if given is None and not required:
            return 0
        if isinstance(given, bool) or not isinstance(given, int) or not least <= given <= most:
            self.wrong(
                name, "must be the id of a feature" if name == "fid" else "must be the version that you read"
            )
            return 0
        return given

    def feature(self, *, versioned: bool = True) -> tuple[int, int | None, str]:
        """fid, version, and the pointer of this object. A version that may be left out is None then."""
        fid = self.whole("fid", 0)
        version = self.whole("version", 1, 2**31 - 1, required=versioned)
        return fid, version or None, self.at

    def properties(self, name: str = "properties") -> dict[str, Any]:
        given = self.get(name)
        if given is None:
            return {}
        if not isinstance(given, dict):
            self.wrong(name, "must be an object of attributes")
            return {}
        return dict(given)

    def inner(self, name: str) -> Asked:
        """An object within."""
        return self._at(self.get(name), pointer(name))

    def several(self, name: str, least: int) -> list[Asked]:
        """A list of objects."""
        given = self.get(name)
        if given is None and least == 0:
            return []
        if not isinstance(given, list) or not least <= len(given) <= MOST_MEMBERS:
            self.wrong(name, f"must be a list of {least} to {MOST_MEMBERS} objects")
            return []
        return [self._at(one, pointer(name, n)) for n, one in enumerate(given)]

    def tolerance(self, default_m: float, most_m: float) -> float:
        """``tolerance_m``."""
        given = self.get("tolerance_m")
        if given is None:
            return default_m
        if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given <= most_m:
            self.wrong("tolerance_m", f"must be a number of metres up to {most_m:g}")
            return default_m
        return float(given)

    def point(self, name: str) -> Floats:
        """A GeoJSON Point in the storage CRS: (2), or with a height (3)."""
        found = self._positions(name, "Point")
        return found[0] if len(found) else np.zeros(2)

    def line(self, name: str) -> Floats:
        """A GeoJSON LineString in the storage CRS, (n, 2), without repeated vertices."""
        found = self._positions(name, "LineString")[:, :2]
        if len(found):
            kept = np.concatenate([[True], (np.diff(found, axis=0) != 0).any(axis=1)])
            found = found[kept]
            if len(found) < 2:
                self.wrong(name, "must have two different positions or more")
        return found if len(found) >= 2 else np.zeros((2, 2))

    def _positions(self, name: str, kind: str) -> Floats:
        none = np.empty((0, 2))
        given = self.get(name)
        if not isinstance(given, dict) or given.get("type") != kind:
            self.wrong(name, f"must be a GeoJSON {kind}")
            return none
        listed = given.get("coordinates")
        rows = [listed] if kind == "Point" else listed
        least = 1 if kind == "Point" else 2
        if not isinstance(rows, list) or not least <= len(rows) <= MOST_VERTICES:
            self.wrong(name, f"must have {least} to {MOST_VERTICES} positions")
            return none
        for row in rows:
            if not isinstance(row, list) or len(row) not in (2, 3) or not all(map(_finite, row)):
                self.wrong(name, "has a position that is no list of two or three finite numbers")
                return none
        if len({len(row) for row in rows}) > 1:
            self.wrong(name, "has heights at some positions only")
            return none
        found = np.array(rows, dtype=np.float64)
        x, y = (found[:, 1], found[:, 0]) if self._ref.swap else (found[:, 0], found[:, 1])
        moved = crs.transform_xy(x, y, self._ref.code, self._storage)
        found[:, 0], found[:, 1] = moved
        if not np.isfinite(found).all():
            self.wrong(name, "lies outside of where the city's coordinates are used")
            return none
        return found

    def _at(self, document: Any, place: str) -> Asked:
        return Asked(document, self._layer_of, self._ref, self._storage, self.at + place, self.errors)


def _finite(number: Any) -> bool:
    return not isinstance(number, bool) and isinstance(number, int | float) and abs(number) < 1e12
