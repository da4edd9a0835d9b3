"""Loads a delivery into a layer: stage, read in the child, write, report."""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import psycopg
from psycopg.sql import Identifier

from gis import crs
from gis.city import City
from gis.db.server import Database
from gis.errors import LoadRefused, NotFoundError, UsageError
from gis.ingest import protocol
from gis.ingest.compare import Staged, inspect
from gis.ingest.mapping import Mapping, constant, read_mapping
from gis.ingest.protocol import ReadRequest
from gis.ingest.reader import Reader, staged
from gis.ingest.rehearse import Rehearsal
from gis.ingest.rejects import RejectsFile, check_place
from gis.ingest.report import LoadReport
from gis.ingest.sandbox import Limits
from gis.ingest.spawn import Waiting
from gis.ingest.target import Target
from gis.ingest.write import LayerWriter, Mode
from gis.settings import Settings
from layers.registry import Catalogue, Layer

#: Called with (rows read, rows of the source or None).
Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class LoadRequest:
    """What to load, and how; the options of ``bandoso load``."""

    file: Path
    layer: str
    #: EPSG code of the coordinates; None takes the file's.
    crs: int | None = None
    encoding: str = "auto"
    mapping: Path | Mapping | None = None
    mode: Mode = "append"
    source_layer: str | None = None
    dry_run: bool = False
    owner: str | None = None
    #: Who loads it (default: the operator's login name), and why: of the changeset that the load is.
    author: str | None = None
    comment: str | None = None
    #: Take features outside the city's extent.
    allow_outside: bool = False
    #: Take features that lie off the layer's as by a CRS mistake.
    allow_shift: bool = False
    #: Take geometry that is not valid; checks will find it.
    accept_invalid: bool = False
    #: Where rejected rows are listed; default ``<file name>.rejects.geojson`` in the current folder.
    rejects: Path | None = None
    limits: Limits = field(default_factory=Limits)


def load(
    settings: Settings,
    db: Database | None,
    city: City,
    catalogue: Catalogue,
    request: LoadRequest,
    progress: Progress = lambda _done, _total: None,
    child: Waiting | None = None,
) -> LoadReport:
    """Load one delivery; ``child`` may have been started before.

    ``db`` may be None for a dry run, which then is not compared with the layer.

    Raises NotFoundError (file, layer), UsageError (mapping, options), LoadRefused (the delivery cannot be
    what it says; nothing was changed) or DatabaseError.
    """
    started = time.monotonic()
    layer = _layer(catalogue, city, request)
    if request.crs is not None:
        crs.definition(request.crs)
    mapping = request.mapping if isinstance(request.mapping, Mapping) else Mapping()
    if isinstance(request.mapping, Path):
        mapping = read_mapping(request.mapping)
    if request.owner is not None:
        mapping = mapping.model_copy(update={"fields": {**mapping.fields, "owner": constant(request.owner)}})
    rejects = _rejects(settings, request)
    target = Target.of(layer, city, request.owner)
    with staged(request.file, request.source_layer) as delivery:
        reading = ReadRequest(
            format=delivery.source.format,
            path=delivery.path,
            parts=delivery.source.parts,
            work=delivery.work,
            target=target,
            mapping=mapping,
            limits=request.limits,
            source_layer=request.source_layer,
            stem=delivery.source.main.stem,
            encoding=request.encoding,
            crs=request.crs,
            allow_outside=request.allow_outside,
            accept_invalid=request.accept_invalid,
            write=db is not None,
        )
        report = LoadReport(
            layer=layer.id,
            source=request.file.name,
            format=delivery.source.format.name,
            mode=request.mode,
            dry_run=request.dry_run,
        )
        job = _Job(reading, report, rejects, progress, request, layer, child)
        try:
            columns = (*target.columns, "geom", "load_id")
            if not request.dry_run:
                assert db is not None
                with LayerWriter(
                    db, city, layer, request.mode, columns, request.author, request.comment
                ) as writer:
                    job.load(writer, started)
            elif db is not None:
                with Rehearsal(db, city, layer, request.mode, columns) as rehearsal:
                    job.rehearse(rehearsal)
            else:
                job.read(None)
                report.added = report.loaded
                report.rejects_file = _name(rejects.finish())
        except BaseException:
            if report.rejected and report.loaded == 0 and report.selected:
                rejects.finish()
            else:
                rejects.discard()
            raise
    report.seconds = round(time.monotonic() - started, 2)
    return report


