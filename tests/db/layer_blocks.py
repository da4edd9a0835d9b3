"""Layers made up by a test, in a folder of their own beside the shipped ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from psycopg import Connection

from gis.city import City
from gis.db.apply import Change, apply_catalogue
from layers.registry import Layer, load_catalogue

POINT = "SRID=9210;POINT(603000 1191000)"


def a_field(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "title": {"vi": f"Trường {name}", "en": f"Field {name}"}} | more


def domain(*values: str | int) -> list[dict[str, Any]]:
    return [{"value": v, "title": {"vi": f"Giá trị {v}", "en": f"Value {v}"}} for v in values]


@dataclass
class Block:
    """One layer of a test; change ``content`` and ``apply`` again."""

    connection: Connection
    city: City
    folder: Path
    id: str
    content: dict[str, Any] = field(default_factory=dict)
    domains: dict[str, Any] = field(default_factory=dict)

    def write(self, **changes: Any) -> None:
        self.content |= changes
        layer = {
            "title": {"vi": "Lớp thử", "en": "A test layer"},
            "geometry": "Point",
            "owner": "thkt",
            "style": {"colour": "#228833"},
        } | self.content
        content = {
            "sector": {"id": "trial", "title": {"vi": "Thử nghiệm", "en": "Trial"}, "order": 99},
            "domains": self.domains,
            "layers": {self.id: layer},
        }
        (self.folder / "trial.yml").write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")

    @property
    def layer(self) -> Layer:
        return load_catalogue([self.folder], self.city.agency_ids).layers[self.id]

    def apply(self, *, dry_run: bool = False, **changes: Any) -> list[Change]:
        """Write the block with these changes, apply all layer files, and keep the changes of this layer."""
        self.write(**changes)
        catalogue = load_catalogue([self.folder], self.city.agency_ids)
        made = apply_catalogue(self.connection, catalogue, self.city, dry_run=dry_run)
        return [c for c in made if c.layer == self.id]

    def insert(self, **values: Any) -> None:
        values = {"geom": POINT} | values
        names = ", ".join(values)
        places = ", ".join(["%s"] * len(values))
        self.connection.execute(
            f"INSERT INTO layer.{self.id} ({names}) VALUES ({places})".encode(), list(values.values())
        )

    def rows(self, what: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(f"SELECT {what} FROM layer.{self.id} ORDER BY fid".encode()).fetchall()


_STATE = """
SELECT 'column', attname::text, format_type(atttypid, atttypmod), attnotnull::text, attacl::text,
       (SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = attrelid AND adnum = attnum)
FROM pg_attribute WHERE attrelid = %(t)s::regclass AND attnum > 0 AND NOT attisdropped
UNION ALL
SELECT 'constraint', conname::text, pg_get_constraintdef(oid), convalidated::text, NULL, NULL
FROM pg_constraint WHERE conrelid = %(t)s::regclass
UNION ALL
SELECT 'index', indexname::text, indexdef, NULL, NULL, NULL
FROM pg_indexes WHERE schemaname = 'layer' AND tablename = %(n)s
UNION ALL
SELECT 'trigger', tgname::text, pg_get_triggerdef(oid), NULL, NULL, NULL
FROM pg_trigger WHERE tgrelid = %(t)s::regclass AND NOT tgisinternal
UNION ALL
SELECT 'table', relname::text, relacl::text, relowner::regrole::text, relpersistence::text, NULL
FROM pg_class WHERE oid = %(t)s::regclass
ORDER BY 1, 2
"""


def state(connection: Connection, table: str) -> list[tuple[Any, ...]]:
    """Everything the catalogue knows of a table's shape."""
    return connection.execute(_STATE, {"t": f"layer.{table}", "n": table}).fetchall()


def shape(block: Block) -> set[tuple[Any, ...]]:
    """The table's state without its name."""
    return {
        tuple(v.replace(block.id, "LAYER") if isinstance(v, str) else v for v in row)
        for row in state(block.connection, block.id)
    }
