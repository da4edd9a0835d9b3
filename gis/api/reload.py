"""Notices that layers changed and serves them without a restart.

The parent process watches the layer files and applies what loses nothing (as ``bandoso layers --apply``
does); every worker watches the files and ``bandoso.layer`` and swaps its catalogue. A layer is served
only in the definition in which its table was made: until a changed block is applied, the former one is.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import threading
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from gis.api import metrics
from gis.api.sight import public_part
from gis.api.state import State
from gis.city import City
from gis.db.apply import fingerprint
from gis.errors import BandosoError, DatabaseError
from gis.settings import Settings
from layers.registry import Catalogue, Layer, layer_files

LOG = logging.getLogger("bandoso.reload")

#: Seconds between two looks.
EVERY = 1.5

Signature = tuple[tuple[str, int, int], ...]


def files_signature(settings: Settings, city: City) -> Signature:
    """Name, time and size of every layer file: changes when any of them does."""
    found = []
    for path in layer_files(settings.layer_directories(city)):
        try:
            status = path.stat()
        except OSError:  # replaced at this very moment; the next look sees it
            continue
        found.append((str(path), status.st_mtime_ns, status.st_size))
    return tuple(found)


def served(catalogue: Catalogue, applied: Mapping[str, str], former: Catalogue | None = None) -> Catalogue:
    """The catalogue of layers whose table stands as defined; ``applied`` is layer id -> fingerprint."""
    layers: dict[str, Layer] = {}
    marks: list[str] = []
    for layer_id, layer in catalogue.layers.items():
        for candidate in (layer, former.layers.get(layer_id) if former else None):
            if candidate is not None and applied.get(layer_id) == fingerprint(candidate):
                layers[layer_id] = candidate
                marks.append(f"{layer_id}={applied[layer_id]}")
                break
    mark = hashlib.sha256(";".join((catalogue.fingerprint, *marks)).encode()).hexdigest()[:16]
    return replace(catalogue, layers=MappingProxyType(layers), fingerprint=mark)


def restricted(catalogue: Catalogue) -> frozenset[str]:
    """Ids of the layers that the public may not see."""
    return frozenset(i for i, layer in catalogue.layers.items() if not layer.is_public)


async def applied_layers(pool: AsyncConnectionPool[AsyncConnection]) -> dict[str, str]:
    """Layer id -> fingerprint of the definition its table was made from; restricted layers too.

    A layer that is gone from the files keeps its table: it is not among these.
    """
    async with pool.connection(timeout=5) as connection:
        cursor = await connection.execute("SELECT id, fingerprint FROM bandoso.applied_layers()")
        return {str(row[0]): str(row[1]) for row in await cursor.fetchall()}


class Reloader:
    """Keeps ``state.catalogue`` current; one background task a process."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._all = state.catalogue
        self._signature: Signature = ()
        self._applied: dict[str, str] = {}

    async def start(self) -> None:
        """Read everything once, before the first request.

        The first look reads the files again: the catalogue was read a while ago, and a file that came since
        (a start takes seconds) would never be noticed if what is there now counted as read.
        """
        self._applied = await applied_layers(self._state.readers)
        self._state.restricted = restricted(self._all)
        self._state.known = served(self._all, self._applied)
        self._state.catalogue = public_part(self._state.known)

    async def run(self) -> None:
        """Look again and again, until cancelled. A failure is logged once and ends nothing."""
        complaint = ""
        while True:
            await asyncio.sleep(EVERY)
            try:
                await self.look()
                complaint = ""
            except Exception as error:
                said = f"{type(error).__name__}: {error}" if isinstance(error, BandosoError) else repr(error)
                if said != complaint:
                    LOG.warning("layers are served as before: %s", said)
                complaint = said

    async def look(self) -> bool:
        """Look once; True when the catalogue was swapped."""
        state = self._state
        signature = await asyncio.to_thread(files_signature, state.settings, state.city)
        applied = await applied_layers(state.readers)
        if signature == self._signature and applied == self._applied:
            return False
        if signature != self._signature:
            read = await asyncio.to_thread(state.settings.load_catalogue, state.city)
            if read.fingerprint != self._all.fingerprint:
                self._all = read
                state.restricted = restricted(self._all)
        self._signature, self._applied = signature, applied
        fresh = served(self._all, applied, state.known)
        if fresh.fingerprint == state.known.fingerprint:
            return False
        state.known, state.catalogue = fresh, public_part(fresh)
        metrics.RELOADS.inc()
        LOG.info("the layer catalogue changed: %d layers", len(fresh.layers))
        return True


def watch_files(settings: Settings, owner_dsn: str, stop: threading.Event) -> None:
    """Apply changed layer files while the server runs (in the parent, which holds the owner's DSN).

    A file must stay unchanged for one interval, so that one half saved is not read. What would lose data
    is refused and said; the tables and the served layers stay as they are.
    """
    from gis.checks.registry import mistakes
    from gis.db.migrate import prepare

    city = settings.load_city()
    done = seen = files_signature(settings, city)
    complaint = ""
    while not stop.wait(EVERY):
        now = files_signature(settings, city)
        if now != seen:
            seen = now
            continue
        if now == done:
            continue
        try:
            catalogue = settings.load_catalogue(city)
            prepare(owner_dsn, city, catalogue)
            LOG.info("changed layer files were applied")
            for mistake in mistakes(catalogue):
                LOG.warning("a check is left out: %s", mistake)
        except DatabaseError as error:  # it may be away for a moment: tried again
            if error.message != complaint:
                LOG.warning("changed layer files are not applied yet: %s", error.message)
            complaint = error.message
            continue
        except BandosoError as error:
            LOG.warning("changed layer files were not applied: %s", error.message)
        except Exception:
            LOG.exception("changed layer files were not applied")
        done, complaint = now, ""
