"""Serves the built page: /map and its assets, glyphs and sprites, all from gis/web/dist.

Files with a hash in their name may be kept for ever, the others are asked for again with their ETag.
A name is looked up among the files that exist, so no path can lead outside the folder.
"""

from __future__ import annotations

import asyncio
import gzip
import mimetypes
import re
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gis.api.compress import accepts_brotli, accepts_gzip
from gis.api.negotiate import etag_of, has_current, known_parameters
from gis.errors import DatabaseError, NotFoundError, UsageError
from gis.resources import web_dir

#: What the page may load: its own files, no inline script or style, pictures that it makes itself.
PAGE_CSP = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'"
)

#: The map that other sites show in a frame: without logins and tools (gis/web/src/embed.ts).
EMBED_CSP = PAGE_CSP.replace("frame-ancestors 'self'", "frame-ancestors *")

FOREVER = "public, max-age=31536000, immutable"
DAY = "public, max-age=86400"
REVALIDATE = "no-cache"

_GLYPH_RANGE = re.compile(r"(\d{1,5})-(\d{1,5})\.pbf\Z")
_SPRITE = re.compile(r"[a-z0-9_-]{1,48}(?:@2x)?\.(?:json|png)\Z")
_HASHED = re.compile(r"-[A-Za-z0-9_-]{8,}\.[a-z0-9]+\Z")
_TEXT = ("text/", "application/json", "application/javascript", "image/svg+xml", "application/x-protobuf")

#: Bytes of files kept in memory by each process.
CACHE_BYTES = 16_000_000
#: Larger files are read anew each time.
CACHE_FILE_BYTES = 4_000_000


@dataclass(frozen=True)
class File:
    """A file's bytes, plain and packed (gzip, brotli; if that is smaller), and its ETag."""

    stamp: tuple[int, int]
    body: bytes
    gzip: bytes | None
    brotli: bytes | None
    media_type: str
    etag: str


class Files:
    """Reads files under one folder and keeps the most recently used ones."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._kept: OrderedDict[str, File] = OrderedDict()
        self._bytes = 0

    def get(self, name: str) -> File | None:
        """The file, read again when it has changed on disk; None when there is none of that name."""
        if "\0" in name or "\\" in name or any(part in ("", ".", "..") for part in name.split("/")):
            return None
        path = self._root / name
        try:
            status = path.stat()
            if not path.is_file() or not path.resolve().is_relative_to(self._root.resolve()):
                return None
        except (OSError, ValueError):
            return None
        stamp = (status.st_mtime_ns, status.st_size)
        kept = self._kept.get(name)
        if kept is not None and kept.stamp == stamp:
            self._kept.move_to_end(name)
            return kept
        file = _read(path, stamp)
        self._forget(name)
        if len(file.body) <= CACHE_FILE_BYTES:
            self._kept[name] = file
            self._bytes += _size(file)
            while self._bytes > CACHE_BYTES:
                self._forget(next(iter(self._kept)))
        return file

    def _forget(self, name: str) -> None:
        gone = self._kept.pop(name, None)
        if gone is not None:
            self._bytes -= _size(gone)


def _size(file: File) -> int:
    return len(file.body) + len(file.gzip or b"") + len(file.brotli or b"")


def _read(path: Path, stamp: tuple[int, int]) -> File:
    body = path.read_bytes()
    media_type = "application/x-protobuf" if path.suffix == ".pbf" else mimetypes.guess_type(path.name)[0]
    media_type = media_type or "application/octet-stream"
    packed: bytes | None = None
    brotli: bytes | None = None
    if media_type.startswith(_TEXT) and len(body) > 500:
        packed = _smaller(_beside(path, ".gz") or gzip.compress(body, 6, mtime=0), body)
        brotli = _smaller(_beside(path, ".br"), packed or body)
    if media_type.startswith("text/"):
        media_type += "; charset=utf-8"
    return File(stamp, body, packed, brotli, media_type, etag_of(body))


def _beside(path: Path, suffix: str) -> bytes | None:
    """What the page's build packed (gis/web/build/pack.ts)."""
    ready = path.with_name(path.name + suffix)
    return ready.read_bytes() if ready.is_file() else None


