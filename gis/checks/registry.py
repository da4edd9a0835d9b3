"""All rules, and where each applies in a catalogue."""

from __future__ import annotations

import importlib
import logging
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from types import MappingProxyType
from typing import Any

from psycopg.sql import SQL

import gis.checks.rules as package
from gis.checks.model import Application, Finding, Rule, Value
from gis.checks.whole import Whole
from gis.checks.window import Need, Window
from gis.errors import ConfigError
from layers.model import CrossCheck
from layers.registry import Catalogue, Layer

log = logging.getLogger(__name__)
Local = Callable[[Window, Application], Iterable[Finding]]
Global = Callable[[Whole, Application], Iterable[Finding]]
Needs = Callable[[Application, Catalogue], Iterable[Need]]
#: Settings of every rule beside its own parameters.
_COMMON = ("severity", "reject")
#: Mistakes in layer files that this process has told of.
_TOLD: set[str] = set()


class Unsure(Exception):  # noqa: N818
    """A change may matter to findings that are not about the changed feature, after all."""


@dataclass(frozen=True)
class About:
    """How a local rule judges the change of one feature by what it says of that feature alone.

    ``within(app, setting, change)``: how far (units of the storage CRS) from the feature everything lies that
    decides findings about it; NOTHING where there can be none; None where the change may matter to others.
    ``run(window, app, change)``: the findings about it in a window that holds all of that; may raise Unsure.
    ``others(app, change)``: a condition on rows of the judged layers, with its values ({0}, {1} ... in the
    text): where a row in the rule's windows holds it, the change may matter to others after all.
    """

    within: Callable[[Application, Any, Any], float | None]
    run: Callable[[Window, Application, Any], Iterable[Finding]]
    others: Callable[[Application, Any], tuple[SQL, tuple[float, ...]] | None] | None = None


#: See About.within.
NOTHING = -1.0


@dataclass(frozen=True)
class Implementation:
    """A rule with its code. ``needs``: what a local rule reads. ``also``: what a local rule says of layers
    as a whole, in findings whose anchor is nowhere (see also_whole).

    For edits: ``decided``: what decides the findings of a global rule (None: perhaps everything); ``edits``:
    False when a global rule does not judge edits at all; ``steady``: whether an edit of geometry alone leaves
    its findings as they are; ``only``: condition on rows of a judged layer, and where none in a window holds
    it, a local rule finds nothing there; ``about``: see About.
    """

    rule: Rule
    run: Any
    needs: Needs | None
    also: Any = None
    decided: Needs | None = None
    edits: bool = True
    steady: Callable[[Window, Application, Iterable[Any]], bool] | None = None
    only: SQL | None = None
    about: About | None = None


_FOUND: dict[str, Implementation] = {}


def reads(*columns: str, reach: float = 0.0, alone: bool = False, shape: bool = True) -> Needs:
    """Needs of a rule that reads nothing but the layers it judges (``alone``, ``shape``: see Need)."""

    def needs(app: Application, _: Catalogue) -> Iterable[Need]:
        return [Need(layer, columns, reach, shape=shape, alone=alone) for layer in app.layers]

    return needs


def local(
    rule: Rule, needs: Needs, only: SQL | None = None, about: About | None = None
) -> Callable[[Local], Local]:
    """Registers the implementation of a local rule: ``@local(RULE, needs=...)``; ``only``, ``about``:
    Implementation."""
    assert rule.scope == "local", rule.id
    return _register(Implementation(rule, None, needs, only=only, about=about))


def whole(
    rule: Rule, decided: Needs | None = None, *, edits: bool = True, steady: Any = None
) -> Callable[[Global], Global]:
    """Registers the implementation of a global rule: ``@whole(RULE)``; see Implementation."""
    assert rule.scope == "global", rule.id
    return _register(Implementation(rule, None, None, decided=decided, edits=edits, steady=steady))


def also_whole(rule: Rule) -> Callable[[Global], Global]:
    """Registers what a local rule, registered before, finds in layers as a whole: ``@also_whole(RULE)``.

    The anchors of such findings are NaN, so that no window owns them, and only a whole run can end them.
    """

    def add(function: Global) -> Global:
        _FOUND[rule.id] = replace(_FOUND[rule.id], also=function)
        return function

    return add


def _register(made: Implementation) -> Callable[[Any], Any]:
    def add(function: Any) -> Any:
        if made.rule.id in _FOUND:
            raise ValueError(f"{made.rule.id} is implemented twice")
        _FOUND[made.rule.id] = replace(made, run=function)
        return function

    return add


@cache
def rules() -> Mapping[str, Implementation]:
    """All rules by id, in the order of the catalogue."""
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    order = {family: n for n, family in enumerate(("GEN", "CAD", "NET", "DRN", "XLY"))}
    return MappingProxyType(dict(sorted(_FOUND.items(), key=lambda i: (order[i[0][:3]], i[0]))))


def applications(catalogue: Catalogue) -> list[Application]:
    """Every application of a rule that the layer files ask for, without those that are wrong: a misspelt rule
    of one file must not keep others from being judged, and nobody from editing (see mistakes)."""
    made, wrong = _made(catalogue)
    for mistake in wrong:
        if mistake not in _TOLD:
            _TOLD.add(mistake)
            log.warning("a check is left out: %s", mistake)
    return sorted(made, key=lambda a: (list(rules()).index(a.rule.id), a.layers))


