"""The door of a layer's table: who may read and write which rows, held by the database itself.

- ``bandoso_reader`` (anyone): column grants on public layers, policy ``true``: index plans are as without.
- ``bandoso_member`` (who has logged in) has the reader's rights, and reads what is hidden through the views
  of schema ``member``: rows of restricted layers, and values of confidential attributes, of the agencies that
  the account was granted (bandoso.owners_seen). A layer that hides nothing has no view. Rows are hidden by
  policies, not by the view: behind a view with security_barrier a page in order of fid was sorted anew from
  all rows, where the policy's condition is one more filter of an index scan.
- ``bandoso_editor`` writes: row by row, as bandoso.may_write says (owner, layer, area, scope of the token).
- ``bandoso_checker`` judges edits (gis.checks): it reads everything and writes findings.
"""

from __future__ import annotations

from psycopg.sql import SQL, Composable, Composed, Identifier, Literal

from gis.db.sql import CHECKER, EDITOR, LAYERS, MEMBER, MEMBERS, READER, column, columns
from layers.registry import Layer

GEOMETRY = "geom"

_SEEN = SQL("owner = ANY ((SELECT bandoso.owners_seen({}))::text[])")


def granted_columns(layer: Layer) -> tuple[str, ...]:
    """What the reader may see: public fields and geometry of a public layer, nothing of another."""
    return (*(f.name for f in layer.public_fields), GEOMETRY) if layer.is_public else ()


def _member_columns(layer: Layer) -> tuple[str, ...]:
    """What members may see of the table itself: of a restricted layer all of the rows that they may see."""
    return granted_columns(layer) or (*(f.name for f in layer.fields), GEOMETRY)


def open_statements(layer: Layer, table: str | None = None) -> list[Composed]:
    """Grants, policies and (for the layer's own table) the members' view; after ``close_statements``."""
    name = table or layer.id
    on = Identifier(LAYERS, name)
    roles = SQL(", ").join(map(Identifier, (READER, MEMBER, EDITOR, CHECKER)))
    # Taking all rights on a table takes those on its columns too.
    statements: list[Composed] = [SQL("REVOKE ALL ON {} FROM {}").format(on, roles)]
    reads = SQL("GRANT SELECT ({}) ON {} TO {}")
    for role, granted in ((READER, granted_columns(layer)), (MEMBER, _member_columns(layer))):
        if granted:
            statements.append(reads.format(columns(granted), on, Identifier(role)))
    statements.append(SQL("GRANT SELECT ON {} TO {}").format(on, Identifier(CHECKER)))
    if layer.definition.editable or layer.id in FINDINGS:
        role = EDITOR if layer.definition.editable else CHECKER
        fids = Identifier(LAYERS, f"{layer.id}_fid_seq")
        statements.append(SQL("GRANT USAGE ON SEQUENCE {} TO {}").format(fids, Identifier(role)))
    if layer.definition.editable:
        statements.append(
            SQL("GRANT SELECT, INSERT, UPDATE, DELETE ON {} TO {}").format(on, Identifier(EDITOR))
        )
    elif layer.id in FINDINGS:
        statements.append(SQL("GRANT INSERT, UPDATE, DELETE ON {} TO {}").format(on, Identifier(CHECKER)))
    statements.append(SQL("ALTER TABLE {} ENABLE ROW LEVEL SECURITY").format(on))
    statements += _policies(layer, on)
    if name == layer.id and hides(layer):
        statements += _view(layer)
    return statements


#: Layers that checks fill, not editors.
FINDINGS = ("finding", "finding_restricted")


def close_statements(layer_id: str) -> list[Composed]:
    """Takes away what hangs on the table, so that it can be changed or dropped."""
    return [SQL("DROP VIEW IF EXISTS {}").format(Identifier(MEMBERS, layer_id))]


def hides(layer: Layer) -> bool:
    """Whether there is something that only some may see."""
    return not layer.is_public or len(layer.public_fields) < len(layer.fields)


def _policies(layer: Layer, on: Identifier) -> list[Composed]:
    writes = SQL("bandoso.may_write({}, owner, geom)").format(Literal(layer.id))
    everyone: Composable = SQL("true")
    seen = everyone if layer.is_public else _seen_rows(layer)
    anyone = SQL(", ").join(map(Identifier, (READER, CHECKER)))
    member, editor, checker = Identifier(MEMBER), Identifier(EDITOR), Identifier(CHECKER)
    wanted: dict[str, Composed] = {
        "door_read": SQL("FOR SELECT TO {} USING (true)").format(anyone),
        "door_seen": SQL("FOR SELECT TO {} USING ({})").format(member, seen),
        "door_edited": SQL("FOR SELECT TO {} USING ({})").format(editor, seen),
        "door_insert": SQL("FOR INSERT TO {} WITH CHECK ({})").format(editor, writes),
        "door_update": SQL("FOR UPDATE TO {0} USING ({1}) WITH CHECK ({1})").format(editor, writes),
        "door_delete": SQL("FOR DELETE TO {} USING ({})").format(editor, writes),
        "door_findings": SQL("FOR ALL TO {} USING (true) WITH CHECK (true)").format(checker),
    }
    statements = []
    for name, rest in wanted.items():
        statements.append(SQL("DROP POLICY IF EXISTS {} ON {}").format(Identifier(name), on))
        if name != "door_findings" or layer.id in FINDINGS:
            statements.append(SQL("CREATE POLICY {} ON {} ").format(Identifier(name), on) + rest)
    return statements


def _seen_rows(layer: Layer) -> Composable:
    """Rows of a restricted layer that somebody who has logged in may see."""
    if layer.id in FINDINGS:
        # Whose they are is for the features to say that they name: of several agencies, perhaps.
        return SQL(
            "bandoso.finding_is_seen(features, (SELECT bandoso.hiding_layers())::text[],"
            " (SELECT bandoso.hidden_seen())::text[])"
        )
    return _SEEN.format(Literal(layer.id))


def _view(layer: Layer) -> list[Composed]:
    """What members read in place of the table: its columns, hidden values of other agencies as null."""
    view, on = Identifier(MEMBERS, layer.id), Identifier(LAYERS, layer.id)
    shown: list[Composable] = [column(f.name) for f in layer.fields]
    if layer.is_public:
        # With its owner's rights: the table's hidden columns are granted to nobody.
        options = SQL("")
        seen = _SEEN.format(Literal(layer.id))
        shown = [
            column(f.name)
            if f.access == "public"
            else SQL("CASE WHEN {} THEN {} END AS {}").format(seen, column(f.name), column(f.name))
            for f in layer.fields
        ]
    else:
        # With the rights of who asks, so that the table's policies choose the rows.
        options = SQL(" WITH (security_invoker)")
    body = SQL("CREATE OR REPLACE VIEW {}{} AS SELECT {}, {} FROM {}").format(
        view, options, SQL(", ").join(shown), column(GEOMETRY), on
    )
    return [body, SQL("GRANT SELECT ON {} TO {}").format(view, Identifier(MEMBER))]
