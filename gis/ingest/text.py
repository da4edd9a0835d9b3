"""Texts of a delivery as clean Unicode: decoded, NFC, trimmed; legacy Vietnamese encodings told apart."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gis import encodings
from gis.errors import LoadRefused
from gis.ingest.issues import Issues, shorten

#: From this confidence on, text in a legacy encoding that was not declared refuses the file.
SURE = 0.5
_SURE_WORDS = 3
#: Rows of a batch whose letters are looked at.
_SAMPLE = 4_096


@dataclass
class TextCleaner:
    """Cleans text columns. ``encoding``: "auto" or one of encodings.ENCODINGS, as the user said.

    With "auto", texts are taken as the Unicode that GDAL gives, and watched for mojibake.
    """

    encoding: str
    #: Bytes were not decoded by GDAL: one character a byte, whatever they look like.
    bytewise: bool = False
    detector: encodings.Detector = field(default_factory=encodings.Detector)
    #: Values changed: reason -> count.
    notes: dict[str, int] = field(default_factory=dict)

    def clean(self, name: str, texts: pa.Array, issues: Issues) -> pa.Array:
        """``texts`` (string or binary array) as NFC, trimmed, empty as null; bad ones noted in issues."""
        texts = self._decoded(name, texts, issues)
        if not len(texts) or texts.null_count == len(texts):
            return texts
        look = _look(texts)
        if look.beyond_ascii and self.encoding == "auto":
            # A sample of each batch: letters speak soon, and distinct texts may be a million.
            sample = texts[: _SAMPLE // 16 if self.detector.has_enough else _SAMPLE]
            self.detector.add(pc.unique(sample.drop_null()).to_pylist())
        if look.loose:
            texts = self._normalised(texts)
        if look.edges:
            texts = pc.utf8_trim_whitespace(texts)
        if look.control:
            bad = pc.match_substring_regex(texts, "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
            issues.reject(
                _mask(bad), "control-character", name, lambda _i: f"{name} holds a control character"
            )
        if look.edges or look.empty:
            empty = pc.equal(pc.binary_length(texts), 0)
            texts = pc.if_else(empty, pa.scalar(None, pa.string()), texts)
        return texts

    def _normalised(self, texts: pa.Array) -> pa.Array:
        composed = pc.utf8_normalize(texts, form="NFC")
        changed = pc.sum(pc.not_equal(composed, texts)).as_py() or 0
        if changed:
            self._note("text composed to NFC", changed)
        return composed

    def _decoded(self, name: str, texts: pa.Array, issues: Issues) -> pa.Array:
        if self.encoding not in ("auto", "utf-8"):
            return self._legacy(name, texts, issues)
        if pa.types.is_string(texts.type) or pa.types.is_large_string(texts.type):
            try:
                texts.validate(full=True)
                return texts.cast(pa.string())
            except pa.ArrowInvalid:
                pass
        return self._strictly(name, texts, issues)

    def _strictly(self, name: str, texts: pa.Array, issues: Issues) -> pa.Array:
        """Value by value, for a column with bytes that are not UTF-8."""
        raw = texts.view(pa.binary()) if pa.types.is_string(texts.type) else texts.cast(pa.binary())
        values: list[str | None] = []
        bad = np.zeros(len(texts), dtype=np.bool_)
        for i, value in enumerate(raw.to_pylist()):
            try:
                values.append(None if value is None else value.decode())
            except UnicodeDecodeError:
                values.append(None)
                bad[i] = True
                self.detector.add([value.decode("latin-1")])
        issues.reject(bad, "bad-encoding", name, lambda _i: f"{name} is not valid UTF-8")
        return pa.array(values, pa.string())

    def _legacy(self, name: str, texts: pa.Array, issues: Issues) -> pa.Array:
        """Mojibake or bytes in the declared encoding, each distinct value decoded once."""
        texts = texts.view(pa.binary()) if pa.types.is_string(texts.type) else texts.cast(pa.binary())
        encoded = texts.dictionary_encode()
        decoded: list[str | None] = []
        kept = np.zeros(len(encoded.dictionary), dtype=np.bool_)
        bad = np.zeros(len(encoded.dictionary), dtype=np.bool_)
        for i, value in enumerate(encoded.dictionary.to_pylist()):
            try:
                text = value.decode("latin-1" if self.bytewise else "utf-8")
                result = encodings.decode_text(text, self.encoding)
                kept[i] = result is None
                decoded.append(unicodedata.normalize("NFC", text) if result is None else result)
            except UnicodeDecodeError:
                decoded.append(None)
                bad[i] = True
        indices = encoded.indices
        if kept.any():
            self._note(f"text left as it was: not in {self.encoding}", _hits(kept, indices))
        if bad.any():
            rows = _mask(pc.take(pa.array(bad), indices))
            issues.reject(rows, "bad-encoding", name, lambda _i: f"{name} is not valid {self.encoding}")
        return pc.take(pa.array(decoded, pa.string()), indices)

    def _note(self, what: str, count: int) -> None:
        self.notes[what] = self.notes.get(what, 0) + count

    def verdict(self) -> encodings.Detection:
        """What the text seen so far seems to be."""
        return self.detector.result()

    def refuse_if_sure(self) -> None:
        """Raises LoadRefused when undeclared text is in a legacy encoding beyond reasonable doubt."""
        found = self.verdict()
        if found.encoding and found.words >= _SURE_WORDS and found.confidence >= SURE:
            assert found.example is not None
            shown, meant = (shorten(t) for t in found.example)
            raise LoadRefused(
                f"the text is not Unicode but {found.encoding.upper()} "
                f"({found.confidence:.0%} sure from {found.words} words; {shown!r} reads {meant!r})",
                code="legacy-encoding",
                hint=f"load it with --encoding {found.encoding}, or --encoding utf-8 to take it as it is",
            )


@dataclass(frozen=True)
class _Look:
    """What a glance at all bytes of a column says may be there; it decides which slow steps are needed."""

    beyond_ascii: bool
    #: Letters that may not be composed (NFC).
    loose: bool
    #: A value may begin or end with white space.
    edges: bool
    control: bool
    empty: bool


def _look(texts: pa.Array) -> _Look:
    buffers = texts.buffers()
    offsets = np.frombuffer(buffers[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]
    data = np.frombuffer(buffers[2] or b"", np.uint8)
    used = data[offsets[0] : offsets[-1]]
    filled = np.flatnonzero(offsets[1:] > offsets[:-1])
    first, last = data[offsets[filled]], data[offsets[filled + 1] - 1]
    if len(used) and used.min() >= 0x20 and used.max() < 0x7F:  # codes and numbers
        edges = bool((first == 0x20).any() or (last == 0x20).any())
        return _Look(False, False, edges, False, empty=len(filled) < len(texts) - texts.null_count)
    counts = np.bincount(used, minlength=256)
    # Vietnamese needs U+00C0 to U+01FF (bytes C3 to C7 ..) and U+1E80 to U+1EFF (E1 BA, E1 BB), all composed
    # letters. Normalising a million addresses costs 2 s, this glance 0.2 s.
    usual = counts[0xC2:].sum() == counts[0xC3:0xC8].sum() + counts[0xE1]
    if usual and counts[0xE1]:
        usual = bool(np.isin(used[np.flatnonzero(used == 0xE1) + 1], (0xBA, 0xBB)).all())
    return _Look(
        beyond_ascii=bool(counts[0x80:].any()),
        loose=not usual,
        edges=bool(not usual or (first <= 0x20).any() or (last <= 0x20).any()),
        control=bool(counts[:0x20].any() or counts[0x7F]),
        empty=len(filled) < len(texts) - texts.null_count,
    )


def _hits(flags: np.ndarray, indices: pa.Array) -> int:
    return int(pc.sum(pc.take(pa.array(flags), indices)).as_py() or 0)


def _mask(flags: pa.Array) -> np.ndarray:
    return np.asarray(pc.fill_null(flags, False).to_numpy(zero_copy_only=False), dtype=np.bool_)
