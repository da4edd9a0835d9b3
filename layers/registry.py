"""Reads the layer files and resolves them into a catalogue: groups expanded, domains attached."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from types import MappingProxyType

from pydantic import ValidationError

from layers.basics import Shown
from layers.model import (
    SYSTEM_FIELDS,
    Checks,
    CrossCheck,
    DomainValue,
    FieldDef,
    LayerDef,
    Level,
    NetworkDef,
    SectorDef,
    SectorFile,
    Selector,
    Text,
    WorkDef,
)
from layers.networks import network_problems
from layers.raster import RasterLayer
from layers.reader import read_yaml
from layers.validate import problems

#: The layer files that ship with bandoso.
BUILTIN = Path(__file__).parent

SYSTEM_FIELD_DEFS: tuple[FieldDef, ...] = (
    FieldDef(name="fid", title=Text(vi="Mã đối tượng", en="Feature id"), type="integer"),
    FieldDef(
        name="asset_id",
        title=Text(vi="Mã tài sản", en="Asset id"),
        max_length=100,
        aliases=("id", "ma", "ma_ts", "ma_tai_san", "objectid"),
    ),
    FieldDef(name="owner", title=Text(vi="Đơn vị quản lý", en="Owner"), max_length=48),
    FieldDef(
        name="status",
        title=Text(vi="Trạng thái", en="Status"),
        domain="status",
        default="in_service",
        aliases=("trang_thai", "tinh_trang"),
    ),
    FieldDef(name="version", title=Text(vi="Phiên bản", en="Version"), type="integer"),
    FieldDef(name="updated_at", title=Text(vi="Cập nhật lúc", en="Updated at"), type="datetime"),
)

#: System fields that a delivery may set (the others are bandoso's own).
SETTABLE_SYSTEM_FIELDS = ("asset_id", "owner", "status")


class CatalogueError(ValueError):
    """A layer file is wrong; the message names the file and the place in it."""


@dataclass(frozen=True)
class TileFilter:
    """Features of a tile: ``others`` true: all but those with one of ``values`` (null is drawn);
    false: only those with one of ``values``."""

    field: str
    values: tuple[str | float, ...]
    others: bool


@dataclass(frozen=True)
class Layer(Shown):
    """One layer, resolved. ``fields`` has the system fields first, then groups, then its own."""

    id: str
    sector: SectorDef
    definition: LayerDef
    fields: tuple[FieldDef, ...]
    domains: Mapping[str, tuple[DomainValue, ...]]
    #: Check rules that common.yml and the sector give; the layer's own are in its definition.
    common_checks: Checks = field(default_factory=dict)
    #: As a member sees it to whom the layer shows what it hides from others (see ``revealing``).
    revealed: bool = False

    def revealing(self) -> Layer:
        """The layer for members who may see (some of) what it hides: served in full, from the members' view
        (gis.db.door), where rows and values of other agencies are left out."""
        return replace(self, revealed=True)

    @property
    def dimension(self) -> int:
        """0 points, 1 lines, 2 polygons, -1 any."""
        name = self.definition.geometry
        if name == "Geometry":
            return -1
        return 0 if "Point" in name else 1 if "Line" in name else 2

    @property
    def own_fields(self) -> tuple[FieldDef, ...]:
        """Fields beside the system's."""
        return tuple(f for f in self.fields if f.name not in SYSTEM_FIELDS)

    @property
    def public_fields(self) -> tuple[FieldDef, ...]:
        """Fields that whom this is for may see: those that anyone may, unless it is revealing."""
        return tuple(f for f in self.fields if self.revealed or f.access == "public")

    def field(self, name: str) -> FieldDef | None:
        return self._by_name.get(name)

    @cached_property
    def _by_name(self) -> Mapping[str, FieldDef]:
        """The fields by name; of two of a name the first."""
        return {f.name: f for f in reversed(self.fields)}

    def tile_fields(self, zoom: int) -> tuple[str, ...]:
        """Attributes in tiles of this zoom: those listed up to it, and those that the style needs; of a level
        (``tiles.generalise``) its own."""
        tiles, style = self.definition.tiles, self.definition.style
        level = tiles.level(zoom)
        if level is not None:
            if level.attributes is not None:
                return level.attributes
            zoom = level.zooms[0]
        names = [n for since, some in sorted(tiles.attributes.items()) if since <= zoom for n in some]
        if style.classes:
            names.append(style.classes.field)
        if style.label and style.label.min_zoom <= zoom:
            names.append(style.label.field)
        if style.arrows and style.arrows.min_zoom <= zoom:
            names += style.arrows.fields()
        return tuple(dict.fromkeys(names))

    def tile_filter(self, zoom: int) -> TileFilter | None:
        """Which features are in tiles of this zoom; None when all are (see model.ZoomsBy)."""
        by = self.definition.tiles.zooms_by
        if by is None:
            return None
        others = by.otherwise is None or by.otherwise <= zoom
        named = [value for value, since in by.zooms.items() if (since > zoom) == others]
        if others and not named:
            return None
        f = self.field(by.field)
        number = f is not None and f.type in ("integer", "number")
        values: tuple[str | float, ...] = tuple(float(v) for v in named) if number else tuple(named)
        return TileFilter(by.field, values, others)

    def level_columns(self, level: Level) -> tuple[str, ...]:
        """What the rows of a level keep: its attributes, and the field that hides some at its first zooms."""
        names = self.tile_fields(level.zooms[0])
        by = self.definition.tiles.zooms_by
        if by is not None and self.tile_filter(level.zooms[0]) is not None:
            names = (*names, by.field)
        return tuple(dict.fromkeys(name for name in names if name != "fid"))

    def domain_of(self, f: FieldDef) -> tuple[DomainValue, ...]:
        return self.domains[f.domain] if f.domain else ()


