"""Features of several layers as one numbered list: the lines, or the point features, of a network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from gis.checks.features import Bools, Features, Ints, Objects
from gis.checks.source import column_array, column_kind
from layers.model import Selector, Values


class Members:
    """``n`` features, layer after layer in the network's order, within a layer in the order of asset ids.

    ``parts``: the features of each layer as they were read; ``part`` (n) and ``index`` (n) say which of
    them a member is.
    """

    def __init__(self, parts: Sequence[Features], chosen: Sequence[Ints]) -> None:
        self.parts = tuple(parts)
        self.part: Ints = np.repeat(np.arange(len(parts)), [len(some) for some in chosen])
        self.index: Ints = np.concatenate([*chosen, np.empty(0, np.int64)]).astype(np.int64)
        self._columns: dict[str, npt.NDArray[Any]] = {}

    def __len__(self) -> int:
        return len(self.index)

    def about(self, member: int) -> tuple[Features, int]:
        """What ``finding`` takes for one feature."""
        return self.parts[self.part[member]], int(self.index[member])

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

    def chosen(self, selectors: Iterable[Selector]) -> Bools:
        """(n) members that one of the selectors chooses."""
        found = np.zeros(len(self), bool)
        if not len(self):
            return found
        by_part = [np.zeros(len(part), bool) for part in self.parts]
        for selector in selectors:
            for part, mask in zip(self.parts, by_part, strict=True):
                if part.layer.id == selector.layer:
                    mask |= selected(part, selector)
        for number, mask in enumerate(by_part):
            mine = self.part == number
            found[mine] = mask[self.index[mine]]
        return found

    def _gather(self, columns: list[npt.NDArray[Any]], empty: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if not columns:
            return empty
        chosen = [self.index[self.part == number] for number in range(len(self.parts))]
        return np.concatenate([column[some] for column, some in zip(columns, chosen, strict=True)])


def members(
    selectors: Iterable[Selector],
    features: Callable[[str], Features],
    usable: Callable[[Features], Bools],
) -> Members:
    """The features that the selectors choose and that are ``usable``."""
    masks: dict[str, Bools] = {}
    for selector in selectors:
        layer = features(selector.layer)
        mask = masks.setdefault(selector.layer, np.zeros(len(layer), bool))
        mask |= selected(layer, selector)
    parts = [features(layer) for layer in masks]
    return Members(
        parts,
        [np.flatnonzero(m & usable(part)) for part, m in zip(parts, masks.values(), strict=True)],
    )


def selected(features: Features, selector: Selector) -> Bools:
    """Which features of its layer a selector chooses."""
    found = np.ones(len(features), bool)
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
    wanted = set(values)
    return np.fromiter((value in wanted for value in column), bool, len(column))
