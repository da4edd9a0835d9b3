"""Makes a changeset for a request: in a thread, once for each key, for real or as a dry run; and answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from psycopg.sql import SQL
from starlette.requests import Request
from starlette.responses import Response

from gis.api.auth import require
from gis.api.guard import parse_json
from gis.api.negotiate import choose_language, known_parameters
from gis.api.problems import Refusal, problem
from gis.api.state import State
from gis.api.write import findings, headers
from gis.checks.model import Finding
from gis.checks.window import Setting
from gis.crs import CrsRef
from gis.db.sql import EDITOR
from gis.edit import conflict
from gis.edit.apply import apply
from gis.edit.errors import Conflict, Invalid, Rejected
from gis.edit.idempotency import Keeper, Replayed
from gis.edit.model import Applied, Changeset
from gis.edit.operations.standing import Refused
from gis.edit.rows import table_of
from gis.edit.session import Connection, as_member, editing, take_role
from gis.errors import UsageError
from gis.identity.principal import Principal

#: Conflicts and features that a problem document lists.
MOST_TOLD: Final = 200
JSON: Final = ("application/json",)
OPS: Final[Mapping[str, str]] = {"c": "create", "u": "update", "d": "delete"}


class _DryRun(Exception):  # noqa: N818 - ends the transaction with what it would have done
    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__("a dry run")
        self.answer = answer


@dataclass(frozen=True)
class Making:
    """A request that makes a changeset."""

    request: Request
    state: State
    principal: Principal
    ref: CrsRef
    language: str
    dry_run: bool
    #: What breaks a rule is to be stored; gis.edit.apply says whether the caller may.
    lenient: bool
    raw: bytes

    @classmethod
    async def of(cls, request: Request, state: State, *, bodiless: bool = False) -> Making:
        """Who asks, and how; ``bodiless``: no body stands for {}. Raises Refusal and UsageError."""
        principal = require(request)
        given = known_parameters(request, ("dry-run", "lang", "f"))
        dry_run = given.get("dry-run", "false")
        if dry_run not in ("true", "false"):
            raise UsageError(
                "dry-run must be true or false",
                errors=[{"parameter": "dry-run", "detail": "neither true nor false"}],
            )
        if given.get("f", "json") != "json":
            raise UsageError(
                "the answer is JSON", errors=[{"parameter": "f", "detail": "the only format is json"}]
            )
        raw = await request.body()
        if raw or not bodiless:
            headers.content_type(request, JSON)
        wishes = headers.preferences(request).handling == "lenient"
        return cls(
            request,
            state,
            principal,
            headers.content_crs(request, state.city),
            choose_language(request, state.city.languages),
            dry_run == "true",
            wishes,
            raw or (b"{}" if bodiless else b""),
        )

    @property
    def setting(self) -> Setting:
        return Setting(self.state.city, self.state.known, self.state.city.today())

    async def made(self, work: Callable[[Making, Any, Keeper | None], dict[str, Any]]) -> Response:
        """Run ``work(making, document, keeper)`` in a thread, and answer."""
        try:
            answer = await self.state.editors.work(self._work, work)
        except Replayed as replayed:
            return self._answered(replayed.answer, {"Idempotency-Replayed": "true"})
        except _DryRun as dry:
            return self._answered(dry.answer)
        except Rejected as rejected:
            return self._rejected(rejected)
        except Refused as refused:
            return self._refused(refused)
        except Conflict as clash:
            shown = await self.state.editors.work(self._conflicts, clash)
            return problem(
                409,
                clash.code,
                clash.message,
                hint=clash.hint,
                errors=clash.errors,
                more={"conflicts": shown},
            )
        return self._answered(answer)

    def _work(self, work: Callable[[Making, Any, Keeper | None], dict[str, Any]]) -> dict[str, Any]:
        document = parse_json(self.raw)
        keeper = self._keeper(document)
        if keeper is not None:
            # first of all: what was made before no longer fits what stands
            with editing(self.state.editors, self.principal) as connection:
                keeper.begin(connection)
        return work(self, document, keeper)

    def _keeper(self, document: Any) -> Keeper | None:
        header = self.request.headers.get("idempotency-key")
        member = document.get("key") if isinstance(document, dict) else None
        for value, place in ((header, ""), (member, "/key")):
            if value is not None and not (isinstance(value, str) and 1 <= len(value) <= 255):
                said = "an idempotency key is a text of 1 to 255 characters"
                raise Invalid([{"pointer": place, "detail": said}], code="invalid-key")
        if header is not None and member is not None and header != member:
            said = "the header Idempotency-Key and the member key differ"
            raise Invalid([{"pointer": "/key", "detail": said}], code="invalid-key")
        key = header if header is not None else member
        if key is None or self.dry_run:
            return None
        return Keeper(key, self.request.url.path, self.ref.uri, self.lenient, document)

    def store(
        self, changeset: Changeset, keeper: Keeper | None, more: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Make it and give the answer (in a thread). Raises what apply raises."""

        def begin(connection: Connection) -> None:
            if keeper is not None:
                keeper.begin(connection)

        def look(connection: Connection, applied: Applied) -> Callable[[], dict[str, Any]]:
            answer = self._document(connection, changeset, applied, more or {})
            if self.dry_run:
                raise _DryRun(answer)
            if keeper is not None:
                keeper.keep(connection, answer)
            return lambda: answer

        applied = apply(self.state.editors, self.principal, self.setting, changeset, begin=begin, look=look)
        found: dict[str, Any] = applied.seen
        return found

    def _document(
        self, connection: Connection, changeset: Changeset, applied: Applied, more: Mapping[str, Any]
    ) -> dict[str, Any]:
        names = self._asset_ids(connection, applied)
        features, placeholders = [], {}
        for done in applied.features:
            new = done.op == "c"
            one: dict[str, Any] = {
                "op": OPS[done.op],
                "layer": done.layer,
                # ids of a dry run are given to nobody
                "fid": None if new and self.dry_run else done.fid,
                "asset_id": None if new and self.dry_run else names.get((done.layer, done.fid)),
                "version": done.version,
            }
            if done.placeholder is not None:
                one["placeholder"] = done.placeholder
                placeholders[done.placeholder] = {
                    name: one[name] for name in ("layer", "fid", "asset_id", "version")
                }
            features.append(one)
        return {
            "id": None if self.dry_run else applied.changeset_id,
            "at": None if self.dry_run else applied.at.isoformat().replace("+00:00", "Z"),
            **({"dry_run": True} if self.dry_run else {}),
            **({"lenient": True} if applied.lenient else {}),
            "kind": changeset.kind,
            "comment": changeset.comment,
            "source": changeset.source,
            **more,
            "features": features,
            "placeholders": placeholders,
            "findings": self.told(applied.findings),
        }

    def _asset_ids(self, connection: Connection, applied: Applied) -> dict[tuple[str, int], str]:
        by_layer: dict[str, list[int]] = {}
        for done in applied.features:
            if done.op != "d":
                by_layer.setdefault(done.layer, []).append(done.fid)
        take_role(connection, EDITOR)
        found: dict[tuple[str, int], str] = {}
        for layer_id, fids in by_layer.items():
            query = SQL("SELECT fid, asset_id FROM {} WHERE fid = ANY (%s)").format(
                table_of(self.state.known.layers[layer_id])
            )
            found |= {(layer_id, fid): name for fid, name in connection.execute(query, [fids])}
        return found

    def told(self, found: tuple[Finding, ...]) -> list[dict[str, Any]]:
        """Findings in words."""
        state = self.state
        return findings.told(
            found, state.known, state.city.crs.storage, self.language, self.principal, state.sectors
        )

    def _conflicts(self, clash: Conflict) -> list[dict[str, Any]]:
        state = self.state
        with editing(state.editors, self.principal) as connection, as_member(connection):
            return conflict.documents(
                connection, state.catalogue, clash.clashes[:MOST_TOLD], self.ref, state.city.crs.storage
            )

    # --- answers -------------------------------------------------------------------------------------

    def _answered(self, answer: dict[str, Any], more: Mapping[str, str] | None = None) -> Response:
        told = {"Cache-Control": "no-store", "Content-Language": self.language, **(more or {})}
        if answer["id"] is not None:
            address = f"{self.state.base_url(self.request)}/changesets/{answer['id']}"
            told |= {"Location": address, "Bandoso-Changeset": str(answer["id"])}
        if answer.get("lenient"):
            told["Preference-Applied"] = "handling=lenient"
        status = 200 if answer["id"] is None else 201
        return Response(orjson.dumps(answer), status, told, "application/json")

    def _rejected(self, rejected: Rejected) -> Response:
        more: dict[str, Any] = {"findings": self.told(rejected.findings)}
        if rejected.warnings:
            more["warnings"] = self.told(rejected.warnings)
        more |= rejected.told
        first = more["findings"][0]
        return problem(
            rejected.status,
            rejected.code,
            f"{first['rule']}: {first.get('message') or first['title']}",
            hint="see findings for what is wrong, and where; nothing was stored",
            more=more,
            headers={"Content-Language": self.language},
        )

    def _refused(self, refused: Refused) -> Response:
        features = [
            {"layer": one.layer.id, "fid": one.fid, "version": one.version, "asset_id": one.asset_id}
            for one in refused.features[:MOST_TOLD]
        ]
        return problem(
            refused.status,
            refused.code,
            refused.message,
            hint=refused.hint,
            errors=refused.errors,
            more={"features": features} if features else None,
        )


def forbidden(detail: str, features: list[dict[str, Any]]) -> Refusal:
    """403 that names the features that are not the caller's."""
    return Refusal(
        403,
        "not-yours",
        detail,
        hint="somebody of the agencies that own them, or a steward of the city, may",
        errors=[{"pointer": one.get("pointer", ""), "detail": one["reason"]} for one in features],
        more={"features": [{k: v for k, v in one.items() if k != "pointer"} for one in features]},
    )
