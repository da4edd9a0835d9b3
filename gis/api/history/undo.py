"""POST /changesets/{id}/undo: a new changeset that puts back what was before."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from gis.api.auth import require
from gis.api.features.values import INT8_MAX
from gis.api.problems import problem
from gis.api.state import state_of
from gis.api.write.making import MOST_TOLD, Making
from gis.edit.errors import Invalid
from gis.edit.idempotency import Keeper
from gis.edit.session import editing
from gis.edit.undo import CannotUndo, undoing
from gis.errors import NotFoundError

_MEMBERS: Final = ("comment", "key")


async def undo(request: Request) -> Response:
    """Undo it, or say what stands in the way (409). The body: nothing, or ``{"comment", "key"}``."""
    state = state_of(request)
    require(request)
    number = int(request.path_params["changeset"])
    if not 0 < number <= INT8_MAX:
        raise NotFoundError("there is no such changeset", hint="see /changesets for the list")
    making = await Making.of(request, state, bodiless=True)

    def work(making: Making, document: Any, keeper: Keeper | None) -> dict[str, Any]:
        comment = _comment(document)
        with editing(making.state.editors, making.principal) as connection:
            changeset = undoing(connection, making.state.known, number, comment, lenient=making.lenient)
        return making.store(changeset, keeper, {"undoes": number})

    try:
        return await making.made(work)
    except CannotUndo as refused:
        return problem(
            refused.status,
            refused.code,
            refused.message,
            hint=refused.hint,
            more={"obstacles": _told(refused)} if refused.obstacles else None,
        )


def _comment(document: Any) -> str | None:
    if not isinstance(document, dict):
        raise Invalid([{"pointer": "", "detail": "the body is an object with comment and key, or nothing"}])
    unknown = [name for name in document if name not in _MEMBERS]
    if unknown:
        raise Invalid([{"pointer": "", "detail": "the body has a member that is not known here"}])
    comment = document.get("comment")
    if comment is not None and not (
        isinstance(comment, str) and 1 <= len(comment) <= 2000 and "\0" not in comment
    ):
        raise Invalid([{"pointer": "/comment", "detail": "comment is a text of 1 to 2,000 characters"}])
    return comment


def _told(refused: CannotUndo) -> list[dict[str, Any]]:
    return [
        {
            "layer": one.layer,
            "fid": one.fid,
            "reason": one.reason,
            "detail": one.sentence,
            "later": [
                {
                    "changeset": later.id,
                    "at": later.at.isoformat().replace("+00:00", "Z"),
                    "author": later.author,
                    "agency": later.agency,
                    "kind": later.kind,
                }
                for later in one.later
            ],
        }
        for one in refused.obstacles[:MOST_TOLD]
    ]
