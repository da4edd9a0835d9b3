"""Builds archives: renders what changed since the ones that are there, or everything, and puts them in place.

All tiles are of one snapshot. Files are written beside the old ones and renamed at the end, so servers and
browsers read the old ones until then, and whatever ends a build early changes nothing.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from gis import __version__
from gis.city import City
from gis.db.locks import FileLock
from gis.errors import ConfigError, UsageError
from layers.registry import Catalogue, Layer
from tiles.archive import Archive, Entry
from tiles.archive_write import Copying, Writer, clear_parts
from tiles.archived import (
    MAX_ZOOM,
    PUBLIC,
    Made,
    alone,
    archived_layers,
    file_of,
    mark_of,
    metadata,
    opened,
    parts_of,
)
from tiles.build_worker import Drawn, Task, render_all
from tiles.follow import Stamp
from tiles.grid import Tile
from tiles.hilbert import tile_id, tile_of
from tiles.packing import together
from tiles.pyramid import occupied
from tiles.since import Changed
from tiles.snapshot import Report, Snapshot, snapshot

Touched = Callable[[Tile], bool]


@dataclass
class Built:
    """What a build did."""

    #: Archive -> (tiles, bytes of the file).
    files: dict[str, tuple[int, int]] = field(default_factory=dict)
    rendered: int = 0
    #: Tiles that were taken over from the public archive before.
    kept: int = 0
    #: Tiles that servers have to render: their generalised features are not ready, or they hold too much.
    missing: int = 0
    stamp: Stamp | None = None
    whole: bool = True


def build(
    dsn: str,
    city: City,
    catalogue: Catalogue,
    folder: Path,
    *,
    only: Sequence[str] = (),
    whole: bool = False,
    max_zoom: int = MAX_ZOOM,
    workers: int | None = None,
    report: Report = lambda _done, _total: None,
) -> Built:
    """Build the archives of all public layers, and the one of all together.

    ``dsn``: an owner's. ``only``: anew those of these layers and the tiles of PUBLIC that hold them; other
    layers' files stay. ``whole``: render everything, changed or not. Raises UsageError, ConfigError,
    DatabaseError and psycopg errors; nothing is changed then.
    """
    layers = archived_layers(catalogue)
    known = {layer.id for layer in layers}
    if set(only) - known:
        raise UsageError(
            f"{sorted(set(only) - known)[0][:80]} is not a layer that is archived",
            hint="bandoso layers lists them; restricted layers are in no archive",
        )
    if not 0 <= max_zoom <= MAX_ZOOM:
        raise UsageError(f"archives go to level {MAX_ZOOM} at most")
    with _alone(folder), snapshot(dsn, report) as now:
        parts = parts_of(layers)
        if only:
            parts = {name: some for name, some in parts.items() if name == PUBLIC or name in only}
        return _Build(dsn, city, layers, parts, folder, max_zoom, now).run(set(only), whole, workers, report)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """The folder, for this build alone."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
    except OSError as error:
        raise ConfigError(
            f"archives cannot be written to the folder of tiles ({(error.strerror or 'no access').lower()})",
            hint="BANDOSO_TILES_DIR names another",
        ) from error
    try:
        if not lock.try_exclusive():
            raise UsageError("another build of tiles is running", hint="wait for it, or stop it")
        clear_parts(folder)
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise ConfigError(
            "the disk of the folder of tiles is full", hint="the archives are as before"
        ) from error
    finally:
        lock.close()


