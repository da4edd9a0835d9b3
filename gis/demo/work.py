"""Makes and encodes superblocks, in worker processes where there are many; results come in order."""

from __future__ import annotations

import gc
import os
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

from gis.demo.defects import Defect, inject
from gis.demo.encode import Encoded, Shape, encode
from gis.demo.features import Features
from gis.demo.generate import make
from gis.demo.plan import Frame, Plan

#: Superblocks of a task: encoding costs time for each layer and column, however few the rows.
TOGETHER = 4
#: Superblocks above which worker processes are worth their start.
WORTH_WORKERS = 6


@dataclass(frozen=True)
class Job:
    """What a worker must know."""

    plan: Plan
    frame: Frame
    shapes: Mapping[str, Shape]
    srid: int
    defects: bool


@dataclass(frozen=True)
class Result:
    """Superblocks ready to be copied, and the errors that were put into them."""

    superblocks: int
    encoded: list[Encoded]
    defects: list[Defect]


def results(job: Job) -> Iterator[Result]:
    """The whole city in order; at most a few results are in memory at a time."""
    total = len(job.plan.counts)
    tasks = [range(n, min(n + TOGETHER, total)) for n in range(0, total, TOGETHER)]
    if total < WORTH_WORKERS:
        yield from (_make(job, task) for task in tasks)
        return
    workers = max(1, min(4, os.cpu_count() or 1))
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_start, initargs=(job,))
    try:
        pending: deque[Future[Result]] = deque()
        for task in tasks:
            pending.append(pool.submit(_run, task))
            if len(pending) > 2 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_job: Job | None = None


def _start(job: Job) -> None:
    global _job
    _job = job
    gc.disable()  # a superblock is 10,000 small dicts without cycles; looking through them took a third


def _run(task: range) -> Result:
    assert _job is not None
    return _make(_job, task)


def _make(job: Job, task: range) -> Result:
    together = Features()
    defects: list[Defect] = []
    for index in task:
        if job.defects:
            alone = make(job.plan, index)
            defects += inject(alone, job.plan, index, job.frame)
            together.take(alone)
        else:
            make(job.plan, index, together)
    return Result(len(task), list(encode(together, job.frame, job.shapes, job.srid)), defects)
