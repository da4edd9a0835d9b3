"""Do the numbers of a delivery look like the unit of their field? A warning, never a conversion.

A layer's YAML says within what a field's typical value lies (``usual: [10, 5000]`` of ``diameter_mm``); a
delivery whose median lies elsewhere is told so, and which unit its numbers fit.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gis.ingest.mapping import Rule
from layers.model import FieldDef

#: Values of a field that are kept for the median, and the fewest that say something.
_MOST, _FEWEST = 20_000, 5
#: Unit of a field -> what its values may have come in: name and factor to the field's unit.
_OTHERS: dict[str, tuple[tuple[str, float], ...]] = {
    "mm": (("metres", 1000), ("centimetres", 10), ("inches", 25.4)),
    "cm": (("metres", 100), ("millimetres", 0.1)),
    "m": (("millimetres", 0.001), ("centimetres", 0.01), ("kilometres", 1000), ("feet", 0.3048)),
    "km": (("metres", 0.001),),
    "m2": (("hectares", 10_000), ("square kilometres", 1_000_000)),
    "mm2": (("square centimetres", 100), ("square metres", 1_000_000)),
    "ha": (("square metres", 0.0001),),
    "kV": (("volts", 0.001),),
    "V": (("kilovolts", 1000),),
    "kVA": (("volt-amperes", 0.001), ("megavolt-amperes", 1000)),
    "bar": (("kilopascals", 0.01), ("pascals", 0.00001), ("metres of water", 0.0980665)),
}


@dataclass
class Plausible:
    """Sees the columns of one batch after the other; ``warnings`` at the end."""

    fields: tuple[FieldDef, ...]
    _seen: dict[str, list[npt.NDArray[np.float64]]] = field(default_factory=dict)

    def see(self, columns: dict[str, pa.Array]) -> None:
        """The converted columns of a batch by field."""
        for f in self.fields:
            if f.usual is None:
                continue
            kept = self._seen.setdefault(f.name, [])
            left = _MOST - sum(map(len, kept))
            if left > 0:
                column = columns[f.name].drop_null()
                values = np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)
                kept.append(values[np.isfinite(values) & (values != 0)][:left].copy())

    def warnings(self, rules: dict[str, Rule]) -> list[str]:
        """A sentence for each field whose median is out of its usual range."""
        found = []
        for f in self.fields:
            values = np.concatenate(self._seen.get(f.name) or [np.empty(0)])
            if f.usual is None or len(values) < _FEWEST or f.name not in rules:
                continue
            low, high = f.usual
            median = float(np.median(values))
            if low <= median <= high:
                continue
            given = rules[f.name].scale
            fits = [(n, by) for n, by in _OTHERS.get(f.unit or "", ()) if low <= median * by <= high]
            side = "below" if median < low else "above"
            text = f"half of {f.name} is {side} {median:g}, but {low:g} to {high:g} is usual"
            if fits and given is None:
                names = " or ".join(f"{name} (scale: {by:g})" for name, by in fits)
                text += f"; it looks like {names}: use a mapping with that scale"
            else:
                text += "; check its unit" + (f" and the mapping's scale {given:g}" if given else "")
            found.append(text)
        return found
