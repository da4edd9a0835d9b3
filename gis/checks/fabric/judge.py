"""The fabric of a layer in a window, computed once for all rules, and the limits its polygons are held to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from gis.checks.fabric.edges import Edges
from gis.checks.fabric.facing import Facing, facing
from gis.checks.fabric.overlaps import Stack, edges_without_stacks
from gis.checks.features import Features, Floats, Ints
from gis.checks.law import law_of
from gis.checks.model import Application, Parameter
from gis.checks.window import Need, Window
from layers.model import Text
from layers.registry import Catalogue

#: Columns that say to what a polygon is held; layers that lack some are judged by the parameters.
LIMIT_COLUMNS = ("status", "map_scale", "source_scale", "land_use")
#: What is planned or gone lies over what is there without being wrong.
NOT_THERE = ("proposed", "abandoned", "removed")
#: No position limit of law is greater (m): what a rule must read around a window follows from it.
GREATEST_LIMIT_M = 3.0

LIMIT = Parameter(
    "limit_m",
    Text(
        vi="Giới hạn sai số vị trí (để trống: theo tỷ lệ bản đồ và quy định)",
        en="Position limit (empty: by map scale and law)",
    ),
    None,
    "m",
    minimum=0,
    maximum=100,
)
SCALE = Parameter(
    "scale",
    Text(vi="Mẫu số tỷ lệ khi thửa đất không ghi", en="Scale denominator of parcels that give none"),
    500,
    minimum=100,
    maximum=50000,
)


@dataclass(frozen=True)
class Fabric:
    """``features``: the judged ones (sound, there); ``index``: of them, those that ``edges`` is made of."""

    features: Features
    edges: Edges
    stack: Stack

    @property
    def index(self) -> Ints:
        return self.stack.kept


def reads_there(  # type: ignore[no-untyped-def]
    *columns: str,
    reach: Callable[[Application], float] = lambda _: 0.0,
    alone: bool = False,
    shape: bool = True,
):
    """Needs of a rule of fabrics: of ``columns`` those that the layer has (``alone``, ``shape``: Need)."""

    def needs(app: Application, catalogue: Catalogue) -> Iterable[Need]:
        return [
            Need(
                layer,
                columns_there(catalogue, layer, (*LIMIT_COLUMNS, *columns)),
                reach(app),
                shape=shape,
                alone=alone,
            )
            for layer in app.layers
        ]

    return needs


def columns_there(catalogue: Catalogue, layer: str, columns: Sequence[str]) -> tuple[str, ...]:
    """Those of the columns that the layer has."""
    return tuple(name for name in columns if catalogue.layers[layer].field(name) is not None)


def judged(window: Window, layer: str) -> Features:
    """Sound polygons of a layer around the window that are there today."""

    def choose() -> Features:
        sound = window.sound(layer)
        if "status" not in sound.columns:
            return sound
        there = np.fromiter((s not in NOT_THERE for s in sound["status"]), bool, len(sound))
        return sound if there.all() else sound.take(there)

    return window.memo(("fabric-judged", layer), choose)


def fabric_of(window: Window, layer: str) -> Fabric:
    """The layer's fabric around the window."""

    def build() -> Fabric:
        features = judged(window, layer)
        made, stack = edges_without_stacks(features.geometry, features.boxes)
        return Fabric(features, made, stack)

    return window.memo(("fabric", layer), build)


def facing_of(window: Window, layer: str, within_m: Floats) -> Facing:
    """Facing edges up to at least ``within_m`` (n, by polygon of edges), shared by the rules that ask.

    Whoever asks first with the greatest distance spares the others the work.
    """
    fabric = fabric_of(window, layer)
    held: list[tuple[Floats, Facing]] = window.memo(("fabric-facing", layer), list)
    for distance, found in held:
        if (distance >= within_m).all():
            return found
    found = facing(fabric.edges, within_m)
    held.append((within_m, found))
    return found


def position_limits(window: Window, app: Application, features: Features) -> Floats:
    """(n) position limit (m) of each polygon: the parameter's, or the law's for its scale and land use."""
    given = app.parameters.get("limit_m")
    if given is not None:
        return np.full(len(features), float(given))
    law = law_of(window.setting.city, window.setting.today)
    scales = scales_of(app, features)
    farm = (
        law.is_farm(features["land_use"]) if "land_use" in features.columns else np.zeros(len(features), bool)
    )
    limits = law.position_limits_m(scales, farm)
    # A scale that the law does not name is held to the limit of the parameter's scale.
    unknown = np.isnan(limits)
    if unknown.any():
        limits[unknown] = law.position_limit_m(int(app.number("scale")))
    return np.minimum(limits, GREATEST_LIMIT_M)


def scales_of(app: Application, features: Features) -> Floats:
    """(n) scale denominators: of the map, else of the source, else the parameter's."""
    scales = np.full(len(features), np.nan)
    for name in ("map_scale", "source_scale"):
        if name in features.columns:
            unknown = np.isnan(scales)
            if not unknown.any():
                break
            scales = np.where(unknown, features[name], scales)
    return np.where(np.isnan(scales), app.number("scale"), scales)


def greatest_limit(app: Application) -> float:
    """No polygon's position limit (m) is greater."""
    given = app.parameters.get("limit_m")
    return GREATEST_LIMIT_M if given is None else float(given)
