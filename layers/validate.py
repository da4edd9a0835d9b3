"""What one block cannot say about itself: that a layer's fields, domains, style and tiles fit together."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator, Mapping
from datetime import date, datetime

from layers.model import SYSTEM_FIELDS, DomainValue, FieldDef, LayerDef

#: Names that no field may have: our columns, those of PostgreSQL itself, and parameters of the API.
RESERVED = frozenset(
    {"geom", "load_id", "tableoid", "ctid", "xmin", "xmax", "cmin", "cmax", "oid"}
    | {"bbox", "bbox_crs", "crs", "datetime", "f", "filter", "filter_crs", "filter_lang", "limit", "offset"}
    | {"profile", "properties", "q", "skip_geometry", "sortby"}
)

Domains = Mapping[str, tuple[DomainValue, ...]]


def fold_name(name: str) -> str:
    """A name without case, accents and punctuation, as loaders compare them."""
    decomposed = unicodedata.normalize("NFD", name.casefold().replace("đ", "d"))
    return re.sub(r"[^a-z0-9]", "", decomposed)


def problems(definition: LayerDef, fields: tuple[FieldDef, ...], domains: Domains) -> Iterator[str]:
    """Each mistake of a resolved layer, as ``place: sentence``; nothing when it is sound."""
    names = [f.name for f in fields]
    for name in sorted({n for n in names if names.count(n) > 1}):
        system = " (every layer has it)" if name in SYSTEM_FIELDS else ""
        yield f"fields: {name} is defined twice{system}"
    for f in fields:
        if f.name in RESERVED:
            yield f"fields: the name {f.name} is reserved"
        yield from (f"fields.{f.name}: {text}" for text in _field_problems(f, domains))
    yield from _clashing_names(fields)
    by_name = {f.name: f for f in fields}
    yield from _reference_problems(definition, by_name)
    yield from _value_problems(definition, by_name, domains)
    yield from _level_problems(definition, by_name, domains)


def _field_problems(f: FieldDef, domains: Domains) -> Iterator[str]:
    if f.domain and f.domain not in domains:
        yield f"no domain {f.domain!r}"
        return
    if f.minimum is not None and f.maximum is not None and f.minimum > f.maximum:
        yield f"minimum {f.minimum:g} is greater than maximum {f.maximum:g}"
    for bound in (f.minimum, f.maximum):
        if bound is not None and not math.isfinite(bound):
            yield "minimum and maximum must be finite"
        elif bound is not None and f.type == "integer" and abs(bound) > 2**63 - 1:
            yield "minimum and maximum of an integer must fit 64 bits"
    if f.max_length is not None and f.type != "string":
        yield "max_length needs type string"
    values = [v.value for v in domains[f.domain]] if f.domain else []
    if values:
        wanted = str if f.type == "string" else int
        for value in values:
            if not isinstance(value, wanted):
                yield f"domain {f.domain} holds {value!r}, which is not of type {f.type} (quote it?)"
            elif f.max_length is not None and len(str(value)) > f.max_length:
                yield f"domain {f.domain} holds {value!r}, longer than max_length"
    if f.default is not None:
        fault = _value_fault(f, f.default)
        if fault:
            yield f"default {f.default!r} {fault}"
        elif values and f.default not in values:
            yield f"default {f.default!r} is not in domain {f.domain}"


def _value_fault(f: FieldDef, value: str | int | float | bool) -> str | None:
    """Why a value is none of the field's; None if it is one."""
    number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
    right = {
        "string": isinstance(value, str),
        "integer": number is not None and number.is_integer(),
        "number": number is not None and math.isfinite(number),
        "boolean": isinstance(value, bool),
        "date": isinstance(value, str) and _parses(date, value),
        "datetime": isinstance(value, str) and _parses(datetime, value),
    }[f.type]
    if not right:
        return f"is not of type {f.type}"
    if number is not None and f.minimum is not None and number < f.minimum:
        return f"is under the minimum {f.minimum:g}"
    if number is not None and f.maximum is not None and number > f.maximum:
        return f"is over the maximum {f.maximum:g}"
    if isinstance(value, str) and f.max_length is not None and len(value) > f.max_length:
        return "is longer than max_length"
    return None


def _parses(kind: type[date], text: str) -> bool:
    try:
        kind.fromisoformat(text)
    except ValueError:
        return False
    return True


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?\d+(\.\d+)?", text) is not None


def _clashing_names(fields: tuple[FieldDef, ...]) -> Iterator[str]:
    """Two fields that a column of a delivery could fill equally well."""
    meant: dict[str, str] = {}
    for f in fields:
        for name in {fold_name(n) for n in (f.name, *f.aliases)}:
            if not name:
                yield f"fields.{f.name}: an alias has no letter and no digit"
            elif meant.setdefault(name, f.name) != f.name:
                yield f"fields.{f.name}: the name or alias {name!r} also means {meant[name]}"
    old = [f.renamed_from for f in fields if f.renamed_from]
    for name in old:
        if old.count(name) > 1 or name in {f.name for f in fields}:
            yield f"fields: renamed_from {name} is a field of the layer, or is named twice"


