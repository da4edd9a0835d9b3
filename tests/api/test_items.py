"""Items over real PostGIS: what a request selects is what plain SQL selects, in every CRS and order."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import orjson
import psycopg
import pytest

from gis import crs
from gis.city import City
from gis.db.server import Database
from gis.settings import Settings
from layers.registry import Catalogue
from tests.api.items_app import Client, items_client
from tests.api.sample import VECTORS, load_layer

LAYERS = ("water_valve", "water_pipe", "cadastre_parcel", "base_place", "flood_spot")
ROWS = 60
#: Two millimetres, in degrees.
TOLERANCE_DEG = 2e-3 / 111_320


@pytest.fixture(scope="module")
def client(module_db: Database, settings: Settings, city: City, catalogue: Catalogue) -> Iterator[Client]:
    with psycopg.connect(module_db.owner_dsn, autocommit=True) as connection:
        for layer in LAYERS:
            load_layer(connection, catalogue.layers[layer], city, ROWS)
        connection.execute("ANALYZE")
    with items_client(settings, city, catalogue, module_db) as client:
        yield client


def ids(answer: Any) -> list[int]:
    """The ids of a page, in order."""
    assert answer.status_code == 200, answer.text
    return [f["id"] for f in answer.json()["features"]]


def fids(owner: psycopg.Connection, condition: str, layer: str = "water_pipe") -> list[int]:
    """What plain SQL selects."""
    return [r[0] for r in owner.execute(f"SELECT fid FROM layer.{layer} WHERE {condition} ORDER BY fid")]  # type: ignore[arg-type]


# Position


CODES = (None, *["OGC:CRS84", "EPSG:4326", "EPSG:3857", "EPSG:9210", "EPSG:5899", "EPSG:3405", "EPSG:4756"])


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("output", ["json", "jsonfg"])
def test_positions_are_those_of_the_vectors(client: Client, code: str | None, output: str) -> None:
    params: dict[str, Any] = {"f": output, "limit": 3, **({"crs": code} if code else {})}
    answer = client.items("water_valve", **params)
    asked = crs.parse_uri(code) if code else crs.CRS84
    assert answer.headers["content-crs"] == f"<{asked.uri}>"
    for feature, (plane, wgs) in zip(answer.json()["features"], VECTORS, strict=True):
        shape = feature["place"] or feature["geometry"] if output == "jsonfg" else feature["geometry"]
        x, y, z = shape["coordinates"]
        if asked.swap:
            x, y = y, x
        right = [float(v) for v in crs.transform_xy(*plane, 9210, asked.code)]
        tolerance = 2e-3 if crs.definition(asked.code).projected else TOLERANCE_DEG
        assert (x, y, z) == (
            pytest.approx(right[0], abs=tolerance),
            pytest.approx(right[1], abs=tolerance),
            1.5,
        )
        if asked.code == 4326:
            assert (x, y) == (pytest.approx(wgs[0], abs=1.1e-9), pytest.approx(wgs[1], abs=1.1e-9))


def test_the_check_above_can_fail(client: Client) -> None:
    """What PROJ does when it is left to choose is 0.8 m off, 400 times the tolerance."""
    import pyproj

    feature = client.items("water_valve", limit=1).json()["features"][0]
    x, y = feature["geometry"]["coordinates"][:2]
    wrong = pyproj.Transformer.from_crs(9210, 4326, always_xy=True).transform(*VECTORS[0][0])
    assert abs(x - wrong[0]) > 100 * TOLERANCE_DEG or abs(y - wrong[1]) > 100 * TOLERANCE_DEG


# Boxes


BOX_CODES = {"EPSG:3857": 3857, "OGC:CRS84": 4326, "EPSG:4326": 4326, "EPSG:3405": 3405, "EPSG:9210": 9210}


@pytest.fixture(scope="module")
def field(module_db: Database, client: Client) -> None:
    """Ten thousand parcels of a few metres, turned against the axes, so that the edges of boxes cut many."""
    with psycopg.connect(module_db.owner_dsn, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO layer.cadastre_parcel (asset_id, sheet_no, parcel_no, geom)"
            " SELECT 'g' || x || '-' || y, 'g' || x, y::text, ST_Rotate(ST_Translate(ST_SetSRID("
            "ST_MakeEnvelope(0, 0, 11, 9), 9210), 585000 + x * 12, 1200000 + y * 12), 0.3, 585600, 1200600)"
            " FROM generate_series(1, 100) x, generate_series(1, 100) y"
        )
        connection.execute("ANALYZE layer.cadastre_parcel")


@pytest.mark.parametrize("name", BOX_CODES)
def test_a_box_holds_what_exact_sql_says(
    client: Client, owner: psycopg.Connection, field: None, name: str
) -> None:
    """Twenty boxes of 600 m in each CRS; peers got none to two of twenty right."""
    code, swap = BOX_CODES[name], name == "EPSG:4326"
    place = random.Random(20)
    for _ in range(20):
        x, y = 585000 + place.uniform(-200, 800), 1200000 + place.uniform(-200, 800)
        (west, south), (east, north) = (
            (float(a), float(b))
            for a, b in (crs.transform_xy(px, py, 9210, code) for px, py in ((x, y), (x + 600, y + 600)))
        )
        box = [south, west, north, east] if swap else [west, south, east, north]
        found = ids(
            client.items(
                "cadastre_parcel", bbox=",".join(map(repr, box)), bbox__crs=name, limit=10000, properties=""
            )
        )
        right = [
            r[0]
            for r in owner.execute(
                "SELECT fid FROM layer.cadastre_parcel WHERE ST_Intersects(ST_Transform(geom, %(c)s::int),"
                " ST_MakeEnvelope(%(w)s, %(s)s, %(e)s, %(n)s, %(c)s::int)) ORDER BY fid",
                {"c": code, "w": west, "s": south, "e": east, "n": north},
            )
        ]
        assert found == right
        assert len(right) > 200


def test_the_corners_alone_would_be_wrong(owner: psycopg.Connection, field: None) -> None:
    """What makes the test above hard: the corners' envelope takes in features that the box does not meet."""
    row = owner.execute(
        "SELECT count(*) FILTER (WHERE ST_Intersects(geom, ST_Envelope(ST_Transform(box, 9210)))),"
        " count(*) FILTER (WHERE ST_Intersects(ST_Transform(geom, 3857), box)) FROM"
        " layer.cadastre_parcel, (SELECT ST_Expand(ST_Transform("
        "ST_SetSRID(ST_MakePoint(585600, 1200600), 9210), 3857), 305) AS box) b"
    ).fetchone()
    assert row is not None and row[0] > row[1] > 0


