"""JWTs of the city's OIDC provider: signature by its published keys, issuer, audience and times.

Only asymmetric algorithms, each only with a key of its kind: a token "signed" with alg none, or by HMAC with
the public key as its secret, finds no key. Keys are kept for an hour; a token of a key that is not known yet
has them read again, at most once a minute.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from gis.api.accounts.basic import Wrong
from gis.api.problems import Refusal
from gis.errors import ConfigError
from gis.settings import Settings

LOG = logging.getLogger("bandoso.api")

#: Kind of key (and curve) -> algorithms that go with it.
ALGORITHMS = {
    "RSA": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    "P-256": ("ES256",),
    "P-384": ("ES384",),
    "P-521": ("ES512",),
    "Ed25519": ("EdDSA",),
    "Ed448": ("EdDSA",),
}
SMALLEST_RSA = 2048

#: Clocks of two machines differ (seconds).
LEEWAY = 30
KEPT, AGAIN = 3600.0, 60.0
TIMEOUT, MOST_BYTES, MOST_KEYS = 5.0, 256_000, 100
LONGEST_TOKEN = 16_384
LOCAL = ("localhost", "127.0.0.1", "::1")


class Oidc:
    """The provider's keys, in one process."""

    def __init__(self, settings: Settings) -> None:
        self.issuer, self._audience = settings.oidc_issuer, settings.oidc_audience
        self._source = settings.oidc_jwks
        self._keys: dict[str, tuple[Any, tuple[str, ...]]] = {}
        self._read_at = self._tried_at = -math.inf
        self._lock = asyncio.Lock()
        if self.is_set:
            import jwt  # noqa: F401 - with cryptography 0.2 s, which only servers with a provider spend

    @property
    def is_set(self) -> bool:
        """Whether there is a provider at all."""
        return bool(self.issuer and self._audience and self._source)

    async def subject(self, token: str) -> str:
        """Issuer and subject of a good token, with a space between. Raises Wrong, or Refusal (503)."""
        if not self.is_set or len(token) > LONGEST_TOKEN:
            raise Wrong
        import jwt
        from jwt.exceptions import InvalidTokenError, PyJWTError

        try:
            header = jwt.get_unverified_header(token)
        except (PyJWTError, ValueError, RecursionError):
            raise Wrong from None
        algorithm, kid = header.get("alg"), header.get("kid", "")
        if not isinstance(kid, str) or "crit" in header:
            raise Wrong
        key, allowed = await self._key(kid)
        if algorithm not in allowed:
            raise Wrong
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                issuer=self.issuer,
                audience=self._audience,
                leeway=LEEWAY,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except (InvalidTokenError, ValueError, TypeError, RecursionError, OverflowError):
            raise Wrong from None
        subject = claims["sub"]
        if not isinstance(subject, str) or not 1 <= len(subject) <= 255 or not subject.isprintable():
            raise Wrong
        return f"{self.issuer} {subject}"

    async def _key(self, kid: str) -> tuple[Any, tuple[str, ...]]:
        if time.monotonic() - self._read_at > KEPT or self._find(kid) is None:
            async with self._lock:
                late = time.monotonic() - self._read_at > KEPT or self._find(kid) is None
                if late and time.monotonic() - self._tried_at > AGAIN:
                    await self._read()
        found = self._find(kid)
        if found is not None:
            return found
        if not self._keys:
            raise Refusal(
                503,
                "provider-unavailable",
                "the keys of the login provider cannot be read at the moment",
                headers={"Retry-After": str(int(AGAIN))},
            )
        raise Wrong

    def _find(self, kid: str) -> tuple[Any, tuple[str, ...]] | None:
        if not kid and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(kid)

    async def _read(self) -> None:
        """Read the keys; the old ones stay where that fails."""
        from jwt.exceptions import PyJWTError

        self._tried_at = time.monotonic()
        try:
            keys = usable_keys(await asyncio.to_thread(read_document, self._source))
        except (OSError, ValueError, PyJWTError, ConfigError, RecursionError) as error:
            LOG.warning("the keys of the OIDC provider cannot be read: %s", type(error).__name__)
            return
        self._keys, self._read_at = keys, time.monotonic()


def check_settings(settings: Settings) -> None:
    """Raises ConfigError when the three settings do not go together."""
    given = [bool(v) for v in (settings.oidc_issuer, settings.oidc_audience, settings.oidc_jwks)]
    if any(given) and not all(given):
        raise ConfigError("oidc_issuer, oidc_audience and oidc_jwks are set together, or none of them")
    if any(given):
        _check_source(settings.oidc_jwks)


def read_document(source: str) -> Any:
    """The JSON of a file, or of an https address (http on this machine alone). Redirects are not followed."""
    address = _check_source(source)
    if address is None:
        with Path(source).open("rb") as file:
            return json.loads(_bounded(file.read(MOST_BYTES + 1)))
    opener = urllib.request.build_opener(_NoRedirect)
    if address.hostname in LOCAL:
        opener = urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler({}))
    headers = {"Accept": "application/json", "User-Agent": "bandoso"}
    request = urllib.request.Request(source, headers=headers)  # noqa: S310 - the scheme was looked at
    with opener.open(request, timeout=TIMEOUT) as answer:
        deadline = time.monotonic() + TIMEOUT
        body = bytearray()
        while piece := answer.read1(65_536):
            body += piece
            _bounded(body)
            if time.monotonic() > deadline:  # the timeout is of each piece
                raise TimeoutError
    return json.loads(bytes(body))


def _bounded(body: bytes | bytearray) -> bytes | bytearray:
    if len(body) > MOST_BYTES:
        raise ValueError("too large")
    return body


def _check_source(source: str) -> urllib.parse.SplitResult | None:
    if "://" not in source:
        return None
    address = urllib.parse.urlsplit(source)
    if address.scheme == "https" or (address.scheme == "http" and address.hostname in LOCAL):
        return address
    raise ConfigError("oidc_jwks is a file, or an address that begins with https://")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def usable_keys(document: Any) -> dict[str, tuple[Any, tuple[str, ...]]]:
    """kid -> (public key, algorithms that it is for). Raises ValueError when the document has none."""
    import jwt
    from jwt.exceptions import PyJWTError

    keys: dict[str, tuple[Any, tuple[str, ...]]] = {}
    given = document.get("keys") if isinstance(document, dict) else None
    for one in given[:MOST_KEYS] if isinstance(given, list) else ():
        if not isinstance(one, dict) or one.get("use", "sig") != "sig":
            continue
        kind = "RSA" if one.get("kty") == "RSA" else str(one.get("crv"))
        if kind not in ALGORITHMS or one.get("kty") not in ("RSA", "EC", "OKP"):
            continue  # secrets of HMAC among them
        allowed = tuple(a for a in ALGORITHMS[kind] if one.get("alg", a) == a)
        public = {k: v for k, v in one.items() if k not in ("d", "p", "q", "dp", "dq", "qi", "oth", "alg")}
        try:
            key = jwt.PyJWK(public, ALGORITHMS[kind][0]).key
        except (PyJWTError, ValueError, TypeError):
            continue
        if allowed and getattr(key, "key_size", SMALLEST_RSA) >= (SMALLEST_RSA if kind == "RSA" else 0):
            keys[str(one.get("kid", ""))] = (key, allowed)
    if not keys:
        raise ValueError("no usable key")
    return keys
