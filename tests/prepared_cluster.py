"""Keeps the files of a prepared test cluster between sessions: preparing takes 10 s, copying them 0.5 s.

The key is a hash of every file that has a say in what a prepared database holds, so a changed layer,
migration or sheet rule prepares anew. That an empty database can be prepared is tested for itself.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import shutil
import subprocess
from pathlib import Path

from gis.db.binaries import find_binaries

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("gis/db", "gis/crs", "gis/sheets*.py", "gis/city.py", "gis/settings.py", "layers", "config")
KEPT = 3


def key() -> str:
    """Changes with everything that decides what is in a prepared cluster."""
    digest = hashlib.sha256()
    files = [Path(__file__), ROOT / "tests" / "conftest.py"]
    for pattern in SOURCES:
        for place in ROOT.glob(pattern):
            files += place.rglob("*") if place.is_dir() else [place]
    for path in sorted(set(files)):
        if path.is_file() and path.suffix in (".py", ".sql", ".yml"):
            digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    server = find_binaries()
    parts = [server.major, str(server.folder), os.geteuid(), importlib.metadata.version("pyproj")]
    return hashlib.sha256(digest.digest() + repr(parts).encode()).hexdigest()[:20]


class Cache:
    """Folders of stopped clusters by key."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def restore(self, name: str, pgdata: Path) -> bool:
        """Copy the kept cluster to ``pgdata``; False if there is none."""
        kept = self.folder / name
        if not kept.is_dir():
            return False
        os.utime(kept)
        return _copy(kept / "postgres", pgdata)

    def keep(self, name: str, pgdata: Path) -> None:
        """Keep a copy of a stopped cluster; the oldest copies go."""
        self.folder.mkdir(parents=True, exist_ok=True)
        draft = self.folder / f"{name}.{os.getpid()}.new"
        draft.mkdir(mode=0o700)
        if _copy(pgdata, draft / "postgres"):
            try:
                draft.rename(self.folder / name)
            except OSError:  # another session was quicker
                shutil.rmtree(draft, ignore_errors=True)
        by_age = sorted(self.folder.iterdir(), key=lambda p: p.stat().st_mtime)
        for old in by_age[:-KEPT]:
            shutil.rmtree(old, ignore_errors=True)


def _copy(source: Path, target: Path) -> bool:
    # cp keeps owners and shares blocks where the file system can
    done = subprocess.run(["cp", "-a", "--reflink=auto", str(source), str(target)], capture_output=True)
    if done.returncode:
        shutil.rmtree(target, ignore_errors=True)
    return done.returncode == 0