@pytest.mark.parametrize("box", ["-180,-90,180,90", "100,8,110,12", "-1000,-80,1000,80"])
def test_a_box_of_the_world_holds_everything(client: Client, box: str) -> None:
    assert len(ids(client.items("water_pipe", bbox=box))) == ROWS


@pytest.mark.parametrize("box", ["0,0,1,1", "-70,-10,-60,10", "179,10,180,11"])
def test_a_box_elsewhere_holds_nothing(client: Client, box: str) -> None:
    answer = client.items("water_pipe", bbox=box)
    assert ids(answer) == []
    assert answer.json()["numberMatched"] == 0


def test_a_box_with_heights(client: Client) -> None:
    """All pipes are at 1.5 m; parcels have no heights and stay."""
    assert len(ids(client.items("water_pipe", bbox="106,10,1,107,11,2"))) == ROWS
    assert ids(client.items("water_pipe", bbox="106,10,2,107,11,3")) == []
    assert ids(client.items("cadastre_parcel", bbox="106,10,2,107,11,3", limit=3)) != []


def test_a_box_without_area(client: Client) -> None:
    (_, (lon, lat)) = VECTORS[0]
    east, north = 600000.0, 1190000.0
    assert ids(client.items("water_valve", bbox=f"{east},{north},{east},{north}", bbox__crs="EPSG:9210")) == [
        1
    ]
    assert ids(client.items("water_valve", bbox=f"{lon - 1e-9},{lat - 1},{lon + 1e-9},{lat + 1}")) == [1]


