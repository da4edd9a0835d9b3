"""schemathesis asks every path of the OpenAPI document odd questions: nothing may fail with 5xx.

Examples are bounded and drawn without a random seed of their own, so that a run is repeatable.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase

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
        if operation.path not in wanted:
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
