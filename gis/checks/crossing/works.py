"""What lies in the ground around a window: lines with size, height, kind and accuracy (layers' ``works``)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

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

    Coordinates are in units of the storage CRS, ``unit`` metres each; heights are in metres.
    """

    members: Members
    #: (n) number of the WorkDef, and what it says.
    kind: Objects
    sector: Objects
    container: Bools
    half_width: Floats
    half_height: Floats
    #: (n) from the surface to the axis, where there is a depth of cover.
    axis_depth: Floats
    horizontal: Floats
    vertical: Floats
    located: Bools
    #: Vertices (m, 3) of all lines, Z that of the axis or NaN; line i at offsets[i]:offsets[i + 1].
    vertices: Floats
    offsets: Ints
    unit: float
    #: (line, container) -> how much of the line (m) lies in the container's strip: see exempt.
    strips: dict[tuple[int, int], float] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.kind)

    @property
    def geometry(self) -> Objects:
        return self.members.geometry

    def about(self, line: int) -> tuple[Features, int]:
        return self.members.about(line)

    def key(self, line: int) -> tuple[str, str]:
        return self.members.key(line)

    @cached_property
    def ends(self) -> Floats:
        """(n, 2, 2) first and last vertex in plan."""
        at = np.stack([self.offsets[:-1], self.offsets[1:] - 1], axis=1)
        found: Floats = self.vertices[:, :2][at]
        return found

    @cached_property
    def length(self) -> Floats:
        """(n) in m."""
        found: Floats = shapely.length(self.geometry) * self.unit
        return found

    @cached_property
    def tree(self) -> shapely.STRtree:
        return shapely.STRtree(self.geometry)


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
        free = taken.setdefault(work.layer, ~_line(part))
        mine = selected(part, work) & ~free
        if mine.any():
            free |= mine
            parts.append(part)
            chosen.append(np.flatnonzero(mine))
            kept.append(work)
    defs = kept
    found = Members(parts, chosen)
    columns = [_sizes(work, part, which) for work, part, which in zip(defs, parts, chosen, strict=True)]
    sizes = np.concatenate([*columns, np.empty((0, 5))])
    counts = [len(which) for which in chosen]
    xyz, index = shapely.get_coordinates(found.geometry, include_z=True, return_index=True)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(index, minlength=len(found)))]).astype(np.int64)
    if len(xyz):
        _fill_heights(xyz, index, offsets, defs, parts, chosen, sizes)
    return Works(
        found,
        _repeated([work.kind for work in defs], counts),
        _repeated([part.layer.sector.id for part in parts], counts),
        np.repeat(np.array([work.container for work in defs], bool), counts),
        sizes[:, 0],
        sizes[:, 1],
        sizes[:, 2] + sizes[:, 1],
        sizes[:, 3],
        sizes[:, 4],
        np.concatenate([*(_levels(p, w)[1] for p, w in zip(parts, chosen, strict=True)), np.empty(0, bool)]),
        xyz,
        offsets,
        unit,
    )


def _line(part: Features) -> Bools:
    found: Bools = (shapely.get_type_id(part.geometry) == 1) & (shapely.length(part.geometry) > 0)
    return found


def _sizes(work: WorkDef, part: Features, which: Ints) -> Floats:
    """(n, 5) half width, half height, depth of cover, horizontal and vertical accuracy."""
    diameter, width, height = (
        _metres(part, name, which) for name in (work.diameter, work.width, work.height)
    )
    # A box says width and height; a pipe its diameter.
    half_width = np.fmin(np.nan_to_num(np.where(width > 0, width, diameter)) / 2, WIDEST)
    half_height = np.nan_to_num(np.where(height > 0, height, diameter)) / 2
    accuracy = _levels(part, which)[0]
    stated = []
    for name in _QUALITY[1:]:
        known = part.layer.field(name) is not None
        stated.append(part[name][which] if known else np.full(len(which), np.nan))
    # What the level says goes before a number that somebody wrote beside it.
    level_says = ~np.isnan(accuracy)
    unknown = accuracy == np.inf
    accuracies = [np.where(unknown, np.nan, np.where(level_says, accuracy, number)) for number in stated]
    return np.stack([half_width, half_height, _metres(part, work.depth, which, 1.0), *accuracies], axis=1)


def _levels(part: Features, which: Ints) -> tuple[Floats, Bools]:
    """Accuracy by quality level (inf: a level without one, NaN: no level), and whether well located."""
    if part.layer.field("quality_level") is None:
        return np.full(len(which), np.nan), np.zeros(len(which), bool)
    levels = part["quality_level"][which]
    accuracy = [np.nan if level is None else ACCURACY.get(level, np.inf) for level in levels]
    return np.array(accuracy, np.float64), np.array([level in LOCATED for level in levels], bool)


def _metres(part: Features, name: str | None, which: Ints, unit: float | None = None) -> Floats:
    if name is None:
        return np.full(len(which), np.nan)
    found: Floats = part[name][which] * (unit or (0.001 if name.endswith("_mm") else 1.0))
    return found


def _fill_heights(
    xyz: Floats, index: Ints, offsets: Ints, defs: list[WorkDef], parts: list[Features], chosen: list[Ints],
    sizes: Floats,
) -> None:  # fmt: skip
    """Make Z that of the axis: from the vertices, or where one has none from the levels at both ends."""
    steps = np.hypot(*np.diff(xyz[:, :2], axis=0, prepend=xyz[:1, :2]).T)
    steps[offsets[:-1][offsets[:-1] < len(xyz)]] = 0.0
    along = np.cumsum(steps)
    along = np.round(along - along[offsets[:-1]][index], 6)  # no trace of what was read before
    length = along[offsets[1:] - 1]
    complete = np.bincount(index[np.isnan(xyz[:, 2])], minlength=len(length)) == 0
    invert = np.repeat([work.level == "invert" for work in defs], [len(which) for which in chosen])
    levels = np.concatenate([
        np.stack([_metres(part, name, which, 1.0) for name in (work.start_level, work.end_level)], axis=1)
        for work, part, which in zip(defs, parts, chosen, strict=True)
    ])  # fmt: skip
    with np.errstate(invalid="ignore", divide="ignore"):
        between = levels[index, 0] + (levels[index, 1] - levels[index, 0]) * (along / length[index])
    xyz[:, 2] = np.where(complete[index], xyz[:, 2], between) + (invert * sizes[:, 1])[index]


def _repeated(values: list[str], counts: list[int]) -> Objects:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    found: Objects = np.repeat(array, counts)
    return found


def _present(layer: Layer) -> list[str]:
    return [name for name in _QUALITY if layer.field(name)]
