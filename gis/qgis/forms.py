"""Forms from the layers' fields: names in the reader's language, value lists, ranges, what is read only.

A form says early what the server would refuse; the server decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement

from gis.qgis.parts import Value, option, text
from gis.qgis.symbols import literal, quoted
from layers.model import FieldDef
from layers.registry import Layer

#: Kept by the server.
KEPT = ("id", "fid", "version", "updated_at")
#: How QGIS writes null into a value list.
NULL = "{2839923C-8B7D-419E-B84B-CA2FE9B80EC7}"

_NOT_NULL, _EXPRESSION = 1, 4
_HARD = "1"


@dataclass(frozen=True)
class Owners:
    """Agencies as a value list: id -> title; and whose features the reader makes (None: several, or none)."""

    titles: Mapping[str, str]
    own: str | None = None
    #: Whether the reader may give a feature to another agency.
    chooses: bool = False


def form(parent: Element, layer: Layer, language: str, owners: Owners) -> None:
    """All that a layer's form is made of, as children of ``<maplayer>``."""
    fields = layer.public_fields
    configuration = SubElement(parent, "fieldConfiguration")
    for f in fields:
        one = SubElement(configuration, "field", name=f.name, configurationFlags="None")
        kind, config = widget(layer, f, language, owners)
        holder = SubElement(SubElement(one, "editWidget", type=kind), "config")
        option(holder, config)
    aliases = SubElement(parent, "aliases")
    defaults = SubElement(parent, "defaults")
    constraints = SubElement(parent, "constraints")
    expressions = SubElement(parent, "constraintExpressions")
    for index, f in enumerate(fields):
        SubElement(aliases, "alias", field=f.name, index=str(index), name=alias(f, language))
        SubElement(defaults, "default", field=f.name, applyOnUpdate="0", expression=_default(f, owners))
        bounds, said = _bounds(f, language)
        required = f.required and f.name not in KEPT
        SubElement(
            constraints,
            "constraint",
            field=f.name,
            constraints=str((_NOT_NULL if required else 0) + (_EXPRESSION if bounds else 0)),
            notnull_strength=_HARD if required else "0",
            unique_strength="0",
            exp_strength=_HARD if bounds else "0",
        )
        SubElement(expressions, "constraint", field=f.name, exp=bounds, desc=said)
    text(parent, "editorlayout", "generatedlayout")
    text(parent, "featformsuppress", 0)
    editable = SubElement(parent, "editable")
    for name in dict.fromkeys((*KEPT, *(f.name for f in fields))):
        locked = name in KEPT or (name == "owner" and not owners.chooses)
        SubElement(editable, "field", name=name, editable="0" if locked else "1")
    text(parent, "previewExpression", f"coalesce({quoted('asset_id')}, {quoted('fid')})")


def alias(f: FieldDef, language: str) -> str:
    """The name of a field in a form, with its unit."""
    title = str(getattr(f.title, language))
    return f"{title} ({f.unit})" if f.unit else title


def widget(layer: Layer, f: FieldDef, language: str, owners: Owners) -> tuple[str, dict[str, Value]]:
    """Kind and configuration of a field's widget."""
    if f.name == "owner":
        return "ValueMap", _choice(owners.titles, may_be_null=False, language=language)
    domain = layer.domain_of(f)
    if domain:
        titles = {str(v.value): str(getattr(v.title, language)) for v in domain}
        return "ValueMap", _choice(titles, may_be_null=not f.required, language=language)
    if f.type == "boolean":
        return "CheckBox", {"CheckedState": "", "UncheckedState": "", "TextDisplayMethod": 0}
    if f.type in ("date", "datetime"):
        form = "yyyy-MM-dd" if f.type == "date" else "yyyy-MM-dd HH:mm:ss"
        return "DateTime", {
            "allow_null": not f.required,
            "calendar_popup": True,
            "display_format": "dd/MM/yyyy" if f.type == "date" else "dd/MM/yyyy HH:mm",
            "field_format": form,
            "field_iso_format": f.type == "datetime",
        }
    if f.type in ("integer", "number") and f.minimum is not None and f.maximum is not None:
        whole = f.type == "integer"
        return "Range", {
            "AllowNull": not f.required,
            "Min": int(f.minimum) if whole else f.minimum,
            "Max": int(f.maximum) if whole else f.maximum,
            "Precision": 0 if whole else 3,
            "Step": 1 if whole else 0.1,
            "Style": "SpinBox",
            "Suffix": f" {f.unit}" if f.unit else "",
        }
    return "TextEdit", {"IsMultiline": (f.max_length or 0) > 300, "UseHtml": False}


def _choice(titles: Mapping[str, str], *, may_be_null: bool, language: str) -> dict[str, Value]:
    rows: list[Value] = []
    if may_be_null:
        rows.append({"(không có)" if language == "vi" else "(none)": NULL})
    counts: dict[str, int] = {}
    for title in titles.values():
        counts[title] = counts.get(title, 0) + 1
    for value, title in titles.items():
        # two values of one title could not be told apart
        rows.append({title if counts[title] == 1 else f"{title} [{value}]": value})
    return {"map": rows}


def _default(f: FieldDef, owners: Owners) -> str:
    if f.name == "owner":
        return literal(owners.own) if owners.own else ""
    return "" if f.default is None or f.name in KEPT else literal(f.default)


def _bounds(f: FieldDef, language: str) -> tuple[str, str]:
    """What a value must be as an expression, and the same in words; empty when anything may be."""
    name = quoted(f.name)
    parts, said = [], []
    if f.minimum is not None:
        parts.append(f"{name} >= {f.minimum:g}")
        said.append(("từ {:g}" if language == "vi" else "at least {:g}").format(f.minimum))
    if f.maximum is not None:
        parts.append(f"{name} <= {f.maximum:g}")
        said.append(("đến {:g}" if language == "vi" else "at most {:g}").format(f.maximum))
    if f.type == "string" and f.max_length and not f.domain and f.name not in KEPT:
        parts.append(f"length({name}) <= {f.max_length}")
        form = "không quá {} ký tự" if language == "vi" else "at most {} characters"
        said.append(form.format(f.max_length))
    if not parts:
        return "", ""
    return f"{name} IS NULL OR ({' AND '.join(parts)})", ", ".join(said)
