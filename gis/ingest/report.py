"""What a load did, for people and machines."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from gis.ingest.issues import REASONS


@dataclass
class LoadReport:
    """Counts and findings of one load; ``as_dict()`` is stored in bandoso.load and printed by --json."""

    layer: str
    source: str
    format: str
    mode: str
    dry_run: bool = False
    #: Was a dry run compared with the rows of the layer?
    compared: bool = False
    source_layer: str | None = None
    crs: int | None = None
    crs_how: str = ""
    encoding: str = ""
    encoding_how: str = ""
    #: Rows of the source; selected by the mapping; taken: added + updated + unchanged; rejected.
    read: int = 0
    selected: int = 0
    loaded: int = 0
    added: int = 0
    updated: int = 0
    unchanged: int = 0
    removed: int = 0
    rejected: int = 0
    #: Rejected rows by their first reason.
    reasons: Counter[str] = field(default_factory=Counter)
    #: What was converted without loss, or left out as the layer says: what -> rows.
    conversions: dict[str, int] = field(default_factory=dict)
    fields: dict[str, str] = field(default_factory=dict)
    unmatched: list[str] = field(default_factory=list)
    ambiguous: dict[str, list[str]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    rejects_file: str | None = None
    load_id: int | None = None
    seconds: float = 0.0
    #: Seconds by stage, for those who tune.
    stages: dict[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "reasons": dict(self.reasons)}

    def as_text(self) -> str:
        """A few lines for a terminal."""
        verb = "would be loaded" if self.dry_run else "loaded"
        told = self.compared or not self.dry_run
        lines = [f"{self.loaded:,} of {self.selected:,} rows of {self.source} {verb} into {self.layer}"]
        parts = [
            f"{count:,} {word}"
            for count, word in (
                (self.added, "added"),
                (self.updated, "updated"),
                (self.unchanged, "unchanged"),
                (self.removed, "removed"),
            )
            if count
        ]
        if parts and told:
            lines[0] += f" ({', '.join(parts)})"
        lines[0] += f" in {self.seconds:.1f} s"
        if self.selected != self.read:
            lines.append(f"  {self.read - self.selected:,} rows are not selected by the mapping")
        lines.append(f"  format {self.format}, EPSG:{self.crs} ({self.crs_how})")
        lines.append(f"  text {self.encoding} ({self.encoding_how})")
        if self.fields:
            lines.append("  fields: " + ", ".join(f"{k} <- {v}" for k, v in self.fields.items()))
        if self.unmatched:
            lines.append("  columns not used: " + ", ".join(self.unmatched))
        for name, columns in self.ambiguous.items():
            lines.append(f"  {name} left empty: {' and '.join(columns)} fit it equally; use a mapping")
        lines += [f"  converted: {what}: {count:,} rows" for what, count in self.conversions.items()]
        lines += [f"  note: {warning}" for warning in self.warnings]
        if self.rejected:
            lines.append(f"  {self.rejected:,} rows rejected, each listed in {self.rejects_file}:")
            lines += [f"    {n:,} {code}: {REASONS[code]}" for code, n in self.reasons.most_common()]
        return "\n".join(lines)