# Filters against plain SQL


FILTERS = {
    "material = 'hdpe'": "material = 'hdpe'",
    "material <> 'hdpe'": "material <> 'hdpe'",
    "material IN ('hdpe', 'pe') OR diameter_mm < 10 AND diameter_mm > 5":
        "material IN ('hdpe', 'pe') OR diameter_mm < 10 AND diameter_mm > 5",
    "NOT (material = 'hdpe' OR diameter_mm < 10)": "NOT (material = 'hdpe' OR diameter_mm < 10)",
    "diameter_mm BETWEEN 10 AND 20.25": "diameter_mm BETWEEN 10 AND 20.25",
    "diameter_mm NOT BETWEEN 10 AND 20.25": "diameter_mm NOT BETWEEN 10 AND 20.25",
    "material IS NULL": "material IS NULL",
    "material IS NOT NULL AND material NOT IN ('pe')": "material IS NOT NULL AND material NOT IN ('pe')",
    "street LIKE 'Số 1% Thủ Thiêm street'": "street LIKE 'Số 1% Thủ Thiêm street'",
    "street LIKE 'Số _ %'": "street LIKE 'Số _ %'",
    "street LIKE '%\\_%'": "street LIKE '%\\_%'",
    "street NOT LIKE 'Số 1%'": "street NOT LIKE 'Số 1%'",
    "CASEI(street) = CASEI('SỐ 7 THỦ THIÊM STREET')": "street = 'Số 7 Thủ Thiêm street'",
    "ACCENTI(street) = ACCENTI('Sô 7 Thu Thiem street')": "street = 'Số 7 Thủ Thiêm street'",
    "CASEI(ACCENTI(street)) LIKE CASEI(ACCENTI('so 1% THU thiem%'))": "street LIKE 'Số 1%'",
    "CASEI(street) IN (CASEI('số 7 thủ thiêm street'), 'số 8 thủ thiêm street')":
        "street IN ('Số 7 Thủ Thiêm street', 'Số 8 Thủ Thiêm street')",
    "CASEI(operator) LIKE 'đường nguyễn huệ''\"; drop table%🚰'": "fid = 4",
    "installed_year > 1870.5": "installed_year > 1870.5",
    "installed_year = 1870.5": "FALSE",
    "installed_year IN (1870, 1870.5, 1871)": "installed_year IN (1870, 1871)",
    "diameter_mm * 2 + 1 > installed_year / 20 - 3 ^ 2": "diameter_mm * 2 + 1 > installed_year / 20.0 - 9",
    "diameter_mm / (version - 1) > 0": "FALSE",
    "installed_year % 2 = 0": "installed_year % 2 = 0",
    "installed_year % 0 = 0": "FALSE",
    "installed_year div 100 = 18": "installed_year / 100 = 18",
    "depth_m < -installed_year / 45": "depth_m < -installed_year / 45.0",
    "last_inspection >= DATE('2020-01-20') AND last_inspection < '2020-01-25'":
        "last_inspection >= '2020-01-20' AND last_inspection < '2020-01-25'",
    "last_inspection > TIMESTAMP('2020-01-20T12:00:00Z')": "last_inspection > '2020-01-20'",
    "updated_at > TIMESTAMP('2020-01-20T12:00:00+07:00')": "TRUE",
    "updated_at < DATE('2020-01-20')": "FALSE",
    "T_BEFORE(last_inspection, DATE('2020-01-05'))": "last_inspection < '2020-01-05'",
    "T_DURING(last_inspection, INTERVAL('2020-01-05', '2020-01-08'))":
        "last_inspection > '2020-01-05' AND last_inspection < '2020-01-08'",
    "T_INTERSECTS(last_inspection, INTERVAL('..', '2020-01-08'))": "last_inspection <= '2020-01-08'",
    "T_OVERLAPS(INTERVAL(last_inspection, updated_at), INTERVAL('2020-01-10', '..'))":
        "last_inspection < '2020-01-10'",
    "T_AFTER(INTERVAL(last_inspection, updated_at), DATE('2020-01-10'))": "last_inspection > '2020-01-10'",
    "from_node = to_node": "from_node = to_node",
    "TRUE": "TRUE",
    "FALSE OR fid = 3": "fid = 3",
    "fid IN (1, 2, 3) AND fid <> 2": "fid IN (1, 3)",
    "S_INTERSECTS(geometry, POLYGON((106.72 10.77, 106.74 10.77, 106.74 10.78, 106.72 10.78, 106.72 10.77)))":
        "ST_Intersects(geom, ST_Transform(ST_MakeEnvelope(106.72, 10.77, 106.74, 10.78, 4326), 9210))",
    "S_DISJOINT(geom, BBOX(106.72, 10.77, 106.74, 10.78))":
        "NOT ST_Intersects(geom, ST_Transform(ST_MakeEnvelope(106.72, 10.77, 106.74, 10.78, 4326), 9210))",
    "S_WITHIN(geometry, BBOX(106, 10, 107, 11))": "TRUE",
    "S_WITHIN(geometry, POLYGON((-180 -90, 180 -90, 180 90, -180 90, -180 -90)))": "TRUE",
    "S_CONTAINS(BBOX(106, 10, 106.7, 11), geometry)": "ST_X(ST_StartPoint(geom)) < 605000",
    "NOT S_CROSSES(geometry, LINESTRING(106 10, 107 11))": "TRUE",
}  # fmt: skip


