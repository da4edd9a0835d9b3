"""GET /rules: what the check rules look for, why, and how it is mended; with the limits of this city."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response

from gis.api.history import shown
from gis.api.negotiate import choose_format, choose_language, known_parameters
from gis.api.state import State, state_of
from gis.errors import NotFoundError

_FORMATS: Final = {"json": (shown.JSON,), "html": ("text/html",)}


async def all_rules(request: Request) -> Response:
    """All rules, in the order of the catalogue of rules."""
    state, output, language = _asked(request)
    told = await asyncio.to_thread(_told, state)
    return await _shown(request, state, output, language, "rules.html", {"rules": list(told.values())})


async def one_rule(request: Request) -> Response:
    """One of them."""
    state, output, language = _asked(request)
    told = (await asyncio.to_thread(_told, state)).get(request.path_params["rule"])
    if told is None:
        raise NotFoundError("there is no such rule", hint="see /rules for the list")
    return await _shown(request, state, output, language, "rule.html", told)


def _asked(request: Request) -> tuple[State, str, str]:
    state = state_of(request)
    known_parameters(request, ("f", "lang"))
    return state, choose_format(request, _FORMATS), choose_language(request, state.city.languages)


async def _shown(
    request: Request, state: State, output: str, language: str, template: str, document: dict[str, Any]
) -> Response:
    vary = {"Vary": "Accept, Accept-Language, Authorization"}
    if output == "json":
        return shown.answer(request, state, orjson.dumps(document), shown.JSON, vary)
    from gis.api.ogc import html  # jinja2 costs a start 0.1 s

    page = await asyncio.to_thread(
        html.render,
        template,
        document,
        base=state.base_url(request),
        path=request.url.path,
        language=language,
        city=state.city,
    )
    more = {**vary, "Content-Language": language}
    return shown.answer(request, state, page.encode(), "text/html; charset=utf-8", more)


def _told(state: State) -> dict[str, dict[str, Any]]:
    # the rules' code (a second of a processor) is loaded when somebody asks
    from gis.checks.registry import applications, rules

    applied: dict[str, list[dict[str, Any]]] = {}
    for app in applications(state.known):
        # of a layer that the caller may not see, not even that it is judged
        seen = [layer for layer in app.layers if layer in state.catalogue.layers]
        if seen:
            own = {name: _plain(value) for name, value in app.parameters.items()}
            one = {"layers": seen, "severity": app.severity, "parameters": own}
            applied.setdefault(app.rule.id, []).append(one)
    return {
        rule.id: {
            "id": rule.id,
            "title": {"vi": rule.title.vi, "en": rule.title.en},
            "explanation": {"vi": rule.explanation.vi, "en": rule.explanation.en},
            "severity": rule.severity,
            "unit": rule.unit,
            "source": rule.source,
            "parameters": [
                {
                    "name": one.name,
                    "title": {"vi": one.title.vi, "en": one.title.en},
                    "unit": one.unit,
                    "default": _plain(one.default),
                }
                for one in rule.parameters
            ],
            "applied": applied.get(rule.id, []),
        }
        for rule in (entry.rule for entry in rules().values())
    }


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | None) else str(value)
