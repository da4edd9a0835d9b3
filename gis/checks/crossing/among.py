"""Which features a rule between layers judges, and by which: the selectors of ``cross_checks``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from gis.checks.features import Bools, Features
from gis.checks.model import Application
from gis.checks.network.members import selected
from gis.checks.window import Need, columns_of
from layers.registry import Catalogue


def meant(app: Application, features: Features) -> Bools:
    """(n) features that one of the application's selectors of their layer chooses; all if there is none."""
    selectors = [s for s in app.among if s.layer == features.layer.id]
    found = np.zeros(len(features), bool)
    for selector in selectors:
        found |= selected(features, selector)
    return found if selectors else np.ones(len(features), bool)


def needs(
    app: Application,
    catalogue: Catalogue,
    layers: Iterable[str],
    reach: float,
    *columns: str,
    alone: bool = False,
) -> Iterator[Need]:
    """What the selectors of these layers read, and ``columns`` where a layer has them."""
    for layer in layers:
        known = catalogue.layers[layer]
        names = [name for s in app.among if s.layer == layer for name in (*s.where, *s.unless)]
        yield Need(layer, columns_of([*names, *(c for c in columns if known.field(c))]), reach, alone=alone)
