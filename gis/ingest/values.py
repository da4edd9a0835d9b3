"""Attribute values: from a source column to a field's type, with a reason for every row that does not fit.

Everything works on whole Arrow columns; value lists and text numbers are looked at once a distinct value.
"""

from __future__ import annotations

import datetime as dt
import math
import string
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gis.ingest.arrow_types import ARROW
from gis.ingest.issues import Issues, shorten
from gis.ingest.mapping import Rule
from gis.ingest.target import Target
from gis.ingest.text import TextCleaner
from layers.model import FieldDef

_TRUE = {"true", "t", "yes", "y", "1", "có", "co", "đúng", "x"}
_FALSE = {"false", "f", "no", "n", "0", "không", "khong", "sai"}
_LARGEST = 2**63 - 1


@dataclass
class Converter:
    """Converts the columns of one batch after the other for ``target``."""

    target: Target
    rules: dict[str, Rule]
    text: TextCleaner
    #: Values dropped because the mapping says so: what -> count.
    notes: dict[str, int] = field(default_factory=dict)

    def convert(self, f: FieldDef, batch: pa.RecordBatch, issues: Issues) -> pa.Array:
        """The field's column for ``batch``; rows that do not fit are null and noted in ``issues``."""
        rule = self.rules.get(f.name)
        if rule is None:
            return self._completed(f, pa.nulls(batch.num_rows, ARROW[f.type]), issues)
        if rule.invalid == "null":
            return self._completed(f, self._fitting(f, rule, batch), issues)
        return self._completed(f, self._given(f, rule, batch, issues), issues)

    def _given(self, f: FieldDef, rule: Rule, batch: pa.RecordBatch, issues: Issues) -> pa.Array:
        source = self._source(rule, batch, issues)
        if rule.values is not None:
            source = self._mapped(f, rule, source, issues)
        if rule.case is not None and pa.types.is_string(source.type):
            source = (pc.utf8_upper if rule.case == "upper" else pc.utf8_lower)(source)
        return self._typed(f, rule, source, issues)

    def _fitting(self, f: FieldDef, rule: Rule, batch: pa.RecordBatch) -> pa.Array:
        """The column with what does not fit made null, and counted."""
        apart = Issues(batch.num_rows)
        column = self._given(f, rule, batch, apart)
        self._limits(f, column, apart)
        unfit = apart.rejected
        if not unfit.any():
            return column
        what = f"{f.name}: values that do not fit dropped (invalid: null)"
        self.notes[what] = self.notes.get(what, 0) + int(unfit.sum())
        return pc.if_else(pa.array(unfit), pa.scalar(None, column.type), column)

    def _completed(self, f: FieldDef, column: pa.Array, issues: Issues) -> pa.Array:
        """Defaults for nulls, then what the field demands."""
        default = self.target.owner if f.name == "owner" else f.default
        if default is not None and column.null_count:
            column = pc.fill_null(column, pa.scalar(default, ARROW[f.type]))
        if f.name == "owner":
            known = pc.is_in(column, value_set=pa.array(self.target.owners, pa.string()))
            self._reject(issues, pc.invert(known), "owner", f, column, "names no agency of the city")
        if f.required and column.null_count:
            empty = _mask(pc.is_null(column)) & ~issues.rejected
            issues.reject(empty, "required", f.name, lambda _i: f"{f.name} is empty")
        self._limits(f, column, issues)
        return column

    def _limits(self, f: FieldDef, column: pa.Array, issues: Issues) -> None:
        """Lengths and ranges."""
        if f.max_length is not None and f.type == "string" and _most_bytes(column) > f.max_length:
            long = pc.greater(pc.utf8_length(column), f.max_length)
            self._reject(issues, long, "too-long", f, column, f"is longer than {f.max_length} characters")
        if f.type in ("integer", "number"):
            if f.minimum is not None:
                low = pc.less(column, f.minimum)
                self._reject(issues, low, "out-of-range", f, column, f"is below {f.minimum:g}")
            if f.maximum is not None:
                high = pc.greater(column, f.maximum)
                self._reject(issues, high, "out-of-range", f, column, f"is above {f.maximum:g}")

    def _reject(
        self, issues: Issues, flags: pa.Array, code: str, f: FieldDef, column: pa.Array, why: str
    ) -> None:
        if pc.any(flags).as_py():
            issues.reject(
                _mask(flags), code, f.name, lambda i: f"{f.name} {shorten(column[i].as_py())!r} {why}"
            )

    # --- where values come from ------------------------------------------------------------------

    def _source(self, rule: Rule, batch: pa.RecordBatch, issues: Issues) -> pa.Array:
        if rule.template is not None:
            made = [self._template(t, batch, issues) for t in rule.templates]
            return made[0] if len(made) == 1 else pc.coalesce(*made)
        if not rule.reads:
            return pa.repeat(pa.scalar(rule.constant), batch.num_rows)
        columns = [self._column(name, batch, issues) for name in rule.reads]
        if len(columns) == 1:
            return columns[0]
        if len({c.type for c in columns}) > 1:
            columns = [_as_text(c) for c in columns]
        return pc.coalesce(*columns)

    def _column(self, name: str, batch: pa.RecordBatch, issues: Issues) -> pa.Array:
        column = batch.column(name)
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if is_text(column.type):
            return self.text.clean(name, column, issues)
        return column

    def _template(self, template: str, batch: pa.RecordBatch, issues: Issues) -> pa.Array:
        pieces: list[Any] = []
        for literal, place, _, _ in string.Formatter().parse(template):
            if literal:
                pieces.append(pa.scalar(literal))
            if place:
                names = [n.strip() for n in place.split("|")]
                pieces.append(pc.coalesce(*(_as_text(self._column(n, batch, issues)) for n in names)))
        if not any(isinstance(p, pa.Array) for p in pieces):
            return pa.repeat(pa.scalar(template), batch.num_rows)
        return pc.binary_join_element_wise(*pieces, "", null_handling="emit_null")

    def _mapped(self, f: FieldDef, rule: Rule, source: pa.Array, issues: Issues) -> pa.Array:
        assert rule.values is not None
        values = {str(k): v for k, v in rule.values.items()}
        otherwise = rule.otherwise

        def one(value: Any) -> tuple[Any, bool]:
            text = _plain(value)
            if text in values:
                return values[text], True
            if otherwise == "keep":
                return value, True
            if isinstance(otherwise, dict):
                return otherwise["value"], True
            return None, otherwise == "null"

        texts = lambda i: f"{f.name}: the mapping does not name {shorten(source[i].as_py())!r}"  # noqa: E731
        return _each_distinct(source, lambda v: one(v), None, issues, "not-mapped", f.name, texts)

    # --- to the field's type ---------------------------------------------------------------------

    def _typed(self, f: FieldDef, rule: Rule, source: pa.Array, issues: Issues) -> pa.Array:
        if pa.types.is_null(source.type):
            return pa.nulls(len(source), ARROW[f.type])
        if f.domain:
            return self._in_domain(f, source, issues)
        match f.type:
            case "string":
                return _as_text(source)
            case "integer":
                return self._integer(f, rule, source, issues)
            case "number":
                return self._number(f, rule, source, issues)
            case "boolean":
                return self._boolean(f, source, issues)
            case _:
                return self._time(f, rule, source, issues)

    def _in_domain(self, f: FieldDef, source: pa.Array, issues: Issues) -> pa.Array:
        """Values of the list, or their titles in either language, in any case."""
        assert f.domain is not None
        wanted: dict[str, str | int] = {}
        for value in reversed(self.target.domains[f.domain]):
            wanted |= {value.title.en.casefold(): value.value, value.title.vi.casefold(): value.value}
        for value in self.target.domains[f.domain]:
            wanted[str(value.value).casefold()] = value.value

        def one(value: Any) -> tuple[Any, bool]:
            found = wanted.get(_plain(value).casefold())
            return found, found is not None

        return _each_distinct(
            source, one, ARROW[f.type], issues, "not-in-domain", f.name,
            lambda i: f"{f.name} {shorten(source[i].as_py())!r} is not in the value list",
        )  # fmt: skip

    def _number(self, f: FieldDef, rule: Rule, source: pa.Array, issues: Issues) -> pa.Array:
        if is_text(source.type):

            def one(text: str) -> tuple[float | None, bool]:
                number = _parse_number(text, rule.decimal)
                return number, number is not None

            column = _each_distinct(
                source, one, pa.float64(), issues, "not-a-number", f.name,
                lambda i: f"{f.name} {shorten(source[i].as_py())!r} is not a number"
                + (" (a decimal comma needs `decimal: comma`)" if "," in str(source[i].as_py()) else ""),
            )  # fmt: skip
        else:
            column = _cast(source, pa.float64())
            if column is None:
                return self._unfit(f, source, issues, "not-a-number", pa.float64())
        if rule.scale is not None:
            column = pc.multiply(column, rule.scale)
        odd = pc.invert(pc.is_finite(column))
        if pc.any(odd).as_py():
            issues.reject(_mask(odd), "not-finite", f.name, lambda _i: f"{f.name} is NaN or infinite")
        return column

    def _integer(self, f: FieldDef, rule: Rule, source: pa.Array, issues: Issues) -> pa.Array:
        if pa.types.is_integer(source.type) and rule.scale is None:
            cast = _cast(source, pa.int64())
            return cast if cast is not None else self._unfit(f, source, issues, "not-an-integer", pa.int64())
        if is_text(source.type) and rule.scale is None:

            def one(text: str) -> tuple[int | None, bool]:
                try:
                    number = int(text) if len(text) <= 20 else _LARGEST + 1
                except ValueError:
                    as_float = _parse_number(text, rule.decimal)
                    if as_float is None or not as_float.is_integer():
                        return None, False
                    number = int(as_float)
                return (number, True) if -_LARGEST <= number <= _LARGEST else (None, False)

            return _each_distinct(
                source, one, pa.int64(), issues, "not-an-integer", f.name,
                lambda i: f"{f.name} {shorten(source[i].as_py())!r} is not a whole number",
            )  # fmt: skip
        numbers = self._number(f, rule, source, issues)
        whole = pc.and_(pc.equal(pc.round(numbers), numbers), pc.less(pc.abs(numbers), 2.0**53))
        self._reject(issues, pc.invert(whole), "not-an-integer", f, source, "is not a whole number")
        return pc.if_else(whole, numbers, pa.scalar(None, pa.float64())).cast(pa.int64())

    def _boolean(self, f: FieldDef, source: pa.Array, issues: Issues) -> pa.Array:
        if pa.types.is_boolean(source.type):
            return source

        def one(value: Any) -> tuple[bool | None, bool]:
            text = _plain(value).casefold()
            return (text in _TRUE, True) if text in _TRUE | _FALSE else (None, False)

        return _each_distinct(
            source, one, pa.bool_(), issues, "not-a-boolean", f.name,
            lambda i: f"{f.name} {shorten(source[i].as_py())!r} is neither yes nor no",
        )  # fmt: skip

    def _time(self, f: FieldDef, rule: Rule, source: pa.Array, issues: Issues) -> pa.Array:
        wanted = ARROW[f.type]
        if not is_text(source.type):
            if pa.types.is_timestamp(source.type) and source.type.tz is None and f.type == "datetime":
                source = source.cast(pa.timestamp("us")).cast(pa.timestamp("us", tz="UTC"))
            cast = _cast(source, wanted) if pa.types.is_temporal(source.type) else None
            return cast if cast is not None else self._unfit(f, source, issues, "not-a-date", wanted)

        def one(text: str) -> tuple[dt.date | dt.datetime | None, bool]:
            try:
                if rule.date_format:
                    moment = dt.datetime.strptime(text, rule.date_format)
                else:
                    moment = dt.datetime.fromisoformat(text.replace("/", "-") if len(text) == 10 else text)
            except ValueError:
                return None, False
            if f.type == "date":
                return moment.date(), True
            return (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)), True

        return _each_distinct(
            source, one, wanted, issues, "not-a-date", f.name,
            lambda i: f"{f.name} {shorten(source[i].as_py())!r} is not a date like 2025-07-01"
            + ("" if rule.date_format else " (other forms need `date_format`)"),
        )  # fmt: skip

    def _unfit(
        self, f: FieldDef, source: pa.Array, issues: Issues, code: str, wanted: pa.DataType
    ) -> pa.Array:
        """A whole column of a type that cannot become the field's."""
        self._reject(issues, pc.is_valid(source), code, f, source, f"cannot become a {f.type}")
        return pa.nulls(len(source), wanted)


