"""POST /findings/accept and /findings/reopen: what stewards say of findings, all of those named or none.

Whoever is steward of every agency whose features a finding names may accept it; a steward of the city any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from typing import Any, Final

import orjson
from psycopg.sql import SQL
from starlette.requests import Request
from starlette.responses import Response

from gis.api.auth import require
from gis.api.guard import parse_json
from gis.api.negotiate import known_parameters
from gis.api.problems import Refusal
from gis.api.state import State, state_of
from gis.api.write import headers
from gis.checks.accept import MOST_REASON, accept, reopen
from gis.db.door import FINDINGS
from gis.db.sql import CHECKER, MEMBER, table
from gis.edit.session import Connection, editing, take_role
from gis.errors import NotFoundError, UsageError
from gis.identity.principal import Principal

#: Findings of one request.
MOST: Final = 500
_MOST_BYTES: Final = 200_000
_SEEN: Final = SQL("SELECT asset_id, owner, features FROM {} WHERE asset_id = ANY (%s)")

type _Say = Callable[[Connection, list[str]], int]


async def accept_findings(request: Request) -> Response:
    """``{"ids": [...], "reason": text, "until": day or null}``."""
    state, principal = _who(request)
    body = await _body(request, ("ids", "reason", "until"))
    reason, until = body.get("reason"), _day(body.get("until"))
    if not isinstance(reason, str) or not reason.strip():
        raise _wrong("/reason", "accepting a finding needs a reason")
    if len(reason) > MOST_REASON:
        raise _wrong("/reason", f"a reason has at most {MOST_REASON} letters")
    today = state.city.today()
    if until is not None and until < today:
        raise _wrong("/until", f"{until.isoformat()} is past")

    def say(connection: Connection, ids: list[str]) -> int:
        return accept(connection, state.known, ids, reason=reason, until=until, today=today)

    return await _made(state, principal, _ids(body), say)


async def reopen_findings(request: Request) -> Response:
    """``{"ids": [...]}``: acceptances are taken back."""
    state, principal = _who(request)
    body = await _body(request, ("ids",))
    return await _made(
        state, principal, _ids(body), lambda connection, ids: reopen(connection, state.known, ids)
    )


def _who(request: Request) -> tuple[State, Principal]:
    known_parameters(request, ("f", "lang"))
    principal = require(request, "edit")
    if not any(grant.role in ("steward", "admin") for grant in principal.grants):
        raise Refusal(403, "steward-only", "only a steward may do this", hint="see /me for what you may do")
    return state_of(request), principal


async def _body(request: Request, names: Iterable[str]) -> Mapping[str, Any]:
    headers.content_type(request, ("application/json",))
    found = parse_json(await request.body(), max_bytes=_MOST_BYTES)
    if not isinstance(found, dict):
        raise _wrong("", "the body must be an object")
    for name in found:
        if name not in tuple(names):
            raise _wrong(f"/{name[:60]}", "unknown member")
    return found


def _ids(body: Mapping[str, Any]) -> list[str]:
    given = body.get("ids")
    if not isinstance(given, list) or not 1 <= len(given) <= MOST:
        raise _wrong("/ids", f"ids must be a list of 1 to {MOST} findings")
    for number, one in enumerate(given):
        if not isinstance(one, str) or not one or len(one) > 200 or "\0" in one:
            raise _wrong(f"/ids/{number}", "must be the asset_id of a finding")
    return list(dict.fromkeys(given))


def _day(value: Any) -> date | None:
    if value is None:
        return None
    try:
        return date.fromisoformat(value if isinstance(value, str) and len(value) == 10 else "")
    except ValueError:
        raise _wrong("/until", "must be a day as 2027-06-30, or null") from None


def _wrong(pointer: str, detail: str) -> UsageError:
    return UsageError(detail, code="invalid-body", errors=[{"pointer": pointer, "detail": detail}])


async def _made(state: State, principal: Principal, ids: list[str], say: _Say) -> Response:
    def work() -> int:
        with editing(state.editors, principal) as connection:
            _allow(connection, state, principal, ids)
            take_role(connection, CHECKER)
            return say(connection, ids)

    changed = await state.editors.work(work)
    body = orjson.dumps({"ids": ids, "changed": changed})
    return Response(body, 200, {"Cache-Control": "no-store"}, "application/json")


def _allow(connection: Connection, state: State, principal: Principal, ids: list[str]) -> None:
    """Raises NotFoundError for findings that the caller does not see, Refusal for those that are not his."""
    take_role(connection, MEMBER)
    found: dict[str, set[str]] = {}
    for name in FINDINGS:
        layer = state.catalogue.layers.get(name)
        if layer is None or not layer.is_public:
            continue
        rows = connection.execute(_SEEN.format(table(layer)), [ids]).fetchall()
        found |= {asset_id: _owners(owner, features) for asset_id, owner, features in rows}
    if missing := [one for one in ids if one not in found]:
        raise NotFoundError(f"there is no finding {missing[0][:60]!r}", hint="see /collections/finding/items")
    others = [one for one in ids if not all(principal.is_steward(owner) for owner in found[one])]
    if others:
        raise Refusal(
            403,
            "not-the-steward",
            f"finding {others[0][:60]} is about features of agencies that you are not steward of",
            hint="a steward of the city may accept it",
            more={"findings": others},
        )


def _owners(owner: str, features: str | None) -> set[str]:
    """The agencies whose features a finding names; of one about a whole layer, whose the finding is."""
    try:
        named = orjson.loads(features or "[]")
    except orjson.JSONDecodeError:
        named = []
    return {one["owner"] for one in named if isinstance(one, dict) and one.get("owner")} or {owner}
