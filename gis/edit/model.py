"""What is to be changed, and what came of it. Plain data.

Attributes are JSON values, as the API has them; apply() checks every one of them against the layer, whoever
made the change. Geometry is in the storage CRS.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Final, Literal

from shapely.geometry.base import BaseGeometry

from gis.checks.model import Finding

#: c: made, u: changed, d: taken away.
Op = Literal["c", "u", "d"]


class Keep(Enum):
    """The geometry stays as it is."""

    KEEP = "keep"


KEEP: Final = Keep.KEEP


@dataclass(frozen=True, slots=True)
class Ref:
    """As an attribute's value: the asset_id of the feature that the same changeset makes under this name."""

    placeholder: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """In place of a geometry that could not be read: what is wrong with it, told with all other mistakes."""

    errors: tuple[dict[str, str], ...]


@dataclass(frozen=True, slots=True)
class Create:
    """A new feature. ``pointer``: where it stands in the request (JSON pointer), for its mistakes.

    ``fid`` and ``version`` are for undoing: what was taken away comes back under its fid, with the version
    after its last one.
    """

    layer: str
    properties: Mapping[str, Any]
    geometry: BaseGeometry | Unreadable
    placeholder: str | None = None
    pointer: str = ""
    fid: int | None = None
    version: int = 1


@dataclass(frozen=True, slots=True)
class Update:
    """A change of a feature.

    ``expected``: the version that it is based on; None: whatever version stands. ``properties``: what changes
    (null unsets), or with ``replace`` all attributes: those that are left out get their default or null,
    but for asset_id and owner, and for what the caller may not see, which stay. ``sent``: code of the CRS
    and geometry in it as the client sent it: vertices that equal stored ones within the decimals that were
    sent stay as they are stored.
    """

    layer: str
    fid: int
    expected: int | None = None
    properties: Mapping[str, Any] | None = None
    geometry: BaseGeometry | Keep | Unreadable = KEEP
    replace: bool = False
    pointer: str = ""
    sent: tuple[int, BaseGeometry] | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """A feature goes; ``expected`` as in Update."""

    layer: str
    fid: int
    expected: int | None = None
    pointer: str = ""


FeatureChange = Create | Update | Delete


@dataclass(frozen=True, slots=True)
class Changeset:
    """Changes that are made together or not at all. No feature may be in it twice.

    ``stepwise``: one request of many that belong together (QGIS sends one for each feature), so rules that
    wait for what is not yet drawn do not refuse it. ``lenient``: what breaks a rule is stored nevertheless
    (stewards alone). ``key``: hash of the idempotency key, for whom keeps them (gis.edit.idempotency).
    """

    changes: Sequence[FeatureChange]
    comment: str | None = None
    source: str | None = None
    key: bytes | None = None
    kind: str = "edit"
    undoes: int | None = None
    stepwise: bool = False
    lenient: bool = False


@dataclass(frozen=True, slots=True)
class Done:
    """A change that was made. ``version``: of the feature now; of the one that went, its last."""

    op: Op
    layer: str
    fid: int
    version: int
    placeholder: str | None = None


@dataclass(frozen=True, slots=True)
class Applied:
    """``features`` stand in the order of the changes; ``findings`` are what the checks say to them.
    ``lenient``: nothing was refused for breaking a rule. ``seen``: what the caller's ``look`` gave."""

    changeset_id: int
    at: datetime
    features: tuple[Done, ...]
    findings: tuple[Finding, ...] = ()
    lenient: bool = False
    seen: Any = None
