"""The project: layers in groups by sector over a base map, CRS, first view, snapping; zipped as .qgz."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from gis import crs
from gis.city import City
from gis.crs import Box
from gis.qgis.forms import Owners
from gis.qgis.parts import CRS84, pinned_operations, reference, text
from gis.qgis.sources import features_layer, features_source, tiles_layer, tiles_source
from layers.registry import Catalogue, Layer
from tiles.style import CITY

MEDIA_TYPE = "application/vnd.qgis.qgz"

#: Read by the same and by later versions; parts that an older one does not know are left aside by it.
VERSION = "3.22.0"
#: Pixels of the first view, on which a map's zoom depends.
WIDTH, HEIGHT = 1600, 900
TOLERANCE_PIXELS = 12
#: vertices, segments and the ends of lines (QGIS's flags)
_SNAPS = 1 | 2 | 32
_ALL_LAYERS, _PIXELS = 2, 1
#: Layers that may not overlap themselves are those that are checked for it.
_OVERLAPS = "CAD-01"

_TITLES = {
    "base": {"vi": "Bản đồ nền", "en": "Base map"},
    "tiles": {"vi": "Ô bản đồ: {}", "en": "Vector tiles: {}"},
}


@dataclass(frozen=True)
class Wish:
    """What project is wanted. ``catalogue``: as its reader sees it."""

    city: City
    catalogue: Catalogue
    #: Address of the landing page, without a final slash.
    url: str
    language: str
    #: Ids of layers that the reader may edit some features of.
    editable: frozenset[str] = frozenset()
    #: Only these layers; all when empty.
    layers: tuple[str, ...] = ()
    #: The CRS that coordinates are read and written in: the city's, or CRS84 for QGIS before 3.28.
    wgs84: bool = False
    #: Id of an authentication configuration of the reader's QGIS. Never a secret.
    authcfg: str | None = None
    #: The reader's agency, if it is one; and whether features may be given to others.
    agency: str | None = None
    chooses_owner: bool = False
    #: Where the layers have features (degrees).
    extents: Mapping[str, Box] = field(default_factory=dict)

    def chosen(self) -> tuple[Layer, ...]:
        """The layers of the project."""
        return tuple(one for one in self.catalogue.public() if not self.layers or one.id in self.layers)


def make_project(wish: Wish) -> bytes:
    """The project as a .qgz: a zip with one .qgs, the same bytes for the same wish."""
    root = project_xml(wish)
    indent(root, " ")
    head = b"<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        entry = zipfile.ZipInfo(f"{wish.city.id}.qgs", (1980, 1, 1, 0, 0, 0))
        entry.compress_type = zipfile.ZIP_DEFLATED
        entry.external_attr = 0o644 << 16
        archive.writestr(entry, head + tostring(root, encoding="utf-8"))
    return packed.getvalue()


def project_xml(wish: Wish) -> Element:
    """``<qgis>``."""
    city, title = wish.city, str(getattr(wish.city.title, wish.language))
    storage = city.crs.storage
    layers = wish.chosen()
    root = Element("qgis", projectname=title, version=VERSION)
    SubElement(root, "homePath", path="")
    text(root, "title", title)
    SubElement(root, "autotransaction", active="0")
    SubElement(root, "evaluateDefaultValues", active="0")
    SubElement(root, "trust", active="0")
    reference(SubElement(root, "projectCrs"), storage)
    tree = SubElement(root, "layer-tree-group")
    SubElement(tree, "customproperties")
    SubElement(root, "relations")
    _canvas(root, wish)
    stack = SubElement(root, "projectlayers")
    _features(tree, stack, wish, layers)
    _base(tree, stack, wish, layers)
    SubElement(tree, "custom-order", enabled="0")
    _snapping(root)
    _properties(root, [_key(one) for one in layers if keeps_apart(one) and one.id in wish.editable])
    pinned_operations(root, (storage, *city.crs.offered))
    _metadata(root, wish, title)
    view = SubElement(root, "ProjectViewSettings", UseProjectScales="0")
    west, south, east, north = first_view(city)
    bounds = {"xmin": west, "ymin": south, "xmax": east, "ymax": north}
    reference(SubElement(view, "DefaultViewExtent", {k: repr(v) for k, v in bounds.items()}), storage)
    return root


def keeps_apart(layer: Layer) -> bool:
    """Whether its polygons may not overlap each other."""
    setting = {**layer.common_checks, **layer.definition.checks}.get(_OVERLAPS)
    return layer.dimension == 2 and setting is not None and setting is not False


def first_view(city: City) -> Box:
    """What the map's first view shows, in the storage CRS."""
    lon, lat, zoom = city.view
    x, y = crs.transform_xy(lon, lat, crs.WGS84, city.crs.storage)
    unit = crs.definition(city.crs.storage).unit_m
    pixel = 2 * math.pi * 6_378_137 / 512 / 2**zoom * math.cos(math.radians(lat)) / unit
    wide, high = WIDTH / 2 * pixel, HEIGHT / 2 * pixel
    return (float(x) - wide, float(y) - high, float(x) + wide, float(y) + high)


def _key(layer: Layer) -> str:
    return f"bandoso_{layer.id}"


