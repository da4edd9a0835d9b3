"""GET /qgis-project: a QGIS project of the layers that the caller may see, to edit those he may edit."""

from __future__ import annotations

import re
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gis import crs
from gis.api.auth import require
from gis.api.features.params import read_crs
from gis.api.features.values import boolean_value, wrong
from gis.api.negotiate import choose_language, etag_of, known_parameters
from gis.api.ogc.documents import Document
from gis.api.state import State, state_of
from gis.api.tilesets import documents_of
from gis.qgis.project import MEDIA_TYPE, Wish, make_project

#: Who has logged in to QGIS keeps his password under this name there: seven letters, as QGIS wants it.
AUTHCFG: Final = "bandoso"
_AUTHCFG: Final = re.compile(r"[A-Za-z0-9]{7}\Z")


async def get_project(request: Request) -> Response:
    """GET /qgis-project"""
    given = known_parameters(request, ("lang", "layer", "crs", "authcfg", "login"))
    if "login" in given and boolean_value(given["login"], "login"):
        require(request)
    state = state_of(request)
    language = choose_language(request, state.city.languages)
    asked = read_crs(given, state.city) if "crs" in given else crs.ref(state.city.crs.storage)
    if asked.code not in (state.city.crs.storage, crs.WGS84):
        raise wrong("crs", "a project has the city's CRS or CRS84")
    authcfg = given.get("authcfg", AUTHCFG if state.principal else None)
    if authcfg is not None and not _AUTHCFG.match(authcfg):
        raise wrong("authcfg", "authcfg is the id of an authentication configuration: 7 letters or digits")
    layers = tuple(state.layer(one).id for one in given["layer"].split(",")) if "layer" in given else ()
    wish = wish_of(state, state.base_url(request), language, authcfg, layers, wgs84=asked.code == crs.WGS84)
    key = ("qgis", state.catalogue.fingerprint, wish.url, language, layers, wish.wgs84, authcfg)
    rights = (wish.editable, wish.agency, wish.chooses_owner)

    def make() -> Document:
        body = make_project(wish)  # a zip: packed already
        return Document(body, None, MEDIA_TYPE, language, etag_of(body))

    document = await documents_of(request).get((*key, *rights), make)
    response = document.respond(request)
    response.headers["Vary"] = "Accept-Language, Authorization"
    if response.status_code == 200:
        response.headers["Content-Disposition"] = f'attachment; filename="{state.city.id}.qgz"'
    if state.principal is not None:
        response.headers["Cache-Control"] = "private, no-cache"
    return response


def wish_of(
    state: State, url: str, language: str, authcfg: str | None, layers: tuple[str, ...], *, wgs84: bool
) -> Wish:
    """The project for whom the state is: his layers, and which of them he may edit."""
    principal = state.principal
    editable: frozenset[str] = frozenset()
    agency, chooses = None, False
    if principal is not None:
        public = state.catalogue.public()
        editable = frozenset(one.id for one in public if principal.may_edit(one, state.sectors))
        agencies = {grant.agency for grant in principal.grants if grant.role != "viewer"}
        agency = next(iter(agencies)) if len(agencies) == 1 else None
        chooses = len(agencies) > 1 or principal.is_steward()
    return Wish(
        city=state.city,
        catalogue=state.catalogue,
        url=url,
        language=language,
        editable=editable,
        layers=layers,
        wgs84=wgs84,
        authcfg=authcfg,
        agency=agency,
        chooses_owner=chooses,
    )


ROUTES = [Route("/qgis-project", get_project, methods=["GET"])]
