"""Features as they stand, what an operation makes of them, and why it refuses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from shapely.geometry.base import BaseGeometry

from gis.edit.errors import EditError
from gis.edit.model import FeatureChange
from layers.model import Selector, Values
from layers.registry import Layer

Floats = npt.NDArray[np.float64]

#: Attributes that a new feature never takes from another one.
IDENTITY = ("fid", "asset_id", "version", "updated_at")
#: Attributes that bandoso keeps.
KEPT = ("fid", "version", "updated_at")


@dataclass(frozen=True)
class Standing:
    """A feature as it stands. ``properties``: every attribute by name, as JSON has them; geometry in the
    storage CRS. ``pointer``: where the request names it, if it does."""

    layer: Layer
    fid: int
    version: int
    properties: Mapping[str, Any]
    geometry: BaseGeometry
    pointer: str = ""

    @property
    def asset_id(self) -> str:
        return str(self.properties["asset_id"])

    @property
    def owner(self) -> str:
        return str(self.properties["owner"])

    @property
    def key(self) -> tuple[str, int]:
        return self.layer.id, self.fid

    @property
    def name(self) -> str:
        """How messages call it."""
        return f"{self.layer.id}/{self.fid} ({self.asset_id})"

    def copied(self) -> dict[str, Any]:
        """What a feature that is made of this one begins with."""
        return {f.name: self.properties.get(f.name) for f in self.layer.fields if f.name not in IDENTITY}

    def has(self, name: str) -> bool:
        """Whether its layer has such an attribute."""
        return self.layer.field(name) is not None


@dataclass(frozen=True)
class Note:
    """Something that the author should look after, though it hinders nothing."""

    code: str
    detail: str
    layer: str = ""
    fid: int | None = None


@dataclass(frozen=True)
class Plan:
    """What an operation would do."""

    changes: Sequence[FeatureChange]
    notes: Sequence[Note] = ()


class Refused(EditError):  # noqa: N818 - a refusal is what it is
    """The operation would not be right. ``errors`` has a reason each, with a pointer where there is one;
    ``features``: the features that stand in the way."""

    default_code = "operation-refused"

    def __init__(
        self,
        reason: str,
        *,
        code: str,
        pointer: str = "",
        hint: str | None = None,
        features: Iterable[Standing] = (),
        more: Iterable[tuple[str, str]] = (),
    ) -> None:
        errors = [{"pointer": pointer, "detail": reason}, *({"pointer": p, "detail": d} for p, d in more)]
        super().__init__(reason, code=code, hint=hint, errors=errors)
        self.features = tuple(features)


@dataclass(frozen=True)
class Merged:
    """Attributes of several features as those of one; ``differing``: name -> values that are not equal."""

    properties: dict[str, Any] = field(default_factory=dict)
    differing: dict[str, list[Any]] = field(default_factory=dict)


def merged(features: Sequence[Standing], given: Mapping[str, Any], apart: Iterable[str] = ()) -> Merged:
    """Attributes that are equal in all of them, or ``given``; but those of ``apart`` and identities."""
    left_out = {*IDENTITY, *apart}
    found = Merged()
    for f in features[0].layer.fields:
        if f.name in left_out or f.name in given:
            continue
        values = [one.properties.get(f.name) for one in features]
        if all(value == values[0] for value in values):
            found.properties[f.name] = values[0]
        else:
            found.differing[f.name] = values
    return found


def changed_only(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The merge-patch from one set of attributes to the other."""
    return {name: value for name, value in after.items() if before.get(name) != value}


def chosen(selectors: Iterable[Selector], feature: Standing) -> bool:
    """Whether one of the selectors chooses the feature."""
    return any(_chooses(selector, feature) for selector in selectors)


def _chooses(selector: Selector, feature: Standing) -> bool:
    if selector.layer != feature.layer.id:
        return False
    values = feature.properties
    return all(_one_of(values.get(name), some) for name, some in selector.where.items()) and not any(
        _one_of(values.get(name), some) for name, some in selector.unless.items()
    )


def _one_of(value: Any, values: Values) -> bool:
    return value is not None and value in values


def coordinates(geometry: BaseGeometry) -> Floats:
    """(n, 2) or, where it has heights, (n, 3) coordinates."""
    found: Floats = shapely.get_coordinates(geometry, include_z=bool(shapely.has_z(geometry)))
    return found


def known_attributes(layer: Layer, given: Mapping[str, Any], pointer: str) -> None:
    """Raises Refused for attributes that the layer does not have or that nobody may set."""
    wrong = [
        (f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}", "the layer has no such attribute")
        for name in given
        if layer.field(name) is None
    ]
    wrong += [(f"{pointer}/{name}", "it is kept by the server") for name in given if name in KEPT]
    if wrong:
        (first, reason), *more = wrong
        raise Refused(reason, code="invalid-feature", pointer=first, more=more)


__all__ = [
    "IDENTITY",
    "KEPT",
    "Floats",
    "Merged",
    "Note",
    "Plan",
    "Refused",
    "Standing",
    "changed_only",
    "chosen",
    "coordinates",
    "known_attributes",
    "merged",
]
