"""From a layer's definition to its table, indexes, triggers and grants.

For build-and-swap (fill a copy, then put it in the table's place within one transaction)::

    name = build_name(layer)
    create_table(layer, city, name)                       # bare: columns, defaults, NOT NULL
    ... COPY ...
    constraint_statements(layer, city, name) + index_statements(layer, name) + swap_statements(layer, name)

Afterwards the table is the same as one from ``create_table(layer, city, indexes=True)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg.sql import SQL, Composable, Composed, Identifier, Literal

from gis.city import City
from gis.db.constraints import Storage, constraints, object_name
from gis.db.door import GEOMETRY, close_statements, open_statements
from gis.db.past import past_statements
from gis.db.sql import LAYERS, OWN, column, columns, is_code
from gis.db.web import web_statements, web_swap_statement
from layers.model import FieldDef
from layers.registry import Layer

SQL_TYPES = {
    "string": "text",
    "integer": "bigint",
    "number": "double precision",
    "boolean": "boolean",
    "date": "date",
    "datetime": "timestamp with time zone",
}

#: Columns that every table has beside the layer's fields.
LOAD = "load_id"

_REQUIRED = {"fid", "asset_id", "owner", "version", "updated_at"}


@dataclass(frozen=True)
class Column:
    """A column as it must be. ``default`` is an SQL expression."""

    name: str
    type: str
    required: bool = False
    default: Composed | None = None
    #: Codes are compared by their bytes: a unique index of a million parcels is built in a third of the time,
    #: and serves prefixes. Names sort as the city's language does.
    code: bool = False

    def clause(self) -> Composed:
        """As CREATE TABLE wants it."""
        text = SQL("{} {}").format(Identifier(self.name), SQL(self.type))
        if self.code:
            text += SQL(' COLLATE "C"')
        if self.default is not None:
            text += SQL(" DEFAULT ") + self.default
        return text + SQL(" NOT NULL") if self.required else text


@dataclass(frozen=True)
class Index:
    """An index: its name is that of the table and ``suffix``."""

    suffix: tuple[str, ...]
    #: ``{name}`` and ``{table}`` are filled in.
    text: Composed
    primary: bool = False

    @property
    def cost(self) -> float:
        """Microseconds of processor that a parcel took; of many, begin with the dearest."""
        text = self.text.as_string(None)
        return (
            7.0 if "USING gin" in text else 2.6 if "NULLS" in text else 2.1 if "USING gist" in text else 0.5
        )

    def name_on(self, table: str) -> str:
        # "__" is in no layer's id, so that no two layers can want the same name.
        return object_name(f"{table}_", "__".join(self.suffix))

    def statement(self, table: str) -> Composed:
        name, on = Identifier(self.name_on(table)), Identifier(LAYERS, table)
        if self.primary:
            return SQL("ALTER TABLE {} ADD CONSTRAINT {} PRIMARY KEY (fid)").format(on, name)
        unique = SQL("UNIQUE ") if self.suffix[-1] == "key" else SQL("")
        return SQL("CREATE {}INDEX {} ON {} ").format(unique, name, on) + self.text


def build_name(layer: Layer, mark: str = "new") -> str:
    """A name for a copy of the layer's table that no layer's own can be (they hold no ``__``)."""
    return object_name(f"{layer.id}_", mark)


def sequence(layer: Layer) -> Identifier:
    """The sequence of fids: it stands alone, so that a swap of tables never gives a fid twice."""
    return Identifier(LAYERS, f"{layer.id}_fid_seq")


def table_columns(layer: Layer) -> tuple[Column, ...]:
    """All columns, in the table's order."""
    return (
        *(_column(layer, f) for f in layer.fields),
        Column(GEOMETRY, "public.geometry", required=True),
        Column(LOAD, "bigint"),
    )


def _column(layer: Layer, f: FieldDef) -> Column:
    required = f.required or f.name in _REQUIRED
    return Column(f.name, SQL_TYPES[f.type], required, _default(layer, f), is_code(layer, f))


def _default(layer: Layer, f: FieldDef) -> Composed | None:
    counter = Composed([Literal(sequence(layer).as_string(None)), SQL("::regclass")])
    system: dict[str, Composed] = {
        "fid": SQL("nextval({})").format(counter),
        # Defaults are worked out in the order of the columns, so this is the fid of the same row.
        "asset_id": SQL("{} || currval({})").format(Literal(f"{layer.id}-"), counter),
        "owner": Composed([Literal(layer.definition.owner)]),
        "version": Composed([SQL("1")]),
        "updated_at": Composed([SQL("now()")]),
    }
    if f.name in system:
        return system[f.name]
    return None if f.default is None else Composed([Literal(f.default)])


def create_table(
    layer: Layer, city: City, name: str | None = None, *, indexes: bool = False
) -> list[Composed]:
    """The layer's table under ``name`` (default: its own).

    With ``indexes`` it is complete: constraints, indexes, row count, web table and grants. Without, it is as
    bare as a bulk load wants it: columns, defaults and NOT NULL.
    """
    table = name or layer.id
    clauses: list[Composable] = [c.clause() for c in table_columns(layer)]
    if indexes:
        clauses += [c.clause() for c in constraints(layer, Storage.of(city))]
    body = SQL(",\n  ").join(clauses)
    statements = [
        SQL("CREATE SEQUENCE IF NOT EXISTS {} AS bigint").format(sequence(layer)),
        SQL("CREATE TABLE {} (\n  {}\n)").format(Identifier(LAYERS, table), body),
    ]
    if indexes:
        statements += index_statements(layer, table)
        statements += [count_statement(table), history_statement(layer, table)]
        statements += open_statements(layer, table)
        if table == layer.id:
            statements += past_statements(layer)
            statements += web_statements(layer, anew=True)
    return statements