def _rejects(settings: Settings, request: LoadRequest) -> RejectsFile:
    """Where the user says; or in the current folder, or where that may not be written, the data folder."""
    if request.rejects is not None:
        check_place(request.rejects)
        return RejectsFile(request.rejects)
    here = Path.cwd()
    folder = here if os.access(here, os.W_OK) else settings.data_dir / "rejects"
    return RejectsFile(folder / f"{request.file.name}.rejects.geojson")


def _layer(catalogue: Catalogue, city: City, request: LoadRequest) -> Layer:
    layer = catalogue.layers.get(request.layer)
    if layer is None:
        raise NotFoundError(f"there is no layer {request.layer!r}", hint="bandoso layers lists them")
    if not layer.definition.loadable:
        raise UsageError(f"{layer.id} is filled by bandoso itself and takes no deliveries")
    if request.owner is not None and request.owner not in city.agency_ids:
        raise UsageError(
            f"there is no agency {request.owner!r} in the city's file", hint=", ".join(city.agency_ids)
        )
    return layer


class _Job:
    """Carries frames from the reader to the writer and the report."""

    def __init__(
        self,
        reading: ReadRequest,
        report: LoadReport,
        rejects: RejectsFile,
        progress: Progress,
        request: LoadRequest,
        layer: Layer,
        child: Waiting | None,
    ) -> None:
        self._child = child
        self._reading, self._report, self._rejects, self._progress = reading, report, rejects, progress
        self._request, self._layer = request, layer
        self._total: int | None = None
        #: Source rows of the fids given out: (first fid, source rows).
        self._rows: list[tuple[int, np.ndarray]] = []

    def load(self, writer: LayerWriter, started: float) -> None:
        """Read, write, and commit."""
        report = self._report
        writer.begin(report.source)
        report.load_id = writer.load_id
        self._reading = ReadRequest(**{**vars(self._reading), "load_id": writer.load_id})
        self.read(writer)
        before = time.monotonic()
        self._settle(writer)
        report.stages = {**writer.stages, "settle": round(time.monotonic() - before, 3)}
        report.seconds = round(time.monotonic() - started, 2)
        writer.commit(report.loaded, report.rejected, report.as_dict())
        report.stages |= writer.stages

    def rehearse(self, rehearsal: Rehearsal) -> None:
        """Read, and compare with the layer."""
        report = self._report
        if rehearsal.begin():
            self.read(rehearsal)
            self._settle(rehearsal)
            report.compared = True
            return
        report.warnings.append(f"not compared with {report.layer}: the database has no such table yet")
        self._reading = ReadRequest(**{**vars(self._reading), "write": False})
        self.read(None)
        report.added = report.loaded
        report.rejects_file = _name(self._rejects.finish())

    def _settle(self, writer: LayerWriter | Rehearsal) -> None:
        """Compare with the layer, and count what came of the rows."""
        report = self._report
        done = writer.settle(tuple(report.fields), self._inspect)
        report.rejected += len(done.duplicates)
        if done.duplicates:
            report.reasons["duplicate"] += len(done.duplicates)
            self._list_duplicates(done.duplicates)
        report.loaded -= len(done.duplicates)
        report.updated, report.unchanged, report.removed = done.updated, done.unchanged, done.removed
        report.added = report.loaded - done.updated - done.unchanged
        _refuse_nothing(report)
        report.rejects_file = _name(self._rejects.finish())

    def _inspect(self, connection: psycopg.Connection, table: Identifier) -> None:
        report, reading = self._report, self._reading
        assert report.crs is not None
        staged = Staged(connection, self._layer, table, report.loaded, report.crs, reading.target.storage)
        report.warnings += inspect(
            staged,
            tuple(report.fields),
            append=self._request.mode == "append",
            allow_shift=self._request.allow_shift,
            any_crs=reading.format.crs is None,
        )

    def read(self, writer: LayerWriter | Rehearsal | None) -> None:
        """Take all frames of the child."""
        report = self._report
        reader = Reader(self._reading, self._child)
        first_fid = 0
        try:
            for kind, payload in reader.frames():
                if kind == protocol.COPY:
                    assert writer is not None
                    writer.write(payload)
                elif kind == protocol.ROWS:
                    self._rows.append((first_fid, np.frombuffer(payload, "<i8")))
                elif kind == protocol.REJECTS:
                    self._rejects.add(orjson.loads(payload))
                elif kind == protocol.FIDS:
                    assert writer is not None
                    count = int(orjson.loads(payload)["count"])
                    reader.grant(writer.reserve(count), count)
                else:
                    content = orjson.loads(payload)
                    first_fid = int(content.get("first_fid", 0))
                    self._note(kind, content)
        finally:
            reader.close()
        _refuse_nothing(report)

    def _note(self, kind: bytes, content: dict[str, Any]) -> None:
        report = self._report
        if kind == protocol.HEADER:
            report.source_layer = content["layer"]
            report.crs, report.crs_how = content["crs"], content["crs_how"]
            report.fields, report.unmatched = content["fields"], content["unmatched"]
            report.ambiguous = content["ambiguous"]
            self._total = content["count"]
            if self._request.mode == "upsert" and "asset_id" not in report.fields:
                raise UsageError(
                    "upsert needs a column for asset_id", hint="name it in a mapping, or use --mode append"
                )
        elif kind == protocol.STATS:
            report.read = content["read"]
            report.selected += content["selected"]
            report.loaded += content["accepted"]
            report.rejected += content["rejected"]
            report.reasons += Counter(content.get("counts", {}))
            self._progress(report.read, self._total)
        elif kind == protocol.DONE:
            report.read = content["read"]
            report.conversions = content["conversions"]
            report.warnings += content["warnings"]
            report.encoding, report.encoding_how = content["encoding"], content["encoding_how"]
            doubt = content["suspicion"]
            if doubt:
                report.warnings.append(
                    f"some text may be {doubt['encoding']} ({doubt['confidence']:.0%} sure from "
                    f"{doubt['words']} words, such as {doubt['example'][0]!r} for {doubt['example'][1]!r})"
                )

    def _list_duplicates(self, duplicates: list[Any]) -> None:
        """A second reading puts the rows that the database found to be duplicates into the rejects file."""
        starts = np.array([first for first, _ in self._rows])

        def row_of(fid: int | None) -> int | None:
            if fid is None:
                return None
            block = int(np.searchsorted(starts, fid, side="right")) - 1
            return int(self._rows[block][1][fid - self._rows[block][0]])

        messages = {}
        for duplicate in duplicates:
            row = row_of(duplicate.fid)
            assert row is not None
            messages[row] = duplicate.message(row_of(duplicate.first))
        reader = Reader(ReadRequest(**{**vars(self._reading), "write": False, "duplicates": messages}))
        try:
            for kind, payload in reader.frames():
                if kind == protocol.REJECTS:
                    self._rejects.add(orjson.loads(payload))
        finally:
            reader.close()


def _refuse_nothing(report: LoadReport) -> None:
    """A load without a single row is a mistake; as a replace it would empty the layer."""
    if report.loaded:
        return
    if not report.selected:
        what = "has no rows" if not report.read else f"has {report.read:,} rows, but the mapping takes none"
        raise LoadRefused(f"{report.source} {what}", code="no-rows")
    worst = ", ".join(f"{n:,} {_words(code)}" for code, n in report.reasons.most_common(3))
    raise LoadRefused(
        f"all {report.selected:,} rows of {report.source} were rejected ({worst})",
        code="all-rejected",
        hint="each row and its reason is in the rejects file",
    )


def _words(code: str) -> str:
    return re.sub("-", " ", code)


def _name(path: Path | None) -> str | None:
    return None if path is None else str(path)
