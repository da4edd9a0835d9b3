"""Reports of a check: JSON for programs, CSV for spreadsheets, GeoPackage for QGIS, HTML for people."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from gis.errors import UsageError

if TYPE_CHECKING:
    from gis.checks.model import Outcome
    from gis.checks.source import Source
    from gis.checks.window import Setting

#: Suffix -> the module whose ``write`` makes such a file. Imported on use: templates and GDAL cost a
#: process that writes none of them (a job's child, a check without a report) a good part of its start.
WRITERS: Mapping[str, str] = {
    ".json": "gis.checks.report.jsonfile",
    ".csv": "gis.checks.report.csvfile",
    ".gpkg": "gis.checks.report.gpkgfile",
    ".html": "gis.checks.report.htmlfile",
}


def check_place(path: Path) -> None:
    """May a report be written there? Asked before a long run. Raises UsageError with the next step."""
    if path.suffix.lower() not in WRITERS:
        raise UsageError(
            f"a report is a file that ends in {', '.join(WRITERS)}; {path.name} does not",
            hint=f"for example {path.with_suffix('.html').name}",
        )
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent} for the report", hint="make the folder first")
    if path.is_dir():
        raise UsageError(f"{path} is a folder", hint="name a file")
    try:
        # Not os.access: a read-only mount, a full disk and root's eyes are only known by trying.
        with tempfile.TemporaryFile(dir=path.parent) as tried:
            tried.write(b"report")
    except OSError as error:
        reason = (error.strerror or "the disk refuses").lower()
        raise UsageError(
            f"no report can be written in {path.parent}: {reason}", hint="name another folder"
        ) from None


def write_report(
    path: Path, outcome: Outcome, setting: Setting, *, language: str = "vi", source: Source | None = None
) -> None:
    """Write the report that the suffix of ``path`` asks for, whole or not at all.

    ``language`` (vi, en) is that of HTML and of the titles in CSV; messages are in both. ``source`` lets
    HTML draw what lies around a finding. Findings stream through; memory does not grow with their number.
    Raises UsageError for an unknown suffix or folder, OSError when the disk refuses.
    """
    check_place(path)
    part = path.with_name(f".{path.stem}.part{path.suffix.lower()}")
    try:
        import_module(WRITERS[path.suffix.lower()]).write(part, outcome, setting, language, source)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
