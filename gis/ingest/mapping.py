"""Which source column goes to which field: read from a mapping file, or found by matching names.

The file's form is documented in docs/loading.md. Matching ignores case, accents and punctuation, and never
guesses: a field that two columns could fill equally well is left empty and reported.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gis.errors import UsageError
from gis.ingest.target import Target
from layers.model import FieldDef, Identifier

Scalar = str | int | float | bool | None


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Condition(_Strict):
    """Selects source rows; all conditions of a mapping must hold. Values compare as text."""

    column: str
    equals: Scalar = None
    in_: Annotated[tuple[Scalar, ...] | None, Field(alias="in")] = None
    not_in: tuple[Scalar, ...] | None = None
    not_null: bool = False
    is_null: bool = False

    @model_validator(mode="after")
    def _one(self) -> Condition:
        given = [self.equals is not None, self.in_ is not None, self.not_in is not None]
        if sum([*given, self.not_null, self.is_null]) != 1:
            raise ValueError("a condition needs exactly one of equals, in, not_in, not_null, is_null")
        return self


class Rule(_Strict):
    """Where one field's values come from: one of ``column``, ``columns``, ``template``, ``constant``."""

    column: str | None = None
    #: The first that is not null.
    columns: tuple[str, ...] = ()
    #: ``"osm-{osm_id}"``; ``{a|b}`` takes the first that is not null. Null when any place is empty; of a list
    #: the first that is not null.
    template: str | tuple[str, ...] | None = None
    constant: Scalar = None
    #: Source value (as text) -> value of the field; null drops the value.
    values: dict[str, Scalar] | None = None
    #: For values that ``values`` does not name: keep them, make them null, reject the row, or this value.
    otherwise: Literal["keep", "null", "reject"] | dict[Literal["value"], Scalar] = "reject"
    #: Numbers are multiplied by it (0.3048: feet to metres).
    scale: float | None = None
    #: The decimal sign of numbers that arrive as text.
    decimal: Literal["point", "comma"] = "point"
    #: strptime form of dates that arrive as text, when not ISO 8601.
    date_format: str | None = None
    #: Values that do not fit the field: reject the row, or drop the value (counted in the report).
    invalid: Literal["reject", "null"] = "reject"
    #: For text in .VnXxxH fonts, whose bytes are those of small letters.
    case: Literal["upper", "lower"] | None = None

    @model_validator(mode="after")
    def _one(self) -> Rule:
        sources = [self.column, self.columns or None, self.template]
        given = [s for s in sources if s is not None] + (["c"] if "constant" in self.model_fields_set else [])
        if len(given) != 1:
            raise ValueError("a field needs exactly one of column, columns, template, constant")
        for template in self.templates:
            try:
                list(string.Formatter().parse(template))
            except ValueError as error:
                raise ValueError(f"template {template!r}: {error}") from None
        return self

    @property
    def templates(self) -> tuple[str, ...]:
        """``template`` as a tuple."""
        if self.template is None:
            return ()
        return (self.template,) if isinstance(self.template, str) else self.template

    @property
    def reads(self) -> tuple[str, ...]:
        """The source columns that the rule reads."""
        if self.template is not None:
            parsed = (p for t in self.templates for p in string.Formatter().parse(t))
            places = [name for _, name, _, _ in parsed if name]
            return tuple(c.strip() for place in places for c in place.split("|"))
        return (self.column,) if self.column is not None else self.columns


class Mapping(_Strict):
    """A mapping file."""

    #: The layer it is for; loading another with it is refused.
    layer: Identifier | None = None
    source_layer: str | None = None
    description: str = ""
    where: tuple[Condition, ...] = ()
    fields: dict[Identifier, Rule | str | None] = {}
    #: Match the fields that ``fields`` does not name by their names.
    auto: bool = True
    #: Closed lines become polygons (CAD draws areas so).
    closed_lines: Literal["keep", "polygons"] = "keep"


def read_mapping(path: Path) -> Mapping:
    """Read and check a mapping file. Raises UsageError naming the file and the place."""
    try:
        content = yaml.safe_load(path.read_bytes())
        return Mapping.model_validate(content if content is not None else {})
    except FileNotFoundError:
        raise UsageError(f"there is no mapping file {path.name}") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise UsageError(f"{path.name} is not valid YAML") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(p) for p in first["loc"])
        raise UsageError(
            f"{path.name}: {place or 'the file'}: {first['msg']}", hint="see docs/loading.md"
        ) from None


