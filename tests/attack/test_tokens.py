"""Forged, expired and misused tokens at the real server, with a real provider of keys beside it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from typing import Any

import httpx
import jwt
import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gis.api.accounts import oidc
from gis.api.accounts.basic import Wrong
from gis.api.problems import Refusal
from gis.db.server import Database
from gis.errors import ConfigError
from gis.identity import accounts
from gis.settings import Settings
from tests.api.identity import AUDIENCE, ISSUER, Provider, basic, bearer, make, serving, token
from tests.api.problem import assert_problem
from tests.api.process import Server


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with serving(Provider()) as one:
        yield one


@pytest.fixture(scope="module")
def running(
    module_db: Database, settings: Settings, provider: Provider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """One worker, so that what it has read of the provider is known."""
    make(module_db, "lan", ("editor", "sawaco"), password=None, subject=f"{ISSUER} lan-42")
    make(module_db, "gone", ("editor", "sawaco"), password=None, subject=f"{ISSUER} gone-1")
    make(module_db, "boss", ("admin", "city"))
    with psycopg.connect(module_db.owner_dsn, autocommit=True) as owner:
        accounts.disable(owner, accounts.find(owner, "gone"))
    process = Server(
        replace(
            settings,
            workers=1,
            pool_size=4,
            oidc_issuer=ISSUER,
            oidc_audience=AUDIENCE,
            oidc_jwks=provider.url,
        ),
        module_db,
        tmp_path_factory.mktemp("tokens"),
    )
    process.start()
    yield process
    assert process.stop() == 0, process.log.read_text(errors="replace")[-3000:]


def me(server: Server, secret: str) -> httpx.Response:
    return server.get("/me", headers=bearer(secret))


@pytest.mark.parametrize("kid", ["rsa", "ec", "ed"])
def test_a_good_token_of_each_kind_of_key_logs_in(running: Server, provider: Provider, kid: str) -> None:
    answer = me(running, provider.sign(kid, aud=["other", AUDIENCE]))
    assert answer.status_code == 200, answer.text
    assert answer.json()["name"] == "lan"
    assert answer.json()["token"] is None


def encoded(part: Any) -> str:
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def jwk(public: Any) -> dict[str, Any]:
    return dict(jwt.get_algorithm_by_name("RS256").to_jwk(public, as_dict=True))


def forged(provider: Provider, name: str) -> str:
    """A token that somebody without the provider's keys can make."""
    good = provider.sign()
    head, body, signature = good.split(".")
    public = provider.private["rsa"].public_key()
    now = int(time.time())
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def hs256(secret: bytes) -> str:
        begun = f"{encoded({'alg': 'HS256', 'typ': 'JWT', 'kid': 'rsa'})}.{body}"
        return f"{begun}.{encoded(hmac.digest(secret, begun.encode(), hashlib.sha256))}"

    own = {"kid": "rsa", "alg": "RS256"}
    makers: dict[str, Any] = {
        "none": lambda: f"{encoded({'alg': 'none', 'typ': 'JWT', 'kid': 'rsa'})}.{body}.",
        "nOnE": lambda: f"{encoded({'alg': 'nOnE', 'kid': 'rsa'})}.{body}.",
        "none with the signature": lambda: f"{encoded({'alg': 'none', 'kid': 'rsa'})}.{body}.{signature}",
        "no algorithm": lambda: f"{encoded({'kid': 'rsa'})}.{body}.{signature}",
        "no signature": lambda: f"{head}.{body}.",
        "hs256 with the public key (PEM)": lambda: hs256(
            public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        ),
        "hs256 with the public key (DER)": lambda: hs256(
            public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        ),
        "hs256 with the jwks": lambda: hs256(provider.document()),
        "hs256 with nothing": lambda: hs256(b""),
        "another body": lambda: f"{head}.{encoded(provider.claims(sub='boss'))}.{signature}",
        "another key, same kid": lambda: jwt.encode(
            provider.claims(), other, "RS256", headers={"kid": "rsa"}
        ),
        "its own key in the header": lambda: jwt.encode(
            provider.claims(),
            other,
            "RS256",
            headers={
                **own,
                "jwk": jwt.get_algorithm_by_name("RS256").to_jwk(other.public_key(), as_dict=True),
            },
        ),
        "its own key by address": lambda: jwt.encode(
            provider.claims(), other, "RS256", headers={**own, "jku": provider.url, "x5u": provider.url}
        ),
        "unknown kid": lambda: jwt.encode(provider.claims(), other, "RS256", headers={"kid": "mine"}),
        "kid that is a path": lambda: jwt.encode(
            provider.claims(), other, "RS256", headers={"kid": "../../../dev/null"}
        ),
        "kid that is SQL": lambda: jwt.encode(
            provider.claims(), other, "RS256", headers={"kid": "rsa' OR '1'='1"}
        ),
        "no kid": lambda: jwt.encode(provider.claims(), provider.private["rsa"], "RS256"),
        "a key of another kind": lambda: jwt.encode(
            provider.claims(), ec.generate_private_key(ec.SECP256R1()), "ES256", headers={"kid": "rsa"}
        ),
        "critical extension": lambda: provider.sign(headers={"crit": ["b64"], "b64": False}),
        "expired": lambda: provider.sign(exp=now - 31),
        "expired long ago": lambda: provider.sign(exp=0),
        "expires never": lambda: provider.sign(exp=None),
        "not yet": lambda: provider.sign(nbf=now + 60),
        "issued in the future": lambda: provider.sign(iat=now + 3600),
        "times that are text": lambda: provider.sign(exp="tomorrow"),
        "infinite": lambda: f"{head}.{encoded(b'{"exp": 1e999, "sub": "lan-42"}')}.{signature}",
        "another issuer": lambda: provider.sign(iss="https://login.example/realms/other"),
        "issuer with a slash": lambda: provider.sign(iss=ISSUER + "/"),
        "no issuer": lambda: provider.sign(iss=None),
        "another audience": lambda: provider.sign(aud="mailbox"),
        "no audience": lambda: provider.sign(aud=None),
        "audiences": lambda: provider.sign(aud=["mailbox", "bandoso2"]),
        "no subject": lambda: provider.sign(sub=None),
        "empty subject": lambda: provider.sign(sub=""),
        "unknown subject": lambda: provider.sign(sub="nobody"),
        "subject with NUL": lambda: provider.sign(sub="lan-42\0"),
        "long subject": lambda: provider.sign(sub="x" * 4000),
        "account name as subject": lambda: provider.sign(sub="boss"),
        "disabled account": lambda: provider.sign(sub="gone-1"),
        "not base64": lambda: "a.b!.c",
        "not JSON": lambda: f"{encoded(b'{')}.{body}.{signature}",
        "a header that is a list": lambda: f"{encoded([])}.{body}.{signature}",
        "deep": lambda: f"{encoded(b'[' * 9000)}.{body}.{signature}",
        "four parts": lambda: f"{good}.x",
        "five parts": lambda: f"{good}.x.y",
        "too long": lambda: provider.sign(more="x" * 20_000),
    }
    return str(makers[name]())


