from __future__ import annotations

from dataclasses import dataclass

from gis.demo.features import Features
from gis.demo.plan import Frame, Plan


@dataclass(frozen=True)
class Defect:
    rule: str


def inject(out: Features, plan: Plan, index: int, frame: Frame) -> list[Defect]:
    return []
