"""The model of a layer: what a block in ``layers/*.yml`` may say, checked on reading.

A sector file holds ``sector:`` (once), ``domains:`` (value lists) and ``layers:`` (id -> definition).
``common.yml`` holds ``domains:`` and ``groups:`` (lists of fields shared by many layers). From these
definitions the tables, API schemas, tiles, styles and forms are derived; no code knows a layer's id.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from layers.basics import IDENTIFIER, Access, ByZoom, Colour, Identifier, Model, Text, Values, Zoom
from layers.find import FindDef
from layers.raster import RasterDef
from layers.styling import Arrows, ClassColours, FarStyle, Label, Style, order_range
from layers.tiling import Level, Tiles, ZoomsBy

__all__ = [
    "IDENTIFIER",
    "SYSTEM_FIELDS",
    "Access",
    "Arrows",
    "ByZoom",
    "CheckSetting",
    "Checks",
    "ClassColours",
    "Colour",
    "CrossCheck",
    "DomainValue",
    "FarStyle",
    "FieldDef",
    "FieldType",
    "FindDef",
    "GeometryType",
    "Identifier",
    "Label",
    "LayerDef",
    "Level",
    "NetworkDef",
    "RasterDef",
    "RuleId",
    "SectorDef",
    "SectorFile",
    "Selector",
    "SelectorOrLayer",
    "Style",
    "Text",
    "Tiles",
    "Values",
    "WorkDef",
    "Zoom",
    "ZoomsBy",
    "order_range",
]

#: Columns that every layer has beside its own fields; a layer's YAML may not define them again.
SYSTEM_FIELDS = ("fid", "asset_id", "owner", "status", "version", "updated_at")

GeometryType = Literal[
    "Point",
    "MultiPoint",
    "LineString",
    "MultiLineString",
    "Polygon",
    "MultiPolygon",
    "Geometry",
]
FieldType = Literal["string", "integer", "number", "boolean", "date", "datetime"]


class DomainValue(Model):
    """One value of a domain, as stored, with its titles."""

    value: (
        Annotated[str, Field(strict=True, min_length=1, max_length=200)] | Annotated[int, Field(strict=True)]
    )
    title: Text


class FieldDef(Model):
    """An attribute. The unit is part of the name (``diameter_mm``) and repeated in ``unit``."""

    name: Identifier
    title: Text
    type: FieldType = "string"
    unit: str | None = None
    domain: Identifier | None = None
    required: bool = False
    default: str | int | float | bool | None = None
    minimum: float | None = None
    maximum: float | None = None
    #: Where the typical value lies; a delivery whose median does not is warned of a wrong unit.
    usual: tuple[float, float] | None = None
    max_length: int | None = Field(default=None, ge=1, le=10_000)
    #: ``confidential`` attributes are never served to the public and never put in public tiles.
    access: Literal["public", "confidential"] = "public"
    description: Text | None = None
    #: Former name: the column is renamed when the definition is applied, and loaders still match it.
    renamed_from: Identifier | None = None
    #: Other names under which deliveries hold this attribute (matched without case and accents).
    aliases: tuple[str, ...] = ()
    index: bool = False

    @model_validator(mode="after")
    def _coherent(self) -> FieldDef:
        if self.domain and self.type not in ("string", "integer"):
            raise ValueError(f"{self.name}: a domain needs type string or integer")
        if (self.minimum is not None or self.maximum is not None) and self.type not in (
            "integer",
            "number",
        ):
            raise ValueError(f"{self.name}: minimum and maximum need a numeric type")
        if self.usual is not None:
            if self.type not in ("integer", "number"):
                raise ValueError(f"{self.name}: usual needs a numeric type")
            if not self.usual[0] < self.usual[1]:
                raise ValueError(f"{self.name}: usual is the lower value, then the higher one")
        return self


#: Parameters of one check rule by name, or ``false``: the rule is not for this layer. Beside a rule's own
#: parameters: ``severity`` (E, W, I) and ``reject`` (an edit that causes a finding is refused).
CheckSetting = dict[str, float | int | str | bool] | Literal[False]
RuleId = Annotated[str, Field(pattern=r"^[A-Z]{3}-[0-9]{2}$")]
Checks = dict[RuleId, CheckSetting]


class LayerDef(Model):
    """A layer as its YAML block says (before groups and domains are resolved)."""

    title: Text
    description: Text | None = None
    geometry: GeometryType
    #: Heights: ``required`` (rows without Z are rejected), ``optional`` (Z kept where delivered,
    #: never invented) or ``none`` (a delivered Z is dropped, and the load report says so).
    z: Literal["required", "optional", "none"] = "none"
    #: Default owner: an agency of config/city.yml.
    owner: Identifier
    access: Access = "public"
    groups: tuple[Identifier, ...] = ()
    fields: tuple[FieldDef, ...] = ()
    #: Sets of fields that are unique together (beside fid and asset_id). Null counts as a value,
    #: but a row whose **last** field of the set is null is not keyed (a parcel without a number).
    keys: tuple[tuple[Identifier, ...], ...] = ()
    #: Fields for accent-blind search (``q=``).
    search: tuple[Identifier, ...] = ("asset_id",)
    #: What people look for by its names, address or number (/search); others by the words of ``search``.
    find: FindDef | None = None
    #: Field(s) for the datetime parameter: one instant, or start and end.
    temporal: tuple[Identifier, ...] = ("updated_at",)
    #: Most vertices a geometry may have.
    max_vertices: int = Field(default=200_000, ge=1, le=2_000_000)
    tiles: Tiles = Tiles()
    style: Style
    #: False for layers that bandoso fills itself (sheet indexes, findings).
    loadable: bool = True
    #: Whether editors may change its features by the API (never when it is not loadable).
    editable: bool = True
    #: Whether every version is kept (bandoso.version), so that the layer can be asked as of a time.
    history: bool = True
    #: Whether a change must name the version that it is based on (If-Match; 428 without).
    condition_required: bool = False
    #: Check rules with parameters (gis.checks), over those of common.yml and of the sector.
    checks: Checks = {}

    @model_validator(mode="before")
    @classmethod
    def _default_order(cls, data: Any) -> Any:
        """Put a style without ``order`` into the middle of its geometry's range."""
        style = data.get("style") if isinstance(data, dict) else None
        if isinstance(style, dict) and "order" not in style:
            low, high = order_range(str(data.get("geometry")))
            return {**data, "style": {**style, "order": (low + high + 1) // 2}}
        return data

    @model_validator(mode="after")
    def _edited_as_loaded(self) -> LayerDef:
        if not self.loadable and (self.editable or self.history):
            # bandoso fills it: nothing of it is edited, and what it was is found out anew
            return self.model_copy(update={"editable": False, "history": False})
        return self

    @model_validator(mode="after")
    def _drawn_in_its_range(self) -> LayerDef:
        low, high = order_range(self.geometry)
        if not low <= self.style.order <= high:
            raise ValueError(f"style.order of a {self.geometry} layer must be {low} to {high}")
        return self


class SectorDef(Model):
    """A sector of the layer tree."""

    id: Identifier
    title: Text
    order: int
    colour: Colour = "#666666"
    #: The ground on which the others are drawn: it stays whatever theme is chosen, and base maps recolour it.
    base: bool = False


class Selector(Model):
    """Features of a layer: with ``where`` those whose fields hold one of the values (null never does), with
    ``unless`` those whose fields hold none of the values (null never does)."""

    layer: Identifier
    where: dict[Identifier, Values] = {}
    unless: dict[Identifier, Values] = {}


def _selector(value: Any) -> Any:
    return {"layer": value} if isinstance(value, str) else value


#: A layer's id alone chooses all of its features.
SelectorOrLayer = Annotated[Selector, BeforeValidator(_selector)]


class CrossCheck(Model):
    """A check rule between layers: features of ``layers`` are judged by those of ``against``."""

    rule: RuleId
    layers: tuple[SelectorOrLayer, ...] = Field(min_length=1)
    against: tuple[SelectorOrLayer, ...] = ()
    parameters: dict[str, float | int | str | bool] = {}

    @property
    def selectors(self) -> tuple[Selector, ...]:
        return (*self.layers, *self.against)


class WorkDef(Selector):
    """Lines in the ground that keep clear of others: what rules XLY know of some features of a layer.

    A feature is what the first WorkDef that chooses it says.
    """

    #: water, sewage, storm, power, telecom, works, or another of the clearance tables (config/law).
    kind: Identifier
    #: Fields with the size: a diameter, or a width and a height, in mm or m as their names end.
    diameter: Identifier | None = None
    width: Identifier | None = None
    height: Identifier | None = None
    #: What the height of a vertex is: that of the axis, or of the lowest point inside.
    level: Literal["axis", "invert"] = "axis"
    #: Fields with the levels (m) at its start and end, where vertices have none; and with its cover (m).
    start_level: Identifier | None = None
    end_level: Identifier | None = None
    depth: Identifier | None = None
    #: Others may lie within it (trench, tunnel).
    container: bool = False

    def fields(self) -> tuple[str, ...]:
        """All fields that it names."""
        sizes = (self.diameter, self.width, self.height, self.start_level, self.end_level, self.depth)
        return (*self.where, *self.unless, *(name for name in sizes if name))

    @model_validator(mode="after")
    def _sized_in_units(self) -> WorkDef:
        for name in (self.diameter, self.width, self.height):
            if name and not name.endswith(("_mm", "_m")):
                raise ValueError(f"{name}: the name of a size ends in _mm or _m")
        return self


class NetworkDef(Model):
    """Lines and nodes that connect: what rules NET and DRN (and traces) know about a network.

    Lines connect where their ends coincide; a node is such a place, with the point features there.
    """

    title: Text
    #: ``pressure``: from sources, any direction; ``radial``: power, no loops; ``gravity``: drawn downstream
    #: to the sinks; ``none``: only connected (ducts, cables).
    flow: Literal["pressure", "radial", "gravity", "none"]
    lines: tuple[Selector, ...] = Field(min_length=1)
    #: Point features at which lines end. All others below choose among them.
    nodes: tuple[Selector, ...] = ()
    #: Nodes that feed (water, power), and nodes that everything drains to (gravity).
    sources: tuple[Selector, ...] = ()
    sinks: tuple[Selector, ...] = ()
    #: Nodes at which a line may end alone.
    ends: tuple[Selector, ...] = ()
    #: Nodes that lines may pass without being split there (poles), and nodes that may be on no line.
    along: tuple[Selector, ...] = ()
    loose: tuple[Selector, ...] = ()
    #: Nodes that interrupt: closed valves, open switches.
    cuts: tuple[Selector, ...] = ()
    #: Nodes at which the tier (voltage, pressure) may change.
    changers: tuple[Selector, ...] = ()
    #: Points no farther apart than this are one node (m).
    cluster_m: float = Field(default=0.001, gt=0, le=0.01)
    #: Lines that carry and are traced: field -> values; all when empty.
    carries: dict[Identifier, Values] = {}
    #: Nodes that are not there (planned or removed), so that nothing in service can be on them.
    absent: dict[Identifier, Values] = {}
    #: Lines that water may run through either way (tidal, under pressure), in a network of gravity.
    both_ways: dict[Identifier, Values] = {}
    #: Lines that may form loops in a radial network (transmission).
    meshed: dict[Identifier, Values] = {}
    #: Fields of lines that change at nodes with a point feature only.
    steady: tuple[Identifier, ...] = ()
    #: What is in use -> how much there is: fields of lines or nodes (ducts, fibres).
    fills: dict[Identifier, Identifier] = {}
    #: The field that tells the tier, and the one that tells the class of a line.
    tier: Identifier | None = None
    line_class: Identifier | None = None
    #: Pairs of classes that may not meet, the one to be judged first.
    forbidden: tuple[tuple[str, str], ...] = ()
    checks: Checks = {}

    def selectors(self) -> dict[str, tuple[Selector, ...]]:
        """All lists of selectors by name."""
        names = ("lines", "nodes", "sources", "sinks", "ends", "along", "loose", "cuts", "changers")
        return {name: getattr(self, name) for name in names}

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers of its lines, then of its nodes, each once."""
        return tuple(dict.fromkeys(s.layer for s in (*self.lines, *self.nodes)))


class SectorFile(Model):
    """One ``layers/<sector>.yml``."""

    sector: SectorDef | None = None
    #: For all layers of the sector; in common.yml for all layers of the city.
    checks: Checks = {}
    cross_checks: tuple[CrossCheck, ...] = ()
    works: tuple[WorkDef, ...] = ()
    networks: dict[Identifier, NetworkDef] = {}
    domains: dict[Identifier, tuple[DomainValue, ...]] = {}
    groups: dict[Identifier, tuple[FieldDef, ...]] = {}
    layers: dict[Identifier, LayerDef] = {}
    #: Layers of pixels.
    rasters: dict[Identifier, RasterDef] = {}
