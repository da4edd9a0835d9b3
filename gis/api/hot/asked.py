"""What a request says in its headers, as far as the hot path's answers depend on it, each found out once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.datastructures import Headers, QueryParams
from starlette.requests import Request

from gis.api.compress import accepts_gzip
from gis.api.features.params import FORMATS
from gis.api.headers import EXPOSED, STRICT_CSP
from gis.api.negotiate import choose_format, choose_language, valid_host
from gis.api.state import State
from gis.errors import BandosoError

#: A request with one of these is not for the hot path: who asks, a body, a part, a condition of writing.
OTHERS: Final = frozenset(
    {
        b"authorization",
        b"cookie",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"transfer-encoding",
        b"if-match",
        b"if-modified-since",
        b"if-range",
        b"if-unmodified-since",
        b"range",
        b"prefer",
        b"upgrade",
    }
)

#: Kept of each kind: clients choose these headers.
_MOST: Final = 2000

type Pairs = list[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Asked:
    """What a request asks for beside its address."""

    #: Address of this server as links show it, without a final slash.
    base: str
    language: str
    #: Whether items are wanted as GeoJSON.
    geojson: bool
    gzip: bool


class Reader:
    """Reads the headers; one per process."""

    def __init__(self) -> None:
        self._bases: dict[tuple[bytes, str], str] = {}
        self._accepted: dict[tuple[bytes | None, bytes | None, bytes | None], tuple[str, bool, bool]] = {}

    def read(self, state: State, scope: Mapping[str, Any], headers: Mapping[bytes, bytes]) -> Asked | None:
        """None where something is wrong with them."""
        host = headers.get(b"host")
        if host is None:
            return None
        base = self._bases.get((host, scope["scheme"]))
        if base is None:
            if not valid_host(host.decode("latin-1")):
                return None
            base = self._bases[_room(self._bases, (host, scope["scheme"]))] = state.base_url(
                Request(dict(scope))
            )
        accepted = (headers.get(b"accept"), headers.get(b"accept-language"), headers.get(b"accept-encoding"))
        known = self._accepted.get(accepted)
        if known is None:
            found = _accepted(state, headers)
            if found is None:
                return None
            known = self._accepted[_room(self._accepted, accepted)] = found
        return Asked(base, *known)

    def forget(self) -> None:
        """After a change of the settings of the city."""
        self._accepted.clear()


def _room[K](kept: dict[K, Any], key: K) -> K:
    if len(kept) >= _MOST:
        kept.clear()
    return key


def _accepted(state: State, headers: Mapping[bytes, bytes]) -> tuple[str, bool, bool] | None:
    asked = _Headers(headers)
    try:
        output = choose_format(asked, {name: FORMATS[name] for name in ("json", "jsonfg", "html")})  # type: ignore[arg-type]
        paged = choose_format(asked, FORMATS)  # type: ignore[arg-type]
        language = choose_language(asked, state.city.languages)  # type: ignore[arg-type]
    except BandosoError:
        return None
    return language, output == paged == "json", accepts_gzip(asked.headers)


class _Headers:
    """As much of a request as negotiation looks at."""

    def __init__(self, headers: Mapping[bytes, bytes]) -> None:
        self.headers = Headers(raw=list(headers.items()))
        self.query_params = QueryParams()


#: What every answer to anyone has (gis.api.headers).
STANDARD: Final[Pairs] = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"strict-origin-when-cross-origin"),
    (b"content-security-policy", STRICT_CSP.encode()),
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", EXPOSED.encode()),
]


def vary(*names: str) -> tuple[bytes, bytes]:
    """The Vary header of an answer: all vary by Authorization."""
    return b"vary", ", ".join((*names, "Authorization")).encode()


def is_current(header: bytes | None, etag: str) -> bool:
    """Whether If-None-Match names this ETag or that of its compressed form (gis.api.negotiate)."""
    if header is None:
        return False
    given = header.decode("latin-1").strip()
    if given == "*":
        return True
    plain = given.replace('-gzip"', '"')
    return any(part.strip().removeprefix("W/") == etag for part in plain.split(","))
