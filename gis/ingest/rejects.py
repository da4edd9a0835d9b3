"""The rejects file: every row that was not taken, with its reasons, attributes and geometry; streamed.

``.csv`` by suffix, otherwise a GeoJSON FeatureCollection (geometry in CRS84 where it can be drawn, and as
``_wkt`` in the source's coordinates). Written beside its place and moved there at the end; a file of that
name that bandoso did not just make is kept as ``name.1`` and so on.
"""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import Any

import orjson

from gis.errors import UsageError


def check_place(path: Path) -> None:
    """May a rejects file be written there? Asked before a long load. Raises UsageError with the next step."""
    hint = "make the folder, or name another place by --rejects"
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent} for the rejects file", hint=hint)
    if path.is_dir():
        raise UsageError(
            f"{path} is a folder; --rejects names a file", hint=f"for example {path / 'rejects.csv'}"
        )
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"nothing may be written in {path.parent}", hint="name another place by --rejects")


class RejectsFile:
    """Collects rejected rows; makes no file when there are none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self._part = path.with_name(f".{path.name}.{os.getpid()}.part")
        self._file: io.TextIOWrapper | None = None
        self._columns: list[str] = []

    def add(self, records: list[dict[str, Any]]) -> None:
        """Write records as gis.ingest.batches makes them."""
        for record in records:
            file = self._file or self._open(record)
            file.write(self._csv(record) if self._is_csv else self._feature(record))
            self.count += 1

    def finish(self) -> Path | None:
        """Move the file to its place; None when nothing was rejected."""
        if self._file is None:
            return None
        if not self._is_csv:
            self._file.write("\n]}\n")
        self._file.close()
        self._file = None
        _make_room(self.path)
        self._part.replace(self.path)
        return self.path

    def discard(self) -> None:
        """Remove what was written."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._part.unlink(missing_ok=True)

    @property
    def _is_csv(self) -> bool:
        return self.path.suffix.lower() == ".csv"

    def _open(self, first: dict[str, Any]) -> io.TextIOWrapper:
        try:
            self._part.parent.mkdir(exist_ok=True)  # the data folder's own, never one of the user's
            self._file = self._part.open("w", encoding="utf-8", newline="")
        except OSError:
            raise UsageError(
                f"the rejects file {self.path.name} cannot be written", hint="name a place by --rejects"
            ) from None
        if self._is_csv:
            self._columns = list(first["attributes"])
            self._file.write(_line(["_row", "_fid", "_code", "_field", "_reason", *self._columns, "_wkt"]))
        else:
            self._file.write('{"type": "FeatureCollection", "features": [\n')
        return self._file

    def _feature(self, record: dict[str, Any]) -> str:
        reasons = record["reasons"]
        properties = {
            "_row": record["row"],
            "_fid": record["fid"],
            "_code": reasons[0]["code"],
            "_field": reasons[0]["field"],
            "_reason": "; ".join(r["message"] for r in reasons),
            **record["attributes"],
            "_wkt": record["wkt"],
        }
        feature = {"type": "Feature", "properties": properties, "geometry": record["geometry"]}
        text = orjson.dumps(feature, option=orjson.OPT_NON_STR_KEYS).decode()
        return text if self.count == 0 else ",\n" + text

    def _csv(self, record: dict[str, Any]) -> str:
        first = record["reasons"][0]
        reason = "; ".join(r["message"] for r in record["reasons"])
        values = [record["attributes"].get(c) for c in self._columns]
        return _line(
            [record["row"], record["fid"], first["code"], first["field"], reason, *values, record["wkt"]]
        )


def _line(values: list[Any]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow(["" if v is None else v for v in values])
    return out.getvalue()


def _make_room(path: Path) -> None:
    """Keep an older file of this name under the next free number."""
    if path.exists():
        number = 1
        while (older := path.with_name(f"{path.name}.{number}")).exists():
            number += 1
        path.rename(older)
