"""The archives that a process serves from: opened as they are built, used only where they are right.

Files of one folder: ``<layer id>.pmtiles`` for each layer, and ``public.pmtiles`` with all public layers in
one tile. The metadata of each holds ``bandoso``: when it was made (a Stamp), of which layers in which
definition, and its deepest level (``describe``).
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from layers.registry import Catalogue, Layer
from tiles.archive import Archive
from tiles.follow import Freshness, Stamp
from tiles.grid import Tile
from tiles.pmtiles import ArchiveError

LOG = logging.getLogger("bandoso.tiles")

SUFFIX: Final = ".pmtiles"
#: The archive of all public layers. No layer's id is a single word of the city's (they have a sector), and a
#: layer called so would be refused an archive of its own.
PUBLIC: Final = "public"
#: Raised when the same features and definition give other tiles.
VERSION: Final = 1
#: Levels 0 to this are in an archive.
MAX_ZOOM: Final = 16


def mark_of(layer: Layer) -> str:
    """Something else whenever the layer's tiles may differ for another reason than its features."""
    definition = layer.definition.model_dump_json()
    return hashlib.sha256(f"{VERSION} {layer.id} {definition}".encode()).hexdigest()[:16]


def describe(made: Stamp, layers: Iterable[Layer], max_zoom: int) -> dict[str, Any]:
    """The member ``bandoso`` of an archive's metadata."""
    return {
        "stamp": asdict(made),
        "layers": {layer.id: mark_of(layer) for layer in layers},
        "max_zoom": max_zoom,
    }


class Stored:
    """An open archive, and what it says of itself. Raises ArchiveError when it is not one of ours."""

    def __init__(self, path: Path) -> None:
        self.archive = Archive(path)
        said = self.archive.metadata.get("bandoso")
        try:
            self.made = Stamp(**said["stamp"])  # type: ignore[index]
            self.marks: Mapping[str, str] = dict(said["layers"])  # type: ignore[index]
            self.max_zoom = int(said["max_zoom"])  # type: ignore[index]
        except (TypeError, KeyError, ValueError):
            self.archive.close()
            raise ArchiveError("this archive was not made by bandoso tiles build") from None


class Shelf:
    """The archives of a folder. ``look`` now and then; ``get`` and ``get_all`` for each tile."""

    def __init__(self, folder: Path, freshness: Freshness) -> None:
        self._folder = folder
        self._freshness = freshness
        self._open: dict[str, Stored] = {}
        self._failed: dict[str, tuple[int, ...]] = {}
        self._marks: dict[int, tuple[Layer, str]] = {}
        self._public: tuple[Catalogue, Stored, bool] | None = None

    def __len__(self) -> int:
        return len(self._open)

    def close(self) -> None:
        """Close all files."""
        for stored in self._open.values():
            stored.archive.close()
        self._open.clear()

    def look(self) -> bool:
        """Open what is new and let go of what is gone; True when anything changed.

        A file that cannot be read is said once, and tiles are rendered instead.
        """
        found: dict[str, tuple[int, ...]] = {}
        try:
            for path in self._folder.glob(f"*{SUFFIX}"):
                status = path.stat()
                found[path.name.removesuffix(SUFFIX)] = (
                    status.st_dev,
                    status.st_ino,
                    status.st_mtime_ns,
                    status.st_size,
                )
        except OSError:  # replaced at this very moment; the next look sees it
            return False
        fresh = {
            name: identity
            for name, identity in found.items()
            if self._failed.get(name) != identity
            and (name not in self._open or self._open[name].archive.identity != identity)
        }
        gone = self._open.keys() - found.keys()
        if not fresh and not gone:
            return False
        shelf = {name: stored for name, stored in self._open.items() if name not in gone}
        for name, identity in fresh.items():
            try:
                shelf[name] = Stored(self._folder / f"{name}{SUFFIX}")
                self._failed.pop(name, None)
            except (ArchiveError, OSError) as error:
                shelf.pop(name, None)
                self._failed[name] = identity
                LOG.warning("the archive %s%s is not used: %s", name, SUFFIX, error)
        self._open = shelf  # (a file that is replaced is closed when nobody reads it any more)
        for stored in shelf.values():
            self._freshness.needed_since(stored.made)
        return True

    def get(self, layer: Layer, tile: Tile) -> bytes | None:
        """The packed tile of a public layer; empty where nothing is in it; None: it has to be rendered."""
        stored = self._open.get(layer.id)
        if stored is None or layer.id == PUBLIC or stored.marks != {layer.id: self._mark(layer)}:
            return None
        return self._read(layer.id, stored, (layer.id,), tile)

    def get_all(self, catalogue: Catalogue, layers: Sequence[str], tile: Tile) -> bytes | None:
        """The same of all public layers of a catalogue in one tile; ``layers`` are those that it shows."""
        stored = self._open.get(PUBLIC)
        if stored is None or not self._holds_all(catalogue, stored):
            return None
        return self._read(PUBLIC, stored, layers, tile)

    def _holds_all(self, catalogue: Catalogue, stored: Stored) -> bool:
        """Whether the archive has the public layers, and none that is not public any more."""
        known = self._public
        if known is None or known[0] is not catalogue or known[1] is not stored:
            same = stored.marks == {layer.id: self._mark(layer) for layer in catalogue.public()}
            known = self._public = (catalogue, stored, same)
        return known[2]

    def _read(self, name: str, stored: Stored, layers: Sequence[str], tile: Tile) -> bytes | None:
        if tile.z > stored.max_zoom or not self._freshness.is_right(stored.made, layers, tile):
            return None
        try:
            return stored.archive.get(tile.z, tile.x, tile.y) or b""
        except (ArchiveError, OSError) as error:
            LOG.warning("the archive %s%s is not used any more: %s", name, SUFFIX, error)
            self._failed[name] = stored.archive.identity
            self._open.pop(name, None)
            return None

    def _mark(self, layer: Layer) -> str:
        known = self._marks.get(id(layer))
        if known is None or known[0] is not layer:  # an id may come again after its layer is gone
            if len(self._marks) > 1000:
                self._marks.clear()
            known = self._marks[id(layer)] = (layer, mark_of(layer))
        return known[1]
