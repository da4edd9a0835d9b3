"""The crew on many machines: tasks go to the workers of a Dask scheduler (extra ``bandoso[dask]``).

The machines need bandoso, its Python packages and the database; the embedded database of one machine is not
in reach of others. Same tasks, same rows, same findings as with processes of our own.
"""

from __future__ import annotations

import contextlib
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from gis.checks.examine import Done, Examiner, Setup, Task, packed, unpacked
from gis.checks.workers import Event, Lost, Rows
from gis.errors import UsageError

#: In a Dask worker: the examiner of the run that it works for.
_EXAMINERS: dict[str, Examiner] = {}


class DaskCrew:
    """A context manager; leaving it closes the connections that its workers have opened."""

    def __init__(self, setup: Setup, address: str) -> None:
        try:
            import distributed as library
        except ImportError:
            raise UsageError(
                "--scheduler needs the package distributed", hint="pip install 'bandoso[dask]'"
            ) from None
        distributed: Any = library
        self._distributed = distributed
        self._run = uuid.uuid4().hex
        try:
            self._client = distributed.Client(address, timeout=10)
        except (OSError, ValueError, TimeoutError) as error:
            raise UsageError(
                "the Dask scheduler does not answer",
                hint=f"is {address} its address ({type(error).__name__})?",
            ) from None
        # Sent once to each worker, not with each task.
        self._setup = self._client.scatter(packed(setup), broadcast=True, hash=False)

    def __enter__(self) -> DaskCrew:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(Exception):
            self._client.run(_close, self._run)
        with contextlib.suppress(Exception):
            self._client.close()

    def work(self, tasks: deque[Task], *, tick: Callable[[], None] | None = None) -> Iterator[Event]:
        """Work off ``tasks``, which the caller may add to while it takes the events."""
        running: dict[Any, Task] = {}
        while tasks or running:
            # A bounded number under way: results wait in the cluster's memory until they are fetched.
            most = 2 * max(1, sum(self._client.nthreads().values()))
            while tasks and len(running) < most:
                task = tasks.popleft()
                running[self._submit(task)] = task
            with contextlib.suppress(TimeoutError, self._distributed.TimeoutError):
                self._distributed.wait(list(running), timeout=0.25, return_when="FIRST_COMPLETED")
            for future in [f for f in running if f.done()]:
                yield from self._events(future, running.pop(future))
            if tick is not None:
                tick()

    def _submit(self, task: Task) -> Any:
        return self._client.submit(_examine, self._run, self._setup, task, pure=False, retries=0)

    def _events(self, future: Any, task: Task) -> Iterator[Event]:
        if future.status != "finished":
            error = future.exception()
            yield Lost(task, f"its worker ended ({type(error).__name__})")
            return
        for part in future.result():
            yield part if isinstance(part, Done) else Rows(task.number, part)


def _examine(run: str, setup: bytes, task: Task) -> list[bytes | Done]:
    """In a Dask worker."""
    examiner = _EXAMINERS.get(run)
    if examiner is None:
        for old in list(_EXAMINERS):
            _close(old)
        examiner = _EXAMINERS[run] = Examiner(unpacked(setup))
    return list(examiner.examine(task))


def _close(run: str) -> None:
    examiner = _EXAMINERS.pop(run, None)
    if examiner is not None:
        examiner.close()
