"""schemathesis asks every path of the OpenAPI document odd questions: nothing may fail with 5xx.

Examples are bounded and drawn without a random seed of their own, so that a run is repeatable.
"""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase

from tests.api.editors import Editors
from tests.api.process import Server

#: Collections whose items are asked; each further one is the same code with other field names.
ITEMS_OF = {"water_pipe", "cadastre_parcel", "flood_spot", "base_place"}

SETTINGS = {
    "deadline": None,
    "derandomize": True,
    "database": None,
    "phases": [Phase.explicit, Phase.generate],
    "suppress_health_check": list(HealthCheck),
}


def examples_of(path: str) -> int:
    """More for the paths that take most."""
    if path.endswith("/items"):
        return 60
    return 15 if "{" in path else 6


def operations_of(document: dict[str, Any]) -> list[str]:
    return [
        path for path in document["paths"] if not path.endswith("/items") or path.split("/")[2] in ITEMS_OF
    ]


WRITES = {"post", "put", "patch", "delete"}


def is_write(path: str, method: str) -> bool:
    """Whether the operation is one of editing, which the second test asks with a login."""
    return method.lower() in WRITES and not path.startswith("/processes") and not path.startswith("/jobs")


@pytest.mark.timeout(600)
def test_no_question_makes_the_server_fail(running: Server) -> None:
    document = running.get("/api?lang=en").json()
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=running.url)
    wanted = set(operations_of(document))
    failures: list[str] = []
    asked = 0
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.path not in wanted or is_write(operation.path, operation.method):
            continue

        def ask(case: schemathesis.Case) -> None:
            nonlocal asked
            asked += 1
            response = case.call()
            if response.status_code >= 500:
                failures.append(f"{response.status_code} {response.request.url}\n  {response.text[:300]}")
            elif response.status_code >= 400:
                kind = response.headers.get("content-type", [""])[0]
                if kind != "application/problem+json" and response.status_code not in (414, 431):
                    failures.append(f"{kind} {response.request.url}")

        for mode in schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE:
            strategy = operation.as_strategy(generation_mode=mode)
            test = hypothesis.given(strategy)(ask)
            bounded = hypothesis.settings(max_examples=examples_of(operation.path), **SETTINGS)(test)
            with suppress(hypothesis.errors.Unsatisfiable):  # without parameters nothing can be asked wrongly
                bounded()
    assert not failures, "\n".join(failures[:10])
    assert asked > 500


@pytest.mark.timeout(600)
def test_no_write_makes_the_server_fail(running: Server, editors: Editors) -> None:
    """Every operation of editing, asked by a steward, who may do everything: nothing fails with 5xx."""
    document = running.get("/api?lang=en").json()
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=running.url)
    login = {"Authorization": f"Bearer {editors.tokens['steward']}"}
    wanted = set(operations_of(document))
    failures: list[str] = []
    statuses: Counter[int] = Counter()
    asked: set[str] = set()
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.path not in wanted or not is_write(operation.path, operation.method):
            continue
        if "token" in operation.path or "account" in operation.path:  # it would take its own login away
            continue

        def write(case: schemathesis.Case) -> None:
            case.headers = {
                **{k: v for k, v in (case.headers or {}).items() if k.lower() != "authorization"},
                **login,
            }
            with suppress(requests.exceptions.InvalidHeader):  # no client can send it
                response = case.call()
                statuses[response.status_code] += 1
                if response.status_code >= 500:
                    what = f"{response.status_code} {case.method} {response.request.url} {case.body!r:.300}"
                    failures.append(f"{what}\n  {response.text[:300]}")

        asked.add(f"{operation.method.upper()} {operation.path}")
        for mode in schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE:
            test = hypothesis.given(operation.as_strategy(generation_mode=mode))(write)
            bounded = hypothesis.settings(max_examples=12, **SETTINGS)(test)
            with suppress(hypothesis.errors.Unsatisfiable):
                bounded()
    assert not failures, "\n".join(failures[:10])
    assert {
        "POST /collections/water_pipe/items",
        "PUT /collections/{collectionId}/items/{featureId}",
    } <= asked
    assert sum(statuses.values()) > 300, statuses
    assert not statuses[401], statuses


def nearly_right() -> st.SearchStrategy[dict[str, Any]]:
    """Valves whose members are right as often as wrong: these get past the first checks."""
    number = st.floats() | st.integers() | st.floats(0, 100)
    odd = st.none() | st.booleans() | number | st.text(max_size=20)
    place = st.tuples(st.floats(106.6, 106.9), st.floats(10.6, 10.9)).map(list)
    fields = {
        "code": st.text(max_size=70) | odd,
        "kind": st.sampled_from(["gate", "check", "butterfly"]) | odd,
        "turns": number,
        "diameter_mm": st.floats(0, 5000) | odd,
        "installed_year": st.integers(1850, 2100) | odd,
        "survey_date": st.dates().map(str) | odd,
        "boundary_valve": st.booleans() | odd,
        "asset_id": st.none() | st.text(min_size=1, max_size=20),
        "owner": st.sampled_from([None, "sawaco", "city", "thkt"]) | odd,
        "status": st.sampled_from([None, "in_service", "removed"]) | odd,
    }
    shape = st.fixed_dictionaries(
        {"type": st.just("Point"), "coordinates": place | st.lists(number, max_size=4)}
    )
    return st.fixed_dictionaries(
        {
            "type": st.just("Feature"),
            "geometry": shape,
            "properties": st.fixed_dictionaries({}, optional=fields),
        }
    )


@pytest.mark.timeout(600)
def test_no_feature_makes_the_server_fail(running: Server, editors: Editors) -> None:
    steward = editors.as_("steward")
    statuses: Counter[int] = Counter()

    @hypothesis.settings(max_examples=75, **SETTINGS)
    @hypothesis.given(nearly_right(), st.booleans())
    def write(document: dict[str, Any], replace: bool) -> None:
        kind = {"Content-Type": "application/geo+json"}
        body = json.dumps(document).encode()  # with NaN, as some programs write it
        items = "/collections/water_valve/items"
        made = steward.request("POST", items, content=body, headers=kind)
        statuses[made.status_code] += 1
        assert made.status_code in (201, 400, 403, 409, 422), made.text
        if made.status_code == 201 and replace:
            address = made.headers["location"]
            again = steward.request("PUT", address, content=body, headers=kind)
            assert again.status_code == 200, again.text
            # what is served can be sent back, and nothing of it changes
            served = steward.get(address).json()
            back = steward.request("PUT", address, content=json.dumps(served).encode(), headers=kind)
            assert back.status_code == 200, back.text
            after = back.json()
            for name in ("version", "updated_at"):
                served["properties"].pop(name), after["properties"].pop(name)
            assert (after["geometry"], after["properties"]) == (served["geometry"], served["properties"])

    write()
    assert statuses[201] > 5, statuses
