"""Reads the layer files and resolves them into a catalogue: groups expanded, domains attached."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import yaml
from pydantic import ValidationError

from layers.model import (
    SYSTEM_FIELDS,
    DomainValue,
    FieldDef,
    LayerDef,
    SectorDef,
    SectorFile,
    Text,
)

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
class Layer:
    """One layer, resolved. ``fields`` has the system fields first, then groups, then its own."""

    id: str
    sector: SectorDef
    definition: LayerDef
    fields: tuple[FieldDef, ...]
    domains: Mapping[str, tuple[DomainValue, ...]]

    @property
    def title(self) -> Text:
        return self.definition.title

    @property
    def access(self) -> str:
        return self.definition.access

    @property
    def is_public(self) -> bool:
        return self.definition.access == "public"

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
        """Fields that anyone who sees the layer may see."""
        return tuple(f for f in self.fields if f.access == "public")

    def field(self, name: str) -> FieldDef | None:
        return next((f for f in self.fields if f.name == name), None)

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
    files = layer_files(directories)
    digest = hashlib.sha256()
    read: list[tuple[Path, SectorFile]] = []
    for path in files:
        raw = path.read_bytes()
        digest.update(path.name.encode() + b"\0" + raw + b"\0")
        read.append((path, _parse(path, raw)))

    domains: dict[str, tuple[DomainValue, ...]] = {}
    groups: dict[str, tuple[FieldDef, ...]] = {}
    sectors: dict[str, SectorDef] = {}
    for path, content in read:
        for kind, target, source in (
            ("domain", domains, content.domains),
            ("group", groups, content.groups),
        ):
            for name, value in source.items():
                if name in target:
                    raise CatalogueError(f"{path.name}: {kind} {name} is defined twice")
                target[name] = value  # type: ignore[index]
        if content.sector:
            known = sectors.setdefault(content.sector.id, content.sector)
            if known != content.sector:
                raise CatalogueError(f"{path.name}: sector {known.id} is defined twice, differently")

    layers: dict[str, Layer] = {}
    known_agencies = set(agencies) if agencies is not None else None
    for path, content in read:
        if content.layers and content.sector is None:
            raise CatalogueError(f"{path.name}: layers need a sector block in the same file")
        for layer_id, definition in content.layers.items():
            where = f"{path.name}: layers.{layer_id}"
            if layer_id in layers:
                raise CatalogueError(f"{where} is defined twice")
            if known_agencies is not None and definition.owner not in known_agencies:
                raise CatalogueError(f"{where}.owner: no agency {definition.owner!r} in city.yml")
            assert content.sector is not None
            layers[layer_id] = _resolve(where, layer_id, content.sector, definition, groups, domains)

    ordered = sorted(layers.values(), key=lambda v: (v.sector.order, v.sector.id))
    return Catalogue(
        layers=MappingProxyType({v.id: v for v in ordered}),
        sectors=tuple(sorted(sectors.values(), key=lambda s: (s.order, s.id))),
        domains=MappingProxyType(domains),
        fingerprint=digest.hexdigest()[:16],
        files=tuple(files),
    )


def _parse(path: Path, raw: bytes) -> SectorFile:
    try:
        content = yaml.safe_load(raw) or {}
        return SectorFile.model_validate(content)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" line {mark.line + 1}" if mark else ""
        raise CatalogueError(f"{path.name}:{place} is not valid YAML") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise CatalogueError(f"{path.name}: {place}: {first['msg']}{more}") from error


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

    names = [f.name for f in fields]
    for name in names:
        if names.count(name) > 1 or name == "geom":
            raise CatalogueError(f"{where}.fields: {name} is defined twice or reserved")
    for f in fields:
        if f.domain and f.domain not in domains:
            raise CatalogueError(f"{where}.fields.{f.name}: no domain {f.domain!r}")

    referred = [
        *(n for key in definition.keys for n in key),
        *definition.search,
        *definition.temporal,
        *(n for some in definition.tiles.attributes.values() for n in some),
    ]
    style = definition.style
    if style.classes:
        referred.append(style.classes.field)
    if style.label:
        referred.append(style.label.field)
    for name in referred:
        if name not in names:
            raise CatalogueError(f"{where}: refers to a field {name!r} that it does not have")
    return Layer(
        id=layer_id,
        sector=sector,
        definition=definition,
        fields=tuple(fields),
        domains=MappingProxyType({f.domain: domains[f.domain] for f in fields if f.domain}),
    )
