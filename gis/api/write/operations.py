"""/operations: edits that belong together, worked out by the server and made as one changeset."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import orjson
from shapely.geometry.base import BaseGeometry
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gis.api.features.values import text_value
from gis.api.negotiate import choose_language, etag_of, has_current, known_parameters
from gis.api.ogc.links import link
from gis.api.state import State, state_of
from gis.api.write.changeset_body import MOST_TEXT
from gis.api.write.making import MOST_TOLD, Making, forbidden
from gis.edit.conflict import geojson
from gis.edit.errors import Clash, Conflict, Invalid, Rejected
from gis.edit.idempotency import Keeper
from gis.edit.model import Changeset, Create, Delete, FeatureChange, Ref
from gis.edit.operations.asked import Asked
from gis.edit.operations.reading import Ground
from gis.edit.operations.registry import OPERATIONS, Operation
from gis.edit.operations.standing import Plan
from gis.edit.session import editing
from gis.errors import NotFoundError, UsageError
from layers.registry import Layer


async def operations(request: Request) -> Response:
    """GET: what there is, with the JSON schema of each."""
    state = state_of(request)
    given = known_parameters(request, ("f", "lang"))
    if given.get("f", "json") != "json":
        raise UsageError(
            "the answer is JSON", errors=[{"parameter": "f", "detail": "the only format is json"}]
        )
    language = choose_language(request, state.city.languages)
    base = f"{state.base_url(request)}/operations"
    body = {
        "operations": [
            {
                "id": one.name,
                "title": getattr(one.title, language),
                "description": getattr(one.description, language),
                "schema": one.schema,
                "href": f"{base}/{one.name}",
            }
            for one in OPERATIONS.values()
        ],
        "links": [link(base, "self", "application/json", "self-json", language)],
    }
    raw = orjson.dumps(body)
    told = {"ETag": etag_of(raw), "Cache-Control": "no-cache", "Vary": "Accept-Language"}
    if has_current(request, told["ETag"]):
        return Response(status_code=304, headers=told)
    return Response(raw, headers=told, media_type="application/json")


async def operate(request: Request) -> Response:
    """POST: work it out, and make it (or, with dry-run=true, tell what it would be)."""
    operation = OPERATIONS.get(text_value(request.path_params["operation"], "operation"))
    if operation is None:
        raise NotFoundError("there is no such operation", hint="see /operations for the list")
    making = await Making.of(request, state_of(request))
    return await making.made(lambda making, document, keeper: _made(operation, making, document, keeper))


def _made(operation: Operation, making: Making, document: Any, keeper: Keeper | None) -> dict[str, Any]:
    storage = making.state.city.crs.storage
    asked = Asked(document, _layers(making.state), making.ref, storage)
    comment, source = _text(asked, "comment"), _text(asked, "source")
    asked.get("key")
    expected = _expected(asked)
    with editing(making.state.editors, making.principal) as connection:
        ground = Ground(connection, making.setting, making.principal)
        plan = operation.work(asked, ground)
        standing = [one for one in plan.changes if not isinstance(one, Create)]
        layers = making.state.known.layers
        others = ground.not_ours((layers[one.layer], one.fid) for one in standing)
        if others:
            names = ", ".join(one["reason"] for one in others[:3])
            more = f" (and {len(others) - 3} more)" if len(others) > 3 else ""
            raise forbidden(f"the operation changes what is not yours: {names}{more}", others[:MOST_TOLD])
    if expected is not None:
        _compare(expected, standing)
    told: dict[str, Any] = {"operation": operation.name, "notes": [_note(one) for one in plan.notes]}
    if making.dry_run:
        told["changes"] = _shown(plan, making)
    changeset = Changeset(plan.changes, comment, source, kind="operation", lenient=making.lenient)
    try:
        return making.store(changeset, keeper, told)
    except Rejected as rejected:
        if making.dry_run:
            rejected.told = told
        raise


def _layers(state: State) -> Callable[[str], Layer | None]:
    def find(layer_id: str) -> Layer | None:
        seen = state.catalogue.layers.get(layer_id)
        if seen is None or not seen.is_public:
            return None
        known = state.known.layers.get(layer_id)
        return known if known is not None and known.definition.editable else None

    return find


def _text(asked: Asked, name: str) -> str | None:
    value = asked.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or "\0" in value or len(value) > MOST_TEXT:
        asked.wrong(name, f"must be a text of at most {MOST_TEXT} characters")
        return None
    return value.strip() or None


def _expected(asked: Asked) -> dict[tuple[str, int], int] | None:
    """The features that are to change, with their versions, if the request says so."""
    given = asked.get("expected")
    if given is None:
        return None
    found: dict[tuple[str, int], int] = {}
    if not isinstance(given, list) or len(given) > 5_000:
        asked.wrong("expected", "must be a list of features with layer, fid and version")
        return found
    for one in given:
        values: list[Any] = (
            [one.get(name) for name in ("layer", "fid", "version")] if isinstance(one, dict) else []
        )
        if [type(value) for value in values] != [str, int, int]:
            asked.wrong("expected", "must be a list of features with layer, fid and version")
            return found
        found[values[0], values[1]] = values[2]
    return found


def _compare(expected: dict[tuple[str, int], int], changes: Sequence[FeatureChange]) -> None:
    """Raises Conflict for those of another version, and Invalid where other features are concerned."""
    clashes, strangers = [], []
    left = dict(expected)
    for one in changes:
        assert one.fid is not None
        version = left.pop((one.layer, one.fid), None)
        found = getattr(one, "expected", None)
        if version is None:
            strangers.append(f"{one.layer}/{one.fid} would change, too")
        elif version != found:
            change = Delete(one.layer, one.fid, version, pointer="/expected")
            clashes.append(Clash(change, found))
    strangers += [f"{layer}/{fid} would not change" for layer, fid in left]
    if strangers:
        raise Invalid(
            [{"pointer": "/expected", "detail": said} for said in strangers],
            code="other-features",
            hint="make a dry run again: something was connected or taken away since",
        )
    if clashes:
        raise Conflict(clashes)


def _note(one: Any) -> dict[str, Any]:
    told = {"code": one.code, "detail": one.detail}
    return {**told, "layer": one.layer, "fid": one.fid} if one.layer else told


def _shown(plan: Plan, making: Making) -> list[dict[str, Any]]:
    """The changes as a client would send them to /changesets."""
    storage = making.state.city.crs.storage
    found = []
    for one in plan.changes:
        told: dict[str, Any] = {
            "op": "create" if isinstance(one, Create) else "delete" if isinstance(one, Delete) else "update",
            "layer": one.layer,
        }
        if isinstance(one, Create):
            told["id"] = one.placeholder
        else:
            told |= {"fid": one.fid, "version": one.expected}
        if not isinstance(one, Delete):
            shape = one.geometry
            content: dict[str, Any] = {}
            if isinstance(shape, BaseGeometry):
                content["geometry"] = geojson(shape, storage, making.ref)
            if one.properties is not None:
                content["properties"] = {
                    name: value.placeholder if isinstance(value, Ref) else value
                    for name, value in one.properties.items()
                }
            told |= {"feature": {"type": "Feature", **content}} if isinstance(one, Create) else content
        found.append(told)
    return found


ROUTES = [
    Route("/operations", operations, methods=["GET"]),
    Route("/operations/{operation}", operate, methods=["POST"]),
]
