"""What the headers of a write say: content type, CRS, conditions, preferences."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request

from gis import crs
from gis.api.features.params import offered_crs
from gis.api.problems import Refusal
from gis.city import City
from gis.errors import UsageError

#: Of whole features (POST, PUT), and of changes (PATCH).
WHOLE: Final = ("application/geo+json", "application/json")
PATCH: Final = ("application/merge-patch+json",)

_OURS = re.compile(r"(\d{1,19})\.(\d{1,10})\.[0-9a-f]+(?:-gzip)?\Z")
_TAG = re.compile(r'\s*(W/)?"([\x21\x23-\x7e\x80-\xff]*)"\s*(?:,|\Z)')
_MOST_TAGS = 100


def content_type(request: Request, taken: tuple[str, ...]) -> None:
    """Raises Refusal: 400 without a Content-Type (part 4, create-content-type), 415 for another one."""
    given = request.headers.get("content-type")
    name = "Accept-Patch" if taken is PATCH else "Accept-Post"
    listed = ", ".join(taken)
    if given is None:
        raise Refusal(400, "no-content-type", "the header Content-Type is missing", hint=f"send {listed}")
    bare, *rest = (part.strip().lower() for part in given.split(";"))
    charset = next((p.partition("=")[2].strip('"') for p in rest if p.startswith("charset=")), "utf-8")
    if bare not in taken or charset not in ("utf-8", "utf8", "us-ascii"):
        raise Refusal(
            415,
            "unsupported-content-type",
            f"{request.method} takes {listed} in UTF-8",
            headers={name: listed},
        )


def content_crs(request: Request, city: City) -> crs.CrsRef:
    """The CRS of the geometry that is sent: CRS84 unless the header says another. Raises UsageError."""
    given = request.headers.get("content-crs")
    if given is None or not given.strip():
        return crs.CRS84
    problem = UsageError(
        "the header Content-Crs names a CRS that is not taken here",
        code="unknown-crs",
        hint="the collection lists them under crs",
        errors=[{"parameter": "Content-Crs", "detail": "not offered"}],
    )
    try:
        named = crs.parse_uri(given)
    except UsageError:
        raise problem from None
    if named not in offered_crs(city):
        raise problem
    return named


@dataclass(frozen=True, slots=True)
class Condition:
    """If-Match: ``any`` for ``*``, else the versions of the feature that its entity tags name."""

    any: bool = False
    versions: frozenset[int] = frozenset()


def if_match(request: Request, fid: int) -> Condition | None:
    """The condition; None: there is none. A tag of any representation of a version stands for the version.

    Weak tags never match (RFC 9110, 13.1.1). Raises UsageError for what is no list of tags.
    """
    return _condition(request, "if-match", fid, weak=False)


def if_none_match(request: Request, fid: int) -> Condition | None:
    """Likewise; weak tags match."""
    return _condition(request, "if-none-match", fid, weak=True)


def _condition(request: Request, name: str, fid: int, *, weak: bool) -> Condition | None:
    given = request.headers.getlist(name)
    if not given:
        return None
    text = ",".join(given).strip()
    if text == "*":
        return Condition(any=True)
    versions, at, met = set(), 0, 0
    while at < len(text):
        tag = _TAG.match(text, at)
        met += 1
        if tag is None or met > _MOST_TAGS:
            raise UsageError(
                f"the header {name.title()} is not a list of entity tags",
                code="invalid-condition",
                hint='send the ETag of the feature with its quotation marks, as "12.3.0a1b2c3d4e5f", or *',
                errors=[{"parameter": name.title(), "detail": "not a list of entity tags"}],
            )
        at = tag.end()
        ours = _OURS.match(tag[2])
        if ours is not None and int(ours[1]) == fid and (weak or not tag[1]):
            versions.add(int(ours[2]))
    return Condition(versions=frozenset(versions))


@dataclass(frozen=True, slots=True)
class Preferences:
    """Of RFC 7240, those that are known here; ``returning`` and ``handling`` are empty when not said."""

    returning: str = ""
    handling: str = ""


def preferences(request: Request) -> Preferences:
    """The Prefer header; what is not known in it is passed over, as the RFC has it."""
    found: dict[str, str] = {}
    for header in request.headers.getlist("prefer")[:8]:
        for part in header[:1000].split(","):
            name, _, value = part.partition(";")[0].partition("=")
            found.setdefault(name.strip().lower(), value.strip().strip('"').lower())
    returning, handling = found.get("return", ""), found.get("handling", "")
    return Preferences(
        returning if returning in ("minimal", "representation") else "",
        handling if handling in ("strict", "lenient") else "",
    )
