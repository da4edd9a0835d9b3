"""What lies in the ground around a window: lines with size, height, kind and accuracy (layers' ``works``)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import shapely

from gis.checks.features import Bools, Features, Floats, Ints, Objects
from gis.checks.model import Application
from gis.checks.network.graph import unit_m
from gis.checks.network.members import Members, selected
from gis.checks.window import Need, Window, columns_of
from layers.model import WorkDef
from layers.registry import Catalogue, Layer

#: Accuracy (m) of a quality level (PAS 128, shared/domain/utility-networks.md); C, D, B4: unknown.
ACCURACY = {"A": 0.05, "B1": 0.15, "B2": 0.25, "B3": 0.50}
#: Quality levels at which a breach can be certain.
LOCATED = ("A", "B1", "B2")
#: A work is judged as at most twice this wide (m): wider ones are areas. It bounds the reach of rules.
WIDEST = 5.0
#: Units of the storage CRS in a metre, at most (feet): reaches are given in units before the city is known.
UNITS = 3.3
_QUALITY = ("quality_level", "horizontal_accuracy_m", "vertical_accuracy_m")


@dataclass(frozen=True)
class Works:
    """``n`` lines. Sizes and accuracies in m; NaN is unknown, but an unknown size counts as 0.

    Coordinates are in units of the storage CRS, ``unit`` metres each; heights are in metres. Columns are made
    when they are asked for: around an edit mostly nothing comes near enough to ask for heights.
    """

    members: Members
    #: What chose the members of each part.
    defs: tuple[WorkDef, ...]
    unit: float
    #: (line, container) -> how much of the line (m) lies in the container's strip: see exempt.
    strips: dict[tuple[int, int], float] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.members)

    @property
    def geometry(self) -> Objects:
        return self.members.geometry

    @property
    def boxes(self) -> Floats:
        """(n, 4) as Features.boxes."""
        return self.members.boxes

    def about(self, line: int) -> tuple[Features, int]:
        return self.members.about(line)

    def key(self, line: int) -> tuple[str, str]:
        return self.members.key(line)

    @cached_property
    def kind(self) -> Objects:
        """(n) what their WorkDefs say."""
        found: Objects = self._said([work.kind for work in self.defs], object)
        return found

    @cached_property
    def sector(self) -> Objects:
        found: Objects = self._said([part.layer.sector.id for part in self.members.parts], object)
        return found

    @cached_property
    def container(self) -> Bools:
        found: Bools = self._said([work.container for work in self.defs], np.bool_)
        return found

    @cached_property
    def half_width(self) -> Floats:
        # A box says width and height; a pipe its diameter.
        width, diameter = self._metres("width"), self._metres("diameter")
        return np.fmin(_or_zero(np.where(width > 0, width, diameter)) / 2, WIDEST)

    @cached_property
    def half_height(self) -> Floats:
        height, diameter = self._metres("height"), self._metres("diameter")
        return _or_zero(np.where(height > 0, height, diameter)) / 2

    @cached_property
    def axis_depth(self) -> Floats:
        """(n) from the surface to the axis, where there is a depth of cover."""
        return self._metres("depth") + self.half_height

    @cached_property
    def horizontal(self) -> Floats:
        return self._accuracy("horizontal_accuracy_m")

    @cached_property
    def vertical(self) -> Floats:
        return self._accuracy("vertical_accuracy_m")

    @cached_property
    def located(self) -> Bools:
        return np.array([level in LOCATED for level in self._levels], bool)

    @cached_property
    def offsets(self) -> Ints:
        """(n + 1) line i has the vertices offsets[i]:offsets[i + 1]."""
        found = np.zeros(len(self) + 1, np.int64)
        np.cumsum(np.bincount(self._drawn[1], minlength=len(self)), out=found[1:])
        return found

    @cached_property
    def vertices(self) -> Floats:
        """Vertices (m, 3) of all lines, Z that of the axis or NaN."""
        found = self._drawn[0].copy()
        if len(found):
            self._fill_heights(found)
        return found

    @cached_property
    def ends(self) -> Floats:
        """(n, 2, 2) first and last vertex in plan."""
        at = np.stack([self.offsets[:-1], self.offsets[1:] - 1], axis=1)
        found: Floats = self._drawn[0][:, :2][at]
        return found

    @cached_property
    def length(self) -> Floats:
        """(n) in m."""
        found: Floats = shapely.length(self.geometry) * self.unit
        return found

    @cached_property
    def tree(self) -> shapely.STRtree:
        return shapely.STRtree(self.geometry)

    # --- making columns ------------------------------------------------------------------------------

    @cached_property
    def _drawn(self) -> tuple[Floats, Ints]:
        """Vertices (m, 3) with Z as stored, and the line of each."""
        xyz, index = shapely.get_coordinates(self.geometry, include_z=True, return_index=True)
        return xyz, index

    def _said(self, values: list[Any], dtype: Any) -> Any:
        """(n) what is known of each part."""
        known = np.empty(len(values), dtype)
        known[:] = values
        return known[self.members.part]

    def _metres(self, size: str) -> Floats:
        """(n) the field that each WorkDef names for a size."""
        found = np.full(len(self), np.nan)
        for work, (part, which, mine) in zip(self.defs, self.members.runs(), strict=True):
            name = getattr(work, size)
            if name is not None:
                found[mine] = part[name][which] * (0.001 if name.endswith("_mm") else 1.0)
        return found

    @cached_property
    def _levels(self) -> list[Any]:
        """(n) quality levels."""
        found: list[Any] = []
        for part, which, _ in self.members.runs():
            known = part.layer.field("quality_level") is not None
            found += part["quality_level"][which].tolist() if known else [None] * len(which)
        return found

    def _accuracy(self, name: str) -> Floats:
        """(n) what the quality level says; the number that somebody wrote only where there is no level."""
        found = np.full(len(self), np.nan)
        for part, which, mine in self.members.runs():
            if part.layer.field(name) is not None:
                found[mine] = part[name][which]
        for line, level in enumerate(self._levels):
            if level is not None:
                found[line] = ACCURACY.get(level, np.nan)
        return found

    def _fill_heights(self, xyz: Floats) -> None:
        """Make Z that of the axis: from the vertices, or where one has none from the levels at both ends."""
        index, offsets = self._drawn[1], self.offsets
        invert = self._said([work.level == "invert" for work in self.defs], np.bool_)
        above = (invert * self.half_height)[index]
        unknown = np.isnan(xyz[:, 2])
        if not unknown.any():
            xyz[:, 2] += above
            return
        steps = np.hypot(*np.diff(xyz[:, :2], axis=0, prepend=xyz[:1, :2]).T)
        steps[offsets[:-1][offsets[:-1] < len(xyz)]] = 0.0
        along = np.cumsum(steps)
        along = np.round(along - along[offsets[:-1]][index], 6)  # no trace of what was read before
        length = along[offsets[1:] - 1]
        complete = np.bincount(index[unknown], minlength=len(length)) == 0
        start, end = self._metres("start_level"), self._metres("end_level")
        with np.errstate(invalid="ignore", divide="ignore"):
            between = start[index] + (end[index] - start[index]) * (along / length[index])
        xyz[:, 2] = np.where(complete[index], xyz[:, 2], between) + above


def works_needs(
    app: Application, catalogue: Catalogue, reach: float, *, alone: bool = False
) -> Iterator[Need]:
    """What works_of reads of the application's layers, ``reach`` metres around a window (``alone``: Need)."""
    for work in catalogue.works:
        if work.layer in app.layers:
            layer = catalogue.layers[work.layer]
            # Where a container shelters two lines, the place of their finding is another, far along them.
            centred = not any(other.container for other in catalogue.works if other.layer == work.layer)
            columns = columns_of([*work.fields(), *_present(layer)])
            yield Need(work.layer, columns, reach * UNITS, centred=centred, alone=alone)


