"""Errors of the drains, each on a lateral (i, k) of its own.

A lateral has three manholes and conduits, 0 at its head to 2; then comes the trunk.
"""

from __future__ import annotations

from gis.demo.defects.site import Site
from gis.demo.features import Place, Point
from gis.demo.sections import ground

CONDUIT, MANHOLE = "drainage_conduit", "drainage_manhole"


def _lateral(site: Site, part: str) -> str:
    return f"CT-{site.code}-L{part}"


def _node(site: Site, part: str) -> str:
    return f"HG-{site.code}-L{part}"


def _with_height(p: Point, z: float) -> Point:
    return p[0], p[1], round(z, 3)


def _follow(site: Site, place: Place) -> None:
    """Attributes of a conduit after its shape and diameter."""
    start, end = place.shape
    surface = ground((start[1] + end[1]) / 2 - site.block.y)
    diameter = float(str(place.attributes["diameter_mm"])) / 1000
    length = abs(start[0] - end[0]) + abs(start[1] - end[1])
    place.attributes.update(
        invert_up_m=start[2],
        invert_down_m=end[2],
        length_m=round(length, 2),
        slope_permille=round((start[2] - end[2]) / length * 1000, 2),
        depth_m=round(surface - (start[2] + end[2]) / 2 - diameter, 2),
    )


def _set_node(site: Site, part: str, z: float) -> None:
    manhole = site.edit(MANHOLE, _node(site, part))
    manhole.shape = (_with_height(manhole.shape[0], z),)
    surface = float(str(manhole.attributes["ground_level_m"]))
    manhole.attributes.update(invert_m=round(z, 3), depth_m=round(surface - z, 3))


def _set_head(site: Site, part: str, z: float) -> Place:
    """Give a lateral's upper end, its manhole and the end of its inlet's pipe another height."""
    _set_node(site, f"{part}0", z)
    conduit = site.edit(CONDUIT, _lateral(site, f"{part}0"))
    conduit.shape = [_with_height(conduit.shape[0], z), conduit.shape[1]]
    _follow(site, conduit)
    inlet = site.edit(CONDUIT, f"CT-{site.code}-I{part}0")
    inlet.shape = [inlet.shape[0], _with_height(inlet.shape[1], z)]
    _follow(site, inlet)
    return conduit


def adverse(site: Site) -> None:
    low = site.out.find(CONDUIT, _lateral(site, "0010")).shape[1][2]
    conduit = _set_head(site, "001", low - 0.05)
    site.record("DRN-01", CONDUIT, [_lateral(site, "0010")], conduit.shape, "falls 5 cm against the flow")


def too_flat(site: Site) -> None:
    low = site.out.find(CONDUIT, _lateral(site, "1020")).shape[1][2]
    conduit = _set_head(site, "102", low + 0.02)
    site.record(
        "DRN-02", CONDUIT, [_lateral(site, "1020")], conduit.shape, "falls 2 cm in 34 m, 1/D wants 8.5"
    )


def narrowing(site: Site) -> None:
    name, following = _lateral(site, "2030"), _lateral(site, "2031")
    conduit = site.edit(CONDUIT, name)
    conduit.attributes["diameter_mm"] = 500.0
    _follow(site, conduit)
    site.record("DRN-03", CONDUIT, [name, following], [conduit.shape[1]], "D 500 runs into D 400")


def outlet_high(site: Site) -> None:
    name, node, outlet = _lateral(site, "3040"), _node(site, "3041"), _lateral(site, "3041")
    conduit = site.edit(CONDUIT, name)
    low = conduit.shape[1][2] - 0.15
    conduit.shape = [conduit.shape[0], _with_height(conduit.shape[1], low)]
    _follow(site, conduit)
    _set_node(site, "3041", low)
    site.record("DRN-04", MANHOLE, [node, name, outlet], [conduit.shape[1]], "outlet 15 cm above the inlet")


def manhole_high(site: Site) -> None:
    manhole = site.out.find(MANHOLE, _node(site, "4051"))
    _set_node(site, "4051", manhole.shape[0][2] + 0.1)
    site.record("DRN-05", MANHOLE, [_node(site, "4051")], manhole.shape, "bottom 10 cm above its pipes")


