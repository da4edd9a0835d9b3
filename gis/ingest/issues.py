"""Why rows are rejected, and what was changed in rows that are taken; collected for one batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]

#: Reason code -> what it means; docs/loading.md lists them and a test holds that.
REASONS: dict[str, str] = {
    "no-geometry": "the row has no geometry",
    "geometry-unreadable": "the geometry's bytes or text are damaged, or a ring is not closed",
    "geometry-empty": "the geometry is empty",
    "geometry-type": "the geometry's type is not the layer's and cannot become it without loss",
    "geometry-depth": "collections are nested more than four deep",
    "too-many-vertices": "more vertices than the layer allows",
    "not-finite": "a coordinate or number is NaN or infinite",
    "outside-crs": "a coordinate cannot be transformed to the storage CRS",
    "outside-city": "the feature is not inside the city's extent",
    "invalid-geometry": "the geometry is not valid (it crosses itself, for example)",
    "z-missing": "the layer needs heights and the geometry has none",
    "required": "a required attribute is empty",
    "not-in-domain": "the value is not in the attribute's value list",
    "not-mapped": "the mapping's value list does not name the value",
    "not-a-number": "the text is not a number",
    "not-an-integer": "the number is not a whole number, or too large",
    "not-a-boolean": "the text is neither yes nor no",
    "not-a-date": "the text is not a date",
    "out-of-range": "the number is below the attribute's minimum or above its maximum",
    "too-long": "the text is longer than the attribute allows",
    "control-character": "the text holds NUL or another control character",
    "bad-encoding": "the text is not valid in the encoding",
    "owner": "no agency of the city has this id",
    "duplicate": "another row of the file, or of the layer, has the same asset_id or key",
}


@dataclass
class Issues:
    """Reasons against the rows of one batch of ``count`` rows."""

    count: int
    _found: list[tuple[Mask, str, str, Callable[[int], str]]] = field(default_factory=list)

    def reject(self, mask: Mask, code: str, where: str, message: Callable[[int], str]) -> None:
        """Reject the rows of ``mask``: reason code, field (or "geom"), message by row number in the batch."""
        assert code in REASONS
        if mask.any():
            self._found.append((mask, code, where, message))

    @property
    def rejected(self) -> Mask:
        """Rows with at least one reason."""
        result = np.zeros(self.count, dtype=np.bool_)
        for mask, *_ in self._found:
            result |= mask
        return result

    def of(self, row: int) -> list[tuple[str, str, str]]:
        """All reasons against a row: (code, field, message)."""
        return [(code, where, say(row)) for mask, code, where, say in self._found if mask[row]]

    def counts(self, among: Mask | None = None) -> Counter[str]:
        """Rejected rows by their first reason."""
        counted: Counter[str] = Counter()
        open_rows = np.ones(self.count, dtype=np.bool_) if among is None else among.copy()
        for mask, code, _, _ in self._found:
            counted[code] += int((mask & open_rows).sum())
            open_rows &= ~mask
        return Counter({k: v for k, v in counted.items() if v})


def shorten(value: object, most: int = 60) -> str:
    """A value for a message, cut to ``most`` characters."""
    text = str(value)
    return text if len(text) <= most else text[: most - 1] + "…"