def works_of(window: Window, app: Application) -> Works:
    """The works of the application's layers around a window, made once for all rules that ask for these."""
    catalogue = window.setting.catalogue
    defs = [work for work in catalogue.works if work.layer in app.layers]
    unit = unit_m(window.setting.city)
    return window.memo(("works", app.layers), lambda: build(defs, window.sound, unit))


def build(defs: Iterable[WorkDef], features: Callable[[str], Features], unit: float = 1.0) -> Works:
    """The works that ``defs`` choose, each by the first that does. Points, polygons and lines of no length
    are left out."""
    taken: dict[str, Bools] = {}
    # Mostly few of them are near an edit.
    parts, chosen, kept = [], [], []
    for work in defs:
        part = features(work.layer)
        if not len(part):
            continue
        free = taken.get(work.layer)
        if free is None:
            free = taken[work.layer] = _line(part)
        mine = free & selected(part, work)
        if mine.any():
            free &= ~mine
            parts.append(part)
            chosen.append(np.flatnonzero(mine))
            kept.append(work)
    return Works(Members(parts, chosen), tuple(kept), unit)


def _line(part: Features) -> Bools:
    found: Bools = (shapely.get_type_id(part.geometry) == 1) & (shapely.length(part.geometry) > 0)
    return found


def _or_zero(sizes: Floats) -> Floats:
    sizes[np.isnan(sizes)] = 0.0
    return sizes


def _present(layer: Layer) -> list[str]:
    return [name for name in _QUALITY if layer.field(name)]
