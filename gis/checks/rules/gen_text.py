"""GEN-13: text in a legacy encoding, or damaged by a wrong one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from gis import encodings
from gis.checks.features import Features
from gis.checks.findings import finding
from gis.checks.model import Application, Finding, Rule
from gis.checks.places import nowhere, shown
from gis.checks.registry import local
from gis.checks.window import Need, Window, corner
from layers.model import FieldDef, Text
from layers.registry import Catalogue, Layer

GEN_13 = Rule(
    id="GEN-13",
    title=Text(vi="Chữ bị sai bảng mã", en="Text in the wrong encoding"),
    explanation=Text(
        vi="Chữ tiếng Việt còn ở bảng mã cũ (TCVN3, VNI, VISCII) hoặc bị đọc sai bảng mã nên không đọc, "
        "không tìm "
        "kiếm được. Nhập lại dữ liệu với đúng bảng mã, hoặc sửa theo cách đọc được gợi ý; ký tự đã mất (�, "
        "?) phải lấy "
        "lại từ bản gốc.",
        en="Vietnamese text is still in a legacy encoding (TCVN3, VNI, VISCII) or was read with the wrong "
        "one, and can "
        "be neither read nor found. Load the delivery again with its encoding, or write what is suggested; "
        "letters "
        "that became � or ? must come from the original.",
    ),
    message=Text(vi="{what}", en="{what}"),
    severity="W",
    scope="local",
    source="TCVN 6909:2001 (Unicode); letter statistics of gis/encodings.py",
    sees_unsound=True,
)

_CALLED = {"utf-8": "UTF-8", "tcvn3": "TCVN3 (ABC)", "vni": "VNI", "cp1258": "Windows-1258"}
_LOST = "lost"
#: A question mark inside a word: what programs write for a letter that they cannot. Not in addresses of
#: pages.
_QUESTION = re.compile(r"[^\W\d_]\?+[^\W\d_]")
_WEB = re.compile(r"://|[=&]")

_READS = {
    "vi": "{field}: “{shown}” là chữ {encoding}, đọc là “{meant}”",
    "en": "{field}: “{shown}” is {encoding} text that reads “{meant}”",
}
_DAMAGED = {
    "vi": "{field}: “{shown}” đã mất chữ do đổi sai bảng mã",
    "en": "{field}: “{shown}” has lost letters to a wrong conversion",
}
_HIDDEN = {
    "vi": "{field} (không công khai) có chữ sai bảng mã",
    "en": "{field} (not public) holds text in a wrong encoding",
}


def _needs(app: Application, catalogue: Catalogue) -> Iterable[Need]:
    return [
        Need(name, tuple(f.name for f in _texts(catalogue.layers[name])), shape=False, alone=True)
        for name in app.layers
    ]


def _texts(layer: Layer) -> list[FieldDef]:
    """Fields that hold free text: values of a domain are ASCII or wrong by GEN-14."""
    skip = ("owner", "status")
    return [f for f in layer.fields if f.type == "string" and f.domain is None and f.name not in skip]


@local(GEN_13, needs=_needs)
def gen_13(window: Window, app: Application) -> Iterator[Finding]:
    for name in app.layers:
        features = window.features(name)
        public: dict[int, list[tuple[FieldDef, str, str]]] = {}
        hidden: dict[int, list[tuple[FieldDef, str, str]]] = {}
        for field in _texts(features.layer):
            secret = field.access != "public" or not features.layer.is_public
            kept = hidden if secret else public
            for row, text, encoding in _misread(features[field.name]):
                kept.setdefault(row, []).append((field, text, encoding))
        for kept, secret in ((public, False), (hidden, True)):
            for row, found in sorted(kept.items()):
                yield _found(window, app, features, row, found, secret)


def _misread(column: Any) -> Iterator[tuple[int, str, str]]:
    """Row, text and encoding of the texts that are not what they should be; sound columns cost a glance."""
    texts = [text for text in column if text]
    everything = "\n".join(texts)
    doubtful = "?" in everything and _QUESTION.search(everything) is not None
    if everything.isascii() and not doubtful:
        return
    strange = _strange_words(everything)
    if not strange and not doubtful:
        return
    for row, text in enumerate(column):
        # Most texts are sound though a word somewhere is strange; they end here.
        if text and (not strange.isdisjoint(text.split()) or (doubtful and "?" in text)):
            encoding = _verdict(text)
            if encoding is not None:
                yield row, text, encoding


def _strange_words(text: str) -> set[str]:
    """The words beyond ASCII that are, or hold, no Vietnamese syllable."""
    words = {word for word in text.split() if not word.isascii()}
    return {word for word in words if "\ufffd" in word or not all(map(_is_sound, _EDGES.split(word)))}


def _is_sound(part: str) -> bool:
    return part.isascii() or encodings.is_syllable(part)


_EDGES = re.compile(r"[^\w\u0300-\u036f]+|[\d_]+")


@lru_cache(maxsize=65_536)
def _verdict(text: str) -> str | None:
    """An encoding, ``lost``, or None for text that is as it should be."""
    if "\ufffd" in text or (_QUESTION.search(text) and not _WEB.search(text)):
        return _LOST
    return encodings.misread(text)


def _found(
    window: Window,
    app: Application,
    features: Features,
    row: int,
    found: Sequence[tuple[FieldDef, str, str]],
    secret: bool,
) -> Finding:
    box = features.boxes[row]
    placed = bool(np.isfinite(box).all())
    sentences = [_sentence(*one, secret) for one in found]
    what = {language: "; ".join(one[language] for one in sentences) for language in ("vi", "en")}
    return finding(
        app,
        [(features, row)],
        shown(features.geometry[row]) if placed else nowhere(window.setting.city),
        corner(features.boxes)[row],
        words={"what": what},
        restricted=secret,
    )


def _sentence(field: FieldDef, text: str, encoding: str, secret: bool) -> dict[str, str]:
    template = _HIDDEN if secret else _DAMAGED if encoding == _LOST else _READS
    meant = "" if encoding == _LOST else encodings.decode_text(text, encoding) or text
    return {
        language: words.format(
            field=getattr(field.title, language),
            shown=_short(text),
            meant=_short(meant),
            encoding=_CALLED.get(encoding, encoding.upper()),
        )
        for language, words in template.items()
    }


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"
