"""Legacy Vietnamese encodings: decoded exactly, and told apart without guessing."""

from __future__ import annotations

import shutil
import subprocess
import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gis import encodings
from gis.encodings import decode_bytes, decode_text, detect, is_syllable
from gis.errors import UsageError

STREETS = [
    "đường Nguyễn Huệ", "phường Bến Nghé", "quận Thủ Đức", "xã Bình Chánh", "hẻm Cống Quỳnh",
    "cầu Sài Gòn", "chợ Bến Thành", "trạm biến áp", "ống cấp nước", "hố ga thoát nước", "tủ cáp viễn thông",
    "kênh Nhiêu Lộc", "thửa đất ở đô thị", "đất trồng cây lâu năm", "trường tiểu học Lê Ngọc Hân",
    "bệnh viện Chợ Rẫy", "sông Vàm Cỏ Đông", "ga Hòa Hưng", "rạch Ụ Cây", "ấp Mỹ Khánh", "chùa Xá Lợi",
]  # fmt: skip


def to_vni(text: str) -> bytes:
    inverse = {letter: seq for seq, letter in reversed(encodings._VNI.items())}
    return "".join(inverse.get(c, c) for c in text).encode("latin-1")


def to_cp1258(text: str) -> bytes:
    """As Windows types it: base letter with its circumflex, breve or horn, then the tone."""
    out = []
    for letter in text:
        try:
            out.append(letter.encode("cp1258"))
        except UnicodeEncodeError:
            base, *marks = unicodedata.normalize("NFD", letter)
            tones = [m for m in marks if m in encodings._TONES]
            shape = unicodedata.normalize("NFC", base + "".join(m for m in marks if m not in tones))
            out.append((shape + "".join(tones)).encode("cp1258"))
    return b"".join(out)


def by_iconv(name: str) -> Callable[[str], bytes]:
    def encode(text: str) -> bytes:
        if not shutil.which("iconv"):
            pytest.skip("iconv is not here")
        return subprocess.run(
            ["iconv", "-f", "UTF-8", "-t", name], input=text.encode(), capture_output=True, check=True
        ).stdout

    return encode


ENCODERS = {
    "tcvn3": by_iconv("TCVN5712-1"),  # an implementation that is not ours
    "viscii": by_iconv("VISCII"),
    "vni": to_vni,
    "cp1258": to_cp1258,
    "utf-8": str.encode,
}


@pytest.mark.parametrize("encoding", ENCODERS)
def test_every_street_comes_back(encoding: str) -> None:
    encode = ENCODERS[encoding]
    texts = [t.lower() for t in STREETS] if encoding == "tcvn3" else STREETS
    assert [decode_bytes(encode(t), encoding) for t in texts] == texts


@pytest.mark.parametrize("encoding", ENCODERS)
def test_detected_from_mojibake_with_its_confidence(encoding: str) -> None:
    encode = ENCODERS[encoding]
    found = detect(encode(t.lower()).decode("latin-1") for t in STREETS)
    assert found.encoding == encoding
    assert found.confidence > 0.5
    assert found.example is not None


def test_known_words() -> None:
    assert decode_text("QuËn", "tcvn3") == "Quận"
    assert decode_text("Phöôøng Bình Thaïnh", "vni") == "Phường Bình Thạnh"
    assert decode_text("HOÀ CHÍ MINH", "vni") == "HỒ CHÍ MINH"
    # One npm table has these two wrong.
    assert decode_text("kyû nieäm kyõ thuaät", "vni") == "kỷ niệm kỹ thuật"
    # Capitals of TCVN3 live in another font: the ASCII letters show them.
    assert decode_text("NGUYÔN HUÖ", "tcvn3") == "NGUYỄN HUỆ"
    # A file read as CP1252 shows curly quotes for bytes below 0xA0.
    assert decode_text("Quáº\xadn", "utf-8") == "Quận"


def test_unicode_text_is_left_alone() -> None:
    assert detect(STREETS).encoding is None
    assert detect(unicodedata.normalize("NFD", t) for t in STREETS).encoding is None
    assert decode_text("Nguyễn", "tcvn3") is None


@pytest.mark.parametrize(
    "texts", [["José", "Müller", "Straße", "Gävle", "Ærø"], ["Москва", "北京市", "서울"], ["plain ascii"], []]
)
def test_foreign_text_is_no_vietnamese(texts: list[str]) -> None:
    assert detect(texts).encoding is None


def test_few_words_are_never_sure() -> None:
    assert detect(["QuËn"]).confidence < 0.5


@pytest.mark.parametrize("word", ["nghiêng", "khuỷu", "quận", "Đường", "giếng", "thuở", "oằn", "yểng"])
def test_syllables(word: str) -> None:
    assert is_syllable(word)


@pytest.mark.parametrize("word", ["QuËn", "ph­êng", "Phöôøng", "thß", "áà", "straße", "bcd"])
def test_no_syllables(word: str) -> None:
    assert not is_syllable(word)


def test_unknown_encoding_and_invalid_bytes_are_errors() -> None:
    with pytest.raises(UsageError, match="koi8"):
        decode_text("x ü", "koi8")
    with pytest.raises(UsageError, match="utf-8"):
        decode_bytes(b"\xff\xfe", "utf-8")


@given(st.text(max_size=60), st.sampled_from(encodings.ENCODINGS))
def test_never_fails_and_gives_nfc(text: str, encoding: str) -> None:
    decoded = decode_text(text, encoding)
    if decoded is not None and not text.isascii():
        assert decoded == unicodedata.normalize("NFC", decoded)
