"""What a load of rasters did, for people and machines."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class FileReport:
    """What became of one file: ``loaded``, ``unchanged`` (it is there), ``checked`` or ``refused``."""

    source: str
    outcome: str
    sheet: str | None = None
    crs: int | None = None
    crs_how: str = ""
    warped: bool = False
    width: int = 0
    height: int = 0
    bands: int = 0
    resolution_m: float = 0.0
    lowest: float | None = None
    highest: float | None = None
    bytes: int = 0
    warnings: list[str] = field(default_factory=list)
    reason: str | None = None
    code: str | None = None
    hint: str | None = None


@dataclass
class RasterReport:
    """What a load did, for people and machines."""

    layer: str
    mode: str
    dry_run: bool
    files: list[FileReport] = field(default_factory=list)
    removed: int = 0
    #: Metres of a pixel of the overview that was made, of a layer of many files.
    overview_m: float | None = None
    warnings: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def count(self, outcome: str) -> int:
        """Files with this outcome."""
        return sum(one.outcome == outcome for one in self.files)

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        counts = {name: self.count(name) for name in ("loaded", "unchanged", "checked", "refused")}
        return {**asdict(self), **counts}

    def as_text(self) -> str:
        """A few lines for a terminal."""
        lines = []
        for one in self.files:
            if one.outcome == "refused":
                lines.append(f"refused: {one.source}: {one.reason}" + (f" ({one.hint})" if one.hint else ""))
            lines += [f"{one.source}: {warning}" for warning in one.warnings]
        lines += self.warnings
        verb = "would be loaded" if self.dry_run else "loaded"
        parts = [f"{self.count('checked' if self.dry_run else 'loaded')} of {len(self.files)} files {verb}"]
        parts += [f"{n} {name}" for name in ("unchanged", "refused") if (n := self.count(name))]
        parts += [f"{self.removed} removed"] if self.removed else []
        parts += [f"overview of {self.overview_m:g} m made"] if self.overview_m else []
        return "\n".join([*lines, f"{self.layer}: {', '.join(parts)} in {self.seconds:.1f} s"])
