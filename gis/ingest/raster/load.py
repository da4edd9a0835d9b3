"""``bandoso load-raster``, the parent's side: files into a layer's folder, rows into the database.

A file is converted in a work folder beside the layer's, moved by one rename and told to the database by one
transaction: whoever reads sees the layer as it was or as it is. What an end in between leaves behind is a
file that no row knows; the next load takes it away.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import orjson
import shapely
from psycopg import Connection

from gis.city import City
from gis.db import rasters
from gis.db.rasters import RasterFile
from gis.errors import BandosoError, DatabaseError, LoadRefused, NotFoundError
from gis.ingest import protocol, spawn
from gis.ingest.raster import whole
from gis.ingest.raster.formats import RasterSource, sniff
from gis.ingest.raster.report import FileReport, RasterReport
from gis.ingest.raster.request import OverviewRequest, RasterRequest
from gis.ingest.reader import Reader
from gis.settings import Settings
from gis.sheets import Sheet, parse_sheet
from layers.raster import RasterLayer
from layers.registry import Catalogue

CHILD = "gis.ingest.raster.child"

#: Part of every file's hash: what was made by other rules is made again.
RULES = "1"

Report = Callable[[int, int | None], None]


@dataclass(frozen=True)
class RasterLoad:
    """What the user asked for. ``crs``, ``nodata``, ``sheet`` and ``taken_on`` are of all files."""

    files: tuple[Path, ...]
    layer: str
    crs: int | None = None
    mode: str = "append"
    nodata: float | None = None
    sheet: str | None = None
    taken_on: date | None = None
    allow_outside: bool = False
    dry_run: bool = False


def load_rasters(
    settings: Settings,
    connection: Connection | None,
    city: City,
    catalogue: Catalogue,
    wanted: RasterLoad,
    tell: Report,
) -> RasterReport:
    """Load files into a layer; ``connection`` (the owner's) may be None for a dry run.

    ``append``: each file for itself, and those that are refused are in the report. ``replace``: the files
    become the layer, together or not at all. Raises LoadRefused, NotFoundError, DatabaseError.
    """
    began = time.monotonic()
    layer = catalogue.rasters.get(wanted.layer)
    if layer is None:
        names = ", ".join(catalogue.rasters) or "none"
        raise NotFoundError(f"there is no raster layer {wanted.layer[:60]}", hint=f"raster layers: {names}")
    if wanted.sheet is not None:
        parse_sheet(wanted.sheet)  # a name that is none is told before anything is read
    report = RasterReport(layer.id, wanted.mode, wanted.dry_run)
    with _work_folder(settings, dry_run=wanted.dry_run) as work:
        if connection is None or wanted.dry_run:
            known = rasters.known_contents(connection, layer) if connection is not None else {}
            for index, path in enumerate(wanted.files):
                made = _one(work, city, layer, wanted, path, known, _part(tell, index, len(wanted.files)))
                report.files.append(made[0])
        else:
            with _locked(connection, layer):
                _load(settings, connection, city, layer, wanted, work, report, tell)
    report.seconds = round(time.monotonic() - began, 3)
    return report


def _load(
    settings: Settings,
    connection: Connection,
    city: City,
    layer: RasterLayer,
    wanted: RasterLoad,
    work: Path,
    report: RasterReport,
    tell: Report,
) -> None:
    folder = settings.rasters_folder / layer.id
    folder.mkdir(parents=True, exist_ok=True)
    _clean(folder, connection, layer)
    known = rasters.known_contents(connection, layer)
    replacing = wanted.mode == "replace"
    waiting: list[tuple[Path, RasterFile]] = []
    kept: set[str] = set()
    for index, path in enumerate(wanted.files):
        told, made = _one(work, city, layer, wanted, path, known, _part(tell, index, len(wanted.files)))
        report.files.append(told)
        if told.outcome == "refused" and replacing:
            raise LoadRefused(
                f"{told.source}: {told.reason}", code=told.code, hint=told.hint or "nothing was changed"
            )
        if made is not None:
            waiting.append(made)
            known[made[1].content] = made[1].name
        if told.outcome != "refused":
            kept.add(_name(_content(sniff(path), city, layer, wanted)))
        if waiting and not replacing:
            _publish(connection, folder, layer, waiting, city, None)
            waiting.clear()
    files = whole.standing(connection, layer, folder)
    if replacing:
        files = [one for one in files if one[1].name in kept]
        files += [(path, row.standing(datetime.now(UTC))) for path, row in waiting]
    try:
        name, made = whole.overview(layer, city, files, folder, work, known, lambda one: _ask(one, tell))
    except LoadRefused as error:
        if replacing:
            raise
        # The files are there. One that is missing on this machine's disk is a likely reason.
        report.warnings.append(f"the layer's overview could not be made: {error.message}")
        return
    if made is not None:
        waiting.append(made)
        report.overview_m = made[1].resolution_m
    kept = {one.name for _, one in files} | ({name} if name else set())
    former = rasters.names_of(connection, layer)
    if waiting or former != kept:
        _publish(connection, folder, layer, waiting, city, kept)
    gone = former - kept
    report.removed = sum(not rasters.is_overview(name) for name in gone)
    for name in gone:  # who has one open reads on; whoever is told of it now looks at the table again
        (folder / name).unlink(missing_ok=True)


def _publish(
    connection: Connection,
    folder: Path,
    layer: RasterLayer,
    made: Sequence[tuple[Path, RasterFile]],
    city: City,
    keep: set[str] | None,
) -> None:
    moved = []
    try:
        for path, row in made:
            moved.append(folder / row.name)
            path.replace(folder / row.name)
        rows = [row for _, row in made]
        rasters.change_files(connection, layer, rows, storage=city.crs.storage, keep=keep)
    except BaseException:
        with contextlib.suppress(Exception):  # the connection may be what failed; the next load cleans up
            standing = rasters.names_of(connection, layer)
            for path in moved:
                if path.name not in standing:
                    path.unlink(missing_ok=True)
        raise


def _one(
    work: Path,
    city: City,
    layer: RasterLayer,
    wanted: RasterLoad,
    path: Path,
    known: dict[bytes, str],
    tell: Report,
) -> tuple[FileReport, tuple[Path, RasterFile] | None]:
    """Check and convert one file, if it is not there already."""
    told = FileReport(path.name, "refused")
    try:
        source = sniff(path.resolve())
        content = _content(source, city, layer, wanted)
        if content in known:
            told.outcome = "unchanged"
            return told, None
        sheet = _sheet(wanted, path, city)
        told.sheet = sheet.name if sheet else None
        result = _convert(work, city, layer, wanted, source, sheet, tell)
    except DatabaseError:
        raise
    except BandosoError as error:
        told.reason, told.code, told.hint = error.message, error.code, error.hint
        return told, None
    for name in ("crs", "crs_how", "warped", "width", "height", "bands", "resolution_m", "lowest", "highest"):
        setattr(told, name, result[name])
    told.warnings = [str(text) for text in result["warnings"]]
    told.outcome = "checked" if wanted.dry_run else "loaded"
    if wanted.dry_run:
        return told, None
    made = work / _name(content)
    (work / "result.tif").replace(made)
    told.bytes = made.stat().st_size
    row = RasterFile(
        name=made.name,
        content=content,
        footprint=base64.b64decode(result["footprint"]),
        sheet=told.sheet,
        resolution_m=result["resolution_m"],
        taken_on=wanted.taken_on,
        source=path.name[:200],
        width=result["width"],
        height=result["height"],
        bands=result["bands"],
        lowest=result["lowest"],
        highest=result["highest"],
        bytes=told.bytes,
    )
    return told, (made, row)


def _convert(
    work: Path,
    city: City,
    layer: RasterLayer,
    wanted: RasterLoad,
    source: RasterSource,
    sheet: Sheet | None,
    tell: Report,
) -> dict[str, Any]:
    """The child's result. GDAL never sees the user's file name, nor any file beside the delivery."""
    links = work / "files"
    shutil.rmtree(links, ignore_errors=True)
    links.mkdir()
    main = links / f"source{source.format.suffix}"
    main.symlink_to(source.main.resolve())
    definition = layer.definition
    request = RasterRequest(
        format=source.format,
        path=main,
        parts=tuple(p.resolve() for p in source.parts),
        work=work,
        kind=definition.kind,
        compression=definition.compression,
        heights=definition.heights,
        storage=city.crs.storage,
        extent=city.extent,
        offered=city.crs.offered,
        world=source.world.resolve() if source.world else None,
        projection=source.projection.resolve() if source.projection else None,
        crs=wanted.crs,
        nodata=wanted.nodata,
        frame=shapely.to_wkb(sheet.outline(city.crs.storage)) if sheet else None,
        sheet=sheet.name if sheet else None,
        allow_outside=wanted.allow_outside,
        write=not wanted.dry_run,
    )
    return _ask(request, tell)


def _ask(request: RasterRequest | OverviewRequest, tell: Report) -> dict[str, Any]:
    """What the child says of a request at the end."""
    child = spawn.start(CHILD)
    try:
        reader = Reader(request, child)  # type: ignore[arg-type]  # of which it reads the limits only
        for kind, payload in reader.frames():
            said: dict[str, Any] = orjson.loads(payload)
            if kind == protocol.STATS:
                if "total" in said:
                    tell(int(said["done"]), int(said["total"]))
            elif kind == protocol.DONE:
                return said
        raise AssertionError("unreachable")
    finally:
        child.close()


def _content(source: RasterSource, city: City, layer: RasterLayer, wanted: RasterLoad) -> bytes:
    """SHA-256 of the delivery and of all that decides what is made of it."""
    digest = hashlib.sha256()
    for path in source.parts:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    sheet = _sheet(wanted, source.main, city)
    said = [
        RULES, source.format.driver, len(source.parts), layer.definition.kind, layer.definition.compression,
        city.crs.storage, wanted.crs, wanted.nodata, sheet.name if sheet else None,
    ]  # fmt: skip
    digest.update(json.dumps(said).encode())
    return digest.digest()


def _name(content: bytes) -> str:
    return f"{content.hex()[:16]}.tif"


def _sheet(wanted: RasterLoad, path: Path, city: City) -> Sheet | None:
    """The sheet that the user names, or that the file has in its name: "C-48-34-(119-a)_2004.tif"."""
    if wanted.sheet is not None:
        return parse_sheet(wanted.sheet, crs=city.crs.storage)
    stem = path.stem
    for name in (stem, re.split(r"_(?=[^-]*\Z)", stem)[0]):
        with contextlib.suppress(BandosoError):
            return parse_sheet(name, crs=city.crs.storage)
    return None


def _part(tell: Report, index: int, count: int) -> Report:
    """Progress of one of several files, in thousandths of a file."""
    return lambda done, total: tell(index * 1000 + (done * 1000 // total if total else 0), count * 1000)


@contextmanager
def _work_folder(settings: Settings, *, dry_run: bool) -> Iterator[Path]:
    """A folder on the file system of the layers' folders (a rename must be enough), gone at the end."""
    parent = None if dry_run else settings.rasters_folder / ".work"
    if parent is not None:
        parent.mkdir(parents=True, exist_ok=True)
        for left in parent.iterdir():  # of loads that were killed long ago
            if time.time() - left.stat().st_mtime > 7 * 86_400:
                shutil.rmtree(left, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix="load-", dir=parent))
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


@contextmanager
def _locked(connection: Connection, layer: RasterLayer) -> Iterator[None]:
    if not rasters.lock_files(connection, layer):
        raise DatabaseError(f"another load of {layer.id} is running", hint="wait until it has finished")
    try:
        yield
    finally:
        if not connection.broken:
            rasters.unlock_files(connection, layer)


def _clean(folder: Path, connection: Connection, layer: RasterLayer) -> None:
    """Take away what killed loads left behind."""
    standing = rasters.names_of(connection, layer)
    for path in folder.glob("*.tif"):
        if path.name not in standing:
            path.unlink(missing_ok=True)