@pytest.mark.parametrize("text", FILTERS)
def test_filters_select_what_sql_selects(client: Client, owner: psycopg.Connection, text: str) -> None:
    answer = client.items("water_pipe", filter=text)
    assert ids(answer) == fids(owner, FILTERS[text])
    assert answer.json()["numberMatched"] == answer.json()["numberReturned"]


def test_booleans_stand_alone(client: Client, owner: psycopg.Connection) -> None:
    assert ids(client.items("water_valve", filter="boundary_valve AND NOT (boundary_valve = false)")) == fids(
        owner, "boundary_valve", "water_valve"
    )


RELATIONS = ("TOUCHES", "OVERLAPS", "EQUALS", "CONTAINS", "WITHIN", "CROSSES", "INTERSECTS", "DISJOINT")


@pytest.mark.parametrize("relation", RELATIONS)
def test_relations_in_the_storage_crs_are_exact(
    client: Client, owner: psycopg.Connection, field: None, relation: str
) -> None:
    """In JSON: the parser of texts is off by the last bit of some coordinates."""
    row = owner.execute(
        "SELECT ST_AsGeoJSON(geom, 17, 0) FROM layer.cadastre_parcel WHERE asset_id = 'g50-50'"
    ).fetchone()
    assert row is not None
    tree = f'{{"op":"s_{relation.lower()}","args":[{{"property":"geometry"}},{row[0]}]}}'
    found = client.items(
        "cadastre_parcel",
        filter=tree,
        filter__lang="cql2-json",
        filter__crs="EPSG:9210",
        limit=10000,
        properties="",
    )
    right = fids(
        owner, f"ST_{relation}(geom, ST_SetSRID(ST_GeomFromGeoJSON('{row[0]}'), 9210))", "cadastre_parcel"
    )
    assert ids(found) == right[:10000]
    assert (right != []) == (relation in ("EQUALS", "CONTAINS", "WITHIN", "INTERSECTS", "DISJOINT"))


