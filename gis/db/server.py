"""Which database to use: the one of a DSN, or the embedded one of the data folder.

with database(settings) as db:
    prepare(db.owner_dsn, city, catalogue)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from gis.db.cluster import Cluster
from gis.db.conf import APP
from gis.settings import Settings


@dataclass(frozen=True)
class Database:
    """Connection strings (libpq): ``owner_dsn`` may change everything, ``app_dsn`` serves requests."""

    owner_dsn: str
    app_dsn: str
    embedded: bool


@contextmanager
def database(settings: Settings) -> Iterator[Database]:
    """The database of these settings for the length of the block.

    With ``settings.dsn`` (several hosts allowed, as libpq has it) no server is managed. Otherwise the
    embedded server of ``settings.data_dir`` is joined, or started if no process uses it; it stops when
    the last process that uses it leaves the block or dies. Raises ConfigError and DatabaseError.
    """
    if settings.dsn:
        yield Database(settings.dsn, settings.app_dsn or settings.dsn, embedded=False)
        return
    cluster = Cluster(settings.data_dir)
    cluster.join()
    try:
        yield Database(cluster.dsn(), cluster.dsn(user=APP), embedded=True)
    finally:
        cluster.leave()
