"""Prometheus figures: requests by route, their duration, the database pool, tiles.

Several processes share one set of figures through the files of ``PROMETHEUS_MULTIPROC_DIR`` (made anew by
gis.api.serve for each run). Labels are route templates, never paths, so that their number is bounded.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

#: Seconds; the hot paths answer in milliseconds.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

REQUESTS = Counter("bandoso_http_requests", "Requests answered.", ("route", "method", "status"))
DURATION = Histogram(
    "bandoso_http_request_duration_seconds", "Time to the last byte.", ("route",), buckets=BUCKETS
)
SENT = Counter("bandoso_http_response_bytes", "Bytes of bodies sent.", ("route",))
HOT = Counter("bandoso_hot_requests", "Requests answered by the hot path; they are among the others, too.")
ACTIVE = Gauge("bandoso_http_requests_active", "Requests being answered.", multiprocess_mode="livesum")
LOST_LOG_LINES = Counter("bandoso_log_lines_lost", "Access log lines dropped because nobody read them.")
POOL = Gauge(
    "bandoso_pool_connections", "Database connections by state.", ("state",), multiprocess_mode="livesum"
)
POOL_REFUSED = Gauge(
    "bandoso_pool_refused", "Requests refused because the pool was full.", multiprocess_mode="livesum"
)
LAYERS = Gauge("bandoso_layers", "Layers served to the public.", multiprocess_mode="livemax")
LISTENERS = Gauge(
    "bandoso_feed_listeners", "Clients that listen to the change feed.", multiprocess_mode="livesum"
)
RELOADS = Counter("bandoso_catalogue_reloads", "Times the layer catalogue changed while serving.")

_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})


#: (route, method, status) -> its counters; looking labels up costs more than counting.
_COUNTERS: dict[tuple[str, str, int], tuple[Counter, Histogram, Counter]] = {}


def observe(route: str, method: str, status: int, seconds: float, sent: int) -> None:
    """Count one answered request."""
    counters = _COUNTERS.get((route, method, status))
    if counters is None:
        known = method if method in _METHODS else "other"
        counters = (REQUESTS.labels(route, known, str(status)), DURATION.labels(route), SENT.labels(route))
        if known == method:  # methods are the client's: only ours are kept
            _COUNTERS[(route, method, status)] = counters
    counters[0].inc()
    counters[1].observe(seconds)
    if sent:
        counters[2].inc(sent)


def observe_state(pool: AsyncConnectionPool[AsyncConnection], layers: int) -> None:
    """Take the pool's own figures over into the gauges of this process."""
    LAYERS.set(layers)
    stats = pool.get_stats()
    size, idle = stats.get("pool_size", 0), stats.get("pool_available", 0)
    POOL.labels("idle").set(idle)
    POOL.labels("used").set(size - idle)
    POOL.labels("waiting").set(stats.get("requests_waiting", 0))
    POOL_REFUSED.set(stats.get("requests_errors", 0))


def exposition() -> tuple[bytes, str]:
    """All figures of all processes as text, and its media type."""
    if os.environ.get(VARIABLE):
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry), CONTENT_TYPE_LATEST
    return generate_latest(REGISTRY), CONTENT_TYPE_LATEST


def new_directory() -> Path:
    """A fresh folder for the figures of one run; set VARIABLE to it before workers start."""
    return Path(tempfile.mkdtemp(prefix="bandoso-metrics-"))


def drop_directory(path: Path) -> None:
    """Remove the folder when the run ends."""
    shutil.rmtree(path, ignore_errors=True)


def forget_process(pid: int | None = None) -> None:
    """Take the gauges of a process (this one by default) out of the sum when it ends."""
    directory = os.environ.get(VARIABLE)
    if directory and Path(directory).is_dir():
        multiprocess.mark_process_dead(pid or os.getpid())  # type: ignore[no-untyped-call]


def forget_killed() -> None:
    """Take out the gauges of processes that were killed; called by each that starts."""
    directory = os.environ.get(VARIABLE)
    if not directory:
        return
    for path in Path(directory).glob("gauge_live*_*.db"):
        pid = path.stem.rpartition("_")[2]
        if pid.isdecimal() and not _alive(int(pid)):
            forget_process(int(pid))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
