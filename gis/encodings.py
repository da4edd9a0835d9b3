"""Legacy Vietnamese encodings: decoding to Unicode NFC, and telling which one a text is in.

Deliveries hold Vietnamese in TCVN3 (ABC fonts), VNI-Windows, VISCII or Windows-1258, often without saying so.
A program that knows none of them reads the bytes as Latin-1 (or CP1252), so the text arrives as *mojibake*:
``QuËn`` for ``Quận``. All functions here take such text, one character a byte; bytes are decoded as Latin-1
first, which loses nothing.

Detection rests on the grammar of the Vietnamese syllable (onset, rhyme, at most one tone): of the words
that hold a letter beyond ASCII, real Vietnamese has nearly all valid, mojibake nearly none.

Sources: TCVN 5712:1993 and RFC 1456 (VISCII) as in glibc's iconv; VNI-Windows' mark bytes as in Unikey.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

from gis.errors import UsageError

#: Names that a user may give.
ENCODINGS = ("utf-8", "tcvn3", "vni", "viscii", "cp1258")

_TCVN3_HIGH = (
    "ÀẢÃÁẠẶẬÈẺẼÉẸỆÌỈĨÍỊÒỎÕÓỌỘỜỞỠỚỢÙỦŨ\xa0ĂÂÊÔƠƯĐăâêôơưđẶ\u0300\u0309\u0303\u0301\u0323àảãáạẲằẳẵắẴẮẦẨẪẤỀặầẩẫấậèỂẻẽéẹềểễếệìỉỄẾỒĩíịò"
    "ỔỏõóọồổỗốộờởỡớợùỖủũúụừửữứựỳỷỹýỵỐ"
)
_VISCII_HIGH = (
    "ẠẮẰẶẤẦẨẬẼẸẾỀỂỄỆỐỒỔỖỘỢỚỜỞỊỎỌỈỦŨỤỲÕắằặấầẩậẽẹếềểễệốồổỗỠƠộờởịỰỨỪỬơớƯÀÁÂÃẢĂẳẵÈÉÊẺÌÍĨỳĐứÒÓÔạỷừửÙÚỹỵÝỡưàáâãảăữẫèéêẻìíĩỉ"
    "đựòóôõỏọụùúũủýợỮ"
)
_VISCII_LOW = {0x02: "Ẳ", 0x05: "Ẵ", 0x06: "Ẫ", 0x14: "Ỷ", 0x19: "Ỹ", 0x1E: "Ỵ"}

_TONES = "\u0301\u0300\u0309\u0303\u0323"  # acute, grave, hook, tilde, dot below
_CIRCUMFLEX, _BREVE = "\u0302", "\u0306"


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _vni_table() -> dict[str, str]:
    """Two-character sequences and single characters of VNI-Windows -> NFC letters."""
    table = {"ô": "ơ", "ö": "ư", "î": "ỵ", "ñ": "đ", "Ô": "Ơ", "Ö": "Ư", "Î": "Ỵ", "Ñ": "Đ"}
    table |= dict(zip("íìæóò", "íìỉĩị", strict=True)) | dict(zip("ÍÌÆÓÒ", "ÍÌỈĨỊ", strict=True))
    plain, circumflexed, breved = "ùøûõï", "áàåãä", "éèúüë"
    for vowel in "aeouyôö":
        base = {"ô": "ơ", "ö": "ư"}.get(vowel, vowel)
        for mark, tone in zip(plain, _TONES, strict=True):
            if vowel != "y" or mark != "ï":
                table[vowel + mark] = _nfc(base + tone)
    for vowel in "aeo":
        table[vowel + "â"] = _nfc(vowel + _CIRCUMFLEX)
        for mark, tone in zip(circumflexed, _TONES, strict=True):
            table[vowel + mark] = _nfc(vowel + _CIRCUMFLEX + tone)
    table["aê"] = "ă"
    for mark, tone in zip(breved, _TONES, strict=True):
        table["a" + mark] = _nfc("a" + _BREVE + tone)
    # Capitals take capital marks; a capital vowel with a small mark also occurs (title case by hand).
    for sequence, letter in list(table.items()):
        if len(sequence) == 2:
            table[sequence.upper()] = letter.upper()
            table.setdefault(sequence[0].upper() + sequence[1], letter.upper())
    return table


_VNI = _vni_table()
_VNI_PATTERN = re.compile("|".join(sorted((re.escape(k) for k in _VNI), key=len, reverse=True)))
_TCVN3 = {0x80 + i: c for i, c in enumerate(_TCVN3_HIGH)}
_VISCII = {0x80 + i: c for i, c in enumerate(_VISCII_HIGH)} | _VISCII_LOW
#: Characters that CP1252 shows for the bytes 0x80 to 0x9F, back to their byte as a Latin-1 character.
_CP1252_BACK = {
    ord(bytes([b]).decode("cp1252")): chr(b)
    for b in range(0x80, 0xA0)
    if b not in (0x81, 0x8D, 0x8F, 0x90, 0x9D)
}


def _decode_tcvn3(text: str) -> str:
    return _restore_capitals(_nfc(text.translate(_TCVN3)))


def _restore_capitals(text: str) -> str:
    """``NGUYễN HUệ`` -> ``NGUYỄN HUỆ``: in TCVN3 the font (.VnTimeH) makes toned letters capital.

    The case of the ASCII letters decides: when a text (else a word of it) has at least two, all capital,
    its other letters are capital too.
    """
    if text.isascii():
        return text
    if _shouts(text):
        return text.upper()
    return re.sub(r"\w+", lambda m: m.group().upper() if _shouts(m.group()) else m.group(), text)


def _shouts(text: str) -> bool:
    letters = [c for c in text if c.isascii() and c.isalpha()]
    return len(letters) >= 2 and all(c.isupper() for c in letters)


def _decode_vni(text: str) -> str:
    return _nfc(_VNI_PATTERN.sub(lambda m: _VNI[m.group()], text))


def _decode_viscii(text: str) -> str:
    return _nfc(text.translate(_VISCII))


def _decode_cp1258(text: str) -> str:
    return _nfc(text.encode("latin-1").decode("cp1258", "replace"))


def _decode_utf8(text: str) -> str:
    return _nfc(text.encode("latin-1").decode("utf-8"))


_DECODERS: dict[str, Callable[[str], str]] = {
    "utf-8": _decode_utf8,
    "tcvn3": _decode_tcvn3,
    "vni": _decode_vni,
    "viscii": _decode_viscii,
    "cp1258": _decode_cp1258,
}


def _decoder(encoding: str) -> Callable[[str], str]:
    try:
        return _DECODERS[encoding]
    except KeyError:
        raise UsageError(
            f"{encoding!r} is not an encoding bandoso knows", hint="use one of " + ", ".join(ENCODINGS)
        ) from None


def as_bytes_text(text: str) -> str | None:
    """``text`` with one character a byte, or None when it cannot be bytes read as Latin-1 or CP1252."""
    mapped = text.translate(_CP1252_BACK)
    return mapped if mapped.isascii() or max(mapped) <= "\xff" else None


def decode_bytes(data: bytes, encoding: str) -> str:
    """``data`` in one of ENCODINGS as NFC text. Raises UsageError when it is not valid in it."""
    try:
        return _decoder(encoding)(data.decode("latin-1"))
    except UnicodeDecodeError:
        raise UsageError(f"the text is not valid {encoding}") from None


def decode_text(text: str, encoding: str) -> str | None:
    """Mojibake ``text`` (bytes shown as Latin-1 or CP1252) as NFC text.

    None when ``text`` cannot be that: it holds letters outside both, so it is Unicode already, or its
    bytes are not valid in ``encoding``.
    """
    decode = _decoder(encoding)
    if text.isascii():
        return text
    mapped = as_bytes_text(text)
    if mapped is None:
        return None
    try:
        return decode(mapped)
    except UnicodeDecodeError:
        return None


# --- detection -----------------------------------------------------------------------------------

_ONSETS = "ngh|ng|gh|gi|kh|nh|ph|qu|th|tr|ch|b|c|d|đ|g|h|k|l|m|n|p|r|s|t|v|x|"
_RHYMES = (
    "a ai ao au am an ang anh ap at ac ach ay ă ăm ăn ăng ăp ăt ăc âm ân âng âp ât âc âu ây "
    "e em en eng ep et ec eo ê êm ên ênh êp êt êch êu êng êc "
    "i ia im in inh ip it ich iu iêm iên iêng iêp iêt iêc iêu iê y yêm yên yêng yêt yêu ya ynh yt "
    "o oi om on ong op ot oc oa oai oan oang oanh oao oat oac oach oay oam oap oăn oăng oăt oăc oăm oe oen "
    "oeo oet oong ooc ô ôi ôm ôn ông ôp ôt ôc ơ ơi ơm ơn ơp ơt ơng "
    "u ui um un ung up ut uc ua uê uy uân uâng uât uây uôi uôm uôn uông uôt uôc uơ uya uyên uyêt uynh uych "
    "uyt uyu uyn uyp uênh uêch ư ưa ưi ưu ưm ưn ưng ưt ưc ươi ươm ươn ương ươp ươt ươc ươu uơn uơt"
)
_SYLLABLE = re.compile(f"(?:{_ONSETS})(?:{'|'.join(_RHYMES.split())})")
_WORD_EDGES = re.compile(r"[\s!-/:-@\[-`{-~0-9]+")


@lru_cache(maxsize=65_536)
def is_syllable(word: str) -> bool:
    """Is ``word`` (NFC, no spaces) a possible Vietnamese syllable?"""
    decomposed = unicodedata.normalize("NFD", word.lower())
    if sum(decomposed.count(tone) for tone in _TONES) > 1:
        return False
    toneless = _nfc("".join(c for c in decomposed if c not in _TONES))
    return _SYLLABLE.fullmatch(toneless) is not None


@dataclass(frozen=True)
class Detection:
    """What a text seems to be.

    ``encoding``: None when it reads well as it is (or there is nothing to judge), else one of ENCODINGS.
    ``confidence``: 0 to 1; the lower bound (95 %) of the share of words that become valid Vietnamese,
    lessened by the share that was valid already. ``words``: words beyond ASCII that were judged.
    ``example``: (as it stands, decoded), for the report.
    """

    encoding: str | None
    confidence: float
    words: int
    example: tuple[str, str] | None = None


class Detector:
    """Collects letter statistics over many texts; feed it with ``add`` and ask for ``result``."""

    def __init__(self, most_words: int = 20_000) -> None:
        self._words: dict[str, int] = {}
        self._most = most_words
        self._texts = 0

    @property
    def has_enough(self) -> bool:
        """Many texts were seen: further ones need only be sampled."""
        return self._texts > 10_000

    def add(self, texts: Iterable[str]) -> None:
        """Take the words beyond ASCII of ``texts`` (one character a byte, or Unicode)."""
        for text in texts:
            if text.isascii() or len(self._words) >= self._most:
                continue
            self._texts += 1
            for word in _WORD_EDGES.split(text):
                if word and not word.isascii():
                    self._words[word] = self._words.get(word, 0) + 1

    def result(self) -> Detection:
        """The most plausible encoding of all texts so far."""
        # Distinct words count once: one frequent name must not decide.
        words = list(self._words)
        if not words:
            return Detection(None, 0.0, 0)
        as_is = sum(is_syllable(_nfc(word)) for word in words) / len(words)
        best, best_share = None, as_is
        for encoding in _DECODERS:
            decoded = (decode_text(word, encoding) for word in words)
            share = sum(_all_syllables(word) for word in decoded if word is not None) / len(words)
            if share > best_share:
                best, best_share = encoding, share
        if best is None or best_share < _MOST or best_share - as_is < _GAIN:
            return Detection(None, round(_lower_bound(as_is, len(words)), 3), len(words))
        confidence = _lower_bound(best_share, len(words)) * (1 - as_is)
        example = max(words, key=lambda w: (_all_syllables(decode_text(w, best) or ""), len(w)))
        return Detection(
            best, round(confidence, 3), len(words), (example, decode_text(example, best) or example)
        )


def _all_syllables(decoded: str) -> bool:
    """A mojibake word may hold a no-break space or punctuation once decoded; all its parts must be right."""
    parts = [p for p in _WORD_EDGES.split(decoded) if p]
    return bool(parts) and all(is_syllable(p) for p in parts)


@lru_cache(maxsize=65_536)
def readings(word: str) -> frozenset[str]:
    """In which of ENCODINGS a word beyond ASCII is Vietnamese; with ``""`` when it is as it stands."""
    found = {name for name in _DECODERS if _all_syllables(decode_text(word, name) or "")}
    return frozenset(found | {""} if is_syllable(_nfc(word)) else found)


def misread(text: str) -> str | None:
    """The encoding that a text, whole as a feature has it, was not decoded from; None when it reads well.

    Judged as Detector judges, by the one text: most words become Vietnamese that were none.
    """
    words = {word for word in _WORD_EDGES.split(text) if not word.isascii() and not _SIGN.fullmatch(word)}
    if sum(map(len, words)) < _FEWEST_LETTERS:
        return None
    read = [readings(word) for word in words]
    as_is = sum("" in one for one in read)
    if as_is == len(read):
        return None
    best = max(_DECODERS, key=lambda name: sum(name in one for one in read))
    share = sum(best in one for one in read) / len(read)
    return best if share >= _MOST and share - as_is / len(read) >= _GAIN else None


#: Signs of engineers, which are letters in other encodings: Ø 110, m², 25 °C, 2 × 3; and single letters.
_SIGN = re.compile(r".|[a-zA-Z]{1,3}[²³]|°[A-Z]|µ[a-zA-Z]|[×÷±½¼¾©®…–—]+")
_FEWEST_LETTERS = 3

#: A mixed or foreign text gains a little under many encodings; Vietnamese gains nearly everything.
_MOST, _GAIN = 0.6, 0.3


def _lower_bound(share: float, count: int, z: float = 1.96) -> float:
    """Wilson score interval's lower end."""
    if not count:
        return 0.0
    centre = share + z * z / (2 * count)
    spread = z * ((share * (1 - share) + z * z / (4 * count)) / count) ** 0.5
    return float((centre - spread) / (1 + z * z / count))


def detect(texts: Iterable[str]) -> Detection:
    """Which encoding ``texts`` (read as Latin-1, CP1252 or UTF-8) seem to be in."""
    detector = Detector()
    detector.add(texts)
    return detector.result()
