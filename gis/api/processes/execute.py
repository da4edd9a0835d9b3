"""POST /processes/check/execution: queue a job; wait for a small one, send the client on for others.

Without a ``Prefer`` header the standard wants a synchronous answer (/req/core/process-execute-default-
execution-mode). So it is for what is small; the run itself is a job all the same, in the runner, so that no
request computes anything here. What is large, or takes longer than ``job_wait_s``, is answered 201 with the
job's address in place of an error: the work is not lost. A client that leaves while it waits takes its job
with it.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from contextlib import suppress

from starlette.requests import Request
from starlette.responses import Response

from gis.api.auth import client_key
from gis.api.features.leaving import while_connected
from gis.api.guard import read_json
from gis.api.negotiate import choose_language, known_parameters
from gis.api.problems import Refusal
from gis.api.processes import inputs, jobs, store
from gis.api.processes.asker import asker_of
from gis.api.processes.inputs import INVALID, Wanted
from gis.api.state import State, state_of
from gis.errors import UsageError

#: Jobs of anyone are kept that long (seconds).
PUBLIC_KEEP = 3600
#: Seconds between two looks at a job that is waited for: first, and at most.
LOOK, LOOK_MOST = 0.05, 0.25
MANY = 1_000_000
#: Bytes of an execute request: every layer and every rule by name is a few thousand.
MOST_BYTES = 1_000_000


async def execute(request: Request) -> Response:
    """Run the process."""
    known_parameters(request, ("f", "lang"))
    if request.query_params.get("f", "json") != "json":
        inputs.wrong("/f", "results are JSON")
    state = state_of(request)
    language = choose_language(request, state.city.languages)
    if request.path_params["process"] != "check":
        raise jobs.no_such_process()
    asker = asker_of(request)
    wanted = inputs.read(
        await _body(request),
        state.city,
        state.catalogue,
        state.settings,
        asker=asker,
        restricted=state.restricted,
    )
    is_async, wait = _preference(request, state.settings.job_wait_s)
    key = _repeat_key(request, asker.account)
    job, is_new = await _submit(request, state, wanted, key)
    if is_async or not wanted.small:
        return await _accepted(request, state, job, language, preferred=is_async)
    return await while_connected(
        request, _synchronous(request, state, job, wait, language, mine=is_new and key is None)
    )


async def _body(request: Request) -> object:
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refusal(
            415, "media-type", "an execute request is JSON", hint="send Content-Type: application/json"
        )
    try:
        return await read_json(request, max_bytes=MOST_BYTES)
    except UsageError as error:
        raise Refusal(400, error.code, error.message, hint=error.hint, kind=INVALID) from None


def _preference(request: Request, longest: int) -> tuple[bool, float]:
    """Whether ``Prefer`` asks for an asynchronous answer, and how long the client waits for another."""
    is_async, wait = False, float(longest)
    for part in ",".join(request.headers.getlist("prefer"))[:1000].lower().split(","):
        name, _, value = part.partition(";")[0].strip().partition("=")
        if name == "respond-async":
            is_async = True
        elif name == "wait" and value.strip().isdecimal():
            wait = min(wait, float(value.strip()[:9]))
    return is_async, wait


async def _submit(request: Request, state: State, wanted: Wanted, key: str | None) -> tuple[str, bool]:
    """Queue the job: its id, and whether it is a new one. Raises Refusal when there is no place for it."""
    settings, steward = state.settings, wanted.steward
    outcome, job = await store.submit(
        state.readers,
        store.Order(
            id=secrets.token_hex(16),
            process="check",
            request=wanted.request,
            steward=steward,
            small=wanted.small,
            most_seconds=0 if steward else settings.job_public_s,
            keep_seconds=settings.job_keep_h * 3600
            if steward
            else min(PUBLIC_KEEP, settings.job_keep_h * 3600),
            client=None if steward else _client(request),
            repeat_key=key,
            # some places stay free for stewards
            most_waiting=settings.job_queue if steward else max(1, settings.job_queue * 3 // 4),
            most_of_client=MANY if steward else settings.job_client,
        ),
    )
    if outcome == "differs":
        raise Refusal(
            409, "idempotency-key", "this Idempotency-Key was used for another request", hint="use a new one"
        )
    if outcome == "client-full":
        raise Refusal(
            429,
            "too-many-jobs",
            f"{settings.job_client} jobs of this address are not finished yet",
            hint="wait for one of them, or dismiss it",
            headers={"Retry-After": "10"},
        )
    if outcome == "full":
        raise Refusal(
            503,
            "queue-full",
            "too many jobs are waiting",
            hint="try again in a minute",
            headers={"Retry-After": "60"},
        )
    return job, outcome == "made"


async def _synchronous(
    request: Request, state: State, job: str, seconds: float, language: str, *, mine: bool
) -> Response:
    """The job's result, if it is there in time."""
    try:
        found = await _wait(state, job, seconds)
    except asyncio.CancelledError:
        if mine:  # nobody waits for it any more
            with suppress(Exception):
                await asyncio.shield(store.dismiss(state.readers, job))
        raise
    if found is None or not found.is_over:
        return await _accepted(request, state, job, language, preferred=False)
    response = await jobs.results_of(request, state, found, language, forget=mine)
    if not mine:  # else the job goes with its answer
        response.headers["Link"] = f'<{state.base_url(request)}/jobs/{job}>; rel="monitor"'
    return response


async def _wait(state: State, job: str, seconds: float) -> store.Job | None:
    end = time.monotonic() + seconds
    pause = LOOK
    while True:
        found = await store.get(state.readers, job)
        if found is None or found.is_over or time.monotonic() >= end:
            return found
        await asyncio.sleep(min(pause, max(0.0, end - time.monotonic())))
        pause = min(pause * 1.3, LOOK_MOST)


async def _accepted(request: Request, state: State, job: str, language: str, *, preferred: bool) -> Response:
    """201: the job, and where it can be looked at."""
    found = await store.get(state.readers, job)
    if found is None:
        raise jobs.no_such_job()
    response = jobs.status_response(found, state.base_url(request), language, status=201)
    response.headers["Location"] = f"{state.base_url(request)}/jobs/{job}"
    if preferred:
        response.headers["Preference-Applied"] = "respond-async"
    return response


def _repeat_key(request: Request, account: int | None) -> str | None:
    """What a repeated request is known by: its Idempotency-Key, which is the client's own."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not 1 <= len(key) <= 255 or not key.isprintable():
        raise Refusal(
            400, "idempotency-key", "an Idempotency-Key has 1 to 255 printable characters", kind=INVALID
        )
    whose = _client(request) if account is None else f"account {account}"
    return hashlib.sha256(f"{whose}\0{key}".encode("utf-8", "surrogateescape")).hexdigest()


def _client(request: Request) -> str:
    """Who asks: the address; of IPv6 the network, which is one household's."""
    return client_key(request.scope.get("state", {}).get("client", ""))
