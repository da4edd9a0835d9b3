"""Features as a page for people; the template escapes every value."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from gis.api.ogc import html
from gis.city import City
from layers.model import FieldDef
from layers.registry import Layer

#: Longer texts are cut in the table; the page of the feature shows them whole.
_LONGEST: Final = 80
#: Characters of a geometry's WKT on the page of one feature.
_LONGEST_WKT: Final = 600


def render_items(
    layer: Layer,
    city: City,
    language: str,
    base: str,
    fields: Sequence[FieldDef],
    rows: Sequence[Sequence[Any]],
    document: dict[str, Any],
) -> bytes:
    """A table of features; each row has the fields' values and then fid. ``document``: links and counts."""
    shown = [f for f in fields if f.name != "fid"]
    places = [n for n, f in enumerate(fields) if f.name != "fid"]
    table = [
        {
            "fid": row[len(fields)],
            "cells": [
                _text(layer, f, row[n], language, _LONGEST) for n, f in zip(places, shown, strict=True)
            ],
        }
        for row in rows
    ]
    heads = [_head(f, language) for f in shown]
    return _page("items.html", layer, city, language, base, "", {**document, "heads": heads, "rows": table})


def render_item(
    layer: Layer,
    city: City,
    language: str,
    base: str,
    fields: Sequence[FieldDef],
    row: Sequence[Any],
    document: dict[str, Any],
) -> bytes:
    """One feature; ``row`` has the fields' values, then WKT or null, then fid."""
    facts = [
        {"head": _head(f, language), "text": _text(layer, f, value, language)}
        for f, value in zip(fields, row, strict=False)
    ]
    wkt, fid = row[len(fields)], row[len(fields) + 1]
    if wkt is not None and len(wkt) > _LONGEST_WKT:
        wkt = wkt[:_LONGEST_WKT] + " …"
    content = {**document, "facts": facts, "wkt": wkt, "fid": fid}
    return _page("item.html", layer, city, language, base, f"/{fid}", content)


def _page(
    template: str, layer: Layer, city: City, language: str, base: str, below: str, content: dict[str, Any]
) -> bytes:
    return html.render(
        template,
        {**content, "title": getattr(layer.title, language)},
        base=base,
        path=f"/collections/{layer.id}/items{below}",
        language=language,
        city=city,
        layer=layer.id,
    ).encode()


def _head(f: FieldDef, language: str) -> dict[str, str]:
    title = getattr(f.title, language)
    return {"name": f.name, "title": f"{title} ({f.unit})" if f.unit else title}


def _text(layer: Layer, f: FieldDef, value: Any, language: str, longest: int | None = None) -> str:
    if value is None:
        return ""
    for known in layer.domain_of(f):
        if known.value == value:
            return str(getattr(known.title, language))
    if isinstance(value, bool):
        return {"vi": ("không", "có"), "en": ("no", "yes")}[language][value]
    text = value.isoformat(sep=" ", timespec="seconds") if isinstance(value, datetime) else str(value)
    return text[: longest - 1] + "…" if longest and len(text) > longest else text
