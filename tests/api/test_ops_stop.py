"""A server stops gently under load, and leaves nothing behind when it is killed."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
from dataclasses import replace

import httpx
import psutil
import pytest

from gis.db.server import Database
from gis.settings import Settings
from tests.api.process import Server


def test_running_requests_end_before_the_server_does(
    sample_db: Database, settings: Settings, tmp_path: object, tmp_path_factory: pytest.TempPathFactory
) -> None:
    process = Server(
        replace(settings, workers=2, pool_size=4),
        sample_db,
        tmp_path_factory.mktemp("stop"),
        target="echo_app:create",
    ).start()
    whole: list[int] = []
    broken: list[str] = []
    refused: list[str] = []
    stop = threading.Event()

    def ask(path: str) -> None:
        with httpx.Client(timeout=30, verify=False) as client:
            while not stop.is_set():
                try:
                    answer = client.get(process.url + path)
                    json.loads(answer.content)
                    whole.append(answer.status_code)
                except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                    refused.append(repr(error))
                    return
                except (httpx.HTTPError, ValueError) as error:
                    broken.append(repr(error))
                    return

    slow: list[int] = []

    def ask_slow() -> None:
        slow.append(httpx.get(process.url + "/slow", timeout=30).status_code)

    threads = [threading.Thread(target=ask, args=("/collections/water_pipe/items",)) for _ in range(4)]
    patient = [threading.Thread(target=ask_slow) for _ in range(3)]
    for thread in threads + patient:
        thread.start()
    time.sleep(1.5)
    began = time.monotonic()
    code = process.stop(signal.SIGTERM)
    took = time.monotonic() - began
    stop.set()
    for thread in threads + patient:
        thread.join(30)
    assert code == 0
    assert took < 60
    assert slow == [200, 200, 200], "a request that was running is answered"
    assert len(whole) > 10
    assert set(whole) == {200}
    # a kept connection may be closed between two requests; an answer that began must be whole
    assert not [b for b in broken if "peer closed" in b or "JSON" in b], broken
    assert process.log.read_text().count('"status":200') >= len(whole), "the log is written to its end"


def test_interrupt_stops_it_too(
    sample_db: Database, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    process = Server(replace(settings, workers=1, pool_size=2), sample_db, tmp_path_factory.mktemp("int"))
    process.start()
    assert process.stop(signal.SIGINT) == 0


def test_workers_die_with_their_parent(
    sample_db: Database, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    process = Server(replace(settings, workers=2, pool_size=2), sample_db, tmp_path_factory.mktemp("kill"))
    process.start()
    children = psutil.Process(process.process.pid).children(recursive=True)
    assert len(children) >= 2
    process.process.kill()
    process.process.wait()
    _gone, alive = psutil.wait_procs(children, timeout=120)
    assert not alive, [(p.pid, p.cmdline(), p.ppid()) for p in alive]
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", process.port))
