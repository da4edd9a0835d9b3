"""GEN-14: attributes outside their domain or range, missing ones, and how complete a layer is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from gis.checks.features import Bools, Features
from gis.checks.findings import about_layer, finding
from gis.checks.model import Application, Finding, Parameter, Rule
from gis.checks.places import nowhere, shown
from gis.checks.registry import also_whole, local
from gis.checks.whole import Whole
from gis.checks.window import Need, Window, corner
from layers.model import FieldDef, Text
from layers.registry import Catalogue, Layer

GEN_14 = Rule(
    id="GEN-14",
    title=Text(vi="Thuộc tính sai hoặc thiếu", en="Attributes wrong or missing"),
    explanation=Text(
        vi="Giá trị không thuộc danh mục, ngoài khoảng cho phép, quá dài, thiếu thuộc tính bắt buộc, hoặc "
        "đơn vị quản "
        "lý không có trong danh sách của thành phố (lỗi). Tỷ lệ có giá trị của các trường nêu trong "
        "'fields' thấp hơn "
        "mức yêu cầu là cảnh báo cho cả lớp.",
        en="A value outside its list or range or too long, a mandatory one missing, or an owner that is no "
        "agency of "
        "the city (error). A field of `fields` that fewer features hold than is asked for is a warning "
        "about the "
        "layer as a whole.",
    ),
    message=Text(vi="{what}", en="{what}"),
    severity="E",
    scope="local",
    source="Definition of the layer (layers/*.yml); agencies of city.yml",
    unit="%",
    parameters=(
        Parameter(
            "table_checks",
            Text(
                vi="Bảng đã có ràng buộc của các trường (không đọc lại)",
                en="The table itself has the fields' constraints (they are not read again)",
            ),
            True,
        ),
        Parameter(
            "fields",
            Text(vi="Các trường xét mức đầy đủ", en="Fields that are to be complete (comma separated)"),
            "",
        ),
        Parameter(
            "completeness_percent",
            Text(vi="Mức đầy đủ yêu cầu", en="Share of features that must hold them"),
            90.0, "%", minimum=0, maximum=100,
        ),
    ),
    sees_unsound=True,
)  # fmt: skip

_INCOMPLETE = {
    "vi": "Trường {field}: {share:.1f}% trong {count} đối tượng có giá trị, yêu cầu {limit:g}%",
    "en": "{field}: {share:.1f} % of {count} features have a value; {limit:g} % are asked for",
}
_DOMAIN = {"vi": "{field}: “{value}” không có trong danh mục", "en": "{field}: “{value}” is not in its list"}
_MISSING = {"vi": "{field}: bắt buộc nhưng không có giá trị", "en": "{field}: mandatory, but without a value"}
_RANGE = {
    "vi": "{field}: {value} ngoài khoảng cho phép {range}",
    "en": "{field}: {value} is not in the range {range}",
}
_LENGTH = {
    "vi": "{field}: dài {value} ký tự, tối đa {range}",
    "en": "{field}: {value} characters long, at most {range} are allowed",
}
_OWNER = {
    "vi": "Đơn vị quản lý “{value}” không có trong danh sách của thành phố",
    "en": "The owner “{value}” is no agency of the city",
}
_HIDDEN = {
    "vi": "{field} (không công khai): giá trị sai hoặc thiếu",
    "en": "{field} (not public): wrong or missing value",
}

#: A fault: the rows that have it, the field, and the words about a row.
Fault = tuple[Bools, FieldDef | None, Callable[[int], dict[str, str]]]


def _judged(app: Application, layer: Layer) -> list[FieldDef]:
    """Fields that are looked at: none where the table's constraints do it, beside the owner."""
    skip = ("fid", "asset_id", "owner", "version", "updated_at")
    if app.parameters["table_checks"]:
        return []
    return [f for f in layer.fields if f.name not in skip]


def _needs(app: Application, catalogue: Catalogue) -> Iterable[Need]:
    return [
        Need(n, tuple(f.name for f in _judged(app, catalogue.layers[n])), shape=False, alone=True)
        for n in app.layers
    ]


@local(GEN_14, needs=_needs)
def gen_14(window: Window, app: Application) -> Iterator[Finding]:
    for name in app.layers:
        features = window.features(name)
        if not len(features):
            continue
        faults = list(_faults(features, window.setting.city.agency_ids, _judged(app, features.layer)))
        for secret in (False, True):
            some = [f for f in faults if _is_secret(features.layer, f[1]) == secret]
            bad = np.zeros(len(features), dtype=np.bool_)
            for rows, _, _ in some:
                bad |= rows
            for row in np.flatnonzero(bad):
                said = [_hidden(f) if secret and f else say(int(row)) for rows, f, say in some if rows[row]]
                yield _finding(window, app, features, int(row), said, secret)


def _is_secret(layer: Layer, field: FieldDef | None) -> bool:
    return not layer.is_public or (field is not None and field.access != "public")