@pytest.mark.parametrize("relation", RELATIONS)
def test_collections_never_fail(client: Client, relation: str) -> None:
    """GEOS does not define every relation of a collection; that is told, and not a fault of the server."""
    both = "GEOMETRYCOLLECTION(POINT(106.666128316 10.759445635), LINESTRING(106 10, 107 11))"
    answer = client.items("water_pipe", filter=f"S_{relation}(geometry, {both})")
    if answer.status_code != 200:
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid-filter")


def test_filters_in_json(client: Client, owner: psycopg.Connection) -> None:
    street = {"op": "casei", "args": [{"op": "accenti", "args": [{"property": "street"}]}]}
    area = {"type": "Polygon", "coordinates": [[[106, 10], [107, 10], [107, 11], [106, 11], [106, 10]]]}
    parts: list[Any] = [
        {"op": "like", "args": [street, "so 1%"]},
        {"op": "between", "args": [{"property": "diameter_mm"}, 10, 15]},
        {"op": "not", "args": [{"op": "isNull", "args": [{"property": "material"}]}]},
        {"op": ">", "args": [{"property": "last_inspection"}, {"date": "2020-01-11"}]},
        {"op": "s_intersects", "args": [{"property": "geometry"}, area]},
    ]
    tree = orjson.dumps({"op": "and", "args": parts}).decode()
    right = fids(
        owner,
        "street LIKE 'Số 1%' AND diameter_mm BETWEEN 10 AND 15 AND material IS NOT NULL"
        " AND last_inspection > '2020-01-11'",
    )
    assert ids(client.items("water_pipe", filter=tree, filter__lang="cql2-json")) == right != []


def test_filter_crs_with_latitude_first(client: Client) -> None:
    lon, lat = VECTORS[1][1]
    box = f"BBOX({lat - 1e-5},{lon - 1e-5},{lat + 1e-5},{lon + 1e-5})"
    assert ids(
        client.items("water_pipe", filter=f"S_INTERSECTS(geometry,{box})", filter__crs="EPSG:4326")
    ) == [2]


# The other parameters


def test_properties_equal(client: Client, owner: psycopg.Connection) -> None:
    assert ids(client.items("water_pipe", asset_id="water_pipe-s7")) == [8]
    assert ids(client.items("water_pipe", material="hdpe", installed_year=1855)) == fids(
        owner, "material = 'hdpe' AND installed_year = 1855"
    )
    assert ids(client.items("water_valve", boundary_valve="true")) == fids(
        owner, "boundary_valve", "water_valve"
    )
    assert ids(client.items("water_pipe", last_inspection="2020-01-03")) == [3]
    assert ids(client.items("water_pipe", updated_at="2020-01-03T00:00:00 07:00")) == []


def test_datetime(client: Client, owner: psycopg.Connection) -> None:
    for text, condition in {
        "2020-01-05": "observed_at::date = '2020-01-05'",
        "2020-01-05T08:30:00Z": "observed_at = '2020-01-05T08:30Z'",
        "2020-01-05T15:30:00+07:00": "observed_at = '2020-01-05T08:30Z'",
        "2020-01-05/2020-01-07": "observed_at >= '2020-01-05' AND observed_at < '2020-01-08'",
        "2020-01-05T09:00:00Z/..": "observed_at > '2020-01-05T09:00Z'",
        "../2020-01-05": "observed_at < '2020-01-06'",
        "/2020-01-05": "observed_at < '2020-01-06'",
        "../..": "TRUE",
    }.items():
        assert ids(client.items("flood_spot", datetime=text)) == fids(owner, condition, "flood_spot"), text


@pytest.mark.parametrize(
    "q", ["thu thiem 7", "THỦ THIÊM 7", "Thu\u0309 7 thi", "7 street", "water_pipe-s6", "7 thiem"]
)
def test_search_is_blind_to_accents_and_case(client: Client, owner: psycopg.Connection, q: str) -> None:
    digit = "7" if "7" in q else "6"
    right = fids(owner, f"street ~ '\\m{digit}' OR asset_id ~ '-s{digit}'")
    found = ids(client.items("water_pipe", q=q))
    assert set(found) <= set(right)
    assert int(digit) + 1 in found


