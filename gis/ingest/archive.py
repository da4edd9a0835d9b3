"""Zip archives with a delivery inside (a zipped Shapefile, .gdb, or a KMZ), unpacked only once proven safe.

Python's zipfile believes the central directory; a bomb lies there (overlapping entries: 59 KB that
declared 10 GB, CVE-2024-0450). So every entry is judged before anything is written, and unpacking counts
real bytes.
"""

from __future__ import annotations

import stat
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from gis.errors import LimitError, LoadRefused
from gis.ingest import formats


@dataclass(frozen=True)
class ArchiveLimits:
    """Most entries, most bytes unpacked (in all), most bytes unpacked for each byte packed."""

    entries: int = 2_000
    bytes: int = 8_000_000_000
    #: Geometry and DBF padding pack well (60:1 was seen); deflate's own limit is 1032:1.
    ratio: int = 200
    #: Below this size the ratio does not matter.
    ratio_from: int = 1_000_000


_WINDOWS_DEVICES = {"con", "prn", "aux", "nul"} | {f"{n}{i}" for n in ("com", "lpt") for i in range(1, 10)}
_CHUNK = 1 << 20


def unpack(path: Path, target: Path, limits: ArchiveLimits | None = None) -> list[Path]:
    """Unpack ``path`` into the empty folder ``target``; gives the files written.

    Raises LoadRefused for an archive that is damaged or unsafe, LimitError for one over the limits;
    nothing but ``target`` is ever written to.
    """
    limits = limits or ArchiveLimits()
    try:
        with zipfile.ZipFile(path) as archive:
            entries = _judged(path, archive, limits)
            return _extract(archive, entries, target, limits)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, struct.error, NotImplementedError) as error:
        raise LoadRefused(f"{path.name} is a damaged zip archive", code="bad-archive") from error
    except (OSError, RuntimeError, ValueError) as error:
        raise LoadRefused(f"{path.name} cannot be unpacked", code="bad-archive") from error


def _judged(path: Path, archive: zipfile.ZipFile, limits: ArchiveLimits) -> list[zipfile.ZipInfo]:
    infos = archive.infolist()
    if len(infos) > limits.entries:
        raise LimitError(f"{path.name} has {len(infos):,} entries; at most {limits.entries:,} are accepted")
    seen: set[str] = set()
    for info in infos:
        _check_name(path, info)
        folded = info.filename.rstrip("/").lower()
        if folded in seen:
            raise _unsafe(path, "names one file twice")
        seen.add(folded)
        if info.flag_bits & 0x1:
            raise LoadRefused(f"{path.name} is protected by a password", code="bad-archive")
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise _unsafe(path, "holds links or devices")
        too_dense = info.file_size > limits.ratio * max(info.compress_size, 1)
        if info.file_size > limits.ratio_from and too_dense:
            raise LimitError(f"{path.name} unpacks to more than {limits.ratio} times its size")
    if sum(i.file_size for i in infos) > limits.bytes:
        raise LimitError(f"{path.name} unpacks to more than {limits.bytes / 1e9:.0f} GB")
    # Real entries follow each other; a bomb lets many entries share one stream.
    end = 0
    for info in sorted(infos, key=lambda i: i.header_offset):
        if info.header_offset < end:
            raise _unsafe(path, "has overlapping entries")
        end = info.header_offset + 30 + len(info.orig_filename) + info.compress_size
    return [i for i in infos if not i.is_dir()]


def _check_name(path: Path, info: zipfile.ZipInfo) -> None:
    name = info.orig_filename
    parts = PurePosixPath(name).parts
    if (
        not name
        or len(name) > 500
        or name.startswith("/")
        or ".." in parts
        or any(c in name for c in '\\:*?"<>|')
        or any(ord(c) < 32 for c in name)
    ):
        raise _unsafe(path, "holds a file name that leads outside it or is not allowed")
    for part in parts:
        if part.split(".")[0].lower() in _WINDOWS_DEVICES or part != part.rstrip(" .") or len(part) > 200:
            raise _unsafe(path, "holds a file name that is not allowed")


def _extract(
    archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo], target: Path, limits: ArchiveLimits
) -> list[Path]:
    written: list[Path] = []
    total = 0
    for info in entries:
        place = target.joinpath(*PurePosixPath(info.filename).parts)
        place.parent.mkdir(parents=True, exist_ok=True)
        size = 0
        with archive.open(info) as packed, place.open("xb") as out:
            while chunk := packed.read(_CHUNK):
                size += len(chunk)
                total += len(chunk)
                if size > info.file_size or total > limits.bytes:
                    raise LoadRefused("the archive holds more than it declares", code="bad-archive")
                out.write(chunk)
        if formats.is_zip(place):
            raise LoadRefused(
                f"an archive inside the archive ({info.filename[:80]}) is not accepted",
                code="nested-archive",
                hint="unpack it and deliver the inner archive",
            )
        written.append(place)
    return written


def _unsafe(path: Path, what: str) -> LoadRefused:
    return LoadRefused(f"{path.name} {what}", code="unsafe-archive")


def find_delivery(folder: Path, name: str, wanted: str | None = None) -> formats.Source:
    """The one delivery among the unpacked files; ``wanted`` picks one by its stem.

    Raises LoadRefused when there is none, or several and ``wanted`` names none of them.
    """
    geodatabases = {p.parent for p in folder.rglob("*.gdbtable")}
    candidates = sorted(geodatabases) + sorted(
        p
        for p in folder.rglob("*")
        if p.is_file()
        and p.parent not in geodatabases
        and not p.name.startswith("._")
        and p.suffix.lower() in {f.suffix for f in formats.FORMATS} | {".json", ".tsv"}
    )
    if wanted and len(candidates) > 1:
        candidates = [c for c in candidates if c.stem == wanted] or candidates
    if not candidates:
        raise LoadRefused(f"{name} holds no file that bandoso loads", code="unknown-format")
    if len(candidates) > 1:
        listed = ", ".join(str(c.relative_to(folder)) for c in candidates[:8])
        raise LoadRefused(
            f"{name} holds {len(candidates)} deliveries",
            code="several-layers",
            hint=f"name one by --source-layer: {listed}",
        )
    return formats.sniff(candidates[0])
