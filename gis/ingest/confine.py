"""What every reading child does alike: it takes its request, gives up what a hostile file could reach, and
tells its parent what went wrong. One place, so that no reader is shut in less than another.
"""

from __future__ import annotations

import os
import pickle
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from gis.errors import BandosoError
from gis.ingest import protocol, sandbox

Say = Callable[[bytes, Any], None]


def take_request(stdin: BinaryIO) -> Any | None:
    """The parent's request, with its work folder made the child's own; None when the child is not needed."""
    sandbox.die_with_parent()
    # Our parent wrote it, before anything of the delivery was looked at.
    try:
        request = pickle.load(stdin)  # noqa: S301
    except EOFError:
        return None
    os.chdir(request.work)
    os.environ["TMPDIR"] = str(request.work)
    return request


def shut_in(parts: Iterable[Path], work: Path) -> None:
    """From here on the child sees the program, the delivery's files and its work folder, and no network."""
    sandbox.shut_in_program(parts, work)


@contextmanager
def telling(say: Say) -> Iterator[None]:
    """Whatever ends the reading becomes a frame for the parent; a failure of ours ends the child with 1."""
    try:
        yield
    except BandosoError as error:
        say(
            protocol.ERROR,
            {"kind": type(error).__name__, "message": error.message, "code": error.code, "hint": error.hint},
        )
    except MemoryError:
        say(protocol.ERROR, {"kind": "LoadRefused", "message": "reading the file needs too much memory"})
    except BrokenPipeError:
        return
    except Exception:
        traceback.print_exc()
        say(protocol.ERROR, {"kind": "", "message": "the file cannot be read"})
        sys.exit(1)
