"""The child process that reads a delivered raster: shut in, limited, and the only one that parses its bytes.

Started as the reader of vector deliveries is (gis.ingest.spawn); answers with frames (gis.ingest.protocol).
"""

from __future__ import annotations

import base64
import ctypes
import dataclasses
import os
import sys
import threading
from collections.abc import Set
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from gis import crs
from gis.ingest import confine, protocol, sandbox
from gis.ingest.raster.request import OverviewRequest, RasterRequest

#: Of GDAL, what is left: the format's own driver, and those that write and warp.
_WRITING = {"GTiff", "COG", "MEM", "VRT"}

#: Seconds between two signs of life while GDAL works by itself (overviews, copying).
_SIGN = 20.0

_SETTINGS = {
    "GDAL_CACHEMAX": "256",
    "GDAL_NUM_THREADS": "2",
    "GDAL_TIFF_INTERNAL_MASK": "YES",
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": "NO",
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": "{none}",
    "GDAL_GEOREF_SOURCES": "INTERNAL",
    "GDAL_JPEG_TO_RGB": "YES",
    "OPJ_NUM_THREADS": "2",
    # A header of a few bytes may claim any size; memory is bounded by the process's limit.
    "GDAL_MAX_RASTER_FILESIZE_MULTIPLIER": "1000",
}


class _Voice:
    """Frames to the parent, from two threads."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._lock = stream, threading.Lock()
        self._last = b"{}"

    def say(self, kind: bytes, content: Any) -> None:
        body = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
        with self._lock:
            if kind == protocol.STATS:
                self._last = body
            protocol.send(self._stream, kind, body)

    def progress(self, done: int, total: int) -> None:
        self.say(protocol.STATS, {"done": done, "total": total})

    def live(self, over: threading.Event) -> None:
        while not over.wait(_SIGN):
            with self._lock:
                protocol.send(self._stream, protocol.STATS, self._last)


def main() -> None:
    """Entry point of the child."""
    request: RasterRequest | OverviewRequest | None = confine.take_request(sys.stdin.buffer)
    if request is None:
        return
    os.environ |= {**_SETTINGS, "CPL_TMPDIR": str(request.work)}
    voice = _Voice(sys.stdout.buffer)
    with confine.telling(voice.say):
        sandbox.limit(request.limits)
        environment = _leave_drivers(request.drivers | _WRITING)
        from gis.ingest.raster.convert import convert
        from gis.ingest.raster.overview import build

        crs.definition(request.storage)
        confine.shut_in(request.parts, request.work)
        over = threading.Event()
        threading.Thread(target=voice.live, args=(over,), daemon=True).start()
        try:
            with environment:
                if isinstance(request, RasterRequest):
                    result = convert(request, voice.progress)
                else:
                    result = build(request, voice.progress)
        finally:
            over.set()
        footprint = base64.b64encode(result.footprint).decode()
        voice.say(protocol.DONE, {**dataclasses.asdict(result), "footprint": footprint})


def _leave_drivers(kept: Set[str]) -> Any:
    """Take away all drivers of GDAL but a few; gives a rasterio environment to work in.

    By GDAL's own call: GDAL_SKIP counts only before the first registration, when their names are not known.
    Raises when others are left.
    """
    import rasterio

    environment = rasterio.Env()
    with environment as few:
        gdal = ctypes.CDLL(_library())
        gdal.GDALGetDriverByName.restype = ctypes.c_void_p
        for name in sorted(set(few.drivers()) - kept):
            driver = gdal.GDALGetDriverByName(name.encode())
            if driver:
                gdal.GDALDeregisterDriver(ctypes.c_void_p(driver))
        left = set(few.drivers()) - kept
    if left:
        raise RuntimeError(f"GDAL kept {sorted(left)}")
    return environment


def _library() -> str:
    """The GDAL that rasterio has loaded."""
    with Path("/proc/self/maps").open(encoding="utf-8") as maps:
        found = {line.split(maxsplit=5)[5].strip() for line in maps if "libgdal" in line}
    if len(found) != 1:
        raise RuntimeError(f"{len(found)} GDALs are loaded")
    return found.pop()
