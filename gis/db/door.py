"""The door of a layer's table: who may read and write which rows, held by the database itself.

- ``bandoso_reader`` (anyone): column grants on public layers, policy ``true``: index plans are as without.
- ``bandoso_member`` (who has logged in) has the reader's rights, and reads what is hidden through the views
  of schema ``member``: rows of restricted layers, and values of confidential attributes, of the agencies that
  the account was granted (bandoso.owners_seen). A layer that hides nothing has no view.
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


def open_statements(layer: Layer, table: str | None = None) -> list[Composed]:
    """Grants, policies and (for the layer's own table) the members' view; after ``close_statements``."""
    name = table or layer.id
    on = Identifier(LAYERS, name)
    roles = SQL(", ").join(map(Identifier, (READER, MEMBER, EDITOR, CHECKER)))
    # Taking all rights on a table takes those on its columns too.
    statements: list[Composed] = [SQL("REVOKE ALL ON {} FROM {}").format(on, roles)]
    granted = granted_columns(layer)
    if granted:
        reads = SQL("GRANT SELECT ({}) ON {} TO {}, {}")
        statements.append(reads.format(columns(granted), on, Identifier(READER), Identifier(MEMBER)))
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
    seen: Composable = SQL("true") if layer.is_public else _SEEN.format(Literal(layer.id))
    anyone = SQL(", ").join(map(Identifier, (READER, MEMBER, CHECKER)))
    editor = Identifier(EDITOR)
    checker = Identifier(CHECKER)
    wanted: dict[str, Composed] = {
        "door_read": SQL("FOR SELECT TO {} USING (true)").format(anyone),
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


def _view(layer: Layer) -> list[Composed]:
    """What members read in place of the table: its columns, hidden values of other agencies as null."""
    seen = _SEEN.format(Literal(layer.id))
    shown: list[Composable] = []
    for f in layer.fields:
        name = column(f.name)
        if f.access == "public":
            shown.append(name)
        else:
            shown.append(SQL("CASE WHEN {} THEN {} END AS {}").format(seen, name, name))
    view = Identifier(MEMBERS, layer.id)
    # Rows are hidden in the order of safety: no condition of a request sees a row before this one.
    options = SQL("") if layer.is_public else SQL(" WITH (security_barrier)")
    where = SQL("") if layer.is_public else SQL(" WHERE ") + seen
    body = SQL("CREATE OR REPLACE VIEW {}{} AS SELECT {}, {} FROM {}{}").format(
        view, options, SQL(", ").join(shown), column(GEOMETRY), Identifier(LAYERS, layer.id), where
    )
    return [body, SQL("GRANT SELECT ON {} TO {}").format(view, Identifier(MEMBER))]