def _reference_problems(definition: LayerDef, by_name: Mapping[str, FieldDef]) -> Iterator[str]:
    style, tiles = definition.style, definition.tiles
    for n, key in enumerate(definition.keys):
        if not key or len(set(key)) != len(key) or set(key) & {"fid", "asset_id"}:
            yield f"keys.{n}: name at least one field, each once, and neither fid nor asset_id"
        elif key in definition.keys[:n]:
            yield f"keys.{n}: is there twice"
    for name in definition.search:
        if name in by_name and by_name[name].type not in ("string", "integer"):
            yield f"search: {name} is neither a string nor an integer"
    for name in definition.find.fields if definition.find else ():
        if name in by_name and by_name[name].type != "string":
            yield f"find: {name} is no string"
    if not 1 <= len(definition.temporal) <= 2:
        yield "temporal: name one field, or two (start and end)"
    for name in definition.temporal:
        if name in by_name and by_name[name].type not in ("date", "datetime"):
            yield f"temporal: {name} is neither a date nor a datetime"

    places = [("keys", n, False) for key in definition.keys for n in key]
    places += [("search", n, True) for n in definition.search]
    places += [("temporal", n, True) for n in definition.temporal]
    places += [("find", n, True) for n in (definition.find.fields if definition.find else ())]
    places += [("tiles.attributes", n, True) for some in tiles.attributes.values() for n in some]
    if tiles.zooms_by:
        places.append(("tiles.zooms_by", tiles.zooms_by.field, True))
    if style.classes:
        places.append(("style.classes", style.classes.field, True))
    if style.far and style.far.classes:
        places.append(("style.far.classes", style.far.classes.field, True))
    if style.label:
        places.append(("style.label", style.label.field, True))
    if style.arrows:
        places += [("style.arrows", name, True) for name in style.arrows.fields()]
    for place, name, shown in places:
        if name not in by_name:
            yield f"{place}: refers to a field {name!r} that the layer does not have"
        elif shown and by_name[name].access != "public":
            # A search or a colour tells what it works on as surely as printing it would.
            yield f"{place}: {name} is confidential and may not be shown or searched"


def _level_problems(definition: LayerDef, by_name: Mapping[str, FieldDef], domains: Domains) -> Iterator[str]:
    """What is wrong with ``tiles.generalise``."""
    levels, far = definition.tiles.generalise, definition.style.far
    if levels and definition.access != "public":
        yield "tiles.generalise: the layer is not public, and derived rows would be everyone's"
    if far and not levels:
        yield "style.far: is for the zooms of tiles.generalise, and there are none"
    if far and "Polygon" not in definition.geometry:
        yield "style.far: is for polygons"
    for level in levels:
        place = f"tiles.generalise (zoom {level.zooms[0]})"
        suits = {"blocks": "Polygon", "lines": "Line"}.get(level.kind, "")
        if suits not in definition.geometry:
            yield f"{place}: ``as: {level.kind}`` is not for {definition.geometry}"
        for name in (*(level.attributes or ()), *level.fields()):
            if name not in by_name:
                yield f"{place}: refers to a field {name!r} that the layer does not have"
            elif by_name[name].access != "public":
                yield f"{place}: {name} is confidential and may not be shown"
        coloured = (far and far.classes) or definition.style.classes
        if coloured and level.attributes is not None and coloured.field not in level.attributes:
            yield f"{place}: attributes lack {coloured.field}, by which the style colours"
        for chosen in (level.where, level.unless, level.rank):
            for name, values in chosen.items():
                yield from (f"{place}: {text}" for text in _not_values(by_name.get(name), values, domains))


def _not_values(
    f: FieldDef | None, values: tuple[str | bool | float, ...], domains: Domains
) -> Iterator[str]:
    if f is None:
        return
    for value in values:
        fault = _value_fault(f, value)
        if fault:
            yield f"{f.name} {value!r} {fault}"
        elif f.domain and f.domain in domains and value not in {v.value for v in domains[f.domain]}:
            yield f"{f.name} {value!r} is not in domain {f.domain}"


def _value_problems(definition: LayerDef, by_name: Mapping[str, FieldDef], domains: Domains) -> Iterator[str]:
    """Values in style and tiles that the field cannot have."""
    named: list[tuple[str, str, set[str]]] = []
    if definition.style.classes:
        classes = definition.style.classes
        named.append(("style.classes", classes.field, {*classes.values, *classes.icons}))
    if definition.style.far and definition.style.far.classes:
        far = definition.style.far.classes
        named.append(("style.far.classes", far.field, {*far.values}))
    if definition.tiles.zooms_by:
        named.append(("tiles.zooms_by", definition.tiles.zooms_by.field, {*definition.tiles.zooms_by.zooms}))
    for place, name, values in named:
        f = by_name.get(name)
        if f is None:
            continue
        if f.type not in ("string", "integer", "number"):
            yield f"{place}: {name} must be a string or a number"
        elif f.type != "string" and not all(_is_number(v) for v in values):
            yield f"{place}: {name} holds numbers, and so must the values"
        if f.domain is None or f.domain not in domains:
            continue
        unknown = values - {str(v.value) for v in domains[f.domain]}
        if unknown:
            yield f"{place}: {', '.join(sorted(unknown))} not in domain {f.domain}"