def _hidden(field: FieldDef) -> dict[str, str]:
    return {lang: text.format(field=getattr(field.title, lang)) for lang, text in _HIDDEN.items()}


def _finding(
    window: Window, app: Application, features: Features, row: int, said: list[dict[str, str]], secret: bool
) -> Finding:
    placed = bool(np.isfinite(features.boxes[row]).all())
    return finding(
        app,
        [(features, row)],
        shown(features.geometry[row]) if placed else nowhere(window.setting.city),
        corner(features.boxes)[row],
        words={"what": {lang: "; ".join(one[lang] for one in said) for lang in ("vi", "en")}},
        restricted=secret,
    )


def _faults(features: Features, agencies: Iterable[str], fields: Iterable[FieldDef]) -> Iterator[Fault]:
    strangers = set(features.owner.tolist()) - set(agencies)
    if strangers:
        owners = features.owner
        rows = np.array([owner in strangers for owner in owners], dtype=np.bool_)
        yield rows, None, lambda row: _said(_OWNER, None, _short(owners[row]))
    for field in fields:
        column = features[field.name]
        empty = _empty(column)
        if field.required and empty.any():
            yield empty, field, _saying(_MISSING, field)
        if field.domain:
            yield from _off_list(features.layer, field, column, empty)
        elif field.type in ("integer", "number"):
            yield from _out_of_range(field, column, empty)
        elif field.max_length is not None:
            yield from _too_long(field, column, field.max_length)


def _saying(words: dict[str, str], field: FieldDef) -> Callable[[int], dict[str, str]]:
    return lambda _row: _said(words, field)


def _empty(column: Any) -> Bools:
    """Null, or a text of nothing but spaces."""
    if column.dtype.kind == "f":
        return np.asarray(np.isnan(column))
    if column.dtype.kind == "M":
        return np.asarray(np.isnat(column))
    return np.array([v is None or (isinstance(v, str) and not v.strip()) for v in column], dtype=np.bool_)


def _off_list(layer: Layer, field: FieldDef, column: Any, empty: Bools) -> Iterator[Fault]:
    known = {value.value for value in layer.domain_of(field)}
    strange = set(column[~empty].tolist()) - known
    if strange:
        rows = np.array([v in strange for v in column], dtype=np.bool_) & ~empty
        yield rows, field, lambda row: _said(_DOMAIN, field, _short(column[row]))


def _out_of_range(field: FieldDef, column: Any, empty: Bools) -> Iterator[Fault]:
    low = -np.inf if field.minimum is None else field.minimum
    high = np.inf if field.maximum is None else field.maximum
    rows = ~empty & ((column < low) | (column > high) | np.isinf(column))
    if rows.any():
        allowed = f"{low:g} – {high:g}"
        yield rows, field, lambda row: _said(_RANGE, field, f"{column[row]:g}", allowed)


def _too_long(field: FieldDef, column: Any, most: int) -> Iterator[Fault]:
    texts = [v for v in column if v]
    if texts and max(map(len, texts)) > most:
        rows = np.array([v is not None and len(v) > most for v in column], dtype=np.bool_)
        yield rows, field, lambda row: _said(_LENGTH, field, len(column[row]), most)


def _said(
    words: dict[str, str], field: FieldDef | None, value: Any = "", allowed: Any = ""
) -> dict[str, str]:
    return {
        lang: text.format(field=getattr(field.title, lang) if field else "", value=value, range=allowed)
        for lang, text in words.items()
    }


def _short(value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 40 else text[:39] + "…"


@also_whole(GEN_14)
def completeness(whole: Whole, app: Application) -> Iterator[Finding]:
    """Fields that too few features of a layer hold. An edit changes a share too little to be judged by it."""
    limit = app.number("completeness_percent")
    if whole.changed is not None or limit <= 0:
        return
    for name in app.layers:
        layer = whole.setting.catalogue.layers[name]
        wanted = (n.strip() for n in str(app.parameters["fields"] or "").split(","))
        fields = [f for f in map(layer.field, wanted) if f is not None]
        count, held = 0, [0] * len(fields)
        if not fields:
            continue
        for some in whole.source.stream(name, tuple(f.name for f in fields), geometry=False):
            count += len(some)
            held = [n + int((~_empty(some[f.name])).sum()) for n, f in zip(held, fields, strict=True)]
        for field, n in zip(fields, held, strict=True):
            share = 100.0 * n / count if count else 100.0
            if share < limit:
                what = {
                    lang: text.format(field=getattr(field.title, lang), share=share, count=count, limit=limit)
                    for lang, text in _INCOMPLETE.items()
                }
                yield about_layer(
                    app, layer, field.name, nowhere(whole.setting.city), value=share, limit=limit,
                    words={"what": what}, severity="W", restricted=field.access != "public",
                )  # fmt: skip