def shallow(site: Site) -> None:
    surface = float(str(site.out.find(MANHOLE, _node(site, "5060")).attributes["ground_level_m"]))
    head = surface - 0.3 - 0.4
    inlet = site.edit("drainage_inlet", f"MT-{site.code}-5060")
    z = round(head + 0.15, 3)
    inlet.shape = (_with_height(inlet.shape[0], z),)
    level = float(str(inlet.attributes["ground_level_m"]))
    inlet.attributes.update(invert_m=z, depth_m=round(level - z, 3))
    pipe = site.edit(CONDUIT, f"CT-{site.code}-I5060")
    pipe.shape = [inlet.shape[0], pipe.shape[1]]
    conduit = _set_head(site, "506", head)
    ids = [_lateral(site, "5060"), f"CT-{site.code}-I5060"]
    site.record("DRN-06", CONDUIT, ids, conduit.shape, "0.3 m of cover in a road, not 0.7")


def wrong_depth(site: Site) -> None:
    name = _node(site, "0071")
    manhole = site.edit(MANHOLE, name)
    manhole.attributes["depth_m"] = round(float(str(manhole.attributes["depth_m"])) + 0.3, 3)
    site.record("DRN-07", MANHOLE, [name], manhole.shape, "depth 0.3 m more than ground less invert")


def too_long(site: Site) -> None:
    code, name = site.code, _lateral(site, "1080")
    for layer, gone in (
        (MANHOLE, _node(site, "1081")),
        ("drainage_inlet", f"MT-{code}-1081"),
        (CONDUIT, f"CT-{code}-I1081"),
    ):
        site.remove(layer, gone)
    end = site.out.find(CONDUIT, _lateral(site, "1081")).shape[1]
    site.remove(CONDUIT, _lateral(site, "1081"))
    conduit = site.edit(CONDUIT, name)
    conduit.shape = [conduit.shape[0], end]
    conduit.attributes["to_node"] = _node(site, "1082")
    _follow(site, conduit)
    site.record("DRN-08", CONDUIT, [name], conduit.shape, "68 m between manholes, not 40")


def against_the_flow(site: Site) -> None:
    name = _lateral(site, "2091")
    conduit = site.edit(CONDUIT, name)
    conduit.shape = list(reversed(conduit.shape))
    note = "drawn upstream; its inverts and nodes are named as the water flows"
    site.record("DRN-09", CONDUIT, [name], conduit.shape, note)


def foul_into_storm(site: Site) -> None:
    foul, storm, node = _lateral(site, "3010"), _lateral(site, "3011"), _node(site, "3011")
    site.edit(CONDUIT, foul).attributes["system"] = "foul"
    conduit = site.edit(CONDUIT, storm)
    conduit.attributes["system"] = "storm"
    inlet = site.edit(CONDUIT, f"CT-{site.code}-I3011")
    inlet.attributes["system"] = "storm"
    site.record(
        "DRN-10", CONDUIT, [foul, storm, node], [conduit.shape[0]], "a foul drain runs into a storm drain"
    )


def no_outfall(site: Site) -> None:
    code, gone = site.code, _lateral(site, "4022")
    shape = site.out.find(CONDUIT, gone).shape
    site.remove(CONDUIT, gone)
    ids = [_lateral(site, "4020"), _lateral(site, "4021"), *(f"CT-{code}-I402{n}" for n in range(3))]
    site.record("NET-09", CONDUIT, ids, [shape[0]], "no way to an outfall: the last conduit is missing")


def overshoot(site: Site) -> None:
    name = _lateral(site, "5030")
    conduit = site.edit(CONDUIT, name)
    start, end = conduit.shape
    conduit.shape = [start, (end[0] - 0.07, *end[1:])]
    site.record("NET-01", CONDUIT, [name], [end], "ends 7 cm beyond its manhole")


ALL = (
    adverse, too_flat, narrowing, outlet_high, manhole_high, shallow, wrong_depth, too_long,
    against_the_flow, foul_into_storm, no_outfall, overshoot,
)  # fmt: skip
