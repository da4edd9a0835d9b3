"""Errors of the cadastre: each in a block of its own."""

from __future__ import annotations

from gis.demo.defects.site import NoRoom, Site
from gis.demo.features import Point
from gis.demo.names import commune
from gis.demo.parcels import area
from gis.sheets import cadastral_sheet

PARCEL = "cadastre_parcel"


def _id(key: str) -> str:
    return f"TD-{key}"


def _moved(p: Point, dx: float) -> Point:
    return p[0] + dx, p[1]


def overlap(site: Site) -> None:
    wall = site.neighbours(site.houses(0))
    site.replace(_id(wall.west), wall.front, _moved(wall.front, 0.5))
    ids = [_id(wall.west), _id(wall.east)]
    site.record("CAD-01", PARCEL, ids, [wall.front], "the front corner lies 0.5 m in the neighbour")


def gap(site: Site) -> None:
    wall = site.neighbours(site.houses(1))
    site.replace(_id(wall.west), wall.back, _moved(wall.back, -0.05))
    ids = [_id(wall.west), _id(wall.east), _id(wall.behind)]
    site.record("CAD-02", PARCEL, ids, [wall.back], "a gap that opens from 0 to 5 cm along the party wall")


def sliver(site: Site) -> None:
    wall = site.neighbours(site.houses(2))
    front, back = _moved(wall.front, -0.05), _moved(wall.back, -0.05)
    site.replace(_id(wall.west), wall.front, front)
    site.replace(_id(wall.west), wall.back, back)
    behind = site.edit(PARCEL, _id(wall.behind))
    ring = list(behind.shape)
    ring.insert(ring.index(wall.back), back)  # the back row's ring runs eastward here
    behind.shape = ring
    strip = [front, wall.front, wall.back, back]
    west = site.out.find(PARCEL, _id(wall.west)).attributes
    attributes = {**west, "parcel_no": f"{west['parcel_no']}B", "legal_area_m2": round(area(strip), 1)}
    name = f"{_id(wall.west)}B"
    site.add_polygon(PARCEL, name, strip, **attributes)
    site.record("CAD-03", PARCEL, [name], [front, back], "a strip 5 cm wide")


def t_vertex(site: Site) -> None:
    wall = site.neighbours(site.houses(3))
    site.replace(_id(wall.behind), wall.back, None)
    ids = [_id(wall.west), _id(wall.east), _id(wall.behind)]
    site.record(
        "CAD-04", PARCEL, ids, [wall.back], "the parcel behind has no vertex where the party wall ends"
    )


def nearly_equal(site: Site) -> None:
    wall = site.neighbours(site.houses(4))
    site.replace(_id(wall.west), wall.front, _moved(wall.front, -0.02))
    ids = [_id(wall.west), _id(wall.east)]
    site.record("CAD-05", PARCEL, ids, [wall.front], "corners of neighbours 2 cm apart")


def duplicate_number(site: Site) -> None:
    wall = site.neighbours(site.houses(5))
    first = site.out.find(PARCEL, _id(wall.west)).attributes
    second = site.edit(PARCEL, _id(wall.east)).attributes
    # The table forbids the whole key twice; without the former commune it is another key.
    second["parcel_no"], second["legacy_commune_code"] = first["parcel_no"], None
    ids = [_id(wall.west), _id(wall.east)]
    site.record("CAD-06", PARCEL, ids, [wall.front], "the same commune, sheet and number twice")


def legal_area(site: Site) -> None:
    wall = site.neighbours(site.houses(6))
    parcel = site.edit(PARCEL, _id(wall.west))
    parcel.attributes["legal_area_m2"] = round(area(parcel.shape) * 1.1, 1)
    site.record("CAD-07", PARCEL, [_id(wall.west)], [wall.front], "legal area 10 % too large")


def no_label(site: Site) -> None:
    wall = site.neighbours(site.houses(7))
    site.edit(PARCEL, _id(wall.west)).attributes["parcel_no"] = None
    site.record("CAD-09", PARCEL, [_id(wall.west)], [wall.front], "no parcel number")


def land_code(site: Site) -> None:
    wall = site.neighbours(site.houses(8))
    site.edit(PARCEL, _id(wall.west)).attributes.update(land_use="BHK", survey_date="2025-03-15")
    note = "a code of Circular 27/2018 surveyed after Circular 08/2024"
    site.record("CAD-10", PARCEL, [_id(wall.west)], [wall.front], note)


def other_commune(site: Site) -> None:
    column, row = site.block.column, site.block.row
    others = [(column + 1, row), (column - 1, row), (column, row - 1)]
    found = next((o for o in others if o[0] >= 0 and site.plan.has(*o)), None)
    if found is None:
        raise NoRoom
    code, _ = commune(*found)
    wall = site.neighbours(site.houses(9))
    attributes = site.edit(PARCEL, _id(wall.west)).attributes
    number = f"9{attributes['parcel_no']}"  # not one of the other commune's
    attributes.update(commune_code=code, legacy_commune_code=code, parcel_no=f"{number}00")
    site.record("CAD-11", PARCEL, [_id(wall.west)], [wall.front], f"says commune {code}, which is beside it")


def wrong_sheet(site: Site) -> None:
    wall = site.neighbours(site.houses(10))
    east, north = site.frame.place_one(wall.front)
    sheet = cadastral_sheet(north + 5_000, east, 500).name
    site.edit(PARCEL, _id(wall.west)).attributes["source_sheet"] = sheet
    site.record("CAD-13", PARCEL, [_id(wall.west)], [wall.front], f"sheet {sheet} is 5 km to the north")


def crossing_building(site: Site) -> None:
    wall = site.neighbours(site.houses(11))
    name = f"NDC-{wall.west}"
    building = site.edit("cadastre_building", name)
    building.shape = [(x + 0.6, y) for x, y in building.shape]
    site.record(
        "CAD-15", "cadastre_building", [name], [building.shape[1]], "shifted 0.6 m over the party wall"
    )


ALL = (
    overlap, gap, sliver, t_vertex, nearly_equal, duplicate_number, legal_area, no_label, land_code,
    other_commune, wrong_sheet, crossing_building,
)  # fmt: skip
