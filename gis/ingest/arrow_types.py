"""The Arrow type that holds a field's values, beside gis.db.ddl.SQL_TYPES for its column."""

from __future__ import annotations

import pyarrow as pa

#: Type of a field in layers/*.yml -> Arrow type.
ARROW = {
    "string": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "datetime": pa.timestamp("us", tz="UTC"),
}
