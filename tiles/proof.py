"""Proves archives: what they hold, and that archive and changes together are what would be rendered now."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from gis.city import City
from gis.errors import NotFoundError
from layers.registry import Catalogue, Layer
from tiles.archive import EMPTY, Archive
from tiles.archived import PUBLIC, Made, alone, archived_layers, file_of, opened, parts_of
from tiles.build_worker import ALL, Drawn, Task, render_all
from tiles.grid import Tile
from tiles.hilbert import tile_id, tile_of
from tiles.packing import join, unpack
from tiles.pmtiles import ArchiveError
from tiles.pyramid import occupied
from tiles.since import Changed
from tiles.snapshot import Report, Snapshot, snapshot


@dataclass
class Proof:
    """What was found. ``wrong``: (archive, tile) whose bytes are not what they should be."""

    #: Tiles that were rendered and compared; and archives that were compared.
    checked: int = 0
    archives: int = 0
    #: Tiles that servers render because something changed in them, or they were left out.
    dirty: int = 0
    wrong: list[tuple[str, Tile]] = field(default_factory=list)
    #: Archives that servers do not use: the reason.
    unused: dict[str, str] = field(default_factory=dict)


@dataclass
class Level:
    """A level of an archive."""

    tiles: int = 0
    #: Of tiles as they are sent; equal ones count each time.
    bytes: int = 0
    largest: int = 0
    largest_at: Tile | None = None
    dirty: int = 0


class Standing:
    """The archives of a folder, open, beside the moment they are compared with."""

    def __init__(self, city: City, catalogue: Catalogue, folder: Path, now: Snapshot) -> None:
        """Raises NotFoundError when there is none at all."""
        self.layers = archived_layers(catalogue)
        self.now = now
        self.unused: dict[str, str] = {}
        self.used: dict[str, tuple[Archive, Made, tuple[str, ...]]] = {}
        self._changed: dict[str, Changed] = {}
        storage = city.crs.storage
        buffers = {layer.id: layer.definition.tiles.buffer for layer in self.layers}
        for name, some in parts_of(self.layers).items():
            why = self._look(folder, name, some)
            if why:
                self.unused[name] = why
                continue
            since = self.used[name][1].stamp
            known = [n for n in self._changed if self.used[n][1].stamp == since]
            self._changed[name] = (
                self._changed[known[0]] if known else Changed(now.connection, since, storage, buffers)
            )
        if not self.used:
            raise NotFoundError(
                "there is no archive that is in use", code="no-archive", hint="bandoso tiles build makes them"
            )

    def _look(self, folder: Path, name: str, layers: Sequence[Layer]) -> str:
        one = opened(file_of(folder, name))
        if one is None:
            return "it is not there, or not readable"
        archive, made = one
        if not made.is_of(layers, made.max_zoom):
            return "its layers are defined otherwise now"
        if not self.now.knows_since(made.stamp):
            return "it is not known what changed since it was made"
        self.used[name] = (archive, made, tuple(layer.id for layer in layers))
        return ""

    def is_right(self, name: str, tile: Tile) -> bool:
        """Whether servers take the tile from the archive."""
        _, made, layers = self.used[name]
        number = tile_id(tile.z, tile.x, tile.y)
        return number not in made.missing and not self._changed[name].touched(layers, tile)

    def close(self) -> None:
        for archive, _, _ in self.used.values():
            archive.close()


def stats(dsn: str, city: City, catalogue: Catalogue, folder: Path, name: str) -> dict[int, Level]:
    """What is in an archive, by level. Raises NotFoundError when it is not there, or not in use."""
    with snapshot(dsn) as now, ExitStack() as stack:
        standing = Standing(city, catalogue, folder, now)
        stack.callback(standing.close)
        if name not in standing.used:
            why = standing.unused.get(name, "there is no such public layer")
            raise NotFoundError(f"the archive {name[:80]} is not in use: {why}", hint="bandoso tiles build")
        return _levels(standing, name)


def _levels(standing: Standing, name: str) -> dict[int, Level]:
    archive, made, _ = standing.used[name]
    found = {z: Level() for z in range(made.max_zoom + 1)}
    for entry in archive.entries():
        for number in range(entry.first, entry.first + entry.run):
            tile = tile_of(number)
            level = found[tile.z]
            level.tiles += 1
            level.bytes += entry.length
            level.dirty += not standing.is_right(name, tile)
            if entry.length > level.largest:
                level.largest, level.largest_at = entry.length, tile
    return found


def verify(
    dsn: str,
    city: City,
    catalogue: Catalogue,
    folder: Path,
    *,
    sample: int | None = None,
    seed: int = 0,
    workers: int | None = None,
    report: Report = lambda _done, _total: None,
) -> Proof:
    """Render ``sample`` tiles (None: all that hold anything, or that an archive says do) and compare them
    with what servers would take from the archives, byte for byte of the plain tiles."""
    with snapshot(dsn, report) as now, ExitStack() as stack:
        standing = Standing(city, catalogue, folder, now)
        stack.callback(standing.close)
        proof = Proof(archives=len(standing.used), unused=standing.unused)
        deepest = max(made.max_zoom for _, made, _ in standing.used.values())
        parts = occupied(now.connection, standing.layers, city.crs.storage, deepest)
        numbers = {tile_id(t.z, t.x, t.y) for tiles in parts for t in tiles}
        for archive, _, _ in standing.used.values():
            numbers.update(n for e in archive.entries() for n in range(e.first, e.first + e.run))
        chosen = sorted(numbers)
        if sample is not None and sample < len(chosen):
            chosen = sorted(random.Random(seed).sample(chosen, sample))  # noqa: S311
        # with all layers, whatever the build thought of it: what it left out is found, too
        job = now.job(dsn, standing.layers, city.crs.storage)
        for drawn in render_all(job, (Task(tile_of(number), ALL) for number in chosen), workers):
            proof.checked += 1
            proof.dirty += not all(standing.is_right(name, drawn.tile) for name in standing.used)
            proof.wrong += [(name, drawn.tile) for name in _wrong(standing, drawn)]
            report(proof.checked, len(chosen))
    return proof


def _wrong(standing: Standing, drawn: Drawn) -> Iterator[str]:
    """Archives that hold another tile than this one, and would be believed."""
    for name, (archive, made, layers) in standing.used.items():
        tile = drawn.tile
        if tile.z > made.max_zoom or not standing.is_right(name, tile):
            continue
        try:
            packed = archive.get(tile.z, tile.x, tile.y)
            if packed is None and alone([layer for layer in standing.layers if layer.id in layers], tile.z):
                continue  # servers render it
            same = unpack(packed or EMPTY) == _plain(drawn.layers, name)
        except (ArchiveError, ValueError):
            same = False
        if not same:
            yield name


def _plain(layers: Mapping[str, bytes], name: str) -> bytes:
    if name == PUBLIC:
        return unpack(join(list(layers.values()))) if layers else b""
    return unpack(layers.get(name, EMPTY))