def _most_bytes(column: pa.Array) -> int:
    """Bytes of the longest text: no fewer than its characters, and quickly known."""
    return int(pc.max(pc.binary_length(column)).as_py() or 0)


def is_text(kind: pa.DataType) -> bool:
    """Text, or bytes that should be text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind))


def _parse_number(text: str, decimal: str) -> float | None:
    if decimal == "comma":
        text = text.replace(".", "").replace(",", ".")
    try:
        number = float(text) if "_" not in text else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _plain(value: Any) -> str:
    """A value as text; 3.0 is "3", as a value list says it."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _as_text(column: pa.Array) -> pa.Array:
    if is_text(column.type):
        return column.cast(pa.string())
    if pa.types.is_floating(column.type):
        return _each_distinct(column, lambda v: (_plain(v), True), pa.string())
    if pa.types.is_integer(column.type) or pa.types.is_temporal(column.type) or pa.types.is_null(column.type):
        return column.cast(pa.string())
    return _each_distinct(column, lambda v: (str(v), True), pa.string())


def _cast(column: pa.Array, wanted: pa.DataType) -> pa.Array | None:
    try:
        return column.cast(wanted, safe=pa.types.is_integer(wanted))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None


def _mask(flags: pa.Array) -> np.ndarray:
    return np.asarray(pc.fill_null(flags, False).to_numpy(zero_copy_only=False), dtype=np.bool_)


def _each_distinct(
    source: pa.Array,
    one: Callable[[Any], tuple[Any, bool]],
    wanted: pa.DataType | None,
    issues: Issues | None = None,
    code: str = "",
    where: str = "",
    message: Callable[[int], str] | None = None,
) -> pa.Array:
    """``one(value)`` -> (new value, fits) for each distinct value that is not null, spread over the rows."""
    encodable = not (pa.types.is_nested(source.type) or pa.types.is_dictionary(source.type))
    if encodable:
        encoded = source.dictionary_encode()
        distinct, indices = encoded.dictionary.to_pylist(), encoded.indices
    else:
        distinct = source.to_pylist()
        indices = pa.array(np.arange(len(distinct), dtype=np.int32))
    results = [(None, True) if v is None else one(v) for v in distinct]
    bad = np.fromiter((not fits for _, fits in results), dtype=np.bool_, count=len(results))
    if bad.any() and issues is not None:
        assert message is not None
        issues.reject(_mask(pc.take(pa.array(bad), indices)), code, where, message)
    try:
        new = pa.array([value for value, _ in results], wanted)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        # A value list whose values are of several types.
        new = pa.array([None if value is None else _plain(value) for value, _ in results], pa.string())
    return pc.take(new, indices)
