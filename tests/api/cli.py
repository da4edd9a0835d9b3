"""``bandoso`` as its users start it, for tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

from tests.api.process import ROOT, free_port


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "gis.cli", *map(str, arguments)]


def environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith("BANDOSO_")} | {"PYTHONPATH": str(ROOT)}


@contextmanager
def serving(*arguments: str | Path, log: Path) -> Iterator[tuple[str, float, float]]:
    """A running ``bandoso serve``: its address, the seconds until it was ready, and those of processors."""
    port = free_port()
    began = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command("serve", "--port", str(port), "--no-demo", *arguments),
            stdout=output,
            stderr=output,
            env=environment(),
            cwd=ROOT,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        while True:
            assert process.poll() is None, log.read_text()
            try:
                if httpx.get(f"{url}/readyz", timeout=20).status_code == 200:
                    break
            except httpx.HTTPError:
                pass
            assert time.monotonic() - began < 240, log.read_text()
            time.sleep(0.05)
        took = time.monotonic() - began
        family = [psutil.Process(process.pid)]
        family += family[0].children(recursive=True)
        yield url, took, sum(sum(one.cpu_times()[:2]) for one in family if one.is_running())
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(120)
    assert code == 0
