"""The archive of all public tiles as a file, for maps that read PMTiles by themselves (Range requests).

Whoever reads it sees the city as it was when it was built; /tiles/... is always right.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from gis.api.negotiate import known_parameters
from gis.api.state import State, state_of
from gis.errors import NotFoundError
from tiles.archived import PUBLIC, archived_layers, file_of, opened

MEDIA_TYPE: Final = "application/vnd.pmtiles"
#: A client that keeps parts asks whether they are still of the same file.
_CACHE_CONTROL: Final = "public, max-age=0, must-revalidate"


async def get_archive(request: Request) -> Response:
    """GET /tiles/public.pmtiles"""
    known_parameters(request, ())
    state = state_of(request)
    path = file_of(state.settings.tiles_folder, PUBLIC)
    file = await asyncio.to_thread(_offered, state, path)
    if file is None:
        raise NotFoundError(
            "there is no archive of all layers as they are public now",
            code="no-archive",
            hint="tiles are at /tiles/WebMercatorQuad/{z}/{y}/{x}; bandoso tiles build makes the archive",
        )
    return _OpenFile(file)


class _OpenFile(FileResponse):
    """Answers from a file that is open, whatever takes its place under its name meanwhile."""

    def __init__(self, file: int) -> None:
        """``file``: a descriptor, closed when the answer is sent or its client has left."""
        super().__init__(
            f"/proc/self/fd/{file}",
            media_type=MEDIA_TYPE,
            stat_result=os.fstat(file),
            headers={"Cache-Control": _CACHE_CONTROL},
        )
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            os.close(self._file)


def _offered(state: State, path: Path) -> int | None:
    """The file, open, if it holds no layer but those that anyone may see now: one that became restricted
    since it was built must not be handed out."""
    for _ in range(2):  # it may be replaced while it is looked at
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        if _is_public(state, path, os.fstat(file)):
            return file
        os.close(file)
    return None


def _is_public(state: State, path: Path, status: os.stat_result) -> bool:
    """Whether the archive of this path and status, which is another one if it was replaced, is offered."""
    public = tuple(layer.id for layer in archived_layers(state.catalogue))
    key = (str(path), status.st_ino, status.st_mtime_ns, status.st_size, public)
    if _known.get("key") != key:
        one = opened(path)
        if one is None:
            return False
        archive, made = one
        archive.close()
        if archive.identity[1:] != (status.st_ino, status.st_mtime_ns, status.st_size):
            return False  # replaced at this moment
        if not made.marks.keys() <= set(public):
            return False
        _known["key"] = key
    return True


#: The file that was looked into last, and the layers that were public then.
_known: dict[str, object] = {}

ROUTES = [Route(f"/tiles/{PUBLIC}.pmtiles", get_archive)]
