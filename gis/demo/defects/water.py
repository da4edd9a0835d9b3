"""Errors of the water network, each on a stretch (i, k) of its own (see gis.demo.water for the ids)."""

from __future__ import annotations

from typing import Any

from gis.demo.defects.site import NoRoom, Site
from gis.demo.features import Point, Value

PIPE = "water_pipe"


def _at(p: Point, dx: float = 0.0, dy: float = 0.0) -> Point:
    return (p[0] + dx, p[1] + dy, *p[2:])


def _middle(a: Point, b: Point) -> Point:
    return tuple(round((u + v) / 2, 3) for u, v in zip(a, b, strict=True))


def undershoot(site: Site) -> None:
    name = f"OC-{site.code}-X1011"
    pipe = site.edit(PIPE, name)
    start, end = pipe.shape
    pipe.shape = [start, _at(end, -0.06)]
    site.record("NET-01", PIPE, [name], [end], "ends 6 cm before its node")


def dangle(site: Site) -> None:
    name = f"OC-{site.code}-X5022"
    end = site.out.find(PIPE, name).shape[-1]
    site.remove("water_facility", f"NC-{site.code}-02")
    site.record("NET-02", PIPE, [name], [end], "the end cap is missing")


def node_on_line(site: Site) -> None:
    name, hydrant = f"OC-{site.code}-X2011", f"TC-{site.code}-201"
    following = site.out.find(PIPE, f"OC-{site.code}-X2012").shape
    site.remove(PIPE, f"OC-{site.code}-X2012")
    pipe = site.edit(PIPE, name)
    middle = pipe.shape[-1]
    pipe.shape = [pipe.shape[0], following[-1]]
    site.record("NET-03", PIPE, [name, hydrant], [middle], "a hydrant on a pipe that is not split there")


def crossing(site: Site) -> None:
    name, other = f"OC-{site.code}-X3020", f"OC-{site.code}-Y302"
    pipe = site.edit(PIPE, name)
    start, end = pipe.shape
    cross = _at(start, 0.0, 1.5)
    pipe.shape = [start, _at(start, -1.0, 1.5), _at(start, 3.0, 1.5), end]
    site.record("NET-05", PIPE, [name, other], [cross], "crosses another pipe at its height without a node")


def short_line(site: Site) -> None:
    name, new, node = f"OC-{site.code}-X4032", f"OC-{site.code}-X4032B", f"NO-{site.code}-403B"
    pipe = site.edit(PIPE, name)
    start, end = pipe.shape
    split = _at(start, 0.15)
    pipe.shape = [split, end]
    site.add_line(PIPE, new, [start, split], **pipe.attributes)
    site.add_point("water_facility", node, split, code=node, kind="junction", elevation_m=split[2])
    site.record("NET-06", PIPE, [new], [start], "a pipe 15 cm long")


def loop(site: Site) -> None:
    name, new = f"OC-{site.code}-X5042", f"OC-{site.code}-X5042B"
    pipe = site.out.find(PIPE, name)
    end = pipe.shape[-1]
    ring = [end, _at(end, 2.0, 0.8), _at(end, 2.0, -0.8), end]
    site.add_line(PIPE, new, ring, **pipe.attributes)
    site.record("NET-07", PIPE, [new], [end], "begins and ends at the same node")


def orphan(site: Site) -> None:
    near = site.out.find("water_facility", f"NO-{site.code}-104")
    at, name = _at(near.shape[0], 20.0, 1.3), f"VC-{site.code}-104B"
    valve = site.out.find("water_valve", f"VC-{site.code}-002").attributes
    site.add_point("water_valve", name, at, **{**valve, "code": name})
    site.record("NET-08", "water_valve", [name], [at], "a valve on no pipe")


def cluster(site: Site) -> None:
    first = f"TC-{site.code}-203"
    hydrant = site.out.find("water_hydrant", first)
    at, name = _at(hydrant.shape[0], 0.03, 0.04), f"{first}B"
    site.add_point("water_hydrant", name, at, **{**hydrant.attributes, "code": name})
    site.record("NET-08", "water_hydrant", [first, name], [at], "two hydrants 5 cm apart")


def no_source(site: Site) -> None:
    code = site.code
    cut = site.out.find(PIPE, f"OC-{code}-X5060").shape
    site.remove(PIPE, f"OC-{code}-X5060")
    ids = [f"OC-{code}-X5061", f"OC-{code}-X5062", f"OC-{code}-506-S"]
    site.record("NET-09", PIPE, ids, [cut[-1]], "cut off from the works: the pipe that fed them is missing")


