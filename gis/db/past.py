"""Versions that were, shown as rows of their layer: a view for each layer that keeps its history.

``past.<layer>`` shows anyone what is public of a public layer; ``member.<layer>__past`` shows members what
the layer hides, by the rule of gis.db.door: rows of restricted layers, and values of confidential attributes,
of the agencies that the account sees; an old version by whose it was then.

The columns are those of the layer as it is now, and ``_until``: when the version ended (it began at
updated_at). Attributes are kept by name (bandoso.version), so a layer may gain, lose and rename fields; a
value that does not fit what its field is now is shown as null, and stays kept. No lateral join and no
function that gives a row: so the planner finds a box by version_geom, and pages by the primary key.
"""

from __future__ import annotations

from psycopg.sql import SQL, Composable, Composed, Identifier, Literal

from gis.db.door import GEOMETRY, granted_columns, hides
from gis.db.sql import MEMBER, MEMBERS, OWN, READER, column, columns, is_code
from layers.model import FieldDef
from layers.registry import Layer

#: Schema of the views for anyone.
PAST = "past"
#: The column beside those of the layer.
UNTIL = "_until"

_KEPT_APART = {"fid": "fid", "version": "version", "owner": "owner", "updated_at": "valid_from"}

#: Field type -> SQL of a value of ``properties`` in that type; null where it does not fit. What was kept in
#: the same type is read without a function of ours.
_READ = {
    "string": "v.properties ->> {0}",
    "integer": "CASE WHEN jsonb_typeof(v.properties -> {0}) = 'number'"
    " AND v.properties ->> {0} ~ '^-?[0-9]{{1,18}}$' THEN (v.properties ->> {0})::bigint"
    " ELSE bandoso.kept_integer(v.properties ->> {0}) END",
    "number": "CASE WHEN jsonb_typeof(v.properties -> {0}) = 'number'"
    " THEN (v.properties ->> {0})::double precision ELSE bandoso.kept_number(v.properties ->> {0}) END",
    "boolean": "CASE v.properties ->> {0} WHEN 'true' THEN true WHEN 'false' THEN false END",
    "date": "bandoso.kept_date(v.properties ->> {0})",
    "datetime": "bandoso.kept_datetime(v.properties ->> {0})",
}


def past_table(layer: Layer) -> Identifier:
    """The view of the layer's former versions; of a layer as members see it, theirs."""
    return _members_view(layer.id) if layer.revealed else Identifier(PAST, layer.id)


def past_statements(layer: Layer) -> list[Composed]:
    """Make the views anew, as the layer is now; none for a layer that keeps no history."""
    statements = forget_statements(layer.id)
    if not layer.definition.history:
        return statements
    seen = SQL("v.owner = ANY ((SELECT bandoso.owners_seen({}))::text[])").format(Literal(layer.id))
    of = SQL("FROM {} AS v WHERE v.layer = {}").format(Identifier(OWN, "version"), Literal(layer.id))
    if layer.is_public:
        view = Identifier(PAST, layer.id)
        shown = [_shown(layer, f) for f in layer.public_fields]
        statements.append(_view(view, "", shown, of))
        reads = SQL("GRANT SELECT ({}, {}) ON {} TO {}, {}")
        granted = columns(granted_columns(layer))
        roles = Identifier(READER), Identifier(MEMBER)
        statements.append(reads.format(granted, column(UNTIL), view, *roles))
    if hides(layer):
        view = _members_view(layer.id)
        # Rows are hidden before any condition of a request looks at them.
        options, hidden = (
            ("", SQL("")) if layer.is_public else (" WITH (security_barrier)", SQL(" AND ") + seen)
        )
        shown = [
            _shown(layer, f, seen if layer.is_public and f.access != "public" else None) for f in layer.fields
        ]
        statements.append(_view(view, options, shown, of + hidden))
        statements.append(SQL("GRANT SELECT ON {} TO {}").format(view, Identifier(MEMBER)))
    return statements


def forget_statements(layer_id: str) -> list[Composed]:
    """Take the views away; what is kept stays."""
    return [
        SQL("DROP VIEW IF EXISTS {}").format(view)
        for view in (Identifier(PAST, layer_id), _members_view(layer_id))
    ]


def rename_statement(layer_id: str, old: str, new: str) -> Composed:
    """Call a field by its new name in the kept versions too."""
    return SQL(
        "UPDATE {version}"
        " SET properties = properties - {old} || jsonb_build_object({new}::text, properties -> {old})"
        " WHERE layer = {layer} AND properties ? {old}"
    ).format(version=Identifier(OWN, "version"), old=Literal(old), new=Literal(new), layer=Literal(layer_id))


def _members_view(layer_id: str) -> Identifier:
    # "__" is in no layer's id
    return Identifier(MEMBERS, f"{layer_id}__past")


def _view(view: Identifier, options: str, shown: list[Composable], source: Composed) -> Composed:
    listed = [
        *shown,
        SQL("v.geom AS {}").format(column(GEOMETRY)),
        SQL("v.valid_to AS {}").format(column(UNTIL)),
    ]
    return SQL("CREATE VIEW {}{} AS SELECT {} {}").format(view, SQL(options), SQL(", ").join(listed), source)


def _shown(layer: Layer, f: FieldDef, seen: Composable | None = None) -> Composable:
    apart = _KEPT_APART.get(f.name)
    read = SQL("v.{}").format(Identifier(apart)) if apart else SQL(_READ[f.type]).format(Literal(f.name))
    if f.type == "string":
        # as the layer's own column: rows of both are sorted together
        read = SQL("({}) COLLATE {}").format(read, Identifier("C" if is_code(layer, f) else "default"))
    if seen is not None:
        read = SQL("CASE WHEN {} THEN {} END").format(seen, read)
    return SQL("{} AS {}").format(read, column(f.name))