def names() -> list[str]:
    import inspect
    import re

    return re.findall(r'^        "([^"]+)": lambda', inspect.getsource(forged), re.MULTILINE)


@pytest.mark.parametrize("name", names())
def test_a_forged_or_expired_token_is_401(running: Server, provider: Provider, name: str) -> None:
    assert_problem(me(running, forged(provider, name)), 401, "wrong-secret")
    assert me(running, provider.sign()).status_code == 200, "the good one goes on"


def test_unknown_keys_do_not_hammer_the_provider(running: Server, provider: Provider) -> None:
    before = provider.reads
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    for number in range(30):
        kid = {"kid": f"k{number}"}
        assert me(running, jwt.encode(provider.claims(), stranger, "RS256", headers=kid)).status_code == 401
    assert provider.reads - before <= 1


def test_a_token_ends_with_its_time_though_it_was_believed(running: Server, provider: Provider) -> None:
    secret = provider.sign(exp=int(time.time()) - 28)  # two seconds left of the thirty for clocks
    assert me(running, secret).status_code == 200
    time.sleep(4)
    assert_problem(me(running, secret), 401)


@pytest.mark.parametrize(
    ("origin", "site", "allowed"),
    [
        (None, None, True),  # QGIS, curl
        ("same", "same-origin", True),
        ("same", None, True),
        (None, "none", True),
        ("https://evil.example", "cross-site", False),
        ("https://evil.example", None, False),
        ("null", "cross-site", False),
        ("null", None, False),
        (None, "cross-site", False),
        (None, "same-site", False),
        ("https://evil.example", "same-origin", False),
        ("http://127.0.0.1:1", "same-site", False),
        ("same.evil.example", None, False),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_other_sites_pages_change_nothing_with_a_remembered_password(
    running: Server, module_db: Database, origin: str | None, site: str | None, allowed: bool, method: str
) -> None:
    headers = basic("boss")
    if origin:
        headers["Origin"] = origin.replace("same", running.url, 1) if origin.startswith("same") else origin
    if site:
        headers["Sec-Fetch-Site"] = site
    path = {"POST": "/accounts", "PUT": "/me/password"}.get(method, "/accounts/nobody")
    answer = httpx.request(method, running.url + path, headers=headers, content=b"{", timeout=30)
    if allowed:
        assert answer.status_code in (400, 404), answer.text
    else:
        assert_problem(answer, 403, "foreign-origin")
    # a page that was given a token may use it, and reading is free
    with_token = {**headers, **bearer(token(module_db, boss(module_db)))}
    assert httpx.request(method, running.url + path, headers=with_token, content=b"{").status_code in (
        400,
        404,
    )
    assert httpx.get(running.url + "/me", headers=headers).status_code == 200


def boss(db: Database) -> int:
    with psycopg.connect(db.owner_dsn) as owner:
        return accounts.find(owner, "boss")


def test_forwarded_addresses_of_strangers_are_not_believed(running: Server, module_db: Database) -> None:
    """No proxy is trusted here, so a client that names another address with each guess stays one client."""
    make(module_db, "victim", ("viewer", "sawaco"))
    answers = [
        running.get(
            "/me", headers={**basic("victim", f"guess number {n}"), "X-Forwarded-For": f"192.0.2.{n}"}
        ).status_code
        for n in range(14)
    ]
    assert answers == [401] * 10 + [429] * 4
    with psycopg.connect(module_db.owner_dsn) as owner:
        clients = owner.execute("SELECT DISTINCT key FROM bandoso.login_failure WHERE key LIKE 'client %'")
        assert clients.fetchall() == [("client 127.0.0.1",)]
        owner.execute("TRUNCATE bandoso.login_failure")


def test_guesses_at_tokens_harm_nobody(running: Server, module_db: Database) -> None:
    good = token(module_db, boss(module_db))
    for number in range(200):
        guess = "bnd_" + base64.urlsafe_b64encode(hashlib.sha256(b"%d" % number).digest()).decode().rstrip(
            "="
        )
        assert me(running, guess).status_code == 401
    assert me(running, good).status_code == 200


# The reader of keys by itself: what a provider may answer.


def reader(provider: Provider) -> oidc.Oidc:
    return oidc.Oidc(
        replace(Settings.from_env({}), oidc_issuer=ISSUER, oidc_audience=AUDIENCE, oidc_jwks=provider.url)
    )


def send(handler: BaseHTTPRequestHandler, body: bytes, status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


@pytest.mark.parametrize(
    "what",
    ["huge", "endless", "redirect", "not JSON", "a list", "no keys", "error", "secret keys", "small key"],
)
def test_a_provider_that_answers_badly_is_told_as_not_there(what: str) -> None:
    provider = Provider()
    small = rsa.generate_private_key(public_exponent=65537, key_size=1024)

    def answer(handler: BaseHTTPRequestHandler) -> None:
        if what == "huge":
            send(handler, b'{"keys": [' + b" " * 300_000 + b"]}")
        elif what == "endless":
            handler.send_response(200)
            handler.end_headers()
            for _ in range(1000):
                handler.wfile.write(b" ")
                handler.wfile.flush()
                time.sleep(0.1)
        elif what == "redirect":
            send(handler, b"", 302, Location=provider.url.replace("/jwks", "/elsewhere"))
        elif what == "error":
            send(handler, b"{}", 500)
        elif what == "small key":
            send(handler, json.dumps({"keys": [{**jwk(small.public_key()), "kid": "rsa"}]}).encode())
        else:
            send(
                handler,
                {
                    "not JSON": b"<html>",
                    "a list": b"[]",
                    "no keys": b'{"keys": []}',
                    "secret keys": b'{"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "rsa"}]}',
                }[what],
            )

    with serving(provider):
        good = provider.sign()
        provider.instead = answer
        began = time.monotonic()
        with pytest.raises(Refusal) as refusal:
            asyncio.run(reader(provider).subject(good))
        assert refusal.value.response.status_code == 503
        assert time.monotonic() - began < 60
        assert provider.reads == 1, "redirects are not followed"


def test_new_keys_are_found_and_old_ones_stay_while_the_provider_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(oidc, "AGAIN", 0.2)
    provider = Provider()
    with serving(provider):
        provider.published = ["rsa"]
        keys = reader(provider)
        assert asyncio.run(keys.subject(provider.sign())) == f"{ISSUER} lan-42"
        with pytest.raises(Wrong):
            asyncio.run(keys.subject(provider.sign("ec")))
        provider.published = ["rsa", "ec"]  # the provider has a new key
        time.sleep(0.3)
        assert asyncio.run(keys.subject(provider.sign("ec"))) == f"{ISSUER} lan-42"
        provider.instead = lambda handler: send(handler, b"", 500)
        monkeypatch.setattr(oidc, "KEPT", 0.0)
        time.sleep(0.3)
        assert asyncio.run(keys.subject(provider.sign("ec"))) == f"{ISSUER} lan-42"
        provider.instead = None
        provider.published = ["rsa"]  # it was withdrawn
        time.sleep(0.3)
        with pytest.raises(Wrong):
            asyncio.run(keys.subject(provider.sign("ec")))


def test_keys_of_a_file_and_what_cannot_be_a_source(tmp_path: Any) -> None:
    provider = Provider()
    file = tmp_path / "jwks.json"
    file.write_bytes(provider.document())
    assert set(oidc.usable_keys(oidc.read_document(str(file)))) == {"rsa", "ec", "ed"}
    good = replace(Settings.from_env({}), oidc_issuer=ISSUER, oidc_audience=AUDIENCE, oidc_jwks=str(file))
    oidc.check_settings(good)
    for wrong in (
        replace(good, oidc_jwks="http://login.example/jwks"),
        replace(good, oidc_jwks="ftp://login.example/jwks"),
        replace(good, oidc_jwks="file:///etc/passwd"),
        replace(good, oidc_audience=""),
    ):
        with pytest.raises(ConfigError):
            oidc.check_settings(wrong)
