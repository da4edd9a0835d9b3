"""The process that writes files: job after job, until its parent is gone.

Started by gis.export.writers with a clean environment and one socket to its parent as standard input and
output. It needs no network and no database, and sees its own folder only. GDAL and Arrow are imported for
the first job that needs them: FlatGeobuf that flows is written without.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import traceback
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from gis.export import model
from gis.ingest import sandbox

if TYPE_CHECKING:
    from gis.export.copyrows import Rows

#: Of one writer. Its time is that of all its jobs.
_LIMITS = sandbox.Limits(
    address_space=8_000_000_000, cpu_seconds=14 * 24 * 3600, file_size=40_000_000_000, open_files=128
)


def main() -> None:
    """Write for the parent behind standard input."""
    sandbox.die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    sandbox.limit(_LIMITS)
    try:
        Child().run()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


class Child:
    """A writer and its conversation."""

    def run(self) -> None:
        """Job after job. Raises EOFError when the parent has left."""
        kind, path = _receive()
        assert kind == model.FOLDER
        self.folder = Path(os.fsdecode(bytes(path)))
        os.chdir(self.folder)
        os.environ["TMPDIR"] = str(self.folder)
        sandbox.shut_in_program([], self.folder)

        import_module("gis.export.flatgeobuf")  # while there is no job yet

        while True:
            kind, payload = _receive()
            assert kind == model.JOB
            job = pickle.loads(payload)  # noqa: S301 - from our parent
            try:
                if isinstance(job, model.Flow):
                    _flow(job, self.folder)
                else:
                    _file(job, self.folder / model.MADE)
            except (EOFError, BrokenPipeError, ConnectionResetError):
                raise
            except Exception as error:
                traceback.print_exc()
                # What is still on its way belongs to this job: the parent ends a writer that failed.
                _send(model.FAILED, f"{type(error).__name__}: {error}".encode())
                return


def _flow(job: model.Flow, folder: Path) -> None:
    from gis.export import flatgeobuf

    form = job.form
    if job.head:
        from gis.export import gdalfile

        _send(model.DATA, gdalfile.flatgeobuf_head(form, folder))
    types = [kind for _, kind in form.fields]
    while True:
        kind, payload = _receive()
        if kind == model.END:
            _send(model.DONE, b"")
            return
        rows = _rows(payload, len(types) + 1)
        made = flatgeobuf.features(
            rows, types, shapes=form.shapes, heights=form.heights, tell_kind=form.any_kind
        )
        _send(model.DATA, made.data)


def _file(job: model.File, path: Path) -> None:
    from gis.export import gdalfile

    path = path.with_suffix(f".{job.output}")  # GDAL looks at it
    form: model.Form | None = None
    first = True
    while True:
        kind, payload = _receive()
        if kind in (model.LAYER, model.END):
            if form is not None and first:  # a layer without features is a layer
                table = gdalfile.table_of_tuples(form, ())
                gdalfile.write(path, job.output, form, table, first=True, index=job.index)
            if kind == model.END:
                break
            form, first = pickle.loads(payload), True  # noqa: S301 - from our parent
            continue
        assert form is not None
        if kind == model.COPIED:
            table = gdalfile.table_of_rows(form, _rows(payload, len(form.fields) + 1))
        else:
            table = gdalfile.table_of_tuples(form, pickle.loads(payload))  # noqa: S301 - from our parent
        if job.measured and gdalfile.has_heights(table):
            form = replace(form, heights=True)
        gdalfile.write(path, job.output, form, table, first=first, index=job.index)
        first = False
    path.rename(path.with_suffix(""))
    _send(model.DONE, b"")


def _rows(payload: bytearray, fields: int) -> Rows:
    import numpy as np

    from gis.export.copyrows import rows_of

    count = int.from_bytes(payload[:4], sys.byteorder)
    lengths = np.frombuffer(payload, np.uint32, count, 4)
    return rows_of(lengths, memoryview(payload)[4 + 4 * count :], fields)


def _receive() -> tuple[bytes, bytearray]:
    kind, length = model.HEAD.unpack(_exactly(model.HEAD.size))
    return kind, _exactly(length)


def _exactly(count: int) -> bytearray:
    data = bytearray(count)
    view = memoryview(data)
    while view:
        got = os.readv(0, [view])
        if not got:
            raise EOFError
        view = view[got:]
    return data


def _send(kind: bytes, payload: bytes | memoryview) -> None:
    for view in (memoryview(model.HEAD.pack(kind, len(payload))), memoryview(payload)):
        while view:
            view = view[os.write(1, view) :]
