"""The elements of a DGN V7 file, counted without GDAL, which was seen to stop early and lose half a map.

Element header (ISFF): byte 0 level (low six bits) and complex bit (0x80); byte 1 type (low seven bits) and
deleted bit (0x80); bytes 2 and 3 words to follow. 0xFFFF ends the file. Source: Intergraph Standard File
Formats, as documented with dgnlib.
"""

from __future__ import annotations

import mmap
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from gis.errors import LoadRefused

#: Types that are drawn on their own: names for messages.
DRAWN = {
    3: "line", 4: "line string", 6: "shape", 11: "curve", 12: "complex chain", 14: "complex shape",
    15: "ellipse", 16: "arc", 17: "text", 21: "B-spline",
}  # fmt: skip
#: Headers whose members follow and are drawn with the complex bit set.
_GROUPS = {2: "cell", 7: "text node"}


@dataclass
class Scan:
    """What a DGN file holds. ``drawn``: element number -> type, of elements drawn on their own."""

    elements: int = 0
    deleted: int = 0
    drawn: dict[int, int] = field(default_factory=dict)
    #: The file ends with its end mark, or exactly after an element.
    complete: bool = False


def scan(path: Path, most: int = 50_000_000) -> Scan:
    """Walk all element headers of a DGN V7 file."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return _walk(data, most)


def _walk(data: mmap.mmap, most: int) -> Scan:
    found = Scan()
    at, end = 0, len(data)
    inside_chain = 0
    while at + 4 <= end and found.elements < most:
        if data[at] == 0xFF and data[at + 1] == 0xFF:
            found.complete = True
            break
        size = 4 + 2 * int.from_bytes(data[at + 2 : at + 4], "little")
        if at + size > end:
            break
        kind, is_complex = data[at + 1] & 0x7F, bool(data[at] & 0x80)
        deleted = bool(data[at + 1] & 0x80)
        number = found.elements
        found.elements += 1
        if deleted:
            found.deleted += 1
        elif kind in (12, 14):
            found.drawn[number] = kind
            inside_chain = int.from_bytes(data[at + 38 : at + 40], "little") if size >= 40 else 0
        elif inside_chain > 0 and is_complex:
            inside_chain -= 1
        elif kind in DRAWN:
            found.drawn[number] = kind
        at += size
    else:
        found.complete = at == end
    return found


def compare(found: Scan, read: set[int]) -> tuple[str | None, dict[str, int]]:
    """Judge what GDAL read (element numbers, which are its feature ids) by the scan.

    Gives (None or a warning, missing elements by type). Raises LoadRefused when the tail of the file is
    missing, or the file itself is cut off.
    """
    if not found.complete:
        raise LoadRefused(
            f"the DGN file is cut off after {found.elements:,} elements", code="dgn-incomplete",
            hint="copy or export it again",
        )  # fmt: skip
    missing = {n: t for n, t in found.drawn.items() if n not in read}
    if not missing:
        return None, {}
    by_type = dict(Counter(DRAWN[t] for t in missing.values()))
    listed = ", ".join(f"{count:,} {name}" for name, count in sorted(by_type.items(), key=lambda kv: -kv[1]))
    last_read = max(read, default=-1)
    tail = sum(n > last_read for n in missing)
    if tail > max(5, len(found.drawn) // 100):
        raise LoadRefused(
            f"only {len(read):,} of the {len(found.drawn):,} drawn elements of the DGN file could be read "
            f"(missing: {listed})",
            code="dgn-incomplete",
            hint="in MicroStation compress the file (File > Compress > Design), or export DXF",
        )
    return f"{len(missing):,} of {len(found.drawn):,} drawn elements were not read: {listed}", by_type
