"""The child process that reads a delivery: shut in, limited, and the only one that parses hostile bytes.

Started by gis.ingest.reader with a clean environment. Reads one request on standard input, answers with
frames (gis.ingest.protocol) on standard output.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import Any, BinaryIO

import numpy as np
import orjson
import pyarrow as pa

from gis import crs
from gis.crs.diagnose import diagnose
from gis.errors import UsageError
from gis.ingest import confine, formats, ogr, parquet, place, protocol, sandbox, shapes
from gis.ingest.batches import Pipeline, reject_records, selected
from gis.ingest.mapping import resolve
from gis.ingest.protocol import ReadRequest
from gis.ingest.sources import FID, GEOMETRY, Opened, open_source
from gis.ingest.text import TextCleaner


class Child:
    """One reading, from request to last frame."""

    def __init__(self, request: ReadRequest, stdin: BinaryIO, stdout: BinaryIO) -> None:
        self.request = request
        self._in, self._out = stdin, stdout
        self._next_fid, self._fids_left = 0, 0
        self._read = 0

    def say(self, kind: bytes, content: Any) -> None:
        protocol.send(self._out, kind, orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY))

    def run(self) -> None:
        """Read the delivery and answer. Raises BandosoError for what the user should know."""
        request = self.request
        with ExitStack() as stack:
            opened = open_source(
                request.format,
                request.path,
                layer=request.source_layer or request.mapping.source_layer,
                stem=request.stem,
                dimension=_dimension(request.target.geometry),
                target=request.target.layer,
                encoding=request.encoding,
                work=request.work,
                stack=stack,
            )
            plan = resolve(request.mapping, request.target, opened.columns, tags=opened.tags is not None)
            source, how = _source_crs(request, opened)
            text = TextCleaner(opened.encoding, bytewise=opened.bytewise)
            reader = shapes.ShapeReader(
                request.target, source, request.allow_outside, request.accept_invalid, plan.closed_lines
            )
            self.say(
                protocol.HEADER,
                {
                    "layer": opened.layer,
                    "count": opened.count,
                    "crs": source,
                    "crs_how": how,
                    "fields": plan.described,
                    "unmatched": [
                        c for c in plan.unmatched if c != opened.tags and c not in opened.coordinates
                    ],
                    "ambiguous": {name: list(columns) for name, columns in plan.ambiguous},
                },
            )
            pipeline = Pipeline(request.target, plan, text, reader, request.load_id)
            judged = False
            for batch, rows in self._selected(opened, plan):
                if request.duplicates:
                    self._report_duplicates(batch, rows, source)
                    continue
                if not judged:
                    self._judge(batch, source)
                if request.write and self._fids_left < batch.num_rows:
                    self._ask_for_fids(batch.num_rows)
                self._convert(pipeline, batch, rows)
                if not judged:
                    text.refuse_if_sure()
                    judged = True
            warnings = [*opened.warnings, *opened.finish(), *pipeline.warnings]
            text.refuse_if_sure()
        self._done(opened, pipeline, warnings)

    def _selected(self, opened: Opened, plan: Any) -> Any:
        """Batches of the rows that the mapping takes, with their source row numbers (from 1)."""
        at = 1
        for batch in opened.batches:
            rows = np.arange(at, at + batch.num_rows, dtype=np.int64)
            at += batch.num_rows
            self._read += batch.num_rows
            if opened.tags:
                batch = ogr.tags_batch(batch, opened.tags, list(plan.reads))
            if plan.where:
                mask = selected(batch, plan.where)
                batch, rows = batch.filter(pa.array(mask)), rows[mask]
            if batch.num_rows:
                yield batch, rows
            else:
                self.say(protocol.STATS, {"read": self._read, "accepted": 0, "rejected": 0, "selected": 0})

    def _judge(self, batch: pa.RecordBatch, source: int) -> None:
        """Refuse a file whose coordinates cannot be the city's, before anything is written."""
        target = self.request.target
        found = diagnose(
            shapes.sample(batch.column(GEOMETRY)),
            source,
            target.extent,
            target.storage,
            offered=target.offered,
        )
        # Without one readable coordinate each row is rejected with its own reason.
        if found.mistake != "no-coordinates":
            place.refuse_unless_there(found, allow_outside=self.request.allow_outside)

    def _ask_for_fids(self, count: int) -> None:
        self.say(protocol.FIDS, {"count": count})
        answer = orjson.loads(self._in.readline())
        self._next_fid, self._fids_left = int(answer["first"]), int(answer["count"])

    def _convert(self, pipeline: Pipeline, batch: pa.RecordBatch, rows: Any) -> None:
        done = pipeline.run(batch, rows, self._next_fid)
        self._next_fid += done.accepted
        self._fids_left -= done.accepted
        self.say(
            protocol.STATS,
            {
                "read": self._read,
                "selected": batch.num_rows,
                "accepted": done.accepted,
                "rejected": batch.num_rows - done.accepted,
                "counts": done.counts,
                "first_fid": self._next_fid - done.accepted,
            },
        )
        if self.request.write and done.accepted:
            protocol.send(self._out, protocol.ROWS, done.rows.astype("<i8").tobytes())
            protocol.send(self._out, protocol.COPY, done.body)
        self._say_rejects(done.rejects)

    def _report_duplicates(self, batch: pa.RecordBatch, rows: Any, source: int) -> None:
        messages = self.request.duplicates
        mask = np.isin(rows, np.fromiter(messages, dtype=np.int64, count=len(messages)))
        if not mask.any():
            return
        import shapely

        raw = np.asarray(batch.column(GEOMETRY).to_numpy(zero_copy_only=False), dtype=object)
        raw[~mask] = None
        given = shapely.from_wkb(raw, on_invalid="ignore")
        found = reject_records(
            batch, rows, mask, given, source, lambda i: [("duplicate", "", messages[int(rows[i])])]
        )
        self._say_rejects(found)

    def _say_rejects(self, records: list[dict[str, Any]]) -> None:
        for start in range(0, len(records), 500):
            self.say(protocol.REJECTS, records[start : start + 500])

    def _done(self, opened: Opened, pipeline: Pipeline, warnings: list[str]) -> None:
        found = pipeline.text.verdict()
        self.say(
            protocol.DONE,
            {
                "read": self._read,
                "conversions": pipeline.notes,
                "warnings": warnings,
                "encoding": "utf-8" if opened.encoding == "auto" else opened.encoding,
                "encoding_how": opened.encoding_how,
                "suspicion": None
                if not found.encoding
                else {
                    "encoding": found.encoding,
                    "confidence": found.confidence,
                    "words": found.words,
                    "example": found.example,
                },
            },
        )


def _dimension(geometry: str) -> int:
    return -1 if geometry == "Geometry" else 0 if "Point" in geometry else 1 if "Line" in geometry else 2


def _source_crs(request: ReadRequest, opened: Opened) -> tuple[int, str]:
    """The CRS of the coordinates and how it is known. Raises LoadRefused or UsageError."""
    fixed = request.format.crs
    if fixed is not None and request.crs not in (None, fixed):
        raise UsageError(
            f"{request.format.name} is always EPSG:{fixed}",
            hint="save it in another format, GeoPackage for example, when it is not",
        )
    return place.crs_of(opened.crs, request.crs)


def main() -> None:
    """Entry point of the child."""
    stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
    request: ReadRequest | None = confine.take_request(stdin)
    if request is None:
        return
    child = Child(request, stdin, stdout)
    with confine.telling(child.say):
        sandbox.limit(request.limits)
        pa.set_cpu_count(1)
        pa.set_io_thread_count(1)
        if request.format != formats.GEOPARQUET and request.format.driver != "Parquet":
            ogr.leave_one_driver(request.format.driver, request.work)
        crs.definition(request.target.storage)
        confine.shut_in([*request.parts, request.path], request.work)
        child.run()


__all__ = ["FID", "main", "parquet"]
