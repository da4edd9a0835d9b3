"""Where a delivery lies: its CRS, and whether that can be the city. Of features and rasters alike."""

from __future__ import annotations

from gis import crs
from gis.crs.diagnose import Diagnosis
from gis.crs.identify import identify
from gis.errors import LoadRefused


def crs_of(said: str | None, wanted: int | None) -> tuple[int, str]:
    """The CRS of the coordinates, and how it is known; never guessed.

    ``said``: what the file says (WKT or authority), ``wanted``: what the user says, which counts more. Raises
    LoadRefused, or UsageError for a code that is not known.
    """
    found = identify(said) if said else None
    if wanted is not None:
        crs.definition(wanted)
        how = f"--crs EPSG:{wanted}"
        if found and found.code not in (None, wanted):
            how += f", although {found.how}"
        return wanted, how
    if found and found.code is not None:
        return found.code, found.how
    if found:
        raise LoadRefused(found.how, code="unknown-crs", hint="say it with --crs EPSG:n")
    raise LoadRefused(
        "the file does not say its coordinate reference system",
        code="no-crs",
        hint="say it with --crs EPSG:n; ask whoever made the file, do not try",
    )


def refuse_unless_there(found: Diagnosis, *, allow_outside: bool) -> None:
    """Raises LoadRefused, naming the mistake, unless the coordinates can be the city's or may lie outside."""
    outside = found.mistake == "outside-city"
    if found.ok or (outside and allow_outside):
        return
    hint = "check the file and its CRS (--crs); --allow-outside loads it all the same"
    raise LoadRefused(
        found.message, code=f"crs-{found.mistake or 'unknown'}", hint=hint if outside else found.hint
    )