def _smaller(packed: bytes | None, plain: bytes) -> bytes | None:
    return packed if packed is not None and len(packed) < len(plain) else None


_FILES = Files(web_dir())


async def _serve(request: Request, name: str, cache: str, csp: str | None = None) -> Response | None:
    file = await asyncio.to_thread(_FILES.get, name)
    if file is None:
        return None
    body, coding, etag = file.body, "", file.etag
    if file.brotli is not None and accepts_brotli(request.headers):
        body, coding, etag = file.brotli, "br", file.etag[:-1] + '-br"'
    elif file.gzip is not None and accepts_gzip(request.headers):
        body, coding, etag = file.gzip, "gzip", file.etag[:-1] + '-gz"'
    headers = {"ETag": etag, "Cache-Control": cache}
    if file.gzip is not None or file.brotli is not None:
        headers["Vary"] = "Accept-Encoding"
    if csp:
        headers["Content-Security-Policy"] = csp
    if has_current(request, etag):
        return Response(status_code=304, headers=headers)
    if coding:
        headers["Content-Encoding"] = coding
    return Response(body, headers={**headers, "Content-Type": file.media_type})


async def page(request: Request) -> Response:
    """The map page. Its parameters are the page's own business and are not checked here."""
    return await _page(request, PAGE_CSP)


async def embedded(request: Request) -> Response:
    """The same page for a frame on any site: it looks at its address and leaves logins and tools out."""
    return await _page(request, EMBED_CSP)


async def _page(request: Request, csp: str) -> Response:
    answer = await _serve(request, "index.html", REVALIDATE, csp)
    if answer is None:
        raise DatabaseError(
            "the page is not built in this installation", code="page-not-built", hint="run scripts/page"
        )
    return answer


async def asset(request: Request) -> Response:
    """A file of the page beside its HTML."""
    name: str = request.path_params["name"]
    cache = FOREVER if _HASHED.search(name) else REVALIDATE
    answer = None
    if not name.endswith((".html", ".gz", ".br")):
        answer = await _serve(request, name, cache, PAGE_CSP)
    if answer is None:
        raise NotFoundError("there is no such file")
    return answer


async def glyphs(request: Request) -> Response:
    """Glyphs of the first font of the stack that is here; a range without glyphs is an empty message."""
    known_parameters(request, ())
    stack, name = request.path_params["stack"], request.path_params["name"]
    wanted = _GLYPH_RANGE.match(name)
    if not wanted or int(wanted[1]) % 256 or int(wanted[2]) != int(wanted[1]) + 255 or int(wanted[2]) > 65535:
        raise UsageError("glyphs come in ranges of 256, such as 0-255.pbf", code="invalid-range")
    for font in stack.split(",")[:8]:
        if "/" in font:
            continue
        answer = await _serve(request, f"fonts/{font}/{name}", DAY)
        if answer is not None:
            return answer
        if await asyncio.to_thread(_FILES.get, f"fonts/{font}/0-255.pbf"):
            return Response(b"", headers={"Content-Type": "application/x-protobuf", "Cache-Control": DAY})
    raise NotFoundError("there is no such font", hint="the fonts are Be Vietnam Pro Regular and Bold")


async def sprite(request: Request) -> Response:
    """The sprite sheet or its index."""
    known_parameters(request, ())
    name: str = request.path_params["name"]
    answer = await _serve(request, f"sprites/{name}", DAY) if _SPRITE.match(name) else None
    if answer is None:
        raise NotFoundError("there is no such sprite")
    return answer


ROUTES = [
    Route("/map", page),
    Route("/map/", page),
    Route("/map/embed", embedded),
    Route("/map/{name:path}", asset),
    Route("/fonts/{stack}/{name}", glyphs),
    Route("/sprites/{name}", sprite),
]
