"""Brings one layer's table from what was applied to what the layer says now, or refuses.

Runs step by step inside the caller's savepoint, so that each check sees the table as it then is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg import Connection
from psycopg.sql import SQL, Composed, Identifier, Literal

from gis.city import City
from gis.db import actual
from gis.db.changes import Change, Kind, Refused
from gis.db.constraints import Constraint, Storage, constraints, names_for
from gis.db.ddl import (
    Column,
    Index,
    count_statement,
    history_statement,
    layer_indexes,
    low_kept_statement,
    script,
    table_columns,
)
from gis.db.door import GEOMETRY, close_statements, granted_columns, open_statements
from gis.db.findings import hide_findings
from gis.db.past import past_statements, rename_statement
from gis.db.sql import LAYERS
from gis.db.web import web_form, web_statements, web_table
from gis.db.widen import conversion
from layers.registry import Layer


class Alteration:
    """One layer's migration; ``run`` yields its changes and raises Refused at the first that loses data."""

    def __init__(
        self,
        connection: Connection,
        layer: Layer,
        city: City,
        before: dict[str, Any],
        columns: dict[str, str],
    ) -> None:
        self.connection = connection
        self.layer = layer
        self.storage = Storage.of(city)
        self.before = before
        self.columns = dict(columns)
        self.table = Identifier(LAYERS, layer.id)
        self.wanted = {c.name: c for c in table_columns(layer)}
        self.checks = {c.name: c for c in constraints(layer, self.storage)}
        self.indexes = {i.name_on(layer.id): i for i in layer_indexes(layer)}
        #: Fields renamed in this run: new name -> old name.
        self.renamed: dict[str, str] = {}

    def run(self) -> Iterator[Change]:
        """All steps, in an order in which each can be done."""
        self._same_crs()
        self._do(script(close_statements(self.layer.id)))
        yield from self._rename()
        dropped_checks = self._drop_outdated_checks()
        dropped_indexes = self._drop_outdated_indexes()
        yield from self._drop_columns()
        yield from self._add_columns()
        yield from self._change_columns()
        yield from self._add_checks(dropped_checks)
        yield from self._add_indexes(dropped_indexes)
        yield from self._grant()

    # -- helpers

    def _do(self, statement: Composed) -> None:
        self.connection.execute(statement)

    def _alter(self, text: str, *parts: Composed | Identifier) -> None:
        self._do(SQL("ALTER TABLE {} ").format(self.table) + SQL(text).format(*parts))

    def _count(self, where: Composed) -> int:
        return actual.count(self.connection, self.layer.id, where)

    def _change(self, kind: Kind, text: str, field: str | None = None) -> Change:
        return Change(self.layer.id, kind, text, field)

    def _refuse(self, kind: Kind, text: str, hint: str, field: str | None = None) -> Refused:
        return Refused(Change(self.layer.id, kind, text, field, refused=True, hint=hint))

    # -- steps

    def _same_crs(self) -> None:
        old = self.before.get("srid")
        if old in (None, self.storage.srid):
            return
        rows = actual.count(self.connection, self.layer.id)
        if rows:
            raise self._refuse(
                "change-geometry",
                f"{rows} features are stored in EPSG:{old}, and city.yml says EPSG:{self.storage.srid} now",
                "put the former storage CRS back, or load the data into a new data folder or database",
            )

    def _rename(self) -> Iterator[Change]:
        for f in self.layer.own_fields:
            old = f.renamed_from
            if not old or old not in self.columns or f.name in self.columns or old in self.wanted:
                continue
            self._alter("RENAME COLUMN {} TO {}", Identifier(old), Identifier(f.name))
            self._do(rename_statement(self.layer.id, old, f.name))
            self.columns[f.name] = self.columns.pop(old)
            self.renamed[f.name] = old
            yield self._change("rename-field", f"renamed from {old}, with its values", f.name)

    def _drop_outdated_checks(self) -> set[str]:
        """Drop those that are gone or say something else now; the names of those that were ours."""
        known: dict[str, str] = self.before.get("checks", {})
        standing = actual.check_names(self.connection, self.layer.id)
        ours = standing & ({*known} | {*self.checks})
        outdated = {
            name
            for name in ours
            if name not in self.checks or known.get(name) != self.checks[name].check.as_string(None)
        }
        for name in sorted(outdated):
            self._alter("DROP CONSTRAINT {}", Identifier(name))
        return outdated

    def _drop_outdated_indexes(self) -> set[str]:
        known: dict[str, str] = self.before.get("indexes", {})
        standing = actual.index_names(self.connection, self.layer.id)
        outdated = set()
        for name in sorted(standing & ({*known} | {*self.indexes})):
            index = self.indexes.get(name)
            if index is not None and known.get(name) == index.statement(self.layer.id).as_string(None):
                continue
            outdated.add(name)
            if name.endswith("__pkey"):
                self._alter("DROP CONSTRAINT {}", Identifier(name))
            else:
                self._do(SQL("DROP INDEX {}").format(Identifier(LAYERS, name)))
        return outdated

    def _drop_columns(self) -> Iterator[Change]:
        for name in [n for n in self.columns if n not in self.wanted]:
            rows = self._count(SQL("{} IS NOT NULL").format(Identifier(name)))
            if rows:
                raise self._refuse(
                    "drop-field",
                    f"the field is gone from the layer files, but {rows} features have a value in it",
                    "put it back, name it in renamed_from of its successor, or empty it first",
                    name,
                )
            self._alter("DROP COLUMN {}", Identifier(name))
            del self.columns[name]
            yield self._change("drop-field", "removed (it held no values)", name)

    def _add_columns(self) -> Iterator[Change]:
        for column in self.wanted.values():
            if column.name in self.columns:
                continue
            fills = column.required and column.default is not None
            if column.required and not fills and actual.count(self.connection, self.layer.id):
                raise self._refuse(
                    "add-field",
                    "a required field without a default cannot be added to a layer that has features",
                    "give it a default, or make it optional and let the checks count what is missing",
                    column.name,
                )
            # A default is for new rows; filling old ones would invent data, unless they must have a value.
            new = column if column.required else Column(column.name, column.type)
            self._alter("ADD COLUMN {}", new.clause())
            if column.default is not None and not column.required:
                self._alter("ALTER COLUMN {} SET DEFAULT {}", Identifier(column.name), column.default)
            self.columns[column.name] = column.type
            yield self._change("add-field", f"added ({column.type})", column.name)

    def _change_columns(self) -> Iterator[Change]:
        state = actual.column_state(self.connection, self.layer.id)
        known: dict[str, dict[str, Any]] = self.before.get("columns", {})
        for column in self.wanted.values():
            name = Identifier(column.name)
            required, has_default = state.get(column.name, (column.required, column.default is not None))
            default = None if column.default is None else column.default.as_string(None)
            before = known.get(self.renamed.get(column.name, column.name), {})
            retyped = column.name != GEOMETRY and self.columns[column.name] != column.type
            if retyped:
                yield self._change_type(column, has_default)
            if retyped or has_default != (default is not None) or before.get("default", default) != default:
                if column.default is None:
                    self._alter("ALTER COLUMN {} DROP DEFAULT", name)
                else:
                    self._alter("ALTER COLUMN {} SET DEFAULT {}", name, column.default)
                if before and before.get("default") != default:
                    yield self._change("change-default", "has another default for new features", column.name)
            if column.required != required:
                yield self._change_required(column)

    def _change_type(self, column: Column, has_default: bool) -> Change:
        old, name = self.columns[column.name], Identifier(column.name)
        if has_default:
            self._alter("ALTER COLUMN {} DROP DEFAULT", name)
        using = conversion(column.name, old, column.type)
        filled = self._count(SQL("{} IS NOT NULL").format(name))
        if filled and using is None:
            raise self._refuse(
                "change-type",
                f"{filled} features have a value of type {old}, which cannot become {column.type}",
                "add a field of the new type under another name, and fill it",
                column.name,
            )
        if filled and using is not None and using.loses is not None:
            lost = self._count(using.loses)
            if lost:
                raise self._refuse(
                    "change-type",
                    f"{lost} features have a value that {column.type} cannot hold exactly",
                    "correct those values first",
                    column.name,
                )
        expression = using.expression if using and filled else SQL("NULL::") + SQL(column.type)
        self._alter(
            "ALTER COLUMN {} TYPE {} USING {}", name, Composed([SQL(column.type)]), Composed([expression])
        )
        self.columns[column.name] = column.type
        return self._change("change-type", f"{old} became {column.type}", column.name)

    def _change_required(self, column: Column) -> Change:
        name = Identifier(column.name)
        if not column.required:
            self._alter("ALTER COLUMN {} DROP NOT NULL", name)
            return self._change("change-required", "is optional now", column.name)
        empty = self._count(SQL("{} IS NULL").format(name))
        if empty:
            raise self._refuse(
                "change-required",
                f"cannot become required: {empty} features have no value",
                "fill them first, or leave the field optional",
                column.name,
            )
        self._alter("ALTER COLUMN {} SET NOT NULL", name)
        return self._change("change-required", "is required now", column.name)

    def _add_checks(self, dropped: set[str]) -> Iterator[Change]:
        standing = actual.check_names(self.connection, self.layer.id)
        for name, check in self.checks.items():
            if name in standing:
                continue
            self._hold(check)
            self._alter("ADD {}", check.clause())
            known = check.field in self.before.get("columns", {}) and check.field not in self.renamed
            if known and check.kind != "finite":  # which follows the type
                kind: Kind = "change-geometry" if check.field == GEOMETRY else "change-values"
                yield self._change(kind, f"has to be {check.wanted}", check.field)
        gone = dropped - {*self.checks}
        for field in [name for name in self.wanted if gone & names_for(self.layer, name)]:
            if not any(c.field == field and c.name in dropped for c in self.checks.values()):
                yield self._change("change-values", "is less limited", field)

    def _hold(self, check: Constraint) -> None:
        """Refuse a CHECK that rows do not satisfy, and say how many and, for fields, which values."""
        broken = SQL("NOT ({})").format(check.check)
        rows = self._count(broken)
        if not rows:
            return
        field = self.layer.field(check.field)
        samples = ""
        if field is not None and field.access == "public":
            query = SQL(
                "SELECT left({0}::text, 40), count(*) FROM {1} WHERE {2} "
                "GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 5"
            )
            found = self.connection.execute(
                query.format(Identifier(check.field), self.table, broken)
            ).fetchall()
            samples = ": " + ", ".join(f"{value} ({n})" for value, n in found)
        raise self._refuse(
            "change-geometry" if check.field == GEOMETRY else "change-values",
            f"{rows} features are not {check.wanted}{samples}",
            "load the layer again with --mode replace in the new form"
            if check.field == GEOMETRY
            else "correct those features first, or keep allowing their values",
            check.field,
        )

    def _add_indexes(self, dropped: set[str]) -> Iterator[Change]:
        standing = actual.index_names(self.connection, self.layer.id)
        for name, index in self.indexes.items():
            if name in standing:
                continue
            self._build(index)
            if self.before.get("indexes", {}).get(name) != index.statement(self.layer.id).as_string(None):
                yield self._change("change-index", f"{_described(index)} was built")
        for name in sorted(dropped - {*self.indexes}):
            yield self._change("change-index", f"{name.split('__', 1)[-1]} was dropped")

    def _build(self, index: Index) -> None:
        try:
            with self.connection.transaction():
                self._do(index.statement(self.layer.id))
        except psycopg.errors.UniqueViolation as error:
            detail = (error.diag.message_detail or "").rstrip(".")
            raise self._refuse(
                "change-index",
                f"{', '.join(index.suffix[:-1])} cannot become a key, for features share it: {detail}",
                "correct the duplicates first",
            ) from None
        except psycopg.errors.ProgramLimitExceeded:
            raise self._refuse(
                "change-index",
                f"{', '.join(index.suffix[:-1])} holds values that are too long for an index",
                "give the field a max_length, or no index",
            ) from None

    def _grant(self) -> Iterator[Change]:
        if self.layer.definition.history:
            self._begin_history()
        self._do(
            script(
                [
                    count_statement(self.layer.id),
                    history_statement(self.layer),
                    low_kept_statement(self.layer.id),
                    *open_statements(self.layer),
                    *past_statements(self.layer),
                    *web_statements(self.layer, anew=self._web_is_outdated()),
                ]
            )
        )
        before, now = set(self.before.get("granted", ())), set(granted_columns(self.layer))
        kept = {*self.before.get("columns", {})}
        if self.before.get("access", self.layer.access) != self.layer.access:
            if not self.layer.is_public:
                hide_findings(self.connection, self.layer.id)
            yield self._change("change-access", f"is {self.layer.access} now")
        else:
            for name in sorted((before ^ now) & kept & {*self.wanted}):
                word = "public" if name in now else "confidential"
                yield self._change("change-access", f"is {word} now", name)

    def _web_is_outdated(self) -> bool:
        """Whether its web table is another one than it should be, or not there."""
        if self.before.get("web") != web_form(self.layer):
            return True
        name = web_table(self.layer).as_string(None)
        row = self.connection.execute("SELECT to_regclass(%s) IS NULL", [name]).fetchone()
        return bool(row and row[0])

    def _begin_history(self) -> None:
        """Of a table that has rows and kept no versions until now: note that nothing is known of before."""
        self.connection.execute(
            SQL(
                "INSERT INTO bandoso.history_since AS s (layer, since, reason)"
                " SELECT {name}, clock_timestamp(), 'off' WHERE EXISTS (SELECT FROM {table}) AND NOT EXISTS"
                " (SELECT FROM pg_trigger WHERE tgrelid = {on}::regclass AND tgname = 'history_keep_update')"
                " ON CONFLICT (layer) DO UPDATE SET since = excluded.since, reason = excluded.reason"
            ).format(name=Literal(self.layer.id), table=self.table, on=Literal(self.table.as_string(None)))
        )


def _described(index: Index) -> str:
    names = ", ".join(index.suffix[:-1])
    if index.suffix[-1] == "key":
        return f"the key {names}"
    return "the search index" if names == "q" else f"an index on {names}"
