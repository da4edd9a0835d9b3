"""What a worker holds does not grow with the city: windows end with their task."""

from __future__ import annotations

import gc
import weakref

from gis.checks.findings import needs_of
from gis.checks.registry import applications, rules
from gis.checks.source import EVERYWHERE
from gis.checks.window import Window
from tests.checks.cases import setting
from tests.checks.demo_source import demo_source


def test_nothing_holds_a_window_once_it_is_judged() -> None:
    """Not even a cycle of its own: Python's collector comes by after many windows of 100 MB."""
    source, _ = demo_source(300)
    local = [app for app in applications(setting().catalogue) if app.rule.scope == "local"]
    gc.collect()
    gc.disable()
    try:
        window = Window(EVERYWHERE, source, setting(), needs_of(local, setting().catalogue))
        held = {}
        for app in local:
            list(rules()[app.rule.id].run(window, app))
            for layer in app.layers:
                features = window.features(layer)
                if len(features):
                    held[layer] = weakref.ref(features)
            del features
        assert len(held) > 20
        del window
        assert [layer for layer, one in held.items() if one() is not None] == []
    finally:
        gc.enable()
