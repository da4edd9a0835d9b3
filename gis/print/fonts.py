"""The fonts of prints: Be Vietnam Pro, in files by range of letters that the page's build writes.

A text is drawn in runs, one for each file that its letters are in. The files are small (24 KB), so they are
embedded whole; what a reader copies out of the PDF are the letters that were written, by /ToUnicode.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

from gis.errors import ConfigError
from gis.print.pdf import Pdf, number_text
from gis.resources import web_dir

REGULAR: Final = "regular"
BOLD: Final = "bold"

#: Drawn for a letter that no file has (scripts that the city does not write, pictures).
MISSING: Final = "?"


@dataclass(frozen=True)
class FontFile:
    """One file. Measures are in thousandths of the size; ``glyphs``: code point -> (glyph, width)."""

    name: str
    file: str
    ascent: int
    descent: int
    box: tuple[int, int, int, int]
    glyphs: dict[int, tuple[int, int]]

    def data(self) -> bytes:
        return (web_dir() / "print" / self.file).read_bytes()


@cache
def faces() -> dict[str, tuple[FontFile, ...]]:
    """Face -> its files, in the order in which a letter is looked for. Raises ConfigError."""
    try:
        read = json.loads((web_dir() / "print" / "fonts.json").read_bytes())
    except OSError:
        raise ConfigError(
            "the fonts for printing are not there", hint="scripts/run builds the page, and them with it"
        ) from None
    return {
        face: tuple(
            FontFile(
                f"BeVietnamPro-{one['file'].removesuffix('.ttf')}",
                one["file"],
                one["ascent"],
                one["descent"],
                tuple(one["box"]),
                {int(code): (glyph, width) for code, (glyph, width) in one["glyphs"].items()},
            )
            for one in files
        )
        for face, files in read.items()
    }


@cache
def _letters(face: str) -> dict[str, tuple[int, int, int]]:
    """Letter -> (number of the file, glyph, width)."""
    found: dict[str, tuple[int, int, int]] = {}
    for n, one in enumerate(faces()[face]):
        for code, (glyph, width) in one.glyphs.items():
            found.setdefault(chr(code), (n, glyph, width))
    return found


def clean(text: str, most: int) -> str:
    """One line of at most ``most`` letters: composed, without control and direction signs."""
    # what is beyond four times the length is cut before it is looked at
    composed = unicodedata.normalize("NFC", text[: 4 * most])
    plain = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in composed)
    line = " ".join(plain.split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


def width(text: str, size: float, face: str = REGULAR) -> float:
    """How long the text is, in the unit of ``size``."""
    letters = _letters(face)
    other = letters[MISSING]
    return sum(letters.get(c, other)[2] for c in text) * size / 1000


def fitting(text: str, size: float, most: float, face: str = REGULAR) -> str:
    """The text, cut with an ellipsis where it is longer than ``most``."""
    if width(text, size, face) <= most:
        return text
    while text and width(text + "…", size, face) > most:
        text = text[:-1]
    return text.rstrip() + "…"


def wrapped(text: str, size: float, most: float, face: str = REGULAR, lines: int = 100) -> list[str]:
    """The text in lines no longer than ``most``, broken at spaces; what is over is cut with an ellipsis."""
    found: list[str] = []
    for word in text.split(" "):
        if found and width(f"{found[-1]} {word}", size, face) <= most:
            found[-1] += f" {word}"
        elif len(found) == lines:
            found[-1] = fitting(f"{found[-1]} {word}", size, most, face)
            break
        else:
            found.append(word)
    return [fitting(line, size, most, face) for line in found]


class Fonts:
    """The font files that a document uses."""

    def __init__(self, pdf: Pdf) -> None:
        self._pdf = pdf
        self._numbers: dict[str, int] = {}

    def text(self, text: str, size: float, face: str = REGULAR) -> str:
        """Operators that show a text (between BT and ET)."""
        return "".join(
            f"/{self._name(face, n)} {number_text(size)} Tf <{''.join(run)}> Tj "
            for n, run in _runs(text, face)
        )

    def resources(self) -> str:
        """Write the fonts that were used; the entry of the page's resources."""
        made = {}
        for name in sorted(self._numbers):
            face, n = name[:-1], int(name[-1])
            made[name] = self._write(faces()[face][n], self._numbers[name])
        return "/Font<<" + "".join(f"/{name} {number} 0 R" for name, number in made.items()) + ">>"

    def _name(self, face: str, n: int) -> str:
        name = f"{face}{n}"
        if name not in self._numbers:
            self._numbers[name] = self._pdf.number()
        return name

    def _write(self, one: FontFile, number: int) -> int:
        pdf, data = self._pdf, one.data()
        program = pdf.stream(data, f"/Length1 {len(data)}")
        box = " ".join(map(str, one.box))
        described = pdf.put(
            f"<</Type/FontDescriptor/FontName/{one.name}/Flags 4/FontBBox[{box}]/ItalicAngle 0"
            f"/Ascent {one.ascent}/Descent {one.descent}/CapHeight {one.ascent}/StemV 80"
            f"/FontFile2 {program} 0 R>>"
        )
        # by glyph; two code points may have one glyph, the first counts
        codes: dict[int, int] = {}
        widths: dict[int, int] = {}
        for code, (glyph, advance) in sorted(one.glyphs.items()):
            codes.setdefault(glyph, code)
            widths[glyph] = advance
        listed = " ".join(f"{glyph}[{widths[glyph]}]" for glyph in sorted(widths))
        descendant = pdf.put(
            f"<</Type/Font/Subtype/CIDFontType2/BaseFont/{one.name}/CIDToGIDMap/Identity"
            "/CIDSystemInfo<</Registry(Adobe)/Ordering(Identity)/Supplement 0>>"
            f"/FontDescriptor {described} 0 R/DW 500/W[{listed}]>>"
        )
        meaning = pdf.stream(_to_unicode(codes).encode("ascii"))
        return pdf.put(
            f"<</Type/Font/Subtype/Type0/BaseFont/{one.name}/Encoding/Identity-H"
            f"/DescendantFonts[{descendant} 0 R]/ToUnicode {meaning} 0 R>>",
            number,
        )


