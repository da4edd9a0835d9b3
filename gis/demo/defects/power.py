"""Errors of power and telecoms, and of buildings under power lines."""

from __future__ import annotations

from gis.demo.defects.site import NoRoom, Site
from gis.demo.features import rectangle
from gis.demo.plan import STREETS_Y
from gis.demo.power import spur
from gis.demo.sections import FEEDER_Y, HIGH_X, MAJOR_CARRIAGEWAY

LINE = "power_line"


def undershoot(site: Site) -> None:
    name = f"DD-{site.code}-X106"
    line = site.edit(LINE, name)
    x, y = start = line.shape[0]
    line.shape = [(x + 0.06, y), *line.shape[1:]]
    site.record("NET-01", LINE, [name], [start], "begins 6 cm beside its pole")


def no_source(site: Site) -> None:
    code = site.code
    gone = site.out.find(LINE, f"DD-{code}-Y410").shape
    site.remove(LINE, f"DD-{code}-Y410")
    ids = [f"DD-{code}-X410", f"TU-{code}-410"]
    site.record("NET-09", LINE, ids, gone, "no way to a substation: the line that fed it is missing")


def loop(site: Site) -> None:
    code, name = site.code, f"DD-{site.code}-X204B"
    start, end = spur(site.block, 2, 4)[-1], spur(site.block, 3, 4)[0]
    like = site.out.find(LINE, f"DD-{code}-X204").attributes
    site.add_line(LINE, name, [start, end], **like)
    site.record("NET-10", LINE, [name], [start, end], "joins two branches of the low voltage network")


def no_transformer(site: Site) -> None:
    code = site.code
    station = site.out.find("power_substation", f"TBA-{code}-3").shape
    site.remove("power_substation", f"TBA-{code}-3")
    ids = [f"DD-{code}-F3", f"DD-{code}-Y301"]
    site.record("NET-12", LINE, ids, station, "22 kV meets 0.4 kV without a transformer")


def pole_in_carriageway(site: Site) -> None:
    name = f"DD-{site.code}-L1B"
    line = site.edit(LINE, name)
    x, _ = line.shape[-1]
    at = (x, site.block.y + STREETS_Y[0] - MAJOR_CARRIAGEWAY / 2 + 2.0)
    line.shape = [*line.shape[:-1], at]
    pole = f"COT-{site.code}-L1{len(line.shape) - 1}"
    site.edit("power_support", pole).shape = (at,)
    site.record("XLY-02", "power_support", [pole, f"RD-{site.code}-X001"], [at], "2 m inside the carriageway")


def building_in_corridor(site: Site) -> None:
    if site.block.column or not site.plan.has(0, site.block.row + 1):
        raise NoRoom  # the 110 kV line runs along the first column
    x, y = site.block.x + HIGH_X + 1.0, site.block.y + FEEDER_Y + 60.0
    name = f"NH-{site.code}-HL"
    ring = rectangle(x, y, x + 6.0, y + 8.0)
    site.add_polygon("base_building", name, ring, use="other", floors=1, height_m=4.0, source_scale=2000)
    ids = [name, f"HL-{site.code}-H"]
    site.record("XLY-05", "base_building", ids, [ring[0]], "a house under the 110 kV line")


def over_occupied(site: Site) -> None:
    name = f"CB-{site.code}-X303"
    duct = site.edit("telecom_duct", name)
    duct.attributes["ducts_used"] = 9
    site.record("NET-15", "telecom_duct", [name], duct.shape, "9 of 6 ducts in use")


ALL = (
    undershoot, no_source, loop, no_transformer, pole_in_carriageway, building_in_corridor, over_occupied,
)  # fmt: skip
