"""Starts the server processes and stops them gently.

Workers are spawned, not forked: the parent has threads and database connections that a fork would
copy half. They get the settings and the reader's DSN by environment, never the owner's.
"""

from __future__ import annotations

import errno
import multiprocessing
import os
import socket
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from gis.errors import UsageError
from gis.settings import Settings

if TYPE_CHECKING:
    from gis.db.server import Database

#: Requests that are running at a stop signal may take so long to end (seconds).
STOP_TIMEOUT = 20
#: Time to send the header block, also the first bytes of a kept connection (milliseconds).
HEADER_TIMEOUT_MS = 10_000
#: Bytes of the read buffer of a connection; a larger header block is refused with 431.
HEADER_BUFFER = 64 * 1024
#: Connections waiting to be accepted, and open at once in one worker (idle ones count).
BACKLOG = 1024
CONNECTIONS = 2048

#: How workers find the reading role's database.
READER_DSN = "BANDOSO_READER_DSN"

TARGET = "gis.api.app:create"


def worker_count(settings: Settings) -> int:
    """Server processes: as set, or one for each core but at most four."""
    return settings.workers or max(1, min(os.cpu_count() or 1, 4))


def check_port(settings: Settings) -> None:
    """Raise UsageError when the address cannot be listened on.

    Workers share the port by SO_REUSEPORT, with which a second server would start without a complaint
    and take half of the requests; so this binds without it first.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise UsageError(
                    f"port {settings.port} is in use", code="port-in-use", hint="choose another with --port"
                ) from None
            raise UsageError(
                f"{settings.host} port {settings.port} cannot be listened on",
                code="cannot-listen",
                hint="give an address of this machine with --host, and a port above 1023",
            ) from None


def run(settings: Settings, db: Database) -> None:
    """Serve until SIGTERM or SIGINT; returns once running requests have ended (or STOP_TIMEOUT passed)."""
    from granian import Granian
    from granian.constants import HTTPModes, Interfaces
    from granian.http import HTTP1Settings
    from granian.log import LogLevels

    from gis.api import metrics
    from gis.api.access_log import logging_config, parse_networks
    from gis.api.accounts.oidc import check_settings
    from gis.api.reload import watch_files
    from gis.db.web_keeper import keep_filled
    from gis.jobs.supervise import Beside, Supervisor
    from tiles.refresh import OWNER_DSN

    parse_networks(settings.trusted_proxies)  # a wrong setting ends the start, not each worker
    check_settings(settings)
    check_port(settings)
    folder = metrics.new_directory()
    os.environ.update(replace(settings, dsn="", app_dsn="").to_env())
    os.environ[READER_DSN] = db.app_dsn
    os.environ[metrics.VARIABLE] = str(folder)
    multiprocessing.set_start_method("spawn", force=True)
    server = Granian(
        target=TARGET,
        factory=True,
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        http=HTTPModes.http1,
        websockets=False,
        workers=worker_count(settings),
        backlog=BACKLOG,
        backpressure=CONNECTIONS,
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_TIMEOUT_MS, max_buffer_size=HEADER_BUFFER),
        respawn_failed_workers=True,
        respawn_interval=0.5,
        workers_kill_timeout=STOP_TIMEOUT,
        log_level=LogLevels.warning,
        log_dictconfig=logging_config(settings.log_level),
    )
    stop = threading.Event()
    watcher = threading.Thread(
        target=watch_files, args=(settings, db.owner_dsn, stop), name="layer-files", daemon=True
    )
    filler = threading.Thread(target=keep_filled, args=(db.owner_dsn, stop), name="web-tables", daemon=True)
    jobs = Supervisor(settings, db.owner_dsn)
    low = Beside("tiles.refresh", {OWNER_DSN: db.owner_dsn}, "refresh of low zooms")
    watcher.start()
    filler.start()
    jobs.start()
    low.start()
    try:
        server.serve()
    finally:
        stop.set()
        low.stop()
        jobs.stop()
        watcher.join(5)
        filler.join(5)
        metrics.drop_directory(folder)