def mistakes(catalogue: Catalogue) -> list[str]:
    """What is wrong with the ``checks:`` of the layer files: place and reason, for the caller to tell."""
    found = _made(catalogue)[1]
    _TOLD.update(found)
    return found


def _made(catalogue: Catalogue) -> tuple[list[Application], list[str]]:
    made, wrong = [], []
    for make in (*_of_layers(catalogue), *_of_networks(catalogue), *_of_crossings(catalogue)):
        try:
            found = make()
        except ConfigError as error:
            wrong.append(error.message)
        else:
            if found is not None:
                made.append(found)
    return made, wrong


Make = Callable[[], Application | None]


def _of_layers(catalogue: Catalogue) -> Iterator[Make]:
    for layer in catalogue.layers.values():
        own = layer.definition.checks
        # Layers that bandoso fills (sheets, findings) are only judged by what they ask for themselves.
        common = layer.common_checks if layer.definition.loadable else {}
        for rule_id, setting in {**common, **own}.items():
            if setting is not False:
                yield partial(_of_layer, layer, rule_id, setting, own=rule_id in own)


def _of_layer(layer: Layer, rule_id: str, setting: Mapping[str, Value], *, own: bool) -> Application | None:
    where = f"{layer.id}.checks.{rule_id}"
    rule = _rule(rule_id, where)
    if rule.family not in ("GEN", "CAD"):
        raise ConfigError(f"{where}: the rule is not one of single layers")
    if not _fits(rule, layer):
        if own:
            raise ConfigError(f"{where}: the rule does not judge {layer.definition.geometry}")
        return None
    return apply(rule, (layer.id,), {**_given(layer.common_checks, rule_id), **setting}, where)


def _of_networks(catalogue: Catalogue) -> Iterator[Make]:
    for network_id, network in catalogue.networks.items():
        layers = tuple(dict.fromkeys(s.layer for s in (*network.lines, *network.nodes)))
        for rule_id, setting in network.checks.items():
            if setting is not False:
                yield partial(_of_network, network_id, layers, rule_id, setting)


def _of_network(
    network_id: str, layers: tuple[str, ...], rule_id: str, setting: Mapping[str, Value]
) -> Application:
    where = f"networks.{network_id}.checks.{rule_id}"
    rule = _rule(rule_id, where)
    if rule.family not in ("NET", "DRN"):
        raise ConfigError(f"{where}: the rule is not one of networks")
    return apply(rule, layers, setting, where, network=network_id)


def _of_crossings(catalogue: Catalogue) -> Iterator[Make]:
    for cross in catalogue.cross_checks:
        yield partial(_of_crossing, cross)


def _of_crossing(cross: CrossCheck) -> Application:
    where = f"cross_checks.{cross.rule}"
    rule = _rule(cross.rule, where)
    if rule.family != "XLY":
        raise ConfigError(f"{where}: the rule is not one between layers")
    layers, against = (tuple(dict.fromkeys(s.layer for s in some)) for some in (cross.layers, cross.against))
    applied = apply(rule, layers, cross.parameters, where, against=against)
    return replace(applied, among=cross.selectors)


def _given(checks: Mapping[str, Any], rule_id: str) -> Mapping[str, Value]:
    return checks.get(rule_id) or {}


def _fits(rule: Rule, layer: Layer) -> bool:
    """A layer of any geometry (-1) takes every rule; the rule looks at what it can judge."""
    return layer.dimension == -1 or layer.dimension in rule.dimensions


def _rule(rule_id: str, where: str) -> Rule:
    found = rules().get(rule_id)
    if found is None:
        raise ConfigError(f"{where}: there is no rule {rule_id}")
    return found.rule


def apply(
    rule: Rule,
    layers: tuple[str, ...],
    given: Mapping[str, Value],
    where: str,
    *,
    against: tuple[str, ...] = (),
    network: str = "",
) -> Application:
    """The application of ``rule`` with ``given`` over its defaults. Raises ConfigError."""
    resolved: dict[str, Value | None] = {p.name: p.default for p in rule.parameters}
    for name, value in given.items():
        if name in _COMMON:
            continue
        parameter = rule.parameter(name)
        if parameter is None:
            known = ", ".join(p.name for p in rule.parameters) or "none"
            raise ConfigError(f"{where}: {rule.id} has no parameter {name} (it has: {known})")
        low, high = parameter.minimum, parameter.maximum
        if isinstance(value, int | float) and not isinstance(value, bool):
            if (low is not None and value < low) or (high is not None and value > high):
                raise ConfigError(f"{where}.{name}: {value:g} is not between {low} and {high}")
        elif isinstance(parameter.default, int | float) and not isinstance(parameter.default, bool):
            raise ConfigError(f"{where}.{name}: {value!r} is not a number")
        resolved[name] = value
    severity = given.get("severity", rule.severity)
    if severity not in ("E", "W", "I"):
        raise ConfigError(f"{where}.severity: {severity!r} is not E, W or I")
    reject = given.get("reject")
    if reject is not None and not isinstance(reject, bool):
        raise ConfigError(f"{where}.reject: {reject!r} is neither true nor false")
    return Application(
        rule,
        layers,
        MappingProxyType(resolved),
        severity,  # type: ignore[arg-type]
        reject=reject,
        against=against,
        network=network,
    )
