"""Operations of the editing tool, by hand: split, merge, move a node, parcels and their common boundary.

What counts is what stands in the database afterwards. Each test leaves the city whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from gis.db.server import Database
from tests.api.editors import EPSG_9210, Editors
from tests.browser.conftest import Visit, _visit
from tests.browser.test_edit import PIPES, editing, save, stored, take_back, update
from tests.browser.test_robust import WEB, faults

WATER = "water_pipe,water_valve"
PARCEL = "cadastre_parcel"
PART_OF = "SELECT ST_Length(geom), from_node, to_node FROM layer.water_pipe WHERE fid = ANY(%s) ORDER BY fid"
#: A place on a pipe, and in a parcel.
ON_PIPE = """
SELECT ST_X(p), ST_Y(p) FROM layer.water_pipe,
    ST_Transform(ST_Force2D(ST_LineInterpolatePoint(geom, %s)), 4326) AS p WHERE fid = %s
"""
IN_PARCEL = """
SELECT ST_X(p), ST_Y(p) FROM layer.cadastre_parcel, ST_Transform(ST_Centroid(geom), 4326) AS p WHERE fid = %s
"""
#: A valve at which pipes end, and places to its north-east (too near a sewer) and to its south-west.
NODE = """
SELECT n.fid, ST_X(g), ST_Y(g), ST_X(t), ST_Y(t), ST_X(u), ST_Y(u), array_agg(p.fid ORDER BY p.fid)
FROM layer.water_valve AS n JOIN layer.water_pipe AS p
    ON ST_DWithin(n.geom, ST_StartPoint(p.geom), 0.001) OR ST_DWithin(n.geom, ST_EndPoint(p.geom), 0.001),
    LATERAL ST_Force2D(n.geom) AS o,
    LATERAL ST_Transform(o, 4326) AS g, LATERAL ST_Transform(ST_Translate(o, 1.5, 1.5), 4326) AS t,
    LATERAL ST_Transform(ST_Translate(o, -1, -1), 4326) AS u
GROUP BY 1, 2, 3, 4, 5, 6, 7 HAVING count(*) >= 2 ORDER BY 1 LIMIT 1
"""
#: How many of these pipes end at the valve.
ENDS = """
SELECT count(*) FROM layer.water_pipe AS p, layer.water_valve AS v WHERE v.fid = %s AND p.fid = ANY(%s)
    AND (ST_DWithin(v.geom, ST_StartPoint(p.geom), 0.001) OR ST_DWithin(v.geom, ST_EndPoint(p.geom), 0.001))
"""
#: Two parcels of four corners with a common side: ids, the first one's ring, both middles, and the side.
PARCELS = """
SELECT a.fid, b.fid, ST_AsGeoJSON(ST_Transform(a.geom, 4326), 9), ST_X(m), ST_Y(m), ST_X(n), ST_Y(n),
    ST_X(ST_Transform(ST_StartPoint(s), 4326)), ST_Y(ST_Transform(ST_StartPoint(s), 4326)),
    ST_X(ST_Transform(ST_EndPoint(s), 4326)), ST_Y(ST_Transform(ST_EndPoint(s), 4326))
FROM layer.cadastre_parcel AS a
JOIN layer.cadastre_parcel AS b ON a.fid < b.fid AND a.sheet_no = b.sheet_no AND ST_Touches(a.geom, b.geom),
    LATERAL ST_LineMerge(ST_Intersection(a.geom, b.geom)) AS s,
    LATERAL ST_Transform(ST_Centroid(a.geom), 4326) AS m,
    LATERAL ST_Transform(ST_Centroid(b.geom), 4326) AS n
WHERE ST_NPoints(a.geom) = 5 AND ST_NPoints(b.geom) = 5 AND ST_Area(a.geom) BETWEEN 60 AND 400
    AND GeometryType(s) = 'LINESTRING' AND ST_NPoints(s) = 2 AND ST_Length(s) > 8
ORDER BY a.fid LIMIT 1
"""
FABRIC = "SELECT count(*), sum(ST_Area(geom))::numeric(14, 3)::float8 FROM layer.cadastre_parcel"
#: Vertices of these parcels that lie on another parcel's boundary, where that one has no vertex.
OPEN = """
SELECT count(*) FROM layer.cadastre_parcel AS p, LATERAL ST_DumpPoints(p.geom) AS v,
    layer.cadastre_parcel AS o
