"""What a rule, its application to layers, and a finding are. Plain data; no geometry is computed here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from types import MappingProxyType
from typing import Any, Literal

import shapely

from layers.model import Selector, Text

Severity = Literal["E", "W", "I"]
Value = float | int | str | bool
#: ``local``: decided by what lies near (see Window). ``global``: needs the whole layer or network.
Scope = Literal["local", "global"]


@dataclass(frozen=True)
class Parameter:
    """A tolerance or choice of a rule, in data with its default."""

    name: str
    title: Text
    default: Value | None
    unit: str = ""
    #: Smallest and greatest sensible value of a number; a layer file beyond them is refused.
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True)
class Rule:
    """A rule of the catalogue (shared/domain/check-rules.md), declared once.

    ``message`` is a template of str.format with ``value``, ``limit`` (as text with unit) and the
    finding's ``words``; it must never quote an attribute that the public may not see.
    """

    id: str
    title: Text
    #: What is wrong, why it matters and how it is mended, in two or three sentences.
    explanation: Text
    message: Text
    severity: Severity
    scope: Scope
    #: Law, standard or practice that the default comes from.
    source: str
    unit: str = ""
    parameters: tuple[Parameter, ...] = ()
    #: Dimensions of geometry that it can judge (0 points, 1 lines, 2 polygons, -1 any).
    dimensions: tuple[int, ...] = (0, 1, 2, -1)
    #: Judges all geometry, sound or not. Others see sound features only (Features.sound).
    sees_unsound: bool = False
    #: What breaks it may be that the next request has not come yet (the line of a node, the other parcel of a
    #: shared boundary): a request of a single feature is not refused for it, a changeset is.
    awaits: bool = False

    @property
    def family(self) -> str:
        """GEN, CAD, NET, DRN or XLY."""
        return self.id[:3]

    def parameter(self, name: str) -> Parameter | None:
        return next((p for p in self.parameters if p.name == name), None)


@dataclass(frozen=True)
class Application:
    """A rule as it applies to a layer, a network, or between layers, with its parameters resolved."""

    rule: Rule
    #: The layers that are judged (one for GEN, CAD; the lines and nodes of a network for NET, DRN).
    layers: tuple[str, ...]
    parameters: Mapping[str, Value | None] = field(default_factory=lambda: MappingProxyType({}))
    severity: Severity = "E"
    #: Whether an edit that causes a finding of this rule is refused; None: as Rule.refuses says.
    reject: bool | None = None
    #: The layers that they are judged by (XLY).
    against: tuple[str, ...] = ()
    #: Which features of these layers are meant (XLY); a layer that none of them names is meant whole.
    among: tuple[Selector, ...] = ()
    #: The network's id, for NET and DRN.
    network: str = ""

    @property
    def key(self) -> str:
        """Names it: ``NET-01:water``, ``CAD-01:cadastre_parcel``, ``XLY-02:power_support|base_road``.

        Unlike the rule's id it is unique in a catalogue; stored findings know by it who may end them.
        """
        against = f"|{'+'.join(self.against)}" if self.against else ""
        return f"{self.rule.id}:{self.network or '+'.join(self.layers)}{against}"

    def number(self, name: str) -> float:
        """A numeric parameter. KeyError and TypeError mean a mistake in the rule, not in data."""
        value = self.parameters[name]
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise TypeError(f"{self.rule.id}: {name} is {value!r}, not a number")
        return float(value)

    def refuses(self, severity: Severity, *, stepwise: bool) -> bool:
        """Whether an edit is refused that causes such a finding. ``stepwise``: one request of several."""
        if self.reject is not None:
            return self.reject
        return severity == "E" and not (stepwise and self.rule.awaits)

    def text(self, name: str) -> str:
        value = self.parameters[name]
        if not isinstance(value, str):
            raise TypeError(f"{self.rule.id}: {name} is {value!r}, not a text")
        return value


@dataclass(frozen=True, slots=True)
class FeatureRef:
    """A feature that a finding names."""

    layer: str
    fid: int
    asset_id: str
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Mend:
    """A suggested change of one feature. Never applied by itself.

    ``geometry``: the proposed geometry, storage CRS; None proposes to delete the feature. ``moved_m``: the
    greatest distance (m) that a vertex moves. ``split``: further parts, when the mend splits the feature.
    """

    layer: str
    fid: int
    asset_id: str
    geometry: Any | None
    moved_m: float
    split: tuple[Any, ...] = ()


@dataclass(slots=True)
class Finding:
    """One thing that breaks a rule.

    ``features``: what it is about, the judged ones first; their order must not depend on reading order.
    ``where``: geometry in the storage CRS that shows the place. ``anchor``: the point that decides which
    window reports it (see Window). ``place``: what tells apart findings of one rule about the same
    features, as a point (storage CRS, m); the identity is resolved from it when findings are stored.
    """

    rule: str
    severity: Severity
    features: tuple[FeatureRef, ...]
    where: shapely.Geometry
    anchor: tuple[float, float]
    value: float | None = None
    limit: float | None = None
    unit: str = ""
    words: dict[str, Any] = field(default_factory=dict)
    mends: tuple[Mend, ...] = ()
    reject: bool = False
    #: Tells of data that the public may not see: a restricted layer or a confidential attribute.
    restricted: bool = False
    #: The application's network or crossing, so that one feature in two networks has two findings.
    network: str = ""


@dataclass(frozen=True, slots=True)
class Reported:
    """A finding with what is known of it over time, as reports and the finding layer show it."""

    #: Stable identity: the same in the next run as long as the same features break the same rule there.
    id: str
    finding: Finding
    #: Map sheet at 1:2000 (cadastral for parcels, topographic otherwise); empty where there is none.
    sheet: str
    state: Literal["open", "accepted", "mended"]
    first_seen: datetime
    last_seen: datetime
    accepted_reason: str = ""
    accepted_until: date | None = None
    #: Against the run before.
    news: Literal["new", "again", "mended"] = "new"


@dataclass(frozen=True)
class Outcome:
    """A finished run. ``findings()`` reads them again from where they are kept, in the order of severity,
    rule, sheet and id, so that a million of them need no memory."""

    started: datetime
    finished: datetime
    applications: tuple[Application, ...]
    #: Features looked at, by layer.
    checked: Mapping[str, int]
    #: Findings that stand (open or accepted) by rule and severity, and those that this run found mended.
    counts: Mapping[tuple[str, Severity], int]
    accepted: int
    new: int
    mended: int
    findings: Callable[[], Iterator[Reported]]
    #: What could not be judged, a sentence each (a part of the city that defeated its worker, for instance).
    undecided: tuple[str, ...] = ()
    #: The area in words and in the storage CRS; None: everywhere.
    area: Any | None = None
    area_name: str = ""
    #: Open findings of severity E, when they were counted already.
    open_errors: int | None = None
    #: Processor and waiting time of each application (key -> s), over all workers.
    seconds: Mapping[str, float] = field(default_factory=dict)

    def errors(self) -> int:
        """Findings of severity E that are open."""
        if self.open_errors is not None:
            return self.open_errors
        return sum(1 for one in self.findings() if one.finding.severity == "E" and one.state == "open")
