"""What bandoso's own archives are: their files, what they are made of, when they were made. No database."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from gis.city import City
from layers.registry import Catalogue, Layer
from tiles import tilejson
from tiles.archive import Archive
from tiles.follow import Stamp
from tiles.pmtiles import ArchiveError
from tiles.query import plan, shows

#: The archive of all public layers in one tile; no layer may have this id.
PUBLIC: Final = "public"
#: Deepest level that is archived; deeper tiles are small, and rendered.
MAX_ZOOM: Final = 16
#: Goes up when archives are made otherwise from the same data.
_VERSION: Final = 1


def file_of(folder: Path, name: str) -> Path:
    """The archive of a layer, or of PUBLIC."""
    return folder / f"{name}.pmtiles"


def archived_layers(catalogue: Catalogue) -> tuple[Layer, ...]:
    """Layers that are archived, in the catalogue's order: those that anyone may see, and never another.

    A restricted layer is not public even for members, whose catalogue says that it is (``revealed``).
    """
    return tuple(
        layer
        for layer in catalogue.layers.values()
        if layer.definition.access == "public" and not layer.revealed
    )


def fingerprint(layers: Sequence[Layer], storage: int, max_zoom: int = MAX_ZOOM) -> str:
    """Changes when the same features would give another tile of these layers: another definition, another
    bandoso. Takes 10 ms a layer."""
    digest = hashlib.sha256(f"{_VERSION} {storage} {max_zoom}".encode())
    for layer in layers:
        digest.update(f"\0{layer.id} {layer.definition.tiles.model_dump_json()}".encode())
        for z in range(max_zoom + 1):
            if shows(layer, z):
                made = plan([layer], z)
                digest.update(f"{z} {made}".encode())
    return digest.hexdigest()[:32]


@dataclass(frozen=True)
class Made:
    """How an archive was made, as its metadata say it (``bandoso``)."""

    stamp: Stamp
    fingerprint: str
    layers: tuple[str, ...]
    max_zoom: int
    #: ISO 8601, UTC.
    built_at: str
    #: Numbers of tiles that are not in the archive though they may hold something: to be rendered.
    missing: frozenset[int] = field(default=frozenset())

    def metadata(self, layers: Sequence[Layer], city: City, version: str) -> dict[str, Any]:
        """The metadata of the archive of these layers."""
        language = city.languages[0]
        described = tilejson.tilejson(layers, "", city.extent, "", "", language)["vector_layers"]
        for one in described:
            one["maxzoom"] = min(one["maxzoom"], self.max_zoom)
        title = city.title if len(layers) != 1 else layers[0].title
        return {
            "name": tilejson.text_in(title, language),
            "type": "overlay",
            "format": "pbf",
            "generator": f"bandoso {version}",
            "vector_layers": described,
            "bandoso": {
                **asdict(self.stamp),
                "fingerprint": self.fingerprint,
                "layers": list(self.layers),
                "max_zoom": self.max_zoom,
                "built_at": self.built_at,
                "missing": sorted(self.missing),
            },
        }


def made(archive: Archive) -> Made:
    """How an archive of ours was made. Raises ArchiveError for others' archives."""
    said = archive.metadata.get("bandoso")
    try:
        if not isinstance(said, Mapping):
            raise TypeError
        return Made(
            Stamp(int(said["change"]), int(said["low"]), int(said["note"]), str(said["lineage"])),
            str(said["fingerprint"]),
            tuple(map(str, said["layers"])),
            int(said["max_zoom"]),
            str(said["built_at"]),
            frozenset(map(int, said["missing"])),
        )
    except (KeyError, TypeError, ValueError):
        raise ArchiveError(f"{archive.path.name} was not made by bandoso") from None


def opened(path: Path) -> tuple[Archive, Made] | None:
    """An archive of ours; None when there is none, or not one that can be used."""
    try:
        archive = Archive(path)
        return archive, made(archive)
    except (ArchiveError, OSError, json.JSONDecodeError):
        return None
