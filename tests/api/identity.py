"""Accounts for tests, and an OIDC provider: keys, its JWKS over a real local server, tokens it signs."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import jwt
import psycopg
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from gis.db.server import Database
from gis.identity import accounts

PASSWORD = "con mèo trèo cây cau"
ISSUER, AUDIENCE = "https://login.example/realms/city", "bandoso"


def make(
    db: Database, name: str, *grants: tuple[Any, ...], password: str | None = PASSWORD, **more: Any
) -> int:
    """An account with grants (role, agency, layer, area)."""
    with psycopg.connect(db.owner_dsn, autocommit=True) as connection:
        account = accounts.add_account(connection, name, password, **more)
        for grant in grants:
            accounts.grant(connection, account, *grant)
    return account


def token(db: Database, account: int, *scopes: str) -> str:
    """An API token."""
    with psycopg.connect(db.owner_dsn, autocommit=True) as connection:
        wanted = scopes or ("read", "edit", "manage")
        return accounts.make_token(connection, account, "tests", wanted, 1)[0]


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def basic(name: str, password: str = PASSWORD) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


class Provider:
    """An OIDC provider with a JWKS that can be changed, and that counts who reads it."""

    def __init__(self) -> None:
        self.private: dict[str, Any] = {
            "rsa": rsa.generate_private_key(public_exponent=65537, key_size=2048),
            "ec": ec.generate_private_key(ec.SECP256R1()),
            "ed": ed25519.Ed25519PrivateKey.generate(),
        }
        self.published = ["rsa", "ec", "ed"]
        self.more: list[dict[str, Any]] = []
        self.reads = 0
        self.url = ""
        #: Answers in place of the document.
        self.instead: Callable[[BaseHTTPRequestHandler], None] | None = None

    ALGORITHMS: ClassVar = {"rsa": "RS256", "ec": "ES256", "ed": "EdDSA"}

    def jwk(self, kid: str) -> dict[str, Any]:
        algorithm = self.ALGORITHMS[kid.partition("-")[0]]
        public = self.private[kid].public_key()
        document = jwt.get_algorithm_by_name(algorithm).to_jwk(public, as_dict=True)
        return {**document, "kid": kid, "use": "sig"}

    def document(self) -> bytes:
        return json.dumps({"keys": [*map(self.jwk, self.published), *self.more]}).encode()

    def claims(self, **changed: Any) -> dict[str, Any]:
        """Good claims; None takes one away."""
        now = int(time.time())
        given = {"iss": ISSUER, "aud": AUDIENCE, "sub": "lan-42", "iat": now, "exp": now + 300, **changed}
        return {name: value for name, value in given.items() if value is not None}

    def sign(self, kid: str = "rsa", headers: dict[str, Any] | None = None, **changed: Any) -> str:
        algorithm = self.ALGORITHMS[kid.partition("-")[0]]
        return jwt.encode(
            self.claims(**changed), self.private[kid], algorithm, headers={"kid": kid, **(headers or {})}
        )


@contextmanager
def serving(provider: Provider) -> Iterator[Provider]:
    """The provider's JWKS on a local port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            provider.reads += 1
            if provider.instead is not None:
                provider.instead(self)
                return
            body = provider.document()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    provider.url = f"http://127.0.0.1:{server.server_port}/jwks"
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
