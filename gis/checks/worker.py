"""A worker process: takes tasks from its parent and answers with rows, until the parent has no more.

Started by gis.checks.workers with one file descriptor, a socket to the parent. Data that ends it (a crash
in GEOS, memory) ends nothing else.
"""

from __future__ import annotations

import faulthandler
import pickle
import sys
from multiprocessing.connection import Connection

#: Kinds of answers: ready for tasks; rows of COPY; a finished task; the database is gone (a sentence).
READY, ROWS, DONE, LOST = b"y", b"r", b"d", b"l"


def main(descriptor: int, address_space: int) -> None:
    """Work for the parent behind ``descriptor``, in at most ``address_space`` bytes."""
    from gis.ingest.sandbox import Limits, die_with_parent, limit
    from gis.priority import give_way

    die_with_parent()
    give_way()
    faulthandler.enable(sys.stderr)
    limit(Limits(address_space=address_space, cpu_seconds=48 * 3600, open_files=512))
    parent = Connection(descriptor)

    import psycopg

    from gis.checks.examine import Done, Examiner, unpacked

    try:
        examiner = Examiner(unpacked(parent.recv_bytes()))
        examiner.stay()
        parent.send_bytes(READY)
        while True:
            task = pickle.loads(parent.recv_bytes())  # noqa: S301 - from our parent
            for part in examiner.examine(task):
                if isinstance(part, Done):
                    parent.send_bytes(DONE + pickle.dumps(part))
                else:
                    parent.send_bytes(ROWS + part)
    except psycopg.OperationalError as error:
        parent.send_bytes(LOST + str(error).encode())
    except EOFError:
        return