def _features(tree: Element, stack: Element, wish: Wish, layers: Sequence[Layer]) -> None:
    code = CRS84 if wish.wgs84 else wish.city.crs.storage
    titles = {one.id: str(getattr(one.title, wish.language)) for one in wish.city.agencies}
    owners = Owners(titles, wish.agency, wish.chooses_owner)
    for sector in wish.catalogue.sectors:
        mine = [one for one in layers if one.sector.id == sector.id]
        if not mine:
            continue
        busy = any(one.id in wish.editable for one in mine)
        group = _group(tree, str(getattr(sector.title, wish.language)), opened=busy)
        # above is drawn later
        for layer in sorted(mine, key=lambda one: -one.definition.style.order):
            source = features_source(layer, wish.url, code, wish.authcfg)
            edited = layer.id in wish.editable
            _leaf(group, _key(layer), str(getattr(layer.title, wish.language)), source, "OAPIF", shown=edited)
            features_layer(
                stack,
                layer,
                key=_key(layer),
                source=source,
                code=code,
                extent=wish.extents.get(layer.id) or wish.city.extent,
                language=wish.language,
                owners=owners,
                read_only=not edited,
            )


def _base(tree: Element, stack: Element, wish: Wish, layers: Sequence[Layer]) -> None:
    """Vector tiles of everything, and of each sector."""
    group = _group(tree, _TITLES["base"][wish.language], opened=True)
    sets: list[tuple[str, str, Sequence[Layer] | None, Sequence[Layer]]] = []
    for sector in wish.catalogue.sectors:
        mine = [one for one in layers if one.sector.id == sector.id]
        if mine:
            sets.append((sector.id, str(getattr(sector.title, wish.language)), mine, mine))
    every = wish.catalogue.public()
    sets.append((CITY, str(getattr(wish.city.title, wish.language)), None, every))
    for style, name, asked, drawn in sets:
        title = _TITLES["tiles"][wish.language].format(name)
        source = tiles_source(wish.url, style, asked, wish.authcfg)
        key = f"bandoso_tiles_{style}"
        _leaf(group, key, title, source, "vectortile", shown=style == CITY)
        # what is edited stands out of what was
        opacity = 0.6 if wish.editable and style == CITY else 1
        tiles_layer(
            stack, key=key, title=title, source=source, layers=drawn, language=wish.language, opacity=opacity
        )


def _group(tree: Element, name: str, *, opened: bool) -> Element:
    made = SubElement(
        tree, "layer-tree-group", name=name, checked="Qt::Checked", expanded="1" if opened else "0"
    )
    SubElement(made, "customproperties")
    return made


def _leaf(group: Element, key: str, name: str, source: str, provider: str, *, shown: bool) -> None:
    made = SubElement(
        group,
        "layer-tree-layer",
        id=key,
        name=name,
        source=source,
        providerKey=provider,
        checked="Qt::Checked" if shown else "Qt::Unchecked",
        expanded="0",
    )
    SubElement(made, "customproperties")


def _canvas(root: Element, wish: Wish) -> None:
    canvas = SubElement(root, "mapcanvas", name="theMapCanvas", annotationsVisible="1")
    text(canvas, "units", "meters" if crs.definition(wish.city.crs.storage).unit == "metre" else "feet")
    extent = SubElement(canvas, "extent")
    for name, value in zip(("xmin", "ymin", "xmax", "ymax"), first_view(wish.city), strict=True):
        text(extent, name, repr(value))
    text(canvas, "rotation", 0)
    reference(SubElement(canvas, "destinationsrs"), wish.city.crs.storage)


def _snapping(root: Element) -> None:
    made = SubElement(root, "snapping-settings")
    made.attrib |= {
        "enabled": "1",
        "mode": str(_ALL_LAYERS),
        "type": str(_SNAPS),
        "tolerance": str(TOLERANCE_PIXELS),
        "unit": str(_PIXELS),
        "intersection-snapping": "0",
        "self-snapping": "1",
        "scaleDependencyMode": "0",
        "minScale": "0",
        "maxScale": "0",
    }
    SubElement(made, "individual-layer-settings")


def _properties(root: Element, apart: Sequence[str]) -> None:
    made = SubElement(root, "properties")
    digitizing = SubElement(made, "Digitizing")
    text(digitizing, "TopologicalEditing", 1, type="int")
    # 2: with the layers of the list
    text(digitizing, "AvoidIntersectionsMode", 2 if apart else 0, type="int")
    if apart:
        several = SubElement(digitizing, "AvoidIntersectionsList", type="QStringList")
        for key in apart:
            text(several, "value", key)
    text(SubElement(made, "Paths"), "Absolute", "false", type="bool")
    text(SubElement(made, "SpatialRefSys"), "ProjectionsEnabled", 1, type="int")


def _metadata(root: Element, wish: Wish, title: str) -> None:
    made = SubElement(root, "projectMetadata")
    text(made, "identifier", f"{wish.url}/qgis-project")
    text(made, "language", wish.language)
    text(made, "type", "dataset")
    text(made, "title", title)
    text(made, "abstract", f"{wish.city.title.vi} / {wish.city.title.en}: {wish.url}")
