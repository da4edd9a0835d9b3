"""A change of a layer's table, in words; and a step that would lose data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "create-layer",
    "retire-layer",
    "restore-layer",
    "add-field",
    "rename-field",
    "drop-field",
    "change-type",
    "change-required",
    "change-default",
    "change-values",
    "change-geometry",
    "change-index",
    "change-access",
]


@dataclass(frozen=True)
class Change:
    """One change of one layer. ``refused``: it would lose data and was (or would be) not made."""

    layer: str
    kind: Kind
    text: str
    field: str | None = None
    refused: bool = False
    hint: str | None = None

    def __str__(self) -> str:
        place = f"{self.layer}.{self.field}" if self.field else self.layer
        hint = f" ({self.hint})" if self.refused and self.hint else ""
        return f"{'refused: ' if self.refused else ''}{place}: {self.text}{hint}"

    @property
    def pointer(self) -> str:
        """JSON pointer into the layer files."""
        return f"/layers/{self.layer}" + (f"/fields/{self.field}" if self.field else "")


class Refused(Exception):  # noqa: N818 - an event of a migration, told as a Change
    """Rolls a layer's migration back to its savepoint."""

    def __init__(self, change: Change) -> None:
        super().__init__(str(change))
        self.change = change
