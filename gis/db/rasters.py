"""Raster layers in the database: what their files are (gis/db/sql/0022_rasters.sql). Pixels are files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from psycopg import Connection

from layers.raster import RasterLayer
from layers.registry import Catalogue

#: Key of the advisory lock under which a layer's files are changed ("rast" in ASCII), with the layer's name.
_LOCK = 0x72617374


#: How the name of a file ends that holds a whole layer coarsely, made of its other files.
OVERVIEW = "-overview.tif"


def is_overview(name: str) -> bool:
    """Whether a file of this name was made of the others of its layer, not delivered."""
    return name.endswith(OVERVIEW)


@dataclass(frozen=True)
class Standing:
    """A file that was delivered, as it stands in a layer. ``footprint``: WKB in the storage CRS."""

    name: str
    footprint: bytes
    resolution_m: float
    taken_on: date | None
    loaded_at: datetime


@dataclass(frozen=True)
class RasterFile:
    """One file of a layer. ``footprint``: WKB in the storage CRS; ``name`` within the layer's folder."""

    name: str
    content: bytes
    footprint: bytes
    sheet: str | None
    resolution_m: float
    taken_on: date | None
    source: str
    width: int
    height: int
    bands: int
    lowest: float | None
    highest: float | None
    bytes: int

    def standing(self, loaded_at: datetime) -> Standing:
        """The file as it will stand."""
        return Standing(self.name, self.footprint, self.resolution_m, self.taken_on, loaded_at)


def write_raster_layers(connection: Connection, catalogue: Catalogue) -> None:
    """Bring bandoso.raster_layer up to date. A layer that is gone from the YAML keeps its row and files."""
    rows = [(one.id, one.definition.kind, one.access) for one in catalogue.rasters.values()]
    connection.execute(
        "INSERT INTO bandoso.raster_layer AS r (id, kind, access)"
        " SELECT * FROM unnest(%s::text[], %s::text[], %s::text[])"
        " ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, access = excluded.access,"
        " generation = r.generation + 1, changed_at = now()"
        " WHERE (r.kind, r.access) <> (excluded.kind, excluded.access)",
        [[r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows]],
    )


def lock_files(connection: Connection, layer: RasterLayer) -> bool:
    """Take the lock under which a layer's files are changed, for the session; False if another has it."""
    row = connection.execute("SELECT pg_try_advisory_lock(%s, hashtext(%s))", (_LOCK, layer.id)).fetchone()
    return bool(row and row[0])


def unlock_files(connection: Connection, layer: RasterLayer) -> None:
    """Give that lock back."""
    connection.execute("SELECT pg_advisory_unlock(%s, hashtext(%s))", (_LOCK, layer.id))


def known_contents(connection: Connection, layer: RasterLayer) -> dict[bytes, str]:
    """Content hash -> name of each file of a layer."""
    rows = connection.execute("SELECT content, name FROM bandoso.raster_file WHERE layer = %s", (layer.id,))
    return {bytes(content): str(name) for content, name in rows}


def change_files(
    connection: Connection, layer: RasterLayer, added: Sequence[RasterFile], *, storage: int, keep: Any = None
) -> None:
    """Add files to a layer and, with ``keep`` (names), take all others away; in one transaction."""
    with connection.transaction():
        connection.execute(
            "UPDATE bandoso.raster_layer SET generation = generation + 1, changed_at = now() WHERE id = %s",
            (layer.id,),
        )
        if keep is not None:
            connection.execute(
                "DELETE FROM bandoso.raster_file WHERE layer = %s AND NOT name = ANY (%s)",
                (layer.id, list(keep)),
            )
        for one in added:
            connection.execute(
                "INSERT INTO bandoso.raster_file (layer, name, content, footprint, sheet, resolution_m,"
                " taken_on, source, width, height, bands, lowest, highest, bytes)"
                " VALUES (%s, %s, %s, ST_SetSRID(ST_GeomFromWKB(%s), %s), %s, %s, %s, %s, %s, %s, %s, %s, %s,"
                " %s)",
                (
                    layer.id, one.name, one.content, one.footprint, storage, one.sheet, one.resolution_m,
                    one.taken_on, one.source, one.width, one.height, one.bands, one.lowest, one.highest,
                    one.bytes,
                ),
            )  # fmt: skip


def standing_files(connection: Connection, layer: RasterLayer) -> list[Standing]:
    """The delivered files of a layer, in the order in which they came."""
    rows = connection.execute(
        "SELECT name, ST_AsBinary(footprint), resolution_m, taken_on, loaded_at FROM bandoso.raster_file"
        " WHERE layer = %s ORDER BY id",
        (layer.id,),
    ).fetchall()
    return [Standing(row[0], bytes(row[1]), *row[2:]) for row in rows if not is_overview(row[0])]


def count_files(connection: Connection) -> dict[str, tuple[int, datetime]]:
    """Layer -> number of its delivered files, and when the last one came; of those that have any."""
    rows = connection.execute(
        "SELECT layer, count(*), max(loaded_at) FROM bandoso.raster_file WHERE name NOT LIKE %s"
        " GROUP BY layer",
        [f"%{OVERVIEW}"],
    ).fetchall()
    return {str(layer): (int(count), last) for layer, count, last in rows}


def names_of(connection: Connection, layer: RasterLayer) -> set[str]:
    """Names of all files of a layer."""
    return set(known_contents(connection, layer).values())


#: What a server process reads: the layers it may see, and the files of some of them. Restricted by policies.
GENERATIONS = "SELECT id, generation FROM bandoso.raster_layer"
FILES = (
    "SELECT layer, id, name, ST_AsBinary(footprint), sheet, resolution_m, taken_on, source, lowest, highest,"
    " loaded_at FROM bandoso.raster_file WHERE layer = ANY (%s) ORDER BY layer, id"
)