PLACES = {
    "TD-901": "Chợ Bến Thành",
    "TD-9010": "Trạm TD-901",
    "TD-90_1": "Ga",
    "TD-90%1": "Ga",
    "TD-90\\1": "Ga",
    "TD-90'1": "Ga",
    "td-77": "Ga",
    "XY-1": "Nhà TD-901",
    "Mixed-Case-1": "Ga",
    "ĐƯỜNG-1": "Ga",
}


@pytest.fixture(scope="module")
def places(client: Client, module_db: Database) -> Iterator[dict[int, str]]:
    """fid -> asset_id of places whose ids and names are of PLACES."""
    with psycopg.connect(module_db.owner_dsn, autocommit=True) as connection:
        made = {}
        for asset_id, name in PLACES.items():
            row = connection.execute(
                "INSERT INTO layer.base_place (asset_id, name, geom)"
                " SELECT %s, %s, geom FROM layer.base_place WHERE fid = 1 RETURNING fid",
                (asset_id, name),
            ).fetchone()
            assert row
            made[row[0]] = asset_id
        yield made
        connection.execute("DELETE FROM layer.base_place WHERE fid = ANY(%s)", [list(made)])


@pytest.mark.parametrize(
    ("q", "right"),
    [
        ("TD-9010", ["TD-9010"]),
        ("TD-901", ["TD-901", "TD-9010", "XY-1"]),  # by its beginning, and as words of a name
        ("  td-901 ", ["TD-901", "TD-9010", "XY-1"]),
        ("td-90_1", ["TD-90_1"]),
        ("TD-90%", ["TD-90%1", "TD-9010", "XY-1"]),  # these by the words td and 90
        ("TD-90\\1", ["TD-90\\1"]),
        ("TD-90'", ["TD-90'1", "TD-9010", "XY-1"]),
        ("TD-9_1", []),
        ("T%1", []),
        ("TD-7", ["td-77"]),
        ("Mixed-C", ["Mixed-Case-1"]),
        ("mixed-c", []),  # neither as typed nor in one case
        ("đường-", ["ĐƯỜNG-1"]),
        ("TD-901 ben thanh", []),  # an id is the whole text ...
        ("9010", []),  # ... and its beginning
        ("ben tha", ["TD-901"]),
        ("tram 901", ["TD-9010"]),
    ],
)
def test_ids_are_found_by_their_beginning(
    client: Client, places: dict[int, str], q: str, right: list[str]
) -> None:
    answer = client.items("base_place", q=q, limit=1000)
    assert sorted(places[i] for i in ids(answer) if i in places) == sorted(right)
    assert answer.json()["numberMatched"] == answer.json()["numberReturned"]


@pytest.mark.parametrize("sortby", [None, "-name", "asset_id"])
def test_pages_of_ids_and_words_hold_each_feature_once(
    client: Client, places: dict[int, str], sortby: str | None
) -> None:
    given: dict[str, Any] = {"q": "TD-901", **({"sortby": sortby} if sortby else {})}
    whole = ids(client.items("base_place", **given))
    assert sorted(places[i] for i in whole) == ["TD-901", "TD-9010", "XY-1"]
    assert in_order(whole, places, sortby)
    assert [i for n in range(4) for i in ids(client.items("base_place", **given, limit=1, offset=n))] == whole
    page, found = client.items("base_place", **given, limit=1), []
    for _ in range(5):
        assert page.json()["numberMatched"] == 3
        found += ids(page)
        following = [link["href"] for link in page.json()["links"] if link["rel"] == "next"]
        if not following:
            break
        page = client.get(following[0])
    assert found == whole


