"""A changeset made ready before the database is asked: checked as a whole, with defaults, by layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from shapely.geometry.base import BaseGeometry

from gis.checks.window import Setting
from gis.edit import geometry as shapes
from gis.edit.errors import Forbidden, Invalid
from gis.edit.model import Changeset, Create, FeatureChange, Keep, Ref, Unreadable, Update
from gis.edit.unchanged import keep_unchanged
from gis.edit.validate import Errors, Rules, attributes, pointer
from gis.errors import NotFoundError
from gis.identity.principal import Principal
from layers.registry import Layer


class Stored(Protocol):
    """What a locked row tells."""

    @property
    def geometry(self) -> BaseGeometry: ...


@dataclass(slots=True)
class Step:
    """A change with its values to store. ``geometry`` None: it stays."""

    change: FeatureChange
    layer: Layer
    fid: int | None
    values: dict[str, Any] = field(default_factory=dict)
    geometry: BaseGeometry | None = None
    version: int = 1

    @property
    def new(self) -> bool:
        return isinstance(self.change, Create)


@dataclass
class Plan:
    """The steps in the order of the changes; ``layers`` in the order of the catalogue."""

    changeset: Changeset
    setting: Setting
    steps: list[Step]
    layers: dict[str, Layer]

    def steps_of(self, layer_id: str) -> list[Step]:
        return [step for step in self.steps if step.layer.id == layer_id]

    def settle(self, old: Mapping[tuple[str, int], Stored]) -> None:
        """Let what a client sent back unchanged be what is stored. Raises Invalid."""
        errors: Errors = []
        for step in self.steps:
            change = step.change
            if isinstance(change, Update) and change.sent is not None and step.geometry is not None:
                stored = old[step.layer.id, change.fid].geometry
                code, sent = change.sent
                kept = keep_unchanged(step.geometry, sent, stored, code, self.setting.city.crs.storage)
                if kept is not step.geometry:
                    errors += shapes.problems(step.layer, kept, self.setting.city, change.pointer)
                    step.geometry = kept
        if errors:
            raise Invalid(errors)

    def name_new(self) -> None:
        """asset_id of what is made without one, and names of new features in attributes. Raises Invalid."""
        named: dict[str, str] = {}
        for step in self.steps:
            if isinstance(step.change, Create):
                if step.values.get("asset_id") is None:
                    step.values["asset_id"] = f"{step.layer.id}-{step.fid}"
                if step.change.placeholder is not None:
                    named[step.change.placeholder] = step.values["asset_id"]
        errors: Errors = []
        for step in self.steps:
            for name, value in step.values.items():
                if isinstance(value, Ref):
                    if value.placeholder in named:
                        step.values[name] = named[value.placeholder]
                    else:
                        at = step.change.pointer + pointer("properties", name)
                        errors.append({"pointer": at, "detail": "no feature of this changeset has that name"})
        if errors:
            raise Invalid(errors)


def plan_of(setting: Setting, principal: Principal, changeset: Changeset) -> Plan:
    """Check the whole changeset. Raises Invalid with every mistake, Forbidden, NotFoundError."""
    sectors = {agency.id: agency.sectors for agency in setting.city.agencies}
    zone = ZoneInfo(setting.city.time_zone)
    steps: list[Step] = []
    errors: Errors = []
    met: set[tuple[str, int]] = set()
    rules: dict[str, Rules] = {}
    for change in changeset.changes:
        layer = _layer(setting, principal, sectors, change)
        if layer.id not in rules:
            hidden = not principal.sees_hidden(layer, sectors)
            seen = tuple(f for f in layer.fields if not hidden or f.access == "public")
            rules[layer.id] = Rules(layer, seen, setting.city.agency_ids, zone)
        fid = change.fid
        if fid is not None and (layer.id, fid) in met:
            errors.append(
                {"pointer": change.pointer, "detail": "a feature can be changed once in a changeset"}
            )
        if fid is not None:
            met.add((layer.id, fid))
        step = Step(change, layer, fid)
        if isinstance(change, Create | Update):
            errors += _fill(step, rules[layer.id], setting, principal, sectors)
        steps.append(step)
    if errors:
        raise Invalid(errors)
    order = {layer_id: n for n, layer_id in enumerate(setting.catalogue.layers)}
    layers = {s.layer.id: s.layer for s in sorted(steps, key=lambda s: order[s.layer.id])}
    return Plan(changeset, setting, steps, layers)


def _layer(
    setting: Setting, principal: Principal, sectors: Mapping[str, tuple[str, ...]], change: FeatureChange
) -> Layer:
    """The layer, if the caller may edit some of it."""
    layer = setting.catalogue.layers.get(change.layer)
    if layer is None or not (layer.definition.access == "public" or principal.sees_hidden(layer, sectors)):
        raise NotFoundError("there is no such collection", hint="see /collections for the list")
    told = [{"pointer": change.pointer, "detail": layer.id}] if change.pointer else []
    if not layer.definition.editable:
        raise Forbidden(
            f"{layer.id} is not edited by anyone: bandoso fills it itself", code="not-editable", errors=told
        )
    if not principal.allows("edit", layer.id):
        raise Forbidden(
            f"the token that you showed is not for editing {layer.id}",
            code="token-scope",
            hint="use one that is",
            errors=told,
        )
    if not principal.may_edit(layer, sectors):
        raise Forbidden(
            f"you may not edit {layer.id}",
            code="not-your-layer",
            hint="the steward of the agency that owns it gives roles",
            errors=told,
        )
    return layer


def _fill(
    step: Step, rules: Rules, setting: Setting, principal: Principal, sectors: Mapping[str, tuple[str, ...]]
) -> Errors:
    """Values and geometry of a step; gives the mistakes."""
    change = step.change
    errors: Errors = []
    if isinstance(change, Create):
        given = dict(change.properties)
        if given.get("owner") is None:
            owner = default_owner(step.layer, principal, sectors)
            if owner is None:
                detail = (
                    f"owner is required: you may write for several agencies ({', '.join(rules.agencies)})"
                )
                errors.append({"pointer": change.pointer + pointer("properties", "owner"), "detail": detail})
            given["owner"] = owner or step.layer.definition.owner
        step.values, found = attributes(rules, given, "create", change.pointer)
        if change.fid is not None:
            step.values["version"] = change.version
    else:
        assert isinstance(change, Update)
        if change.properties is None:
            found = []
        else:
            mode = "replace" if change.replace else "patch"
            step.values, found = attributes(rules, change.properties, mode, change.pointer)  # type: ignore[arg-type]
    errors += found
    if isinstance(change.geometry, Unreadable):
        errors += change.geometry.errors
    elif not isinstance(change.geometry, Keep):
        step.geometry = change.geometry
        errors += shapes.problems(step.layer, change.geometry, setting.city, change.pointer)
    return errors


def default_owner(layer: Layer, principal: Principal, sectors: Mapping[str, tuple[str, ...]]) -> str | None:
    """Whose a new feature is when nobody says: the caller's agency, where there is one; else the agency that
    the layer names, where the caller may write for it; else None."""
    covering = [g for g in principal.grants if replace(principal, grants=(g,)).may_edit(layer, sectors)]
    agencies = {g.agency for g in covering if not g.for_all}
    if len(agencies) == 1 and not any(g.for_all for g in covering):
        return agencies.pop()
    owner = layer.definition.owner
    return owner if owner in agencies or any(g.for_all for g in covering) else None
