"""PostGIS transforms as gis.crs does: by SRID alone, through the rows that `prepare` writes."""

from __future__ import annotations

import itertools

import numpy as np
import psycopg
import pytest
import shapely

from gis import crs

POINT = """
SELECT ST_X(p), ST_Y(p)
FROM (SELECT ST_Transform(ST_SetSRID(ST_MakePoint(%s, %s), %s::int), %s::int) AS p) AS moved
"""


def overlap(a: crs.CrsDef, b: crs.CrsDef) -> tuple[float, float] | None:
    """A place where both CRSs are used, inside Viet Nam for those that are used everywhere."""
    west, south = max(a.area[0], b.area[0]), max(a.area[1], b.area[1])
    east, north = min(a.area[2], b.area[2]), min(a.area[3], b.area[3])
    if west >= east or south >= north:
        return None
    if east - west > 20:
        west, south, east, north = 106.5, 10.5, 106.9, 11.0
    return west + (east - west) * 0.37, south + (north - south) * 0.61


def test_the_vectors_hold_in_postgis(owner: psycopg.Connection) -> None:
    lines = crs.prove_postgis(owner.cursor())
    assert len(lines) >= 10
    assert [line for line in lines if not line.ok] == []


def test_every_pair_agrees_with_pyproj_to_a_micrometre(owner: psycopg.Connection) -> None:
    compared = 0
    for a, b in itertools.permutations(crs.registry(), 2):
        place = overlap(a, b)
        if place is None or a.datum_id == b.datum_id == "wgs84":
            continue
        x, y = (float(v) for v in crs.transform_xy(*place, 4326, a.code))
        expected = [float(v) for v in crs.transform_xy(x, y, a.code, b.code)]
        got = owner.execute(POINT, (x, y, a.code, b.code)).fetchone()
        assert got is not None
        off = np.hypot(got[0] - expected[0], got[1] - expected[1]) * b.unit_m
        assert off < 1e-6, (a.code, b.code)
        compared += 1
    assert compared > 300


def test_heights_are_kept_and_counted_alike(owner: psycopg.Connection) -> None:
    given = shapely.Point(600000, 1190000, 850.25)
    ours = crs.transform_geometries(np.array([given], dtype=object), 9210, 4326)[0]
    row = owner.execute(
        "SELECT ST_AsBinary(ST_Transform(ST_GeomFromWKB(%s, 9210), 4326))", (shapely.to_wkb(given),)
    ).fetchone()
    assert row is not None
    theirs = shapely.from_wkb(bytes(row[0]))
    assert (theirs.x, theirs.y) == pytest.approx((ours.x, ours.y), abs=1e-12)
    assert theirs.z == ours.z == 850.25


def test_a_row_of_epsgs_own_would_be_80_cm_off(owner: psycopg.Connection) -> None:
    """Why the authority is private: PROJ resolves EPSG rows by code, whatever their proj4text says."""
    owner.execute(
        "INSERT INTO spatial_ref_sys (srid, auth_name, auth_srid, srtext, proj4text)"
        " SELECT 990210, 'EPSG', 9210, srtext, proj4text FROM spatial_ref_sys WHERE srid = 9210"
        " ON CONFLICT DO NOTHING"
    )
    got = owner.execute(POINT, (600000, 1190000, 990210, 4326)).fetchone()
    assert got is not None
    off = np.hypot((got[0] - 106.666128316) * np.cos(np.radians(10.76)), got[1] - 10.759445635) * 111319.5
    assert off == pytest.approx(0.799, abs=0.003)


def test_a_box_holds_what_exact_sql_says(owner: psycopg.Connection) -> None:
    """Points along a box's edges, 1 mm inside and outside of the true curve, on the server."""
    box = (106.70, 10.75, 106.7055, 10.7554)
    shape = crs.transform_box(box, 4326, 9210)
    t = np.linspace(0.01, 0.99, 200)
    nudge = 1e-8  # degrees, 1.1 mm
    inside, outside = [], []
    for sign, points in ((1, inside), (-1, outside)):
        d = sign * nudge
        lon, lat = box[0] + (box[2] - box[0]) * t, box[1] + (box[3] - box[1]) * t
        points += list(zip(lon, np.full(200, box[1] + d), strict=True))
        points += list(zip(lon, np.full(200, box[3] - d), strict=True))
        points += list(zip(np.full(200, box[0] + d), lat, strict=True))
        points += list(zip(np.full(200, box[2] - d), lat, strict=True))
    for points, expected in ((inside, 800), (outside, 0)):
        x, y = crs.transform_xy([p[0] for p in points], [p[1] for p in points], 4326, 9210)
        row = owner.execute(
            "SELECT count(*) FROM unnest(%s::float8[], %s::float8[]) AS p(x, y)"
            " WHERE ST_Intersects(ST_SetSRID(ST_MakePoint(x, y), 9210), ST_GeomFromWKB(%s, 9210))",
            (x.tolist(), y.tolist(), shapely.to_wkb(shape)),
        ).fetchone()
        assert row == (expected,)
