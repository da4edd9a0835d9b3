"""Parent side of reading: stages the files under safe names, starts the child, takes its frames."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import pickle
import select
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from gis import errors
from gis.errors import BandosoError, LoadRefused
from gis.ingest import archive, formats, protocol
from gis.ingest.formats import Source
from gis.ingest.protocol import ReadRequest
from gis.ingest.spawn import Waiting, start

_PIPE_BYTES = 1 << 20
_STDERR_TAIL = 4_000


@dataclass(frozen=True)
class Staged:
    """A delivery under safe names in a work folder that lasts as long as the load."""

    source: Source
    path: Path
    work: Path


@contextmanager
def staged(path: Path, source_layer: str | None = None) -> Iterator[Staged]:
    """Sniff ``path``, unpack it when it is a zip, and link its parts as ``source.*`` in a fresh folder.

    GDAL never sees the user's file name, nor any file beside the delivery. Raises LoadRefused, NotFoundError.
    """
    work = Path(tempfile.mkdtemp(prefix="bandoso-load-"))
    try:
        if not path.exists():
            raise errors.NotFoundError(f"there is no file {path.name}")
        if formats.is_zip(path):
            unpacked = work / "unpacked"
            unpacked.mkdir()
            archive.unpack(path, unpacked)
            source = archive.find_delivery(unpacked, path.name, source_layer)
        else:
            source = formats.sniff(path.resolve())
        links = work / "files"
        links.mkdir()
        main = links / f"source{source.format.suffix}"
        main.symlink_to(source.main.resolve())
        for part in source.parts:
            if part != source.main and source.main.is_file():
                (links / f"source{part.suffix.lower()}").symlink_to(part.resolve())
        log = source.main.with_name(source.main.name + "-wal")
        if source.format == formats.GEOPACKAGE and log.is_file():
            (links / f"{main.name}-wal").symlink_to(log.resolve())
            source = dataclasses.replace(source, parts=(*source.parts, log))
        yield Staged(source, main, work)
    finally:
        shutil.rmtree(work, ignore_errors=True)


class Reader:
    """A running child. Iterate ``frames``; answer a request for feature ids with ``grant``."""

    def __init__(self, request: ReadRequest, waiting: Waiting | None = None) -> None:
        self._limits = request.limits
        child = waiting or start()
        self._process, self._stderr = child.process, child.stderr
        assert self._process.stdin and self._process.stdout
        self._in, self._out = self._process.stdin, self._process.stdout
        with contextlib.suppress(OSError):
            fcntl.fcntl(self._out, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._write(pickle.dumps(request))

    @property
    def pid(self) -> int:
        """Process id, for measuring."""
        return self._process.pid

    def frames(self) -> Iterator[tuple[bytes, bytearray]]:
        """(kind, payload) until the child is done. Raises what the child found as a BandosoError."""
        while True:
            kind, length = protocol.split_head(bytes(self._exactly(9)))
            payload = self._exactly(length)
            if kind == protocol.ERROR:
                raise _as_error(orjson.loads(payload))
            yield kind, payload
            if kind == protocol.DONE:
                return

    def grant(self, first: int, count: int) -> None:
        """Answer FIDS: feature ids ``first`` to ``first + count - 1`` may be given out."""
        self._write(orjson.dumps({"first": first, "count": count}) + b"\n")

    def close(self) -> None:
        """End the child, however far it is."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._in.close()
        self._out.close()
        self._stderr.close()

    def _write(self, data: bytes) -> None:
        try:
            view = memoryview(data)
            while view:
                view = view[self._in.write(view) or 0 :]
        except BrokenPipeError:
            raise self._ended() from None

    def _exactly(self, count: int) -> bytearray:
        data = bytearray(count)
        view = memoryview(data)
        at = 0
        poll = select.poll()
        poll.register(self._out, select.POLLIN | select.POLLHUP)
        while at < count:
            if not poll.poll(self._limits.silence_seconds * 1000):
                self._process.kill()
                raise LoadRefused(
                    f"reading the file made no progress for {self._limits.silence_seconds:g} s",
                    code="reader-timeout",
                )
            got = os.readv(self._out.fileno(), [view[at:]])
            if got == 0:
                raise self._ended()
            at += got
        return data

    def _ended(self) -> LoadRefused:
        """Why a child ended without a word."""
        status = self._process.wait()
        self._stderr.seek(0)
        said = self._stderr.read()[-_STDERR_TAIL:].decode("utf-8", "replace")
        if os.environ.get("BANDOSO_DEBUG"):
            sys.stderr.write(said)
        if status == -24 or status == -9:
            why = "took more processor time or memory than a load may"
        elif status < 0 or "MemoryError" in said or "bad_alloc" in said:
            why = "made the reader fail; it is damaged, or made to do harm"
        else:
            why = "cannot be read"
        return LoadRefused(f"the file {why}", code="reader-failed", hint="nothing was changed")


def _as_error(said: dict[str, Any]) -> BandosoError:
    kind = getattr(errors, str(said.get("kind")), LoadRefused)
    if not (isinstance(kind, type) and issubclass(kind, BandosoError)):
        kind = LoadRefused
    return kind(str(said["message"]), code=said.get("code"), hint=said.get("hint"))
