"""A page of a PDF as an image: PDFium draws it, numpy and zlib write the PNG."""

from __future__ import annotations

import struct
import threading
import zlib
from typing import Final

import numpy as np

#: PDFium is not made for several threads.
_ONE_AT_A_TIME: Final = threading.Lock()


def png_of(pdf: bytes, width: int, height: int) -> bytes:
    """The first page as a PNG of so many pixels (8 bits, RGB)."""
    import pypdfium2  # 20 MB that a process without images does without

    with _ONE_AT_A_TIME:
        document = pypdfium2.PdfDocument(pdf)
        try:
            page = document[0]
            bitmap = page.render(scale=max(width / page.get_width(), height / page.get_height()))
            pixels = np.array(bitmap.to_numpy()[:height, :width, 2::-1])
            bitmap.close()
        finally:
            document.close()
    return png(pixels)


def png(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    """A PNG of an array (height, width, 3)."""
    height, width = pixels.shape[:2]
    # Each row as the difference from the one above: maps have large even areas.
    rows = np.empty((height, 1 + width * 3), np.uint8)
    rows[:, 0] = 2
    flat = pixels.reshape(height, width * 3)
    rows[0, 1:] = flat[0]
    rows[1:, 1:] = flat[1:] - flat[:-1]
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    resolution = struct.pack(">IIB", 3780, 3780, 1)  # 96 to the inch
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        _chunk(kind, data)
        for kind, data in (
            (b"IHDR", head),
            (b"pHYs", resolution),
            (b"IDAT", zlib.compress(rows.tobytes(), 6)),
            (b"IEND", b""),
        )
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