@dataclass(frozen=True)
class Catalogue:
    """All layers in drawing order of their sectors, with the fingerprint of the files read."""

    layers: Mapping[str, Layer]
    sectors: tuple[SectorDef, ...]
    domains: Mapping[str, tuple[DomainValue, ...]]
    fingerprint: str
    files: tuple[Path, ...] = field(default=())
    cross_checks: tuple[CrossCheck, ...] = ()
    #: What lies in the ground, in the order of the files.
    works: tuple[WorkDef, ...] = ()
    networks: Mapping[str, NetworkDef] = field(default_factory=dict)
    #: Layers of pixels; their ids are none of ``layers``.
    rasters: Mapping[str, RasterLayer] = field(default_factory=dict)

    def public(self) -> tuple[Layer, ...]:
        return tuple(layer for layer in self.layers.values() if layer.is_public)


def layer_files(directories: Iterable[Path] = ()) -> list[Path]:
    """The YAML files of the built-in catalogue and of ``directories``, in reading order."""
    found: list[Path] = []
    for directory in (BUILTIN, *directories):
        found += sorted(p for p in directory.glob("*.yml") if p.is_file())
    return found


def load_catalogue(directories: Iterable[Path] = (), agencies: Iterable[str] | None = None) -> Catalogue:
    """Read the built-in layer files and those of ``directories`` (later files may only add).

    ``agencies``: ids that a layer may name as its owner; None skips that check.
    Raises CatalogueError with the file and the place of the first mistakes.
    """
    return _catalogue(layer_files(directories), agencies)


def load_standing(
    directories: Iterable[Path] = (), agencies: Iterable[str] | None = None
) -> tuple[Catalogue, tuple[str, ...]]:
    """load_catalogue without those files of ``directories`` that are wrong, and what is wrong with them.

    For work on what stands. Such a catalogue must not be applied: it lacks layers that are only misspelt.
    Raises CatalogueError when the built-in files are wrong.
    """
    files = layer_files(directories)
    try:
        return _catalogue(files, agencies), ()
    except CatalogueError:
        kept, wrong = layer_files(), []
        found = _catalogue(kept, agencies)
    for path in files[len(kept) :]:
        try:
            found = _catalogue([*kept, path], agencies)
            kept.append(path)
        except CatalogueError as error:
            wrong.append(str(error))
    return found, tuple(wrong)


