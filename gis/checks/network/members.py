"""Features of several layers as one numbered list: the lines, or the point features, of a network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from gis.checks.features import Bools, Features, Floats, Ints, Objects
from gis.checks.source import column_array, column_kind
from layers.model import Selector, Values

_NONE = np.empty(0, np.int64)


class Members:
    """``n`` features, layer after layer in the network's order, within a layer in the order of asset ids.

    ``parts``: the features of each layer as they were read; ``part`` (n) and ``index`` (n) say which of
    them a member is.
    """

    def __init__(self, parts: Sequence[Features], chosen: Sequence[Ints]) -> None:
        self.parts, self._chosen = tuple(parts), tuple(chosen)
        self.part: Ints = np.repeat(np.arange(len(parts)), [len(some) for some in chosen])
        self.index: Ints = np.concatenate([*chosen, _NONE]).astype(np.int64, copy=False)
        self._columns: dict[str, npt.NDArray[Any]] = {}

    def __len__(self) -> int:
        return len(self.index)

    def about(self, member: int) -> tuple[Features, int]:
        """What ``finding`` takes for one feature."""
        return self.parts[self.part[member]], int(self.index[member])

    def runs(self) -> Iterator[tuple[Features, Ints, slice]]:
        """Each part, the features of it that are members, and the numbers of these members."""
        start = 0
        for part, some in zip(self.parts, self._chosen, strict=True):
            yield part, some, slice(start, start + len(some))
            start += len(some)

    def only(self, kept: Bools) -> Members:
        """Some of the members (n)."""
        return Members(self.parts, [which[kept[mine]] for _, which, mine in self.runs()])

    def key(self, member: int) -> tuple[str, str]:
        """Asset id and layer: the order in which findings name features."""
        features, index = self.about(member)
        return str(features.asset_id[index]), features.layer.id

    def in_order(self, members: Iterable[int]) -> list[int]:
        """The members, each once, in the order of their asset ids."""
        return sorted({int(m) for m in members}, key=self.key)

    @cached_property
    def geometry(self) -> Objects:
        """(n) geometry."""
        return self._gather([part.geometry for part in self.parts], np.empty(0, dtype=object))

    @cached_property
    def boxes(self) -> Floats:
        """(n, 4) as Features.boxes."""
        return self._gather([part.boxes for part in self.parts], np.empty((0, 4)))

    def column(self, name: str) -> npt.NDArray[Any]:
        """(n) a field, as Features holds it; null for the features of layers that do not have it."""
        if name not in self._columns:
            kind = next((column_kind(p.layer, name) for p in self.parts if p.layer.field(name)), "number")
            self._columns[name] = self._gather(
                [
                    part[name] if part.layer.field(name) else column_array(kind, [None] * len(part))
                    for part in self.parts
                ],
                column_array(kind, []),
            )
        return self._columns[name]

    def where(self, fields: Mapping[str, Values], *, otherwise: bool = True) -> Bools:
        """(n) members that hold one of the values in each field; ``otherwise`` where no field is given."""
        found = np.full(len(self), otherwise if not fields else True)
        for name, values in fields.items():
            found &= one_of(self.column(name), values)
        return found

    def chosen(self, selectors: Sequence[Selector]) -> Bools:
        """(n) members that one of the selectors chooses."""
        found = np.zeros(len(self), bool)
        for part, which, mine in self.runs():
            for selector in selectors if len(which) else ():
                if part.layer.id == selector.layer:
                    found[mine] |= selected(part, selector)[which]
        return found

    def _gather(self, columns: list[npt.NDArray[Any]], empty: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if not columns:
            return empty
        return np.concatenate([column[some] for column, some in zip(columns, self._chosen, strict=True)])


def members(selectors: Iterable[Selector], features: Callable[[str], Features]) -> Members:
    """The features that the selectors choose."""
    masks: dict[str, Bools] = {}
    for selector in selectors:
        layer = features(selector.layer)
        mask = selected(layer, selector)
        known = masks.get(selector.layer)
        masks[selector.layer] = mask if known is None else known | mask
    parts = [features(layer) for layer in masks]
    return Members(parts, [np.flatnonzero(mask) if len(mask) else _NONE for mask in masks.values()])


def selected(features: Features, selector: Selector) -> Bools:
    """Which features of its layer a selector chooses."""
    found = np.ones(len(features), bool)
    if not len(features):
        return found
    for name, values in selector.where.items():
        found &= one_of(features[name], values)
    for name, values in selector.unless.items():
        found &= ~one_of(features[name], values)
    return found


def one_of(column: npt.NDArray[Any], values: Values) -> Bools:
    """Where a column holds one of the values; null never does."""
    if column.dtype != object:
        # np.isin takes longer for few rows, as around an edit, and for few values.
        found = np.zeros(len(column), bool)
        for value in values:
            if not isinstance(value, str):
                found |= column == float(value)
        return found
    wanted = _set_of(values)
    return np.array([value in wanted for value in column], bool)


@lru_cache(maxsize=1024)
def _set_of(values: Values) -> frozenset[Any]:
    return frozenset(values)