def constraint_statements(layer: Layer, city: City, table: str | None = None) -> list[Composed]:
    """All CHECKs in one ALTER TABLE, so that the rows are read once."""
    added = SQL(",\n  ").join(SQL("ADD ") + c.clause() for c in constraints(layer, Storage.of(city)))
    return [SQL("ALTER TABLE {} {}").format(Identifier(LAYERS, table or layer.id), added)]


def layer_indexes(layer: Layer) -> tuple[Index, ...]:
    """Primary key, asset id, geometry, keys, search, and fields with ``index: true``."""
    found = [
        Index(("pkey",), Composed([]), primary=True),
        Index(("asset_id", "key"), SQL("({})").format(column("asset_id"))),
        Index(("geom", "idx"), SQL("USING gist ({})").format(column(GEOMETRY))),
    ]
    for key in layer.definition.keys:
        # A row whose last key field is null is not keyed (see LayerDef.keys).
        text = SQL("({}) NULLS NOT DISTINCT WHERE {} IS NOT NULL").format(columns(key), column(key[-1]))
        found.append(Index((*key, "key"), text))
    if searched_words(layer):
        found.append(Index(("q", "idx"), SQL("USING gin (({}))").format(search_vector(layer))))
    # With fid, as pages are in its order: without, the first hundred of a commune's parcels were those of a
    # whole commune, read and sorted (11.8 ms of a processor among 200,000 parcels; with it 0.15 ms).
    found += [
        Index((f.name, "idx"), SQL("({}, {})").format(column(f.name), column("fid")))
        for f in layer.fields
        if f.index
    ]
    return tuple(found)


def searched_words(layer: Layer) -> tuple[str, ...]:
    """The fields whose words ``q`` searches: those of ``search`` but asset_id, by its beginning alone.

    A million serial numbers are a million words that no two features share: with them the
    index took nearly twice the time to build, and five times the space. The unique index of asset_id finds
    ids without them.
    """
    return tuple(name for name in layer.definition.search if name != "asset_id")


def search_vector(layer: Layer, of: str | None = None) -> Composed:
    """The words of ``searched_words``, of which there must be some.

    A query must use this very expression for the index to serve it. One vector of all fields: with codes
    and names apart, in an index each, the longer one was built in half the time, but "123 nguyen hue" took
    three times as long to find (two bitmaps a word).
    """
    texts = SQL(", ").join(SQL("{}::text").format(column(n, of)) for n in searched_words(layer))
    return SQL("{}(VARIADIC ARRAY[{}])").format(Identifier(OWN, "search_vector"), texts)


def index_statements(layer: Layer, table: str | None = None) -> list[Composed]:
    """All indexes; their names are those of ``table``."""
    return [index.statement(table or layer.id) for index in layer_indexes(layer)]


def count_statement(table: str) -> Composed:
    """Keeps the exact row count of the table from now on, its present rows included."""
    on = Literal(Identifier(LAYERS, table).as_string(None))
    return SQL("SELECT {}({}::regclass)").format(Identifier(OWN, "attach_row_count"), on)


def history_statement(layer: Layer, table: str | None = None) -> Composed:
    """Keeps, from now on, what is changed in the table, and every version of its rows, as the layer says.

    A layer that is edited has its changes kept (they tell tiles and followers what is new) even where it
    keeps no history.
    """
    on = Literal(Identifier(LAYERS, table or layer.id).as_string(None))
    if not (layer.definition.history or layer.definition.editable):
        return SQL("SELECT {}({}::regclass)").format(Identifier(OWN, "detach_history"), on)
    versions = Literal(layer.definition.history)
    return SQL("SELECT {}({}::regclass, {})").format(Identifier(OWN, "attach_history"), on, versions)


def low_statement(table: str) -> Composed:
    """From now on changes of the table make stale what is derived of it (gis.db.low); now all of it is."""
    on = Literal(Identifier(LAYERS, table).as_string(None))
    return SQL("SELECT {}({}::regclass)").format(Identifier(OWN, "low_attach"), on)


def low_kept_statement(table: str) -> Composed:
    """The table has other columns: what makes stale what is derived of it names those that it has now."""
    on = Literal(Identifier(LAYERS, table).as_string(None))
    return SQL(
        "SELECT {}(tgrelid) FROM pg_trigger WHERE tgrelid = {}::regclass AND tgname = 'low_insert'"
    ).format(Identifier(OWN, "low_triggers"), on)


def swap_statements(layer: Layer, built: str) -> list[Composed]:
    """Put the filled, indexed copy ``built`` in the place of the layer's table; the old one is dropped.

    To be run in one transaction; from the first statement on, readers of the layer wait for its end.
    """
    statements = [
        *close_statements(layer.id),
        SQL("DROP TABLE IF EXISTS {}").format(Identifier(LAYERS, layer.id)),
        SQL("ALTER TABLE {} RENAME TO {}").format(Identifier(LAYERS, built), Identifier(layer.id)),
    ]
    for index in layer_indexes(layer):
        old, new = Identifier(LAYERS, index.name_on(built)), Identifier(index.name_on(layer.id))
        statements.append(SQL("ALTER INDEX {} RENAME TO {}").format(old, new))
    return [
        *statements,
        count_statement(layer.id),
        history_statement(layer),
        low_statement(layer.id),
        *open_statements(layer),
        web_swap_statement(layer.id),
        SQL("SELECT {}({})").format(Identifier(OWN, "names_attach"), Literal(layer.id)),
    ]


def script(statements: Sequence[Composed]) -> Composed:
    """Several statements as one text (no parameters), sent in one go."""
    return SQL(";\n").join(statements)
