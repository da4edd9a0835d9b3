"""What rules keep from one window or edit to the next, in threads that judge at the same time.

A prepared geometry works out its indexes while it is asked, with nothing to hold other threads off, and
shapely asks without the GIL: two edits that asked one prepared city boundary ended the server process (a read
of memory that was not there, in geos::index::chain::MonotoneChain::computeOverlaps), and with it the requests
of everybody whom that process served.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import lru_cache, wraps


def kept_by_thread[**P, T](maxsize: int) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """``functools.lru_cache`` with a memory for each thread: for geometry that is, or will be, prepared."""

    def around(make: Callable[P, T]) -> Callable[P, T]:
        mine = threading.local()

        @wraps(make)
        def known(*arguments: P.args, **named: P.kwargs) -> T:
            try:
                found = mine.found
            except AttributeError:
                found = mine.found = lru_cache(maxsize)(make)
            made: T = found(*arguments, **named)
            return made

        return known

    return around