def _runs(text: str, face: str) -> Iterator[tuple[int, list[str]]]:
    """Pieces of a text: the number of the file, and the glyphs in hexadecimal."""
    letters = _letters(face)
    other = letters[MISSING]
    current = -1
    run: list[str] = []
    for letter in text:
        n, glyph, _ = letters.get(letter, other)
        if n != current and run and letter != " ":
            yield current, run
            run = []
        if letter == " " and run:  # every file might have one; it never breaks a run
            own = faces()[face][current].glyphs.get(32)
            if own is None:
                yield current, run
                current, run = n, [f"{glyph:04x}"]
            else:
                run.append(f"{own[0]:04x}")
            continue
        current = n
        run.append(f"{glyph:04x}")
    if run:
        yield current, run


def _to_unicode(codes: dict[int, int]) -> str:
    rows = [f"<{glyph:04x}> <{code:04x}>" for glyph, code in sorted(codes.items())]
    blocks = [rows[i : i + 100] for i in range(0, len(rows), 100)]
    body = "".join(f"{len(b)} beginbfchar\n{chr(10).join(b)}\nendbfchar\n" for b in blocks)
    return (
        "/CIDInit /ProcSet findresource begin 12 dict begin begincmap\n"
        "/CIDSystemInfo <</Registry (Adobe) /Ordering (UCS) /Supplement 0>> def\n"
        "/CMapName /Letters def /CMapType 2 def\n"
        f"1 begincodespacerange <0000> <ffff> endcodespacerange\n{body}"
        "endcmap CMapName currentdict /CMap defineresource pop end end\n"
    )
