"""Making findings, and evaluating rules on a window or on the whole city."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import shapely

from gis.checks.features import Features
from gis.checks.model import Application, FeatureRef, Finding, Mend
from gis.checks.registry import rules
from gis.checks.source import Box, Source
from gis.checks.whole import Whole
from gis.checks.window import Need, Setting, Window
from layers.registry import Catalogue, Layer


def finding(
    app: Application,
    about: Sequence[tuple[Features, int | np.integer[Any]]],
    where: shapely.Geometry,
    anchor: tuple[float, float],
    *,
    value: float | None = None,
    limit: float | None = None,
    words: dict[str, Any] | None = None,
    mends: Sequence[Mend] = (),
    severity: Any = None,
    restricted: bool = False,
) -> Finding:
    """A finding of ``app`` about features given as (features, index), the judged ones first.

    ``where`` in the storage CRS; ``value`` and ``limit`` in the rule's unit. ``severity`` overrides the
    application's, for rules whose severity depends on the case. Raises nothing.
    """
    refs: tuple[FeatureRef, ...] = tuple(features.ref(int(index)) for features, index in about)
    hidden = any(not features.layer.is_public for features, _ in about)
    return Finding(
        rule=app.rule.id,
        severity=severity or app.severity,
        features=refs,
        where=where,
        anchor=(float(anchor[0]), float(anchor[1])),
        value=None if value is None else float(value),
        limit=None if limit is None else float(limit),
        unit=app.rule.unit,
        words=words or {},
        mends=tuple(mends),
        reject=bool(app.reject),
        restricted=restricted or hidden,
        network=app.network,
    )


def about_layer(
    app: Application,
    layer: Layer,
    name: str,
    where: shapely.Geometry,
    *,
    value: float | None = None,
    limit: float | None = None,
    words: dict[str, Any] | None = None,
    severity: Any = None,
    restricted: bool = False,
) -> Finding:
    """A finding about a layer, or a delivery, as a whole: it names no feature but ``name`` (``load 12``) with
    fid 0, and its anchor is nowhere, so that no window and no edit ends it."""
    return Finding(
        rule=app.rule.id,
        severity=severity or app.severity,
        features=(FeatureRef(layer.id, 0, name, layer.definition.owner),),
        where=where,
        anchor=(float("nan"), float("nan")),
        value=value,
        limit=limit,
        unit=app.rule.unit,
        words=words or {},
        reject=bool(app.reject),
        restricted=restricted or not layer.is_public,
        network=app.network,
    )


def needs_of(apps: Iterable[Application], catalogue: Catalogue) -> list[Need]:
    """What the local ones among the applications read."""
    found: list[Need] = []
    for app in apps:
        needs = rules()[app.rule.id].needs
        if needs is not None:
            found += needs(app, catalogue)
    return found


def in_window(box: Box, source: Source, setting: Setting, apps: Sequence[Application]) -> Iterator[Finding]:
    """The findings of the local applications whose anchors lie in ``box``."""
    mine = [app for app in apps if app.rule.scope == "local"]
    window = Window(box, source, setting, needs_of(mine, setting.catalogue))
    for app in mine:
        for found in rules()[app.rule.id].run(window, app):
            if window.owns_point(*found.anchor):
                yield found


def in_whole(whole: Whole, apps: Sequence[Application]) -> Iterator[Finding]:
    """The findings of the global applications, and what local ones say of layers as a whole."""
    for app in apps:
        known = rules()[app.rule.id]
        if app.rule.scope == "global":
            yield from known.run(whole, app)
        elif known.also is not None:
            yield from known.also(whole, app)


#: Units as people write them.
_SIGNS = {"m2": "m²", "m3": "m³", "degree": "°"}


def message(found: Finding, language: str) -> str:
    """The finding's message in ``vi`` or ``en``."""
    rule = rules()[found.rule].rule
    unit = f" {_SIGNS.get(found.unit, found.unit)}" if found.unit else ""
    words = {
        "value": "" if found.value is None else f"{_number(found.value, language)}{unit}",
        "limit": "" if found.limit is None else f"{_number(found.limit, language)}{unit}",
        **{name: _worded(word, language) for name, word in found.words.items()},
    }
    pattern: str = getattr(rule.message, language)
    # str.format takes a fifth of the time, but knows no forms of words.
    text: str = _WORDING.vformat(pattern, (), words) if "|" in pattern else pattern.format(**words)
    return _MEASURE.sub(r"\1,\2", text) if language == "vi" else text


class _Wording(string.Formatter):
    """As str.format, with ``{count:line|lines}`` for a number and the form of a word that goes with it."""

    def format_field(self, value: Any, format_spec: str) -> str:
        one, bar, more = format_spec.partition("|")
        if not bar:
            return str(super().format_field(value, format_spec))
        return f"{value} {one if value == 1 else more}" if isinstance(value, int) else str(value)


_WORDING = _Wording()
#: A measure, told from an asset id by its unit: Vietnamese writes a comma (12.649 m were twelve kilometres).
_MEASURE = re.compile(r"(?<![\w.,])([-+]?\d+)\.(\d+)(?= ?[%‰°]| (?:m|m²|m³|ha|mm|cm|km|kV)(?!\w))")


def _worded(word: Any, language: str) -> Any:
    """A word is a value, or {vi:, en:}."""
    return word[language] if isinstance(word, dict) else word


def _number(value: float, language: str) -> str:
    """Three decimals are enough for people; the finding keeps the exact value."""
    text = f"{value:.3f}".rstrip("0").rstrip(".") if abs(value) < 1e6 else f"{value:.0f}"
    return text.replace(".", ",") if language == "vi" else text
