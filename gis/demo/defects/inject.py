"""Puts one error of each kind into a superblock."""

from __future__ import annotations

from gis.demo.defects import cadastre, drainage, general, power, water
from gis.demo.defects.site import Defect, Injector, NoRoom, Site
from gis.demo.features import Features
from gis.demo.plan import Frame, Plan

INJECTORS: tuple[Injector, ...] = (
    *general.ALL,
    *cadastre.ALL,
    *water.ALL,
    *drainage.ALL,
    *power.ALL,
)

#: Rules of which a city of more than one superblock gets errors.
RULES = (
    "GEN-01", "GEN-04", "GEN-05", "GEN-06", "GEN-07", "GEN-08", "GEN-09", "GEN-11", "GEN-13",
    "CAD-01", "CAD-02", "CAD-03", "CAD-04", "CAD-05", "CAD-06", "CAD-07", "CAD-09", "CAD-10", "CAD-11",
    "CAD-13", "CAD-15",
    "NET-01", "NET-02", "NET-03", "NET-05", "NET-06", "NET-07", "NET-08", "NET-09", "NET-10", "NET-11",
    "NET-12", "NET-13", "NET-14", "NET-15",
    "DRN-01", "DRN-02", "DRN-03", "DRN-04", "DRN-05", "DRN-06", "DRN-07", "DRN-08", "DRN-09", "DRN-10",
    "XLY-01", "XLY-02", "XLY-03", "XLY-04", "XLY-05",
)  # fmt: skip


def inject(out: Features, plan: Plan, index: int, frame: Frame) -> list[Defect]:
    """Change ``out``, the features of the superblock of that number; gives what was done.

    Each error stands in a place of its own, so that none hides or causes another. A superblock without
    room for one (few parcels, no neighbour) goes without it.
    """
    site = Site(out, plan, plan.superblock(index), frame)
    for injector in INJECTORS:
        try:
            injector(site)
        except NoRoom:
            assert site.settled, f"{injector.__name__} gave up half way"
    return site.found