def _catalogue(files: Sequence[Path], agencies: Iterable[str] | None) -> Catalogue:
    digest = hashlib.sha256()
    read: list[tuple[Path, SectorFile]] = []
    for path in files:
        raw = path.read_bytes()
        digest.update(path.name.encode() + b"\0" + raw + b"\0")
        read.append((path, _parse(path, raw)))

    domains: dict[str, tuple[DomainValue, ...]] = {}
    groups: dict[str, tuple[FieldDef, ...]] = {}
    sectors: dict[str, SectorDef] = {}
    checks: dict[str | None, Checks] = {}  # by sector; None: for all layers
    for path, content in read:
        _add(path, "domain", domains, content.domains)
        _add(path, "group", groups, content.groups)
        if content.sector:
            known = sectors.setdefault(content.sector.id, content.sector)
            if known != content.sector:
                raise CatalogueError(f"{path.name}: sector {known.id} is defined twice, differently")
        of = content.sector.id if content.sector else None
        _add(path, "check", checks.setdefault(of, {}), content.checks)

    layers: dict[str, Layer] = {}
    known_agencies = set(agencies) if agencies is not None else None
    for path, content in read:
        if content.layers and content.sector is None:
            raise CatalogueError(f"{path.name}: layers need a sector block in the same file")
        for layer_id, definition in content.layers.items():
            where = f"{path.name}: layers.{layer_id}"
            if layer_id.endswith("_fid_seq"):
                raise CatalogueError(f"{where}: the name is kept for a sequence")
            if layer_id in layers:
                raise CatalogueError(f"{where} is defined twice")
            if known_agencies is not None and definition.owner not in known_agencies:
                raise CatalogueError(f"{where}.owner: no agency {definition.owner!r} in city.yml")
            assert content.sector is not None
            layer = _resolve(where, layer_id, content.sector, definition, groups, domains)
            given = {**checks.get(None, {}), **checks.get(content.sector.id, {})}
            layers[layer_id] = replace(layer, common_checks=given)
    rasters = _rasters(read, layers, known_agencies)
    networks: dict[str, NetworkDef] = {}
    for path, content in read:
        _add(path, "network", networks, content.networks)
        for name, network in content.networks.items():
            found = list(network_problems(network, layers))
            if found:
                more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
                raise CatalogueError(f"{path.name}: networks.{name}.{found[0]}{more}")
    crossing = tuple(cross for _, content in read for cross in content.cross_checks)
    works = tuple(work for _, content in read for work in content.works)
    for cross in crossing:
        for selector in cross.selectors:
            _check_selector(f"cross_checks: {cross.rule}", selector, layers)
    for work in works:
        _check_selector("works", work, layers)

    ordered = sorted(layers.values(), key=lambda v: (v.sector.order, v.sector.id))
    return Catalogue(
        layers=MappingProxyType({v.id: v for v in ordered}),
        sectors=tuple(sorted(sectors.values(), key=lambda s: (s.order, s.id))),
        domains=MappingProxyType(domains),
        fingerprint=digest.hexdigest()[:16],
        files=tuple(files),
        cross_checks=crossing,
        works=works,
        networks=MappingProxyType(networks),
        rasters=MappingProxyType(rasters),
    )


def _rasters(
    read: Sequence[tuple[Path, SectorFile]], layers: Mapping[str, Layer], agencies: Iterable[str] | None
) -> dict[str, RasterLayer]:
    """The raster layers of all files. Raises CatalogueError."""
    found: dict[str, RasterLayer] = {}
    for path, content in read:
        for raster_id, definition in content.rasters.items():
            where = f"{path.name}: rasters.{raster_id}"
            if content.sector is None:
                raise CatalogueError(f"{path.name}: rasters need a sector block in the same file")
            if raster_id in found or raster_id in layers:
                raise CatalogueError(f"{where} is defined twice")
            if agencies is not None and definition.owner not in agencies:
                raise CatalogueError(f"{where}.owner: no agency {definition.owner!r} in city.yml")
            found[raster_id] = RasterLayer(raster_id, content.sector, definition)
    return found


def _check_selector(where: str, selector: Selector, layers: Mapping[str, Layer]) -> None:
    layer = layers.get(selector.layer)
    if layer is None:
        raise CatalogueError(f"{where}: no layer {selector.layer!r}")
    named = selector.fields() if isinstance(selector, WorkDef) else (*selector.where, *selector.unless)
    for name in named:
        if layer.field(name) is None:
            raise CatalogueError(f"{where}: {selector.layer} has no field {name!r}")


def _add[T](path: Path, kind: str, known: dict[str, T], more: Mapping[str, T]) -> None:
    for name, value in more.items():
        if name in known:
            raise CatalogueError(f"{path.name}: {kind} {name} is defined twice")
        known[name] = value


@lru_cache(maxsize=256)  # a server looks again and again; files rarely change
def _parse(path: Path, raw: bytes) -> SectorFile:
    try:
        content = read_yaml(raw)
    except ValueError as error:
        raise CatalogueError(f"{path.name}: {error}") from None
    if content is not None and not isinstance(content, dict):
        raise CatalogueError(f"{path.name}: must be a mapping of sector, domains, groups and layers")
    try:
        return SectorFile.model_validate(content or {})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        place = "".join(c if c.isprintable() else "?" for c in place[:200])
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        message = first["msg"].removeprefix("Value error, ")
        raise CatalogueError(f"{path.name}: {place}: {message}{more}") from error


def _resolve(
    where: str,
    layer_id: str,
    sector: SectorDef,
    definition: LayerDef,
    groups: Mapping[str, tuple[FieldDef, ...]],
    domains: Mapping[str, tuple[DomainValue, ...]],
) -> Layer:
    fields = list(SYSTEM_FIELD_DEFS)
    for group in definition.groups:
        if group not in groups:
            raise CatalogueError(f"{where}.groups: no group {group!r}")
        fields += groups[group]
    fields += definition.fields

    found = list(problems(definition, tuple(fields), domains))
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise CatalogueError(f"{where}.{found[0]}{more}")
    return Layer(
        id=layer_id,
        sector=sector,
        definition=definition,
        fields=tuple(fields),
        domains=MappingProxyType({f.domain: domains[f.domain] for f in fields if f.domain}),
    )