@dataclass(frozen=True)
class Plan:
    """A mapping resolved against the columns of a source."""

    rules: dict[str, Rule]
    where: tuple[Condition, ...] = ()
    closed_lines: str = "keep"
    #: Source columns that fill no field.
    unmatched: tuple[str, ...] = ()
    #: (field, columns that match it equally well): left empty.
    ambiguous: tuple[tuple[str, tuple[str, ...]], ...] = ()
    #: How each field is filled, in words, for the report.
    described: dict[str, str] = field(default_factory=dict)

    @property
    def reads(self) -> tuple[str, ...]:
        """All source columns needed."""
        names = [c for rule in self.rules.values() for c in rule.reads]
        return tuple(dict.fromkeys(names + [w.column for w in self.where]))


def fold(name: str) -> str:
    """A name without case, accents and punctuation: ``Đường kính (mm)`` -> ``duongkinhmm``."""
    decomposed = unicodedata.normalize("NFD", name.casefold().replace("đ", "d"))
    return re.sub(r"[^a-z0-9]", "", decomposed)


def resolve(mapping: Mapping, target: Target, columns: Sequence[str], tags: bool = False) -> Plan:
    """Resolve ``mapping`` for a source with ``columns`` (in order).

    ``tags``: columns that are not there may be OSM tags, so they are not errors.
    Raises UsageError when the mapping names a field or a column that does not exist.
    """
    if mapping.layer and mapping.layer != target.layer:
        raise UsageError(f"the mapping is for layer {mapping.layer}, not {target.layer}")
    settable = {f.name: f for f in target.settable}
    rules: dict[str, Rule] = {}
    for name, said in mapping.fields.items():
        if name not in settable:
            raise UsageError(
                f"the mapping fills {name}, which {target.layer} does not have or a delivery may not set",
                hint="fields: " + ", ".join(settable),
            )
        if said is None:
            continue
        rules[name] = Rule(column=said) if isinstance(said, str) else said
    ambiguous: list[tuple[str, tuple[str, ...]]] = []
    if mapping.auto:
        taken = {c for rule in rules.values() for c in rule.reads}
        free = [c for c in columns if c not in taken]
        for f in (f for name, f in settable.items() if name not in mapping.fields):
            best = _best_matches(f, free)
            if len(best) > 1:
                ambiguous.append((f.name, tuple(best)))
            elif best:
                rules[f.name] = Rule(column=best[0])
    ordered = {name: rules[name] for name in settable if name in rules}
    plan = Plan(ordered, mapping.where, mapping.closed_lines)
    missing = [c for c in plan.reads if c not in columns]
    if missing and not tags:
        raise UsageError(
            f"the mapping reads {missing[0]!r}, which the file does not have",
            hint="columns: " + ", ".join(columns[:40]),
        )
    read = set(plan.reads)
    return Plan(
        ordered,
        mapping.where,
        mapping.closed_lines,
        unmatched=tuple(c for c in columns if c not in read),
        ambiguous=tuple(ambiguous),
        described={name: _describe(rule) for name, rule in ordered.items()},
    )


def _best_matches(f: FieldDef, columns: Sequence[str]) -> list[str]:
    """The columns that match the field best: by name, then title, alias, former name."""
    ranks = (
        [f.name],
        [f.title.vi, f.title.en],
        list(f.aliases),
        [f.renamed_from] if f.renamed_from else [],
    )
    exact = [c for c in columns if c == f.name]
    if exact:
        return exact
    for names in ranks:
        folded = {fold(n) for n in names if n} - {""}
        # Shapefiles cut names at ten characters; a cut name counts when it is still ten long.
        found = [c for c in columns if fold(c) in folded]
        if found:
            return found
    return [c for c in columns if len(c) == 10 and f.name.startswith(c.lower())]


def _describe(rule: Rule) -> str:
    if rule.template is not None:
        text = "template " + " or ".join(rule.templates)
    elif rule.column is not None:
        text = rule.column
    elif rule.columns:
        text = " or ".join(rule.columns)
    else:
        text = f"always {rule.constant!r}"
    if rule.scale is not None:
        text += f" x {rule.scale:g}"
    return text + (" (by value list)" if rule.values is not None else "")


def constant(value: Any) -> Rule:
    """A rule that gives every row ``value``."""
    return Rule(constant=value)
