"""Runs one job: ``python -m gis.jobs.child FD``, started by the runner.

It imports what jobs need (a second or two), and only then reads a line ``JOB ATTEMPT`` on standard input:
so the runner can have one ready. It says how far it is by JSON lines on file descriptor FD and ends when its
standard input does: the runner has gone. A process group of its own lets whoever ends it end the workers
that it has started, too.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import logging.config
import os
import signal
import sys
import threading
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import orjson
import psycopg

from gis.db.connect import connect
from gis.db.server import Database
from gis.errors import BandosoError, DatabaseError
from gis.jobs.queue import failure
from gis.jobs.results import Fenced, ResultWriter
from gis.jobs.task import PROCESSES, Refused, Task
from gis.priority import give_way
from gis.settings import Settings

LOG = logging.getLogger("bandoso.jobs")

#: Where the runner and its children find the database.
OWNER_DSN = "BANDOSO_OWNER_DSN"
#: Exit codes: the job was ended by what its runner was told; the database went away.
TOLD, DATABASE_AWAY = 1, 75
#: Bytes of a result that anyone may cause.
MOST_PUBLIC_BYTES = 64_000_000


def main() -> int:
    """Exit code 0: the job is done, or is not ours any more."""
    descriptor = int(sys.argv[1])
    os.set_inheritable(descriptor, False)
    told: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_listen, args=(told,), daemon=True).start()
    with contextlib.suppress(Exception):  # told when a job asks for it
        for module in PROCESSES.values():
            importlib.import_module(module).warm()
    name, number = told.get().split()
    job, attempt = name.decode(), int(number)
    with contextlib.suppress(OSError):  # and where memory ends, a job can be run again
        Path("/proc/self/oom_score_adj").write_text("500")

    def say(line: dict[str, Any]) -> None:
        os.write(descriptor, orjson.dumps(line) + b"\n")

    settings = Settings.from_env()
    _configure_logging(settings.log_level)
    try:
        _run(job, attempt, settings, say)
    except Fenced:
        return 0
    except Refused as refusal:
        say({"failed": failure(refusal.status, refusal.code, refusal.words, refusal.hint)})
        return TOLD
    except OverflowError:
        words = {"vi": "Kết quả quá lớn.", "en": "The result is larger than it may be."}
        say({"failed": failure(400, "result-too-large", words, "check a smaller area or fewer rules")})
        return TOLD
    except (psycopg.OperationalError, DatabaseError) as error:
        LOG.warning("a job lost the database: %s", type(error).__name__)
        return DATABASE_AWAY
    except BandosoError as error:
        words = {"vi": error.message, "en": error.message}
        say({"failed": failure(error.status, error.code, words, error.hint)})
        return TOLD
    except Exception:
        LOG.exception("a job failed")
        words = {
            "vi": "Máy chủ gặp lỗi khi kiểm tra; lỗi đã được ghi lại.",
            "en": "The run failed by a fault of the server, which was logged.",
        }
        say({"failed": failure(500, "internal", words)})
        return TOLD
    return 0


def _run(job: str, attempt: int, settings: Settings, say: Any) -> None:
    dsn = os.environ[OWNER_DSN]
    with connect(dsn, autocommit=False) as connection:
        row = connection.execute(
            "SELECT process, request, steward, small FROM bandoso.job"
            " WHERE id = %s AND attempts = %s AND status = 'running'",
            (job, attempt),
        ).fetchone()
        connection.rollback()
        if row is None:
            raise Fenced
        process, request, steward, small = row
        if not small:
            give_way(5)  # people who look at the map come first
        result = ResultWriter(connection, job, attempt, 0 if steward else MOST_PUBLIC_BYTES)
        task = Task(settings, Database(dsn, dsn, embedded=False), request, attempt, steward, result, say)
        media_type, message = importlib.import_module(PROCESSES[process]).run(task)
        result.finish(media_type, message)


def _listen(told: SimpleQueue[bytes]) -> None:
    """Hand on what the runner says, and end this process and its workers when the runner is gone."""
    while line := os.read(0, 1024):
        told.put(line)
    os.killpg(0, signal.SIGKILL)


def _configure_logging(level: str) -> None:
    from gis.log import configuration

    logging.config.dictConfig(configuration(level))


if __name__ == "__main__":
    sys.exit(main())
