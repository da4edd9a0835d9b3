"""Attribute values that try to run in the page, each of which would set ``window.pwned``."""

from __future__ import annotations

import psycopg

from gis import crs
from gis.city import City

VALUES = (
    '<img src=x onerror="window.pwned=1">',
    "</script><script>window.pwned=2</script>",
    "javascript:window.pwned=3",
    "data:text/html,<script>window.pwned=4</script>",
    '"><svg onload="window.pwned=5">',
    "{{constructor.constructor('window.pwned=6')()}}",
    "<iframe srcdoc='<script>parent.pwned=7</script>'>",
)
#: Beside the demo city, so that nothing else is there. Longitude, latitude.
PLACE = (106.7300, 10.7700)
#: A place name with stacked marks of every kind, on the map as a label.
LETTERS = "Ế ữ Đ ậ ộ ằ Ợ ỹ"
LETTERS_PLACE = (106.7310, 10.7710)


def insert(connection: psycopg.Connection, city: City) -> None:
    """A camera for each value, with the value in every text column, all at PLACE; and the place name."""
    storage = city.crs.storage
    x, y = crs.transform_xy([PLACE[0], LETTERS_PLACE[0]], [PLACE[1], LETTERS_PLACE[1]], 4326, storage)
    for number, value in enumerate(VALUES):
        connection.execute(
            "INSERT INTO layer.telecom_camera "
            "(asset_id, owner, name, address, remark, operator, stream_ref, geom) "
            "VALUES (%s, 'vnpt', %s, %s, %s, %s, %s, ST_SetSRID(ST_MakePoint(%s, %s), %s))",
            [f"{value}{number}", value, value, value, value, value, x[0], y[0], storage],
        )
    connection.execute(
        "INSERT INTO layer.base_place (asset_id, owner, name, place_class, geom) "
        "VALUES ('letters', 'stnmt', %s, 'city', ST_SetSRID(ST_MakePoint(%s, %s), %s))",
        [LETTERS, x[1], y[1], storage],
    )
