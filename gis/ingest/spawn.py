"""Starts a reading child, which imports what it needs and then waits for its request.

Only the standard library is imported here, so that a command can start the child first and import the rest
of bandoso meanwhile: a second less for each load.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

#: Started with -I: no environment, no working folder on the path. pyogrio would import pandas and geopandas
#: if it could: a second and a half, and 80 MB.
_START = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name in ("pandas", "geopandas"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
sys.path.insert(0, {root!r})
from {module} import main
main()
"""


@dataclass(frozen=True)
class Waiting:
    """A child that has no request yet."""

    process: subprocess.Popen[bytes]
    stderr: BinaryIO

    def close(self) -> None:
        """End it, if it was not needed or has not ended by itself."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.stderr):
            if stream is not None:
                stream.close()


def start(module: str = "gis.ingest.reader_child", channel: socket.socket | None = None) -> Waiting:
    """Start a child: ``main`` of a module. ``channel``: its standard input and output, in place of pipes."""
    stderr = tempfile.TemporaryFile()  # noqa: SIM115
    root = str(Path(__file__).resolve().parents[2])
    process = subprocess.Popen(
        [sys.executable, "-I", "-c", _START.format(root=root, module=module)],
        stdin=subprocess.PIPE if channel is None else channel.fileno(),
        stdout=subprocess.PIPE if channel is None else channel.fileno(),
        stderr=stderr,
        env=clean_environment(),
        cwd="/",
        start_new_session=True,
        bufsize=0,
    )
    return Waiting(process, stderr)


def clean_environment() -> dict[str, str]:
    """No secret, proxy or GDAL setting of the caller reaches the child."""
    return {
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": "/nonexistent",
        "PROJ_NETWORK": "OFF",
        "GDAL_DRIVER_PATH": "disable",
        "GDAL_PAM_ENABLED": "NO",
        "GDAL_CONFIG_FILE": "",
        "GDAL_NUM_THREADS": "2",
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "2",
        # Columns of a batch are kept and used again: mapped anew, each of their pages costs a fault (a fifth
        # of all processor time).
        "MALLOC_MMAP_THRESHOLD_": "33554432",
        "MALLOC_TRIM_THRESHOLD_": "134217728",
    }
