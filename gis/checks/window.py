"""A window of the city, the unit of work of local rules.

**The contract of local rules.** A rule run on a window reports exactly the findings whose anchor lies in the
window's box (west and south side included, east and north side not; source.NOWHERE owns the anchors that
are not finite). So disjoint windows that cover the city, and NOWHERE, give all findings, each once, wherever
the borders are. And any finding that a feature takes part in has its anchor within the feature's bounding
box grown by the rule's reach, so that an edit is judged by one window around it. Both hold when (1) the
anchor is computed from the features of the finding alone, never from the window, (2) everything that decides
the finding lies within ``reach`` of the anchor or of a feature whose bounding box, grown by ``reach``, holds
the anchor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from gis.checks.features import Bools, Features, Floats
from gis.checks.source import Box, Source
from gis.city import City
from layers.registry import Catalogue

T = TypeVar("T")


@dataclass(frozen=True)
class Need:
    """Features that a rule reads: those whose box meets the window's box grown by ``reach`` (m).

    An edit is judged by what its layers' needs say of them. ``columns``: no other attribute decides anything
    (but asset_id and owner, which every finding shows). ``shape``: geometry decides; without, it only says
    where a finding lies. ``alone``: whether a judged feature breaks the rule is not decided by others of this
    layer. ``centred``: everything that decides a finding lies within ``reach`` of its anchor, which follows
    from the contract above for windows of any size; False where a feature far from the anchor may move it.
    """

    layer: str
    columns: tuple[str, ...] = ()
    reach: float = 0.0
    centred: bool = True
    shape: bool = True
    alone: bool = False


@dataclass(frozen=True)
class Setting:
    """What does not change during a run: the city, its layers, the day that dates are judged by."""

    city: City
    catalogue: Catalogue
    today: date


class Needs(tuple[Need, ...]):
    """Needs that many windows have."""

    @cached_property
    def by_layer(self) -> dict[str, tuple[tuple[str, ...], float]]:
        """Columns and reach of each layer."""
        found: dict[str, tuple[list[str], float]] = {}
        for need in self:
            columns, reach = found.get(need.layer, ([], 0.0))
            found[need.layer] = list(dict.fromkeys([*columns, *need.columns])), max(reach, need.reach)
        return {layer: (tuple(columns), reach) for layer, (columns, reach) in found.items()}

    @cached_property
    def near(self) -> Needs:
        """The same, read no farther than the window."""
        return Needs(replace(need, reach=0.0) for need in self)


class Window:
    """A box of the city with the features in and around it; each layer is read once for all rules."""

    def __init__(
        self,
        box: Box,
        source: Source,
        setting: Setting,
        needs: Iterable[Need],
        given: Mapping[str, Features] | None = None,
    ) -> None:
        """``given``: layers that are not read: for rules that judge features alone, those to be judged."""
        self.box, self.setting, self._source = box, setting, source
        self._needs = (needs if isinstance(needs, Needs) else Needs(needs)).by_layer
        self._read: dict[str, Features] = dict(given or {})
        self._memo: dict[Any, Any] = {}
        self._sides, self._nowhere = np.array(box, np.float64), bool(np.isnan(box[0]))

    def features(self, layer: str) -> Features:
        """The layer's features around the window (at least as far as the rule asked), sound or not."""
        if layer not in self._read:
            columns, reach = self._needs[layer]
            self._read[layer] = self._source.features(layer, grown(self.box, reach), columns)
        return self._read[layer]

    def wants(self) -> Iterator[tuple[str, Box, tuple[str, ...]]]:
        """What will be read: layer, box, columns."""
        for layer, (columns, reach) in self._needs.items():
            if layer not in self._read:
                yield layer, grown(self.box, reach), columns

    def give(self, features: Features) -> None:
        """Features of a layer that is then not read."""
        self._read[features.layer.id] = features

    def sound(self, layer: str) -> Features:
        """The layer's sound features around the window."""
        return self.features(layer).sound_only

    def owns(self, xy: Floats) -> Bools:
        """Which of the anchors (n, 2) are this window's. Those that are not finite are NOWHERE's."""
        if self._nowhere:
            return ~np.isfinite(xy).all(axis=1)
        inside = (xy >= self._sides[:2]) & (xy < self._sides[2:])
        return inside[:, 0] & inside[:, 1]

    def owns_point(self, x: float, y: float) -> bool:
        minx, miny, maxx, maxy = self.box
        if self._nowhere:
            return not (np.isfinite(x) and np.isfinite(y))
        return minx <= x < maxx and miny <= y < maxy

    def memo(self, key: Any, compute: Callable[[], T]) -> T:
        """A result that several rules share, computed once in this window."""
        if key not in self._memo:
            self._memo[key] = compute()
        found: T = self._memo[key]
        return found


def grown(box: Box, by: float) -> Box:
    """The box with ``by`` (m) more on each side."""
    return box[0] - by, box[1] - by, box[2] + by, box[3] + by


def corner(boxes: Floats) -> Floats:
    """(n, 2) anchors of findings about one feature each: the lower left corner of its box."""
    return boxes[:, :2]


def meeting_corner(first: Floats, second: Floats) -> Floats:
    """(n, 2) anchors of findings about pairs: the lower left corner of what their boxes share.

    For boxes that only come near each other it lies between them, at most their distance outside of either.
    """
    return np.maximum(first[:, :2], second[:, :2])


def columns_of(names: Sequence[str | None]) -> tuple[str, ...]:
    """The names that are given, each once."""
    return tuple(dict.fromkeys(name for name in names if name))
