"""What the client asked for: parameters, format, language, and whether it has the answer already.

Parameters that a route does not know are refused everywhere (Features core): a typo must not look
like an unfiltered answer.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence

from starlette.requests import Request

from gis.errors import UsageError

#: Names that every route of documents takes.
COMMON = ("f", "lang")

_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,253})?|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?\Z")


def known_parameters(request: Request, names: Iterable[str]) -> dict[str, str]:
    """The query parameters, each given once and each in ``names``. Raises UsageError."""
    known = tuple(names)
    found: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in known:
            raise UsageError(
                "the request has a parameter that this address does not know",
                code="unknown-parameter",
                hint="known are: " + ", ".join(known) if known else "it takes no parameters",
                errors=[{"parameter": name[:100], "detail": "unknown parameter"}],
            )
        if name in found:
            raise UsageError(
                "a parameter is given twice",
                code="repeated-parameter",
                errors=[{"parameter": name[:100], "detail": "given more than once"}],
            )
        found[name] = value
    return found


def choose_format(request: Request, offered: Mapping[str, Sequence[str]]) -> str:
    """Key of ``offered`` (format name -> its media types) by ``f`` or else by Accept.

    The first is the default, also when nothing that is offered is accepted: a client that asks for
    something else is better served by JSON than by 406. Raises UsageError for an unknown ``f``.
    """
    wanted = request.query_params.get("f")
    if wanted is not None:
        if wanted not in offered:
            raise UsageError(
                "the parameter f names a format that is not offered here",
                hint="offered are: " + ", ".join(offered),
                errors=[{"parameter": "f", "detail": "unknown format"}],
            )
        return wanted
    default = next(iter(offered))
    accept = request.headers.get("accept")
    if not accept:
        return default
    for media_range, _quality in _weighted(accept):
        if media_range == "*/*":
            return default
        for name, media_types in offered.items():
            for media_type in media_types:
                bare = media_type.partition(";")[0].strip().lower()
                if bare == media_range or (media_range.endswith("/*") and bare.startswith(media_range[:-1])):
                    return name
    return default


def choose_language(request: Request, languages: Sequence[str]) -> str:
    """One of ``languages`` (the city's, first is the default) by ``lang`` or Accept-Language."""
    wanted = request.query_params.get("lang")
    if wanted is not None:
        if wanted not in languages:
            raise UsageError(
                "the parameter lang names a language that is not offered",
                hint="offered are: " + ", ".join(languages),
                errors=[{"parameter": "lang", "detail": "unknown language"}],
            )
        return wanted
    for tag, _quality in _weighted(request.headers.get("accept-language", "")):
        primary = tag.partition("-")[0]
        if primary in languages:
            return primary
        if primary == "*":
            break
    return languages[0]


def _weighted(header: str) -> list[tuple[str, float]]:
    """The values of an Accept header, most wanted first; at most 32 of them, those with q=0 left out."""
    found: list[tuple[str, float]] = []
    for part in header[:2000].split(",")[:32]:
        value, *rest = part.split(";")
        quality = 1.0
        for parameter in rest:
            name, _, text = parameter.partition("=")
            if name.strip().lower() == "q":
                try:
                    quality = float(text)
                except ValueError:
                    quality = 0.0
        if value.strip() and quality > 0:
            found.append((value.strip().lower(), quality))
    return sorted(found, key=lambda item: -item[1])


def etag_of(body: bytes) -> str:
    """A strong ETag of the bytes."""
    return f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'


def page_etag(body: bytes) -> str:
    """A strong ETag of a page of features: two checksums of unlike kinds and the length, an eighth of the
    time of a hash, which took a third of what a page of 1,000 features costs a process."""
    return f'"{zlib.crc32(body):08x}{zlib.adler32(body):08x}{len(body):x}"'


def has_current(request: Request, etag: str) -> bool:
    """Whether If-None-Match names this ETag (weak comparison, as RFC 9110 asks)."""
    header = request.headers.get("if-none-match")
    if not header:
        return False
    if header.strip() == "*":
        return True
    bare = etag.removeprefix("W/")
    return any(part.strip().removeprefix("W/") == bare for part in header.split(","))


def valid_host(host: str) -> bool:
    """Whether a Host header can stand in links (it is echoed in every document)."""
    return bool(_HOST.match(host))
