"""The agencies of city.yml in the database, with the layers that each works on: policies ask for them."""

from __future__ import annotations

from psycopg import Connection

from gis.city import City
from layers.raster import RasterLayer
from layers.registry import Catalogue, Layer


def write_agencies(connection: Connection, city: City, catalogue: Catalogue) -> None:
    """Bring bandoso.agency and bandoso.agency_layer up to date.

    An agency that is gone from city.yml stays as long as somebody was granted a role for it.
    """
    agencies = [(agency.id, agency.shared) for agency in city.agencies]
    every: list[Layer | RasterLayer] = [*catalogue.layers.values(), *catalogue.rasters.values()]
    layers = sorted(
        (agency.id, layer.id)
        for agency in city.agencies
        for layer in every
        if layer.definition.owner == agency.id or layer.sector.id in agency.sectors
    )
    with connection.transaction():
        connection.execute(
            "INSERT INTO bandoso.agency (id, shared) SELECT * FROM unnest(%s::text[], %s::boolean[])"
            " ON CONFLICT (id) DO UPDATE SET shared = excluded.shared WHERE agency.shared <> excluded.shared",
            [[a for a, _ in agencies], [s for _, s in agencies]],
        )
        connection.execute(
            "DELETE FROM bandoso.agency AS a WHERE NOT a.id = ANY (%s)"
            " AND NOT EXISTS (SELECT FROM bandoso.account_grant AS g WHERE g.agency = a.id)",
            [[a for a, _ in agencies]],
        )
        wanted = [[a for a, _ in layers], [layer for _, layer in layers]]
        connection.execute(
            "DELETE FROM bandoso.agency_layer WHERE NOT (agency, layer) IN"
            " (SELECT * FROM unnest(%s::text[], %s::text[]))",
            wanted,
        )
        connection.execute(
            "INSERT INTO bandoso.agency_layer (agency, layer) SELECT * FROM unnest(%s::text[], %s::text[])"
            " ON CONFLICT DO NOTHING",
            wanted,
        )
