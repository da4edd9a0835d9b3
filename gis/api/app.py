"""The application of one server process: routes, the layers around them, and what lives as long as it."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import logging.config
import multiprocessing
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence

import psycopg
from psycopg_pool import PoolTimeout
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from gis.api import archive, catalogue, feed, metrics, ops, pages, qgis, styles, tiles
from gis.api.access_log import LineWriter, Observe, logging_config, standard_output
from gis.api.accounts import routes as accounts
from gis.api.accounts.origin import OwnOrigin
from gis.api.ask import routes as ask
from gis.api.auth import Authenticate
from gis.api.compress import Compress
from gis.api.ending import on_ending
from gis.api.features import routes as features
from gis.api.features.formats.files import WRITERS
from gis.api.feed_stream import Listeners
from gis.api.findings import routes as findings
from gis.api.guard import Guard
from gis.api.headers import StandardHeaders
from gis.api.history import routes as history
from gis.api.hot.front import Front
from gis.api.ogc import routes as ogc
from gis.api.print import routes as prints
from gis.api.print.desk import Desk
from gis.api.problems import Problems, Refusal, on_known_error
from gis.api.processes import routes as processes
from gis.api.raster import elevation
from gis.api.raster import routes as rasters
from gis.api.raster.work import Studio
from gis.api.reload import Reloader
from gis.api.serve import READER_DSN
from gis.api.state import State
from gis.api.write import changesets, operations
from gis.checks.window import Setting
from gis.city import City
from gis.db.connect import conninfo
from gis.db.pool import open_reader_pool, reader_setup
from gis.db.quick import Quick
from gis.db.server import Database
from gis.edit.apply import warm
from gis.edit.session import open_editor_pool
from gis.errors import BandosoError, DatabaseError
from gis.publish.follow import Follower
from gis.settings import Settings
from tiles.follow import Freshness

LOG = logging.getLogger("bandoso.api")

#: Seconds between two looks at the pool for /metrics.
OBSERVE_EVERY = 2.0

#: Seconds for which a thread that judges an edit may keep the loop from answering others. A request waits for
#: it several times; Python's own 0.005 made reading beside edits slower (in one run on a busy machine: 7
#: requests a second with 0.005, 9 with 0.0002).
SWITCH_AFTER = 0.0005

#: Seconds after the start until documents are prepared (2 s of a processor: pygeoapi is imported), so that
#: they slow down neither the start of the other processes nor the first answers.
DOCUMENTS_AFTER = 8.0

#: Seconds after the start until edits are prepared, if nobody logs in before.
EDITS_AFTER = 30.0

#: Hot paths first: routes are tried in order.
ROUTES: Sequence[BaseRoute] = (
    *archive.ROUTES,
    *tiles.ROUTES,
    *styles.ROUTES,
    *history.ROUTES,
    *features.ROUTES,
    *rasters.ROUTES,
    *elevation.ROUTES,
    *ogc.ROUTES,
    *processes.ROUTES,
    *findings.ROUTES,
    *accounts.ROUTES,
    *feed.ROUTES,
    *qgis.ROUTES,
    *changesets.ROUTES,
    *operations.ROUTES,
    *catalogue.ROUTES,
    *ask.ROUTES,
    *prints.ROUTES,
    *pages.ROUTES,
    *ops.ROUTES,
)


def create() -> ASGIApp:
    """The application, from the environment that gis.api.serve sets (Granian calls this in each worker)."""
    settings = Settings.from_env()
    reader_dsn = os.environ.get(READER_DSN)
    if not reader_dsn:
        raise DatabaseError("the server process has no database", hint="start it with bandoso serve")
    logging.config.dictConfig(logging_config(settings.log_level))
    _end_with_parent()
    sys.setswitchinterval(SWITCH_AFTER)
    writer = standard_output()
    app = build(settings, Database(owner_dsn="", app_dsn=reader_dsn, embedded=False), writer)
    return Front(app, settings, writer)


def build(settings: Settings, db: Database, writer: LineWriter) -> Starlette:
    """The application over a database; only ``db.app_dsn`` is used."""
    city = settings.load_city()

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        state, reloader = await _connected(settings, city, db)
        state.editors = await asyncio.to_thread(open_editor_pool, settings, db)
        pool = state.readers
        quick = app.state.quick = Quick(conninfo(db.app_dsn, "bandoso serve"), reader_setup(settings))
        quick.start()
        app.state.bandoso = state
        app.state.ogc = ogc.Ogc(state)
        studio = app.state.studio = Studio(app.state.ogc.statistics.rasters)
        app.state.somebody = asyncio.Event()
        follower = app.state.follower = Follower(db.app_dsn)
        freshness = app.state.freshness = Freshness(
            db.app_dsn, city.crs.storage, lambda layer: tiles.buffer_of(state, layer)
        )
        app.state.tiles = tiles.Tiles(state, freshness)
        prints_desk = app.state.prints = Desk()
        freshness.start()
        app.state.listeners = Listeners(settings.feed_listeners, settings.feed_client)
        on_ending(follower.end)
        metrics.forget_killed()
        tasks = [
            asyncio.create_task(work)
            for work in (
                reloader.run(),
                _observe(state),
                _warm(app.state.ogc),
                _warm_edits(state, app.state.somebody),
                app.state.tiles.watch(),
            )
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await follower.stop()
            await freshness.stop()
            app.state.tiles.shelf.close()
            studio.close()
            prints_desk.close()
            WRITERS.close()
            await asyncio.to_thread(state.editors.close)
            await quick.stop()
            await pool.close(timeout=5)
            metrics.forget_process()
            await asyncio.to_thread(writer.close)

    app = Starlette(
        routes=list(ROUTES),
        lifespan=lifespan,
        exception_handlers=dict.fromkeys((BandosoError, HTTPException, Refusal), on_known_error),
        middleware=[
            Middleware(
                Observe,
                writer=writer,
                trusted_proxies=settings.trusted_proxies,
                verbose=settings.log_level == "debug",
            ),
            Middleware(StandardHeaders),
            Middleware(Problems),
            Middleware(
                Guard,
                max_body_bytes=settings.max_body_bytes,
                request_timeout_s=settings.request_timeout_s,
            ),
            Middleware(OwnOrigin, public_url=settings.public_url),
            Middleware(Authenticate),
            Middleware(Compress),
        ],
    )
    app.router.redirect_slashes = False  # a wrong address is told, not guessed; writes must not redirect
    return app


async def _connected(settings: Settings, city: City, db: Database) -> tuple[State, Reloader]:
    """The state over an open pool, with the layers that are applied. Waits while the database is away.

    A worker that starts in that time (another was killed, or a failover runs) would end at once, and
    Granian takes a few such ends for a crash loop and stops the whole server.
    """
    complaint = ""
    while True:
        try:
            pool = await open_reader_pool(settings, db)
            try:
                state = State(settings, city, settings.load_catalogue(city), pool)
                reloader = Reloader(state)
                await reloader.start()
                return state, reloader
            except BaseException:
                await pool.close(timeout=5)
                raise
        except (DatabaseError, psycopg.Error, PoolTimeout) as error:
            said = error.message if isinstance(error, DatabaseError) else type(error).__name__
            if said != complaint:
                LOG.warning("a server process waits for the database: %s", said)
            complaint = said
        await asyncio.sleep(1)


async def _observe(state: State) -> None:
    """Every process keeps its own gauges fresh, whichever of them is asked for the figures."""
    while True:
        metrics.observe_state(state.readers, len(state.catalogue.public()))
        await asyncio.sleep(OBSERVE_EVERY)


async def _warm(documents: ogc.Ogc) -> None:
    await asyncio.sleep(DOCUMENTS_AFTER)
    try:
        await documents.warm()
    except Exception:
        LOG.exception("documents could not be prepared")


async def _warm_edits(state: State, somebody: asyncio.Event) -> None:
    """Have rules and statements at hand before the first edit (importing them takes 1.4 s of a processor):
    when somebody has logged in, or once the start is over and the processors have time."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(EDITS_AFTER):
            await somebody.wait()
    try:
        await state.editors.work(warm, state.editors, Setting(state.city, state.known, state.city.today()))
    except Exception:
        LOG.exception("edits could not be prepared")


def _end_with_parent() -> None:
    """Have the kernel end this worker when its parent dies: a killed server leaves no half behind.

    SIGKILL, because a gentle stop was seen to hang for ever in Granian once its parent is gone; what a
    request had not committed is rolled back by PostgreSQL.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
            parent = multiprocessing.parent_process()
            if parent is not None and os.getppid() != parent.pid:  # it died before we asked for the signal
                os.kill(os.getpid(), signal.SIGKILL)
