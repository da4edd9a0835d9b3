"""Single features made, replaced, changed and taken away: OGC API Features part 4, as QGIS uses it.

An answer shows the feature as a GET of its address would, read before the commit: it is what was written, not
what somebody else wrote a moment later.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import orjson
from psycopg import sql
from starlette.requests import Request
from starlette.responses import Response

from gis.api.auth import principal_of, require
from gis.api.features import links
from gis.api.features.formats import geojson
from gis.api.features.item import OUTPUTS, entity_tag
from gis.api.features.page import Asked
from gis.api.features.params import View, read_view
from gis.api.features.query import one_feature
from gis.api.guard import parse_json
from gis.api.negotiate import choose_language, known_parameters
from gis.api.problems import Refusal, problem
from gis.api.state import State
from gis.api.write import body, findings, headers
from gis.checks.window import Setting
from gis.crs import CrsRef
from gis.db.sql import MEMBER
from gis.edit.apply import apply
from gis.edit.conflict import documents
from gis.edit.errors import Conflict, Missing, Rejected
from gis.edit.model import Applied, Changeset, Delete, FeatureChange
from gis.edit.rows import table_of
from gis.edit.session import Connection, as_member, editing, take_role
from gis.identity.principal import Principal
from layers.registry import Layer

GEOJSON: Final = "application/geo+json"
#: Query parameters of a write: how the feature is shown in the answer.
PARAMETERS: Final = ("f", "lang", "crs")

_READ: Final = "GET, HEAD, OPTIONS"


_MOST_LOOKS: Final = 1000
_LOOKS: dict[tuple[object, ...], bytes] = {}


# --- what the caller may do -----------------------------------------------------------------------------


def options(request: Request, state: State, layer: Layer, *, item: bool) -> Response:
    """The methods that the caller may use here: QGIS takes a layer for editable by these."""
    allow = {"Allow": _READ}
    principal = principal_of(request)
    if principal is not None and principal.may_edit(state.known.layers[layer.id], state.sectors):
        if item:
            allow = {"Allow": f"{_READ}, PUT, PATCH, DELETE", "Accept-Patch": ", ".join(headers.PATCH)}
        else:
            allow = {"Allow": f"{_READ}, POST", "Accept-Post": ", ".join(headers.WHOLE)}
    return Response(headers={**allow, "Cache-Control": "no-store"})


def _writer(request: Request, layer: Layer) -> Principal:
    """Who asks, and may perhaps. Raises Refusal: 405 where nobody may write, 401 for nobody."""
    if not layer.definition.editable:
        raise Refusal(
            405,
            "not-editable",
            f"{layer.id} is not edited by anyone: bandoso fills it itself",
            headers={"Allow": _READ},
        )
    return require(request)


# --- the four writes ------------------------------------------------------------------------------------


async def create(request: Request, state: State, layer: Layer) -> Response:
    """POST of a feature: 201 and its address."""
    principal = _writer(request, layer)
    headers.content_type(request, headers.WHOLE)
    ref = headers.content_crs(request, state.city)
    write = _Write.of(request, state, layer, principal)
    raw = await request.body()

    def change() -> FeatureChange:
        return body.create_of(parse_json(raw), write.known, ref, state.city)

    return await write.made(change, status=201)


async def change(request: Request, state: State, layer: Layer, fid: int) -> Response:
    """PUT (the whole feature) or PATCH (a merge patch) of a feature: 200 and the feature."""
    principal = _writer(request, layer)
    put = request.method == "PUT"
    headers.content_type(request, headers.WHOLE if put else headers.PATCH)
    ref = headers.content_crs(request, state.city)
    write = _Write.of(request, state, layer, principal, fid)
    write.demand_condition()
    raw = await request.body()

    def change() -> FeatureChange:
        make: Callable[[Any, Layer, int, int | None, CrsRef, Any], FeatureChange]
        make = body.replace_of if put else body.patch_of
        expected = write.expected()
        return make(parse_json(raw), write.known, fid, expected, ref, state.city)

    return await write.made(change)


async def delete(request: Request, state: State, layer: Layer, fid: int) -> Response:
    """DELETE of a feature: 204, or 200 with what the checks say to what is left."""
    principal = _writer(request, layer)
    write = _Write.of(request, state, layer, principal, fid)
    write.demand_condition()
    return await write.made(lambda: Delete(layer.id, fid, write.expected()), status=204)


@dataclass(frozen=True)
class _Seen:
    """The feature as the caller sees it after the write: its text, and its version."""

    text: bytes
    version: int


@dataclass(frozen=True)
class _Write:
    """A write of one feature on its way."""

    asked: Asked
    principal: Principal
    view: View
    fid: int | None
    match: headers.Condition | None
    none_match: headers.Condition | None
    prefers: headers.Preferences

    @classmethod
    def of(
        cls, request: Request, state: State, layer: Layer, principal: Principal, fid: int | None = None
    ) -> _Write:
        given = known_parameters(request, PARAMETERS)
        language = choose_language(request, state.city.languages)
        return cls(
            Asked(request, state, layer, given, "json", language),
            principal,
            read_view(given, layer, state.city),
            fid,
            headers.if_match(request, fid) if fid is not None else None,
            headers.if_none_match(request, fid) if fid is not None else None,
            headers.preferences(request),
        )

    @property
    def known(self) -> Layer:
        """The layer as it is defined."""
        return self.asked.state.known.layers[self.asked.layer.id]

    def demand_condition(self) -> None:
        """Raises Refusal (428) where the layer wants every change to say what it is based on."""
        if self.known.definition.condition_required and self.match is None:
            raise Refusal(
                428,
                "condition-required",
                f"a change of {self.known.id} must say which version it is based on",
                hint="send the ETag of the feature as you read it in the header If-Match",
            )

    def expected(self) -> int | None:
        """The version that the change is based on; -1: one that never stands. Called in a thread."""
        if self.none_match is not None:
            standing = self._standing()
            if standing is not None and (self.none_match.any or standing in self.none_match.versions):
                raise self._failed("the feature is there, and If-None-Match wanted that it is not")
        if self.match is None or self.match.any:
            return None
        if len(self.match.versions) > 1:
            standing = self._standing()
            return standing if standing in self.match.versions else -1
        return next(iter(self.match.versions), -1)

    def _standing(self) -> int | None:
        """The version that stands; compared again when the row is locked."""
        query = sql.SQL("SELECT version FROM {} WHERE fid = %s").format(table_of(self.known))
        with editing(self.asked.state.editors, self.principal) as connection:
            row = connection.execute(query, [self.fid]).fetchone()
        return None if row is None else int(row[0])

    async def made(self, change: Callable[[], FeatureChange], status: int = 200) -> Response:
        """Make the change in a thread, and answer."""
        state = self.asked.state
        try:
            applied = await state.editors.work(self._apply, change)
        except Conflict as conflict:
            found = conflict.clashes[0].found
            if found is None and self.asked.request.method == "DELETE":
                raise Missing([]) from None
            sides = await state.editors.work(self._sides, conflict)
            raise self._failed(conflict.message, conflict.hint, found, sides) from None
        except Missing:
            # Part 4 (put-rid-exception): a condition on what is not there fails.
            if self.match is not None and self.asked.request.method != "DELETE":
                raise self._failed("there is no such feature, and If-Match wanted that there is") from None
            raise
        except Rejected as rejected:
            return self._rejected(rejected)
        return self._answer(applied, status)

    def _apply(self, change: Callable[[], FeatureChange]) -> Applied:
        state = self.asked.state
        changeset = Changeset([change()], stepwise=True, lenient=self.prefers.handling == "lenient")
        setting = Setting(state.city, state.known, state.city.today())
        return apply(state.editors, self.principal, setting, changeset, look=self._look)

    def _look(self, connection: Connection, applied: Applied) -> Callable[[], _Seen | None]:
        """Ask for the feature, in the role in which the caller reads."""
        done = applied.features[0]
        if done.op == "d":
            return lambda: None
        take_role(connection, MEMBER)
        cursor = connection.cursor(binary=True).execute(self._looking(), {"fid": done.fid})

        def taken() -> _Seen | None:
            row = cursor.fetchone()
            return None if row is None else _Seen(*row)

        return taken

    def _looking(self) -> bytes:
        """The statement of ``_look``; composing it takes longer than to run it."""
        layer, view = self.asked.layer, self.view
        key = (
            self.asked.state.known.fingerprint,
            self.asked.storage,
            layer.id,
            layer.revealed,
            view.crs,
            view.geometry,
            *(f.name for f in view.fields),
        )
        text = _LOOKS.get(key)
        if text is None:
            if geojson.is_stored(layer, view):  # by a trigger, as soon as it was written
                shown = geojson.stored_feature(layer)
            else:
                shown = geojson.geojson_feature(view, self.asked.storage)
            text = one_feature(layer, sql.SQL("convert_to({}, 'UTF8')").format(shown), 0).text
            if len(_LOOKS) >= _MOST_LOOKS:
                _LOOKS.clear()
            _LOOKS[key] = text
        return text

    def _sides(self, conflict: Conflict) -> list[dict[str, Any]]:
        """What the caller had, sends, and would overwrite: as POST /changesets tells it."""
        state = self.asked.state
        ref = headers.content_crs(self.asked.request, state.city)
        with editing(state.editors, self.principal) as connection, as_member(connection):
            return documents(connection, state.catalogue, conflict.clashes, ref, self.asked.storage)

    # --- answers -------------------------------------------------------------------------------------

    def _answer(self, applied: Applied, status: int) -> Response:
        done, seen = applied.features[0], applied.seen
        address = f"{self.asked.collection}/items/{done.fid}"
        told = {"Bandoso-Changeset": str(applied.changeset_id), "Cache-Control": "no-store"}
        if status == 201:
            told["Location"] = address
        applies = []
        if self.prefers.returning:
            applies.append(f"return={self.prefers.returning}")
        if applied.lenient:
            applies.append("handling=lenient")
        if applies:
            told["Preference-Applied"] = ", ".join(applies)
        if done.op == "d" and applied.findings and self.prefers.returning != "minimal":
            # what is left behind: lines without their node, a gap between parcels
            left = orjson.dumps({"findings": self._told(applied.findings)})
            told["Content-Language"] = self.asked.language
            return Response(left, 200, told, "application/json")
        if seen is None:
            return Response(status_code=204 if status == 200 else status, headers=told)
        told["ETag"] = entity_tag(self.asked, self.view, done.fid, seen.version)
        if self.prefers.returning == "minimal":
            return Response(status_code=201 if status == 201 else 204, headers=told)
        told |= {
            "Content-Location": links.address(address, self.asked.given),
            "Content-Crs": f"<{self.view.crs.uri}>",
            "Content-Language": self.asked.language,
            "Vary": "Accept, Accept-Language",
        }
        extra: dict[str, Any] = {
            "links": links.document_links(
                address, self.asked.given, "json", self.asked.language, OUTPUTS, self.asked.collection
            )
        }
        if applied.findings:
            extra["findings"] = self._told(applied.findings)
        return Response(geojson.feature(seen.text, extra), status, told, GEOJSON)

    def _told(self, found: Any) -> list[dict[str, Any]]:
        state = self.asked.state
        return findings.told(
            found, state.known, self.asked.storage, self.asked.language, self.principal, state.sectors
        )

    def _rejected(self, rejected: Rejected) -> Response:
        """422 with what is wrong, and where."""
        more: dict[str, Any] = {"findings": self._told(rejected.findings)}
        if rejected.warnings:
            more["warnings"] = self._told(rejected.warnings)
        first = more["findings"][0]
        said = first.get("message") or first["title"]
        told = {"Content-Language": self.asked.language}
        if self.prefers.handling == "strict":
            told["Preference-Applied"] = "handling=strict"
        return problem(
            rejected.status,
            rejected.code,
            f"{first['rule']}: {said}",
            hint="see findings for what is wrong, and where; nothing was stored",
            more=more,
            headers=told,
        )

    def _failed(
        self, detail: str, hint: str | None = None, found: int | None = None, sides: Any = None
    ) -> Refusal:
        """412; with the version that stands, and all sides of the conflict."""
        more: dict[str, Any] = {} if found is None else {"version": found}
        if sides:
            more["conflicts"] = sides
        return Refusal(412, "precondition-failed", detail, hint=hint, more=more or None)