WHERE p.fid = ANY(%s) AND o.fid <> p.fid AND o.geom && ST_Expand(v.geom, 0.01)
    AND ST_DWithin(o.geom, v.geom, 0.0005)
    AND NOT EXISTS (SELECT FROM ST_DumpPoints(o.geom) AS d WHERE ST_DWithin(d.geom, v.geom, 0.0001))
"""


@pytest.fixture(scope="module")
def bench(browser: Browser, site: str, members: Editors, site_db: Database) -> Iterator[Visit]:
    """One page for all tests here, where a steward has the tool open."""
    visits = _visit(browser, site, 1200, 760)
    visit = next(visits)
    *_, lon, lat = rows(site_db, PIPES)[-1]
    editing(visit, lon, lat, "steward")
    yield visit
    next(visits, None)


def rows(site_db: Database, query: str, *values: object) -> Any:
    return stored(site_db, query, *values)


def choose(visit: Visit, lon: float, lat: float, layers: str) -> Page:
    """Take up what stands at a place."""
    visit.open(f"#map=20/{lat}/{lon}&layers={layers}&tool=edit")
    visit.page.mouse.click(*visit.pixel(lon, lat))
    expect(visit.page.locator(".edit-feature")).to_be_visible()
    return visit.page


def start(visit: Visit, lon: float, lat: float, layers: str, operation: str) -> Page:
    """Choose what stands at a place, and press an operation's button."""
    page = choose(visit, lon, lat, layers)
    page.click(".edit-operations summary")
    page.click(f"[data-do={operation}]")
    return page


def answer(page: Page, **values: str) -> None:
    """Fill in what an operation asks for, until it asks no more; anything else that it says is a failure."""
    asked = page.locator(".edit-ask .main-button")
    for _ in range(5):
        expect(asked.or_(page.locator(".edit-change")).first).to_be_visible()
        if page.locator(".edit-change").count():
            return
        for field in page.locator(".edit-ask .edit-form [name]").all():
            name = field.get_attribute("name") or ""
            if name in values:
                field.fill(values[name])
        with page.expect_response(lambda told: "/operations/" in told.url):
            asked.first.click()
    raise AssertionError(page.locator(".edit-ask").all_inner_texts())


def history(members: Editors, layer: str, fid: int) -> list[str]:
    """Comments of the changesets that made the feature's versions, the newest first."""
    told = members.as_("steward").get(f"/collections/{layer}/items/{fid}/history")
    assert told.status_code == 200, told.text
    return [str(one["made"]["comment"]) for one in told.json()["features"]]


def test_a_pipe_is_split_with_a_valve_and_merged_again(
    bench: Visit, members: Editors, site_db: Database
) -> None:
    fid, _version, lon, lat = rows(site_db, PIPES)[-1]
    before = rows(site_db, PART_OF, [fid])[0]
    page = start(bench, lon, lat, WATER, "split-line")
    changes = page.locator(".edit-change")
    page.select_option(".edit-ask [name=node]", "water_valve")
    page.click(".edit-ask .main-button")
    page.mouse.click(*bench.pixel(lon, lat))
    answer(page)
    expect(changes).to_have_count(3)
    bench.shot("page-edit-split")
    page.click(".edit-changes [data-do=undo]")
    expect(changes).to_have_count(0)
    page.click(".edit-changes [data-do=redo]")
    expect(changes).to_have_count(3)
    save(page, "Tách ống")
    valve, name = rows(site_db, "SELECT fid, asset_id FROM layer.water_valve ORDER BY fid DESC LIMIT 1")[0]
    second = rows(site_db, "SELECT max(fid) FROM layer.water_pipe")[0][0]
    parts = rows(site_db, PART_OF, [fid, second])
    assert sum(part[0] for part in parts) == pytest.approx(before[0], abs=0.001)
    assert [part[1:] for part in parts] == [(before[1], name), (name, before[2])]
    assert rows(site_db, ENDS, valve, [fid, second]) == [(2,)]
    assert history(members, "water_pipe", fid)[0] == "Tách ống"

    # Merged again: the valve between them has to go with the joint, and is asked about.
    ((lon, lat),) = rows(site_db, ON_PIPE, 0.8, fid)
    page = start(bench, lon, lat, WATER, "merge-lines")
    page.mouse.click(*bench.pixel(*rows(site_db, ON_PIPE, 0.1, second)[0]))
    expect(page.locator(".edit-ask [role=alert]")).to_contain_text("Tại chỗ nối có một nút")
    bench.shot("page-edit-merge")
    answer(page)
    expect(changes).to_have_count(3)
    save(page, "Nhập ống")
    whole = rows(site_db, PART_OF, [fid, second])
    assert whole == [(pytest.approx(before[0], abs=0.001), *before[1:])]
    assert rows(site_db, "SELECT count(*) FROM layer.water_valve WHERE fid = %s", valve) == [(0,)]
    assert history(members, "water_pipe", fid)[:2] == ["Nhập ống", "Tách ống"]


