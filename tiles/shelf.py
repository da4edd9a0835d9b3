"""The archives that a process serves from: opened as they are built, used only where they are right."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from layers.registry import Catalogue, Layer
from tiles.archive import Archive
from tiles.archived import PUBLIC, Made, alone, archived_layers, file_of, made_of
from tiles.follow import Freshness
from tiles.grid import Tile
from tiles.hilbert import tile_id
from tiles.pmtiles import ArchiveError

LOG: Final = logging.getLogger("bandoso.tiles")

Identity = tuple[int, int, int, int]


@dataclass(frozen=True)
class _Stored:
    """An open archive that was made of layers as they are defined now."""

    name: str
    archive: Archive
    made: Made
    #: The layer, if it is of one alone.
    layer: Layer | None
    #: Levels at which a tile that it lacks may hold something all the same.
    lacking: frozenset[int]


class Shelf:
    """The archives of a folder. ``look`` now and then; ``get`` and ``get_all`` for each tile."""

    def __init__(self, folder: Path, freshness: Freshness) -> None:
        self._folder = folder
        self._freshness = freshness
        self._catalogue: Catalogue | None = None
        self._seen: dict[str, Identity] = {}
        self._stored: dict[str, _Stored] = {}

    def __len__(self) -> int:
        """How many archives are used."""
        return len(self._stored)

    def close(self) -> None:
        """Close all files."""
        for one in self._stored.values():
            one.archive.close()
        self._stored = {}

    def look(self, catalogue: Catalogue) -> bool:
        """Open what is new and let go of what is gone; True when anything changed. To be run in a thread.

        ``catalogue``: the public layers, as they are served now. An archive of other definitions is not
        used, nor one that cannot be read, which is said once: their tiles are rendered.
        """
        layers = archived_layers(catalogue)
        seen = {}
        for name in (PUBLIC, *(layer.id for layer in layers)):
            identity = _identity(file_of(self._folder, name))
            if identity is not None:
                seen[name] = identity
        if seen == self._seen and catalogue is self._catalogue:
            return False
        stored: dict[str, _Stored] = {}
        for name, identity in seen.items():
            some = layers if name == PUBLIC else (catalogue.layers[name],)
            try:
                one = self._open(name, some, catalogue, self._stored.get(name))
            except (ArchiveError, OSError) as error:
                if self._seen.get(name) != identity:
                    LOG.warning("the archive of %s is not used: %s", name, error)
            else:
                if one is not None:
                    stored[name] = one
        # Files that were replaced are closed when nobody reads them any more.
        self._seen, self._catalogue, self._stored = seen, catalogue, stored
        for one in stored.values():
            self._freshness.needed_since(one.made.stamp)
        return True

    def _open(
        self, name: str, layers: Sequence[Layer], catalogue: Catalogue, before: _Stored | None
    ) -> _Stored | None:
        if before is not None and before.archive.identity == self._seen.get(name) == _identity(
            file_of(self._folder, name)
        ):
            archive, known = before.archive, before.made
            if catalogue is self._catalogue:
                return before
        else:
            archive = Archive(file_of(self._folder, name))
            known = made_of(archive)
        if not known.is_of(layers, known.max_zoom):
            LOG.info("the archive of %s was made of another definition: bandoso tiles build", name)
            return None
        lacking = frozenset(z for z in range(known.max_zoom + 1) if alone(layers, z))
        return _Stored(name, archive, known, layers[0] if name != PUBLIC else None, lacking)

    def get(self, layer: Layer, tile: Tile) -> bytes | None:
        """The packed tile of a public layer; empty where nothing is in it; None: it has to be rendered."""
        one = self._stored.get(layer.id)
        return None if one is None or one.layer is not layer else self._read(one, (layer.id,), tile)

    def get_all(self, catalogue: Catalogue, layers: Sequence[str], tile: Tile) -> bytes | None:
        """The same of all public layers of the catalogue in one tile; ``layers``: those that it shows."""
        one = self._stored.get(PUBLIC)
        return None if one is None or catalogue is not self._catalogue else self._read(one, layers, tile)

    def _read(self, one: _Stored, layers: Sequence[str], tile: Tile) -> bytes | None:
        known = one.made
        if tile.z > known.max_zoom or not self._freshness.is_right(known.stamp, layers, tile):
            return None
        if known.missing and tile_id(tile.z, tile.x, tile.y) in known.missing:
            return None
        try:
            found = one.archive.get(tile.z, tile.x, tile.y)
        except (ArchiveError, OSError) as error:
            LOG.warning("the archive of %s is not used any more: %s", one.name, error)
            self._stored.pop(one.name, None)
            return None
        return None if found is None and tile.z in one.lacking else found or b""


def _identity(path: Path) -> Identity | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
