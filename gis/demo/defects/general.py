"""Errors of geometry and text that any layer can have."""

from __future__ import annotations

from typing import Any, cast

from gis.demo.defects.site import Site
from gis.demo.features import Point

#: "Công viên Nguyễn Trãi" written in TCVN3 and read as Latin-1.
MOJIBAKE = "C«ng viªn NguyÔn Tr·i"
#: West of the city's extent, inside the CRS's area of use (m).
OUTSIDE = -85_000.0


def invalid(site: Site) -> None:
    block = site.houses(12)
    name = f"LC-{site.code}-{block.i}{block.j}"
    place = site.edit("base_landuse", name)
    a, b, c, d = place.shape
    place.shape = [a, c, b, d]
    site.record("GEN-01", "base_landuse", [name], [_middle(a, c)], "a bow tie")


def multipart(site: Site) -> None:
    name, other = f"RD-{site.code}-X091", f"RD-{site.code}-X093"
    first = site.out.find("base_road", name).shape
    second = site.out.find("base_road", other).shape
    attributes = site.remove("base_road", name)
    site.remove("base_road", other)
    rows = site.out.of("base_road", "lines")
    rows.asset_ids.append(name)
    rows.shapes.append([first, second])
    rows.attributes.append(attributes)
    site.record(
        "GEN-04", "base_road", [name], [_middle(*first)], "two stretches that do not touch as one road"
    )


def duplicate_vertex(site: Site) -> None:
    name = f"RD-{site.code}-X041"
    place = site.edit("base_road", name)
    start, end = place.shape
    middle = _middle(start, end)
    place.shape = [start, middle, middle, end]
    site.record("GEN-05", "base_road", [name], [middle], "the same vertex twice")


def self_intersection(site: Site) -> None:
    name = f"RD-{site.code}-X062"
    place = site.edit("base_road", name)
    start, end = place.shape
    x, y = _middle(start, end)
    place.shape = [start, (x + 2.0, y), (x + 2.0, y + 2.0), (x, y + 2.0), (x, y - 2.0), end]
    site.record("GEN-06", "base_road", [name], [(x, y)], "the road crosses itself in a small loop")


def spike(site: Site) -> None:
    block = site.houses(13)
    name = f"LC-{site.code}-{block.i}{block.j}"
    place = site.edit("base_landuse", name)
    a, b, c, d = place.shape
    tip = (c[0] + 5.0, c[1])
    place.shape = [a, b, (c[0], c[1] - 0.05), tip, c, d]
    site.record("GEN-07", "base_landuse", [name], [tip], "a spike of 0.6 degrees, 5 m long")


def no_height(site: Site) -> None:
    name = f"CT-{site.code}-I0040"
    place = site.edit("drainage_conduit", name)
    place.shape = [p[:2] for p in place.shape]
    site.record(
        "GEN-08", "drainage_conduit", [name], place.shape, "no heights, beside conduits that have them"
    )


def duplicate_geometry(site: Site) -> None:
    wall = site.neighbours(site.houses(14))
    name = f"NH-{wall.west}"
    place = site.out.find("base_building", name)
    site.add_polygon("base_building", f"{name}-2", place.shape, **place.attributes)
    site.record("GEN-09", "base_building", [name, f"{name}-2"], [place.shape[0]], "the same building twice")


def outside(site: Site) -> None:
    name = f"CAM-{site.code}-105"
    camera = site.edit("telecom_camera", f"CAM-{site.code}-105")
    ((x, y),) = cast(Any, camera.shape)
    camera.shape = ((x + OUTSIDE, y),)
    site.record("GEN-11", "telecom_camera", [name], [camera.shape[0]], "85 km west of its place")


def mojibake(site: Site) -> None:
    name = f"PL-{site.code}-KP"
    place = site.edit("base_place", name)
    place.attributes["name"] = MOJIBAKE
    site.record("GEN-13", "base_place", [name], place.shape, "TCVN3 read as Latin-1")


def _middle(a: Point, b: Point) -> Point:
    return (a[0] + b[0]) / 2, (a[1] + b[1]) / 2


ALL = (
    invalid, multipart, duplicate_vertex, self_intersection, spike, no_height, duplicate_geometry, outside,
    mojibake,
)  # fmt: skip