def test_a_node_takes_its_pipes_along(bench: Visit, members: Editors, site_db: Database) -> None:
    fid, lon, lat, *places, pipes = rows(site_db, NODE)[0]
    place = "SELECT ST_AsText(geom), version FROM layer.water_valve WHERE fid = %s"
    ((before, version),) = rows(site_db, place, fid)
    page = start(bench, lon, lat, WATER, "move-node")
    changes = page.locator(".edit-change")

    def move(x: float, y: float) -> None:
        page.keyboard.down("Alt")  # where it is clicked, and not where a line is near
        page.mouse.click(*bench.pixel(x, y))
        page.keyboard.up("Alt")

    # The checks refuse the first place. It may be a step of a larger change: it is taken, and taken back.
    move(*places[:2])
    expect(page.locator(".edit-ask [data-rule=XLY-03]")).to_be_visible()
    bench.shot("page-edit-move-node")
    page.evaluate((WEB / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8"))
    assert faults(page, "document.querySelector('main')") == []
    page.click("[data-do=add-anyway]")
    expect(changes).to_have_count(1 + len(pipes))
    page.click("[data-do=check]")
    expect(page.locator(".edit-status [data-rule=XLY-03]").first).to_be_visible()
    page.click(".edit-changes [data-do=undo]")
    expect(changes).to_have_count(0)

    page = start(bench, lon, lat, WATER, "move-node")
    page.keyboard.press("Escape")  # the map has the focus
    expect(page.locator("[data-do=move-node]")).to_be_visible()
    page.click("[data-do=move-node]")
    move(*places[2:])
    expect(changes.or_(page.locator(".edit-ask [role=alert]")).first).to_be_visible()
    assert page.locator(".edit-ask [role=alert]").all_inner_texts() == []
    expect(changes).to_have_count(1 + len(pipes))
    save(page, "Dời van")
    ((after, now),) = rows(site_db, place, fid)
    assert (after != before, now) == (True, version + 1)
    assert rows(site_db, ENDS, fid, pipes) == [(len(pipes),)]
    assert history(members, "water_valve", fid)[0] == "Dời van"
    take_back(members, site_db)
    assert rows(site_db, place, fid)[0][0] == before


def test_a_parcel_is_split_and_merged_and_the_fabric_stays_closed(
    bench: Visit, members: Editors, site_db: Database
) -> None:
    first, _, ring, lon, lat, *_ = rows(site_db, PARCELS)[0]
    ((number,),) = rows(site_db, "SELECT parcel_no FROM layer.cadastre_parcel WHERE fid = %s", first)
    corners = json.loads(ring)["coordinates"][0]
    middles = [((a[0] + b[0]) / 2, (a[1] + b[1]) / 2) for a, b in pairwise(corners)]
    count, area = rows(site_db, FABRIC)[0]
    page = start(bench, lon, lat, PARCEL, "split-parcel")
    for middle in (middles[0], middles[2]):
        page.mouse.click(*bench.pixel(*middle))
    page.click("[data-do=finish]")
    answer(page, parcel_no="9001")
    bench.shot("page-edit-split-parcel")
    save(page, "Tách thửa")
    second = rows(site_db, "SELECT max(fid) FROM layer.cadastre_parcel")[0][0]
    assert rows(site_db, FABRIC) == [(count + 1, pytest.approx(area, abs=0.002))]
    assert rows(site_db, OPEN, [first, second]) == [(0,)]
    ((lon, lat),) = rows(site_db, IN_PARCEL, first)
    page = start(bench, lon, lat, PARCEL, "merge-parcels")
    page.mouse.click(*bench.pixel(*rows(site_db, IN_PARCEL, second)[0]))
    expect(page.locator(".edit-ask [name=parcel_no]")).to_have_value(number)  # the first one's is offered
    answer(page)
    bench.shot("page-edit-merge-parcels")
    save(page, "Hợp thửa")
    assert rows(site_db, FABRIC) == [(count, pytest.approx(area, abs=0.002))]
    assert rows(site_db, OPEN, [first]) == [(0,)]
    assert history(members, PARCEL, first)[:2] == ["Hợp thửa", "Tách thửa"]


def test_a_shared_boundary_is_moved_in_both_parcels(
    bench: Visit, members: Editors, site_db: Database
) -> None:
    first, second, _, lon, lat, b_lon, b_lat, *side = rows(site_db, PARCELS)[0]
    areas = "SELECT ST_Area(geom) FROM layer.cadastre_parcel WHERE fid = ANY(%s) ORDER BY fid"
    before = rows(site_db, areas, [first, second])
    page = start(bench, lon, lat, PARCEL, "move-boundary")
    page.mouse.click(*bench.pixel(b_lon, b_lat))
    expect(page.locator("[data-do=finish]")).to_be_visible()
    # from corner to corner, by way of a place a third of the way into the second parcel
    middle = (side[0] + side[2]) / 2, (side[1] + side[3]) / 2
    page.mouse.click(*bench.pixel(*side[:2]))
    page.keyboard.down("Alt")
    page.mouse.click(*bench.pixel(middle[0] + (b_lon - middle[0]) / 3, middle[1] + (b_lat - middle[1]) / 3))
    page.keyboard.up("Alt")
    page.mouse.dblclick(*bench.pixel(*side[2:]))  # a click on the last place ends
    answer(page)
    expect(page.locator(".edit-change")).to_have_count(2)
    bench.shot("page-edit-move-boundary")
    save(page, "Dời ranh")
    after = rows(site_db, areas, [first, second])
    grown = after[0][0] - before[0][0]
    assert grown > 1
    assert after[1][0] - before[1][0] == pytest.approx(-grown, abs=0.001)
    assert rows(site_db, OPEN, [first, second]) == [(0,)]
    assert history(members, PARCEL, second)[0] == "Dời ranh"
    take_back(members, site_db)
    assert rows(site_db, areas, [first, second]) == before


def test_geometries_that_both_moved_are_chosen_too(bench: Visit, members: Editors, site_db: Database) -> None:
    """A conflict of attributes and geometry: mine stays with its place, theirs with its name."""
    fid, lon, lat, *_ = rows(site_db, NODE)[0]
    steward = members.as_("steward")
    address = f"/collections/water_valve/items/{fid}?crs={EPSG_9210}"
    before = steward.get(address).json()
    at, named = before["geometry"]["coordinates"], {"code": before["properties"]["code"]}
    page = choose(bench, lon, lat, WATER)
    page.fill(".edit-form [name=code]", "VB-17")
    page.press(".edit-form [name=code]", "Tab")
    page.select_option("select[name=vertex]", "0")
    page.focus("select[name=vertex]")
    page.keyboard.press("ArrowRight")  # 0.1 m to the east
    update(members, "water_valve", fid, code="VB-0018", turns=12)
    moved = {"geometry": {"type": "Point", "coordinates": [at[0], at[1] + 0.05, *at[2:]]}}
    told = steward.patch(f"/collections/water_valve/items/{fid}", moved, Content_Crs=f"<{EPSG_9210}>")
    assert told.status_code == 200, told.text
    page.click("[data-do=save]")
    conflict = page.locator(".edit-conflict")
    expect(conflict.locator("tr")).to_have_count(1 + 3)
    take = conflict.locator("[data-do=take]")
    expect(take).to_be_disabled()
    conflict.locator("tr[data-name=code] input[value=theirs]").check()
    expect(take).to_be_disabled()
    conflict.locator("tr[data-name=geometry] input[value=mine]").check()
    take.scroll_into_view_if_needed()
    bench.shot("page-edit-conflict")
    take.click()
    expect(page.locator(".edit-form [name=code]")).to_have_value("VB-0018")
    save(page, "Chỉnh vị trí")
    after = steward.get(address).json()
    assert after["geometry"]["coordinates"] == pytest.approx([at[0] + 0.1, *at[1:]], abs=1e-4)
    assert (after["properties"]["code"], after["properties"]["turns"]) == ("VB-0018", 12)
    again = {"geometry": {"type": "Point", "coordinates": at}, "properties": {**named, "turns": None}}
    told = steward.patch(f"/collections/water_valve/items/{fid}", again, Content_Crs=f"<{EPSG_9210}>")
    assert told.status_code == 200, told.text
