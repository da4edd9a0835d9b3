"""Writes a PDF file of one page, object by object, so that no more of it is in memory than is being drawn.

Our own 150 lines in place of a library: ReportLab, the one that was tried, keeps the page's operators as
Python strings until the end, and has neither layers (optional content) nor what tells a viewer where on the
ground the map is. The file holds no time and no random id: the same map gives the same bytes.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Mapping
from typing import BinaryIO, Final

from gis.errors import LimitError
from gis.print import UNIT

#: Points (1/72 inch) in a unit.
POINT: Final = 72 / 25.4 / UNIT


class Ink:
    """Operators of a part of the page, packed as they are written."""

    def __init__(self) -> None:
        self._packer: zlib._Compress | None = None
        self.parts: list[bytes] = []
        #: Bytes packed so far.
        self.size = 0

    def write(self, text: str) -> None:
        """More operators; a space or line end must follow the last."""
        if self._packer is None:
            self._packer = zlib.compressobj(5)
        self._keep(self._packer.compress(text.encode("ascii")))

    def close(self) -> bytes:
        """The packed stream; empty if nothing was written."""
        if self._packer is not None:
            self._keep(self._packer.flush())
            self._packer = None
        whole = b"".join(self.parts)
        self.parts = []
        return whole

    def _keep(self, packed: bytes) -> None:
        if packed:
            self.parts.append(packed)
            self.size += len(packed)


class Pdf:
    """A file being written. Objects are numbered from 1, in the order of ``number``."""

    def __init__(self, file: BinaryIO, most_bytes: int) -> None:
        self._file = file
        self._most = most_bytes
        self._places: dict[int, int] = {}
        self._digest = hashlib.sha256()
        self._next = 1
        self._at = 0
        self._raw(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")

    def number(self) -> int:
        """A number for an object that is put later."""
        self._next += 1
        return self._next - 1

    def put(self, body: str | bytes, number: int | None = None) -> int:
        """Write an object; its number."""
        number = self.number() if number is None else number
        self._places[number] = self._at
        made = body.encode("ascii") if isinstance(body, str) else body
        self._raw(b"%d 0 obj\n%b\nendobj\n" % (number, made))
        return number

    def stream(self, content: bytes, entries: str = "", *, packed: bool = False) -> int:
        """Write a stream, ``packed`` when it is deflated already; its number."""
        body = content if packed else zlib.compress(content, 6)
        head = f"<</Length {len(body)}/Filter/FlateDecode{entries}>>\nstream\n".encode("ascii")
        return self.put(head + body + b"\nendstream")

    def form(
        self, content: str, box: tuple[float, float, float, float], resources: str = "", entries: str = ""
    ) -> int:
        """Write a drawing that is used many times, or as one; its number."""
        sides = " ".join(number_text(v) for v in box)
        return self.stream(
            content.encode("ascii"),
            f"/Type/XObject/Subtype/Form/BBox[{sides}]/Resources<<{resources}>>{entries}",
        )

    def image(self, jpeg: bytes, opacity: bytes | None, width: int, height: int) -> int:
        """Write a picture; its number. ``opacity``: a byte for each pixel, unless all are opaque."""
        form = f"/Type/XObject/Subtype/Image/Width {width}/Height {height}/BitsPerComponent 8/ColorSpace"
        mask = f"/SMask {self.stream(opacity, f'{form}/DeviceGray')} 0 R" if opacity is not None else ""
        head = f"<</Length {len(jpeg)}/Filter/DCTDecode{form}/DeviceRGB{mask}>>\nstream\n".encode("ascii")
        return self.put(head + jpeg + b"\nendstream")

    def finish(self, root: int, info: int) -> None:
        """Write the table of objects; nothing may follow."""
        start, count = self._at, self._next
        rows = [f"{self._places[n]:010} 00000 n \n" for n in range(1, count)]
        name = self._digest.hexdigest()[:32]
        self._raw(
            (
                f"xref\n0 {count}\n0000000000 65535 f \n{''.join(rows)}"
                f"trailer\n<</Size {count}/Root {root} 0 R/Info {info} 0 R/ID[<{name}><{name}>]>>\n"
                f"startxref\n{start}\n%%EOF\n"
            ).encode("ascii")
        )

    def _raw(self, data: bytes) -> None:
        self._at += len(data)
        if self._at > self._most:
            raise LimitError(
                f"the map would be a file of more than {self._most // 1_000_000} MB",
                code="map-too-rich",
                hint="choose fewer layers, a smaller paper or a larger scale",
            )
        self._digest.update(data)
        self._file.write(data)


def number_text(value: float) -> str:
    """A number as PDF writes it (no exponents), to a thousandth of a unit."""
    text = f"{value:.3f}".rstrip("0").rstrip(".")
    return "0" if text in ("", "-0") else text


def text_string(text: str) -> str:
    """A text outside the page's content (title, name of a layer): UTF-16, in hexadecimal."""
    return f"<feff{text.encode('utf-16-be', 'replace').hex()}>"


def colour(text: str, stroke: bool = False) -> str:
    """The operator that chooses ``#rrggbb``."""
    red, green, blue = (number_text(int(text[i : i + 2], 16) / 255) for i in (1, 3, 5))
    return f"{red} {green} {blue} {'RG' if stroke else 'rg'} "


def references(numbers: Iterable[int]) -> str:
    """An array of references."""
    return "[" + " ".join(f"{n} 0 R" for n in numbers) + "]"


def named(entries: Mapping[str, int]) -> str:
    """The inside of a dictionary of references."""
    return "".join(f"/{name} {number} 0 R" for name, number in entries.items())
