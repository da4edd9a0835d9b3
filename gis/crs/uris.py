"""Names of CRSs as OGC APIs and people write them, and the axis order that goes with each name."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gis.crs.definitions import definition
from gis.errors import UsageError

_OGC = "http://www.opengis.net/def/crs/"
_FORMS = (
    re.compile(r"https?://www\.opengis\.net/def/crs/(?P<auth>EPSG|OGC)/(?P<version>[0-9.]+)/(?P<code>\w+)"),
    re.compile(r"urn:(?:ogc|x-ogc):def:crs:(?P<auth>EPSG|OGC):(?P<version>[0-9.]*):(?P<code>\w+)", re.I),
    re.compile(r"(?P<auth>EPSG|OGC):(?P<version>)(?P<code>\w+)", re.I),
)


@dataclass(frozen=True)
class CrsRef:
    """A CRS as a client named it. ``swap``: its coordinates are written y, x (latitude first)."""

    code: int
    swap: bool
    uri: str


#: Longitude, latitude on WGS 84: the default of OGC API Features. Its code here is 4326.
CRS84 = CrsRef(4326, False, _OGC + "OGC/1.3/CRS84")


def ref(code: int) -> CrsRef:
    """The EPSG name of a code, with its axis order. Raises UsageError for an unknown code."""
    return CrsRef(code, definition(code).axis == "ne", f"{_OGC}EPSG/0/{code}")


def uri(code: int) -> str:
    """``http://www.opengis.net/def/crs/EPSG/0/<code>``. For CRS84 see CRS84.uri."""
    return ref(code).uri


def parse_uri(text: str) -> CrsRef:
    """Read an OGC URI, a URN, ``EPSG:9210`` or a safe CURIE ``[EPSG:9210]``.

    A pair of angle brackets around it (Content-Crs) is allowed. Raises UsageError when it is none of
    these (invalid-crs) or names a CRS that is not defined here (unknown-crs).
    """
    bare = text.strip()
    if bare[:1] + bare[-1:] in ("<>", "[]"):
        bare = bare[1:-1]
    for form in _FORMS:
        match = form.fullmatch(bare) if len(bare) <= 100 else None
        if match is None:
            continue
        authority, code = match["auth"].upper(), match["code"]
        if authority == "OGC" and code.upper() == "CRS84":
            return CRS84
        if authority == "EPSG" and code.isascii() and code.isdigit() and len(code) <= 6:
            return ref(int(code))
        break
    raise UsageError(
        "this is not the name of a CRS",
        code="invalid-crs",
        hint=f"write it as {_OGC}EPSG/0/9210 or EPSG:9210",
    )


def parse_code(text: str) -> int:
    """A code as people type it after ``--crs``: what parse_uri reads, or the number alone."""
    bare = text.strip()
    if bare.isascii() and bare.isdigit() and len(bare) <= 6:
        return definition(int(bare)).code
    return parse_uri(bare).code
