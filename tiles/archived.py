"""What bandoso's own archives are made of, and how they say it. Servers read them from tiles.shelf."""

from __future__ import annotations

import hashlib
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

SUFFIX: Final = ".pmtiles"
#: The archive of all public layers. A layer called so would get no archive of its own.
PUBLIC: Final = "public"
#: Raised when the same features and definition give other tiles.
VERSION: Final = 1
#: Levels 0 to this are in an archive; deeper tiles are small, and rendered.
MAX_ZOOM: Final = 16


def mark_of(layer: Layer) -> str:
    """Changes when the same features would give other tiles: another definition, or other statements.

    Takes some milliseconds the first time: the statements of all levels are made.
    """
    known = _marks.get(id(layer))
    if known is None or known[0] is not layer:  # an id may come again after its layer is gone
        if len(_marks) > _MOST_MARKS:
            _marks.clear()
        known = _marks[id(layer)] = (layer, _mark(layer))
    return known[1]


_MOST_MARKS: Final = 1000
_marks: dict[int, tuple[Layer, str]] = {}


def _mark(layer: Layer) -> str:
    # The ground is what others ask for first: nothing in a tile.
    said = layer.definition.model_dump_json(warnings=False, exclude={"tiles": {"ground"}})
    digest = hashlib.sha256(f"{VERSION} {layer.id} {said}".encode())
    for z in range(MAX_ZOOM + 1):
        digest.update(f"\0{plan([layer], z)}".encode())
    return digest.hexdigest()[:16]


def file_of(folder: Path, name: str) -> Path:
    """The archive of a layer, or of PUBLIC."""
    return folder / f"{name}{SUFFIX}"


def archived_layers(catalogue: Catalogue) -> tuple[Layer, ...]:
    """Layers that are archived, in the catalogue's order: those that anyone may see, and never another.

    A restricted layer is not public even for members, whose catalogue says that it is (``revealed``).
    """
    return tuple(
        layer
        for layer in catalogue.layers.values()
        if layer.definition.access == "public" and not layer.revealed
    )


def parts_of(layers: Sequence[Layer]) -> dict[str, tuple[Layer, ...]]:
    """Archive -> its layers: all together, and each."""
    return {PUBLIC: tuple(layers)} | {layer.id: (layer,) for layer in layers if layer.id != PUBLIC}


def alone(layers: Sequence[Layer], z: int) -> frozenset[str]:
    """Layers whose tiles of this level are in no archive when nothing else is in them (archive_alone_to).

    A tile that an archive of ``layers`` lacks may hold something of these; one that it has is whole.
    """
    return frozenset(layer.id for layer in layers if _ends(layer) < z and shows(layer, z))


def _ends(layer: Layer) -> int:
    last = layer.definition.tiles.archive_alone_to
    return MAX_ZOOM if last is None else last


@dataclass(frozen=True)
class Made:
    """How an archive was made, as its metadata say it."""

    stamp: Stamp
    #: Layer -> the mark of its definition then.
    marks: Mapping[str, str]
    max_zoom: int
    #: ISO 8601, UTC.
    built_at: str
    #: Numbers of tiles that are not in the archive though they may hold something: to be rendered.
    missing: frozenset[int] = field(default=frozenset())

    def is_of(self, layers: Sequence[Layer], max_zoom: int) -> bool:
        """Whether these layers, as they are defined now, are what the archive is of."""
        return (
            self.max_zoom == max_zoom
            and self.marks.keys() == {layer.id for layer in layers}
            and all(self.marks[layer.id] == mark_of(layer) for layer in layers)
        )


def metadata(made: Made, layers: Sequence[Layer], city: City, version: str) -> dict[str, Any]:
    """The metadata of an archive of these layers: what MapLibre and the format's tools look for, and ours."""
    language = city.languages[0]
    described = tilejson.tilejson(layers, "", city.extent, "", "", language)["vector_layers"]
    for one in described:
        one["maxzoom"] = min(one["maxzoom"], made.max_zoom)
    title = city.title if len(layers) != 1 else layers[0].title
    return {
        "name": tilejson.text_in(title, language),
        "type": "overlay",
        "format": "pbf",
        "generator": f"bandoso {version}",
        "vector_layers": described,
        "bandoso": {
            "stamp": asdict(made.stamp),
            "layers": dict(made.marks),
            "max_zoom": made.max_zoom,
            "built_at": made.built_at,
            "missing": sorted(made.missing),
        },
    }


def made_of(archive: Archive) -> Made:
    """How an archive of ours was made. Raises ArchiveError for others' archives."""
    said = archive.metadata.get("bandoso")
    try:
        if not isinstance(said, Mapping):
            raise TypeError
        return Made(
            Stamp(**said["stamp"]),
            dict(said["layers"]),
            int(said["max_zoom"]),
            str(said["built_at"]),
            frozenset(map(int, said["missing"])),
        )
    except (KeyError, TypeError, ValueError):
        raise ArchiveError(f"{archive.path.name} was not made by bandoso tiles build") from None


def opened(path: Path) -> tuple[Archive, Made] | None:
    """An archive of ours; None when there is none, or not one that can be used."""
    try:
        archive = Archive(path)
        return archive, made_of(archive)
    except (ArchiveError, OSError):
        return None
