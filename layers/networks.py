"""What a network's block cannot say about itself: that its layers, fields and values exist and fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from layers.model import NetworkDef, Selector, Values

if TYPE_CHECKING:
    from layers.registry import Layer


def network_problems(network: NetworkDef, layers: Mapping[str, Layer]) -> Iterator[str]:
    """Each mistake of a network, as ``place: sentence``; nothing when it is sound."""
    known = True
    for role, selectors in network.selectors().items():
        for number, selector in enumerate(selectors):
            for fault in _selector_faults(selector, layers):
                known = known and selector.layer in layers
                yield f"{role}.{number}: {fault}"
    if not known:
        return
    lines = [layers[s.layer] for s in network.lines]
    nodes = [layers[s.layer] for s in network.nodes]
    for role, some, dimension, kind in (("lines", lines, 1, "lines"), ("nodes", nodes, 0, "points")):
        for number, layer in enumerate(some):
            if layer.dimension != dimension:
                yield f"{role}.{number}: {layer.id} holds no {kind}"
    ids = {layer.id for layer in nodes}
    for role, selectors in network.selectors().items():
        for number, selector in enumerate(selectors):
            if role not in ("lines", "nodes") and selector.layer not in ids:
                yield f"{role}.{number}: {selector.layer} is not one of the network's nodes"

    yield from _field_problems("carries", network.carries, lines)
    yield from _field_problems("both_ways", network.both_ways, lines)
    yield from _field_problems("meshed", network.meshed, lines)
    yield from _field_problems("absent", network.absent, nodes)
    for number, name in enumerate(network.steady):
        yield from _named(f"steady.{number}", name, lines)
    for used, most in network.fills.items():
        for name in (used, most):
            yield from _named(f"fills.{used}", name, [*lines, *nodes], number=True)
    for place, named in (("tier", network.tier), ("line_class", network.line_class)):
        if named is not None:
            yield from _named(place, named, lines)
    if network.forbidden and network.line_class is None:
        yield "forbidden: needs line_class, the field that holds the classes"
    if network.line_class is not None:
        for number, pair in enumerate(network.forbidden):
            yield from _field_problems(f"forbidden.{number}", {network.line_class: pair}, lines)
    if network.flow == "gravity" and not network.sinks:
        yield "sinks: a network of gravity drains to sinks; name them"
    if network.flow == "gravity" and network.sources:
        yield "sources: a network of gravity has sinks, no sources"
    if network.flow != "gravity" and network.sinks:
        yield "sinks: only a network of gravity has sinks"


def _selector_faults(selector: Selector, layers: Mapping[str, Layer]) -> Iterator[str]:
    layer = layers.get(selector.layer)
    if layer is None:
        yield f"there is no layer {selector.layer!r}"
        return
    for name, values in (*selector.where.items(), *selector.unless.items()):
        if layer.field(name) is None:
            yield f"{layer.id} has no field {name!r}"
        else:
            yield from _value_faults(layer, name, values)


def _value_faults(layer: Layer, name: str, values: Values) -> Iterator[str]:
    field = layer.field(name)
    assert field is not None
    domain = [known.value for known in layer.domain_of(field)]
    for value in values:
        if domain and value not in domain:
            yield f"{layer.id}.{name} is never {value!r}: its domain {field.domain} has no such value"
        elif not domain and not _of_type(field.type, value):
            yield f"{layer.id}.{name} is never {value!r}: it is of type {field.type}"
    if not values:
        yield f"{layer.id}.{name}: name at least one value"


def _of_type(kind: str, value: str | bool | float) -> bool:
    if kind == "boolean":
        return isinstance(value, bool)
    if kind in ("integer", "number"):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, str)


def _named(place: str, name: str, layers: list[Layer], *, number: bool = False) -> Iterator[str]:
    """A field that one of the layers must have; of the same type in all that do."""
    kinds = {field.type for layer in layers if (field := layer.field(name)) is not None}
    if not kinds:
        of = ", ".join(layer.id for layer in layers) or "no layers"
        yield f"{place}: none of {of} has a field {name!r}"
    elif len(kinds) > 1 and not kinds <= {"integer", "number"}:
        yield f"{place}: {name} is of different types ({', '.join(sorted(kinds))})"
    elif number and not kinds <= {"integer", "number"}:
        yield f"{place}: {name} is no number"


def _field_problems(place: str, fields: Mapping[str, Values], layers: list[Layer]) -> Iterator[str]:
    """Values that none of the layers' fields can have."""
    for name, values in fields.items():
        yield from _named(place, name, layers)
        having = [layer for layer in layers if layer.field(name) is not None]
        for fault in dict.fromkeys(f for layer in having[:1] for f in _value_faults(layer, name, values)):
            yield f"{place}: {fault}"