def in_order(found: list[int], places: dict[int, str], sortby: str | None) -> bool:
    keys = [(PLACES[places[i]] if sortby == "-name" else places[i] if sortby else i) for i in found]
    return keys == sorted(keys, reverse=sortby == "-name")


def test_search_uses_its_indexes(owner: psycopg.Connection, catalogue: Catalogue) -> None:
    from gis.api.features.binding import Bind
    from gis.api.features.search import search_branches

    bind = Bind()
    branches = search_branches(catalogue.layers["water_pipe"], "thu thiem", bind)
    with owner.transaction():
        owner.execute("SET LOCAL enable_seqscan = off")
        statement = psycopg.sql.SQL("EXPLAIN SELECT fid FROM layer.water_pipe WHERE {}").format(
            psycopg.sql.SQL(" OR ").join(branches)
        )
        plan = "\n".join(r[0] for r in owner.execute(statement, bind.values))
    assert "BitmapOr" in plan
    for suffix in ("q__idx", "asset_id__key"):
        assert f"Bitmap Index Scan on water_pipe__{suffix}" in plan
    assert "Filter" not in plan  # nothing is worked out again for the rows that the indexes found


def test_search_of_layers_without_words_or_anything(catalogue: Catalogue) -> None:
    from dataclasses import replace

    from gis.api.features.binding import Bind
    from gis.api.features.search import search_branches

    layer = catalogue.layers["water_pipe"]
    for search, right in (((), "FALSE"), (("asset_id",), '"asset_id" >=')):
        other = replace(layer, definition=layer.definition.model_copy(update={"search": search}))
        (only,) = search_branches(other, "x", Bind())
        assert right in only.as_string(None) and "search_vector" not in only.as_string(None)


def test_sheet(client: Client, owner: psycopg.Connection) -> None:
    from gis.sheets import cadastral_sheet, topographic_sheet

    lon, lat = (float(v) for v in crs.transform_xy(600000, 1190000, 9210, 4756))
    topographic = topographic_sheet(lat, lon, 2000)
    assert ids(client.items("water_valve", sheet=topographic.name)) == [1]
    cadastral = cadastral_sheet(1190000, 600000, 2000)
    west, south, east, north = (float(v) for v in cadastral.box)
    right = fids(owner, f"ST_Intersects(geom, ST_MakeEnvelope({west}, {south}, {east}, {north}, 9210))")
    assert ids(client.items("water_pipe", sheet=cadastral.name)) == right != []
    assert client.items("water_pipe", sheet="nowhere").status_code == 400


def test_properties_and_geometry_can_be_left_out(client: Client) -> None:
    feature = client.items("water_pipe", properties="material,street", skipGeometry="true").json()[
        "features"
    ][0]
    assert (feature["geometry"], sorted(feature["properties"])) == (None, ["material", "street"])
    one = client.get(
        "/collections/water_pipe/items/1", params={"properties": "", "skipGeometry": "true"}
    ).json()
    assert (one["id"], one["geometry"], one["properties"]) == (1, None, {})


def test_confidential_fields_are_nowhere(client: Client, catalogue: Catalogue) -> None:
    hidden = {f.name for f in catalogue.layers["cadastre_parcel"].fields if f.access != "public"}
    assert hidden
    for output in ("json", "jsonfg", "csv", "html"):
        text = client.items("cadastre_parcel", f=output, limit=5).text
        assert not any(name in text for name in hidden)
    for name in hidden:
        for parameters in (
            {name: "x"},
            {"sortby": name},
            {"properties": name},
            {"filter": f"{name} IS NULL"},
        ):
            assert client.items("cadastre_parcel", **parameters).status_code == 400


def test_restricted_layers_are_absent(client: Client, catalogue: Catalogue) -> None:
    for layer in catalogue.layers.values():
        if not layer.is_public:
            assert client.items(layer.id).status_code == 404
            assert client.get(f"/collections/{layer.id}/items/1").status_code == 404
