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
    status = await asyncio.to_thread(_offered, state, path)
    if status is None:
        raise NotFoundError(
            "there is no archive of all layers as they are public now",
            code="no-archive",
            hint="tiles are at /tiles/WebMercatorQuad/{z}/{y}/{x}; bandoso tiles build makes the archive",
        )
    return FileResponse(
        path, media_type=MEDIA_TYPE, stat_result=status, headers={"Cache-Control": _CACHE_CONTROL}
    )


def _offered(state: State, path: Path) -> os.stat_result | None:
    """The file's status, if it holds no layer but those that anyone may see now: one that became restricted
    since it was built must not be handed out."""
    try:
        status = path.stat()
    except OSError:
        return None
    public = tuple(layer.id for layer in archived_layers(state.catalogue))
    key = (str(path), status.st_ino, status.st_mtime_ns, status.st_size, public)
    if _known.get("key") != key:
        one = opened(path)
        if one is None:
            return None
        archive, made = one
        archive.close()
        if archive.identity[1:] != (status.st_ino, status.st_mtime_ns, status.st_size):
            return None  # replaced at this moment: the next request finds the new one
        if not made.marks.keys() <= set(public):
            return None
        _known["key"] = key
    return status


#: The file that was looked into last, and the layers that were public then.
_known: dict[str, object] = {}

ROUTES = [Route(f"/tiles/{PUBLIC}.pmtiles", get_archive)]
