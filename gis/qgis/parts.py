"""Pieces of QGIS's XML that stand in many places: typed options, CRSs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.etree.ElementTree import Element, SubElement

from gis import crs
from gis.crs.wkt import wkt2, wkt2_crs84

#: What QGIS writes into options: their types are named in the XML.
Value = str | bool | int | float | Sequence["Value"] | Mapping[str, "Value"] | None

#: CRS84 among the codes.
CRS84 = 0


def text(parent: Element, tag: str, content: object = "", **attributes: str) -> Element:
    """A child with text."""
    made = SubElement(parent, tag, attributes)
    made.text = str(content)
    return made


def option(parent: Element, value: Value, name: str | None = None) -> Element:
    """A value as ``<Option>``, with whatever is in it."""
    made = SubElement(parent, "Option", {} if name is None else {"name": name})
    if value is None:
        made.set("type", "invalid")
    elif isinstance(value, bool):
        made.attrib |= {"type": "bool", "value": "true" if value else "false"}
    elif isinstance(value, int):
        made.attrib |= {"type": "int", "value": str(value)}
    elif isinstance(value, float):
        made.attrib |= {"type": "double", "value": repr(value)}
    elif isinstance(value, str):
        made.attrib |= {"type": "QString", "value": value}
    elif isinstance(value, Mapping):
        made.set("type", "Map")
        for key, one in value.items():
            option(made, one, key)
    else:
        made.set("type", "List")
        for one in value:
            option(made, one)
    return made


def reference(parent: Element, code: int) -> None:
    """``<spatialrefsys>`` of an EPSG code, or CRS84. QGIS goes by its name, if it knows it."""
    made = SubElement(parent, "spatialrefsys", nativeFormat="Wkt")
    if code == CRS84:
        definition, authid, name, wkt = crs.definition(crs.WGS84), "OGC:CRS84", "WGS 84 (CRS84)", wkt2_crs84()
    else:
        definition, authid = crs.definition(code), f"EPSG:{code}"
        name, wkt = definition.name, wkt2(code)
    text(made, "wkt", wkt)
    text(made, "proj4", f"{definition.proj} +no_defs")
    text(made, "srsid", 0)
    text(made, "srid", code or crs.WGS84)
    text(made, "authid", authid)
    text(made, "description", name)
    text(made, "projectionacronym", definition.parameters.get("proj", "longlat"))
    text(made, "ellipsoidacronym", "EPSG:7030" if definition.datum.ellipsoid == "WGS84" else "")
    text(made, "geographicflag", "false" if definition.projected else "true")


def pinned_operations(parent: Element, codes: Sequence[int]) -> None:
    """``<transformContext>``: how QGIS goes from these CRSs to those of maps, and back.

    Left alone it takes whatever PROJ prefers, which for VN-2000 in the south is 0.8 m off.
    """
    context = SubElement(parent, "transformContext")
    pinned = [code for code in dict.fromkeys(codes) if crs.definition(code).datum_id != "wgs84"]
    for place, code in enumerate(pinned):
        for other in (crs.WGS84, CRS84, crs.WEB_MERCATOR, *pinned[place + 1 :]):
            operation = crs.pipeline(code, other or crs.WGS84)
            one = SubElement(context, "srcDest", coordinateOp=operation, allowFallback="0")
            reference(SubElement(one, "src"), code)
            reference(SubElement(one, "dest"), other)


def rectangle(parent: Element, tag: str, box: tuple[float, float, float, float]) -> Element:
    """A box as elements."""
    made = SubElement(parent, tag)
    for name, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True):
        text(made, name, repr(float(value)))
    return made