def forbidden_pair(site: Site) -> None:
    tee = site.out.find("water_facility", f"NO-{site.code}-T").shape[0]
    end = _at(tee, 1.0, -0.8)
    pipe, meter = f"OC-{site.code}-T-S", f"DH-{site.code}-T"
    like = site.out.find(PIPE, f"OC-{site.code}-101-S").attributes
    site.add_line(PIPE, pipe, [tee, end], **{**like, "dma_code": None})
    site.add_point("water_meter", meter, end, meter_no=meter, kind="customer", diameter_mm=25.0)
    site.record("NET-11", PIPE, [pipe, f"NO-{site.code}-T"], [tee], "a service pipe on the transmission main")


def change_without_node(site: Site) -> None:
    name, new = f"OC-{site.code}-Y107", f"OC-{site.code}-Y107B"
    pipe = site.edit(PIPE, name)
    start, end = pipe.shape
    middle = _middle(start, end)
    pipe.shape = [start, middle]
    site.add_line(PIPE, new, [middle, end], **{**pipe.attributes, "diameter_mm": 150.0})
    site.record("NET-13", PIPE, [name, new], [middle], "DN 200 becomes DN 150 without a node")


def removed_node(site: Site) -> None:
    name = f"VC-{site.code}-307"
    valve = site.edit("water_valve", name)
    valve.attributes["status"] = "removed"
    ids = [name, f"OC-{site.code}-X3071", f"OC-{site.code}-X3072"]
    site.record("NET-14", "water_valve", ids, valve.shape, "pipes in service on a valve that was removed")


def under_building(site: Site) -> None:
    """A service pipe that goes on into a house; in the row of streets k = 5, where a house is in its way."""
    code = site.code
    for i in range(6):
        pipe = site.out.find(PIPE, f"OC-{code}-{i}05-S")
        x, y, z = pipe.shape[-1]
        house = _house_at(site, x, y + 6.3)
        if house is None:
            continue
        end = (x, round(y + 6.3, 3), z)
        site.edit(PIPE, f"OC-{code}-{i}05-S").shape = [pipe.shape[0], end]
        site.edit("water_meter", f"DH-{code}-{i}05").shape = (end,)
        site.record("XLY-01", PIPE, [f"OC-{code}-{i}05-S", house], [end], "runs 4 m into a house")
        return
    raise NoRoom


def _house_at(site: Site, x: float, y: float) -> str | None:
    rows = site.out.of("base_building", "polygon")
    for asset_id, ring in zip(rows.asset_ids, rows.shapes, strict=True):
        (x0, y0), (x1, y1) = ring[0], ring[2]
        if x0 + 0.8 < x < x1 - 0.8 and y0 + 2 < y < y1:  # not within a wall's uncertainty of its side
            return asset_id
    return None


def _locate_well(site: Site, name: str) -> None:
    if site.out.find(PIPE, name).attributes["quality_level"] != "B1":
        site.edit(PIPE, name).attributes["quality_level"] = "B1"


def too_close(site: Site) -> None:
    """A duct beside a water pipe; both are located well, so the breach is certain."""
    name = f"OC-{site.code}-X1092"
    _locate_well(site, name)
    start: Any = site.out.find(PIPE, name).shape[0]
    path = [_at(start, 6.0, 0.33), _at(start, 26.0, 0.33)]
    duct = f"CB-{site.code}-B109"
    names = [f"GC-{site.code}-B109{side}" for side in "WE"]
    like = site.out.find("telecom_chamber", f"GC-{site.code}-109").attributes
    for chamber, at in zip(names, path, strict=True):
        site.add_point("telecom_chamber", chamber, at, **{**like, "code": chamber})
    like = site.out.find("telecom_duct", f"CB-{site.code}-X109").attributes
    ends: dict[str, Value] = {
        "from_node": names[0],
        "to_node": names[1],
        "quality_level": "B1",
        "depth_m": 1.145,
    }
    site.add_line("telecom_duct", duct, path, **{**like, **ends})
    site.record("XLY-03", PIPE, [name, duct], path, "a duct 0.20 m beside a water pipe, not 0.5")


def crossing_too_close(site: Site) -> None:
    pipe_name, duct_name = f"OC-{site.code}-X1062", f"CB-{site.code}-Y206"
    _locate_well(site, pipe_name)
    pipe = site.out.find(PIPE, pipe_name)
    duct = site.edit("telecom_duct", duct_name)
    duct.attributes["quality_level"] = "B1"
    start, end = duct.shape
    y, z = pipe.shape[0][1], pipe.shape[0][2]
    cross = (start[0], y, round(z + 0.075 + 0.055 + 0.2, 3))
    path = [start, cross, end]
    duct.shape = path
    site.edit("telecom_cable", f"CAP-{site.code}-Y206").shape = path
    site.record("XLY-04", PIPE, [pipe_name, duct_name], [cross], "a duct 0.20 m above a water pipe, not 0.5")


ALL = (
    undershoot, dangle, node_on_line, crossing, short_line, loop, orphan, cluster, no_source, forbidden_pair,
    change_without_node, removed_node, under_building, too_close, crossing_too_close,
)  # fmt: skip