class _Build:
    def __init__(
        self,
        dsn: str,
        city: City,
        layers: Sequence[Layer],
        parts: Mapping[str, Sequence[Layer]],
        folder: Path,
        max_zoom: int,
        now: Snapshot,
    ) -> None:
        self._dsn, self._city, self._layers, self._parts = dsn, city, layers, parts
        self._folder, self._max_zoom, self._now = folder, max_zoom, now
        self._ids = tuple(layer.id for layer in layers)
        self._storage = city.crs.storage
        self._marks = {layer.id: mark_of(layer) for layer in layers}
        #: Of each level: the layers that make no tile by themselves, and as bits.
        self._by_itself = [alone(layers, z) for z in range(max_zoom + 1)]
        self._bits = [
            sum(1 << i for i, layer in enumerate(layers) if layer.id in some) for some in self._by_itself
        ]

    def run(self, only: set[str], whole: bool, workers: int | None, report: Report) -> Built:
        """Render, copy, write, put in place."""
        with ExitStack() as stack:
            old = {} if whole else self._usable()
            for archive, _ in old.values():
                stack.callback(archive.close)
            touched = self._touched(old, only)
            # Without one of the old files every tile is rendered anyway: then it is rendered for all of them.
            built = Built(whole=not old, stamp=self._now.stamp)
            lacking: set[int] = set()
            job = self._now.job(self._dsn, self._layers, self._storage)
            targets = {
                name: stack.enter_context(_Target(file_of(self._folder, name), old.get(name), touched))
                for name in self._parts
            }
            for drawn in render_all(job, self._tasks(touched, lacking), workers):
                built.rendered += 1
                if drawn.truncated:
                    lacking.add(_number(drawn.tile))
                else:
                    self._put(targets, drawn)
                report(built.rendered, None)
            built.missing = len(lacking)
            at = datetime.now(UTC).isoformat(timespec="seconds")
            # The public one last: a server that finds it finds the others of the same build.
            for name in sorted(targets, key=lambda name: name == PUBLIC):
                some = self._parts[name]
                made = Made(
                    self._now.stamp,
                    {layer.id: self._marks[layer.id] for layer in some},
                    self._max_zoom,
                    at,
                    frozenset(lacking),
                )
                said = metadata(made, some, self._city, __version__)
                built.files[name] = targets[name].finish(said, self._city.extent, self._max_zoom)
            built.kept = targets[PUBLIC].kept
        return built

    def _tasks(self, touched: Touched, lacking: set[int]) -> Iterator[Task]:
        """What is to be rendered, in order; the numbers of tiles that cannot be are added to ``lacking``."""
        for part in occupied(self._now.connection, self._layers, self._storage, self._max_zoom, touched):
            lacking |= (stale := self._now.stale_tiles(part, self._layers, self._storage))
            for tile, some in part.items():
                if some & ~self._bits[tile.z] and not (stale and _number(tile) in stale):
                    yield Task(tile, some)

    def _put(self, targets: Mapping[str, _Target], drawn: Drawn) -> None:
        by_itself = self._by_itself[drawn.tile.z]
        if drawn.layers.keys() <= by_itself:
            return
        number = _number(drawn.tile)
        targets[PUBLIC].add(number, together(list(drawn.layers.values())))
        for name, packed in drawn.layers.items():
            if name in targets and name not in by_itself:
                targets[name].add(number, packed)

    def _usable(self) -> dict[str, tuple[Archive, Made]]:
        """The archives that are there, if each can be brought up to now; else none of them."""
        found: dict[str, tuple[Archive, Made]] = {}
        for name in self._parts:
            one = opened(file_of(self._folder, name))
            if one is not None:
                found[name] = one
            if (
                one is None
                or not one[1].is_of(self._parts[name], self._max_zoom)
                or not self._now.knows_since(one[1].stamp)
            ):
                for archive, _ in found.values():
                    archive.close()
                return {}
        return found

    def _touched(self, old: Mapping[str, tuple[Archive, Made]], only: set[str]) -> Touched:
        """Which tiles have to be rendered."""
        if not old:
            return lambda _: True
        since = self._now.stamp
        forced: set[Tile] = set()
        for _, made in old.values():
            since = since.earliest(made.stamp)
            forced.update(above for number in made.missing for above in _above(tile_of(number)))
        buffers = {layer.id: layer.definition.tiles.buffer for layer in self._layers}
        changed = Changed(self._now.connection, since, self._storage, buffers)
        chosen = [layer for layer in self._layers if layer.id in only]
        if chosen:
            for part in occupied(self._now.connection, chosen, self._storage, self._max_zoom):
                forced.update(above for tile in part for above in _above(tile))
            for name in only:
                forced.update(above for tile in _tiles(old[name][0]) for above in _above(tile))

        def touched(tile: Tile) -> bool:
            return tile in forced or changed.touched(self._ids, tile)

        return touched


class _Target:
    """One archive that is being written: new tiles, and between them what is taken over from the old one."""

    def __init__(self, path: Path, old: tuple[Archive, Made] | None, touched: Touched) -> None:
        self._writer = Writer(path)
        self._path = path
        self._copying: Copying | None = None
        self._waiting: Iterator[Entry] = iter(())
        self._next: Entry | None = None
        self.kept = 0
        if old is not None:
            self._copying = self._writer.copying(old[0])
            self._waiting = _untouched(old[0], touched)
            self._next = next(self._waiting, None)

    def __enter__(self) -> _Target:
        self._writer.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.__exit__()

    def add(self, number: int, packed: bytes) -> None:
        """A new tile, in order."""
        self._take_over(number)
        self._writer.add(number, packed)

    def _take_over(self, upto: int) -> None:
        while self._next is not None and self._next.first < upto:
            assert self._copying is not None
            one, self._next = self._next, next(self._waiting, None)
            self._copying.take(one)  # a new tile is touched, so it lies within no run that is kept
            self.kept += one.run

    def finish(
        self, said: Mapping[str, object], bounds: tuple[float, float, float, float], max_zoom: int
    ) -> tuple[int, int]:
        """(tiles, bytes of the file), in its place."""
        self._take_over(1 << 62)
        self._writer.finish(said, bounds, (0, max_zoom))
        return self._writer.addressed, self._path.stat().st_size


def _untouched(archive: Archive, touched: Touched) -> Iterator[Entry]:
    """Runs of tiles that are as they were."""
    for entry in archive.entries():
        begin = None
        for number in range(entry.first, entry.first + entry.run):
            if touched(tile_of(number)):
                if begin is not None:
                    yield entry._replace(first=begin, run=number - begin)
                begin = None
            elif begin is None:
                begin = number
        if begin is not None:
            yield entry._replace(first=begin, run=entry.first + entry.run - begin)


def _tiles(archive: Archive) -> Iterator[Tile]:
    return (tile_of(entry.first + i) for entry in archive.entries() for i in range(entry.run))


def _above(tile: Tile) -> Iterator[Tile]:
    """A tile and all above it: whoever goes down from level 0 shall come to it."""
    return (Tile(tile.z - up, tile.x >> up, tile.y >> up) for up in range(tile.z + 1))


def _number(tile: Tile) -> int:
    return tile_id(tile.z, tile.x, tile.y)
