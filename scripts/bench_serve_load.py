"""Load for the bench of serving: lists of requests, wrk, and what servers pay for an answer."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

CLIENTS = 8

#: Each thread of wrk walks through the list from a place of its own; a list is long enough for one round.
_LUA = """
local paths, place = {}, 0
local number = 0
function setup(thread) thread:set("mine", number); number = number + 1 end
function init(args)
  for line in io.lines(args[1]) do paths[#paths + 1] = line end
  place = math.floor(#paths / 2) * mine
end
function request()
  place = place % #paths + 1
  return wrk.format("GET", paths[place], {["Accept-Encoding"] = "ENCODING"})
end
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("TOLD %d %d %d %d %.1f %.1f %.1f\\n", summary.requests, summary.duration,
    summary.bytes, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(95), latency:percentile(99)))
end
"""


@dataclass(frozen=True)
class Told:
    """What a round told: answers a second, bytes of one, p50/p95/p99 (ms), CPU of one answer (ms)."""

    per_second: float
    size: float
    p50: float
    p95: float
    p99: float
    cpu_ms: float
    failed: int


def have_wrk() -> bool:
    """Whether the load generator is installed (apt-get install wrk)."""
    return shutil.which("wrk") is not None


def write_list(path: Path, paths: Iterable[str]) -> Path:
    """A list of requests, one path with its query a line."""
    path.write_text("\n".join(paths) + "\n")
    return path


def wrk(
    url: str, listed: Path, seconds: float, pids: Sequence[int], *, gzip: bool = False, clients: int = CLIENTS
) -> Told:
    """Run the list against a server. ``pids``: the processes that answer (their children count too)."""
    script = listed.with_suffix(".gz.lua" if gzip else ".lua")
    script.write_text(_LUA.replace("ENCODING", "gzip" if gzip else "identity"))
    command = ["wrk", "-t2", f"-c{clients}", f"-d{seconds:g}s", "--latency", "--timeout", "30s"]
    before = cpu_seconds(pids)
    done = subprocess.run(
        [*command, "-s", str(script), url, "--", str(listed)], capture_output=True, text=True, check=False
    )
    used = cpu_seconds(pids) - before
    found = re.search(r"^TOLD (.*)$", done.stdout, re.MULTILINE)
    if found is None:
        raise SystemExit(f"wrk failed: {done.stderr[-500:]}{done.stdout[-500:]}")
    count, micros, size, failed, p50, p95, p99 = map(float, found[1].split())
    answers = max(count, 1)
    return Told(
        count / (micros / 1e6),
        size / answers,
        p50 / 1000,
        p95 / 1000,
        p99 / 1000,
        1000 * used / answers,
        int(failed),
    )


def cpu_seconds(pids: Sequence[int]) -> float:
    """Seconds of a processor that these processes and their children have used."""
    total = 0.0
    for process in _all(pids):
        try:
            times = process.cpu_times()
            total += times.user + times.system
        except psutil.Error:
            continue
    return total


def resident_mb(pids: Sequence[int]) -> list[int]:
    """Resident memory of these processes and their children (MB), the largest first."""
    found = []
    for process in _all(pids):
        try:
            found.append(round(process.memory_info().rss / 1e6))
        except psutil.Error:
            continue
    return sorted(found, reverse=True)


def _all(pids: Sequence[int]) -> list[psutil.Process]:
    found: list[psutil.Process] = []
    for pid in pids:
        try:
            one = psutil.Process(pid)
            found += [one, *one.children(recursive=True)]
        except psutil.Error:
            continue
    return found
