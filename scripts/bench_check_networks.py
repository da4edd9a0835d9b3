"""How fast are the network rules? Networks of a synthetic city in memory: 300,000 pipes and conduits.

The networks are the demo's (gis.demo), superblock by superblock without its parcels; windows are cut so
that each holds about as many features as in a run. Prints seconds of processor time of each rule and of
everything, reading from memory included, reading from the database not. The goal: all rules NET and DRN on
300,000 pipes and conduits with their nodes in 45 s on two cores, so 90 s of processor time.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from gis.checks.findings import in_whole, needs_of  # noqa: E402
from gis.checks.registry import applications, rules  # noqa: E402
from gis.checks.source import Box, MemorySource  # noqa: E402
from gis.checks.whole import Whole  # noqa: E402
from gis.checks.window import Setting, Window  # noqa: E402
from gis.demo.drainage import add_drainage  # noqa: E402
from gis.demo.features import Features as Made  # noqa: E402
from gis.demo.features import Rows  # noqa: E402
from gis.demo.plan import COLUMNS, ROWS, frame, make_plan  # noqa: E402
from gis.demo.power import add_power  # noqa: E402
from gis.demo.telecom import add_telecom  # noqa: E402
from gis.demo.underground import add_underground  # noqa: E402
from gis.demo.water import add_water  # noqa: E402
from gis.settings import Settings  # noqa: E402
from tests.checks.demo_source import features_of_rows  # noqa: E402

#: Pipes and conduits of a superblock, and parcels that the plan counts for one.
LINES_OF_SUPERBLOCK, PARCELS_OF_SUPERBLOCK = 778, COLUMNS * ROWS * 33.5


def networks(lines: int, setting: Setting, *, all_sectors: bool = False) -> MemorySource:
    """Water and drainage (with ``all_sectors`` power and telecoms, too) with about so many lines."""
    plan = make_plan(int(lines / LINES_OF_SUPERBLOCK * PARCELS_OF_SUPERBLOCK), 1)
    on = frame(setting.city, plan.columns, plan.rows)
    parts: dict[str, list[Rows]] = defaultdict(list)
    for block in plan.superblocks():
        made = Made()
        add_water(made, plan, block)
        add_drainage(made, plan, block)
        if all_sectors:
            add_power(made, plan, block)
            add_telecom(made, block)
            add_underground(made, plan, block)
        for rows in made:
            parts[rows.layer].append(rows)
    catalogue = setting.catalogue
    return MemorySource(
        catalogue, {name: features_of_rows(catalogue.layers[name], some, on) for name, some in parts.items()}
    )


def windows(source: MemorySource, layers: set[str], size: int) -> Iterator[Box]:
    """Boxes that cover the city with about ``size`` features of the layers in each: halves of halves."""
    boxes = np.concatenate(
        [source.features(layer, (-np.inf, -np.inf, np.inf, np.inf), ()).boxes for layer in layers]
    )
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    todo: list[tuple[Box, np.ndarray]] = [((-np.inf, -np.inf, np.inf, np.inf), middles)]
    while todo:
        box, inside = todo.pop()
        if len(inside) <= size:
            yield box
            continue
        axis = int(np.ptp(inside[:, 1]) > np.ptp(inside[:, 0]))
        at = float(np.median(inside[:, axis]))
        lower, upper = list(box), list(box)
        lower[axis + 2] = upper[axis] = at
        todo.append(((lower[0], lower[1], lower[2], lower[3]), inside[inside[:, axis] < at]))
        todo.append(((upper[0], upper[1], upper[2], upper[3]), inside[inside[:, axis] >= at]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--lines", type=int, default=300_000)
    parser.add_argument("--window", type=int, default=40_000, help="features in a window")
    parser.add_argument("--families", default="NET,DRN")
    parser.add_argument("--all-sectors", action="store_true", help="power and telecoms, too")
    args = parser.parse_args()

    settings = Settings(data_dir=Path("unused"))
    city = settings.load_city()
    setting = Setting(city, settings.load_catalogue(city), date(2026, 1, 1))
    source = networks(args.lines, setting, all_sectors=args.all_sectors)
    apps = [a for a in applications(setting.catalogue) if a.rule.family in args.families.split(",")]
    apps = [a for a in apps if any(source.count(layer) for layer in a.layers)]
    layers = {layer for app in apps for layer in app.layers}
    count = {layer: source.count(layer) for layer in sorted(layers)}
    lines = sum(n for layer, n in count.items() if layer in ("water_pipe", "drainage_conduit"))
    print(f"{lines:,} pipes and conduits, {sum(count.values()):,} features in {len(layers)} layers")

    spent: Counter[str] = Counter()
    found: Counter[str] = Counter()
    local = [app for app in apps if app.rule.scope == "local"]
    began = time.process_time()
    boxes = list(windows(source, layers, args.window))
    for box in boxes:
        window = Window(box, source, setting, needs_of(local, setting.catalogue))
        start = time.process_time()
        for layer in layers:
            window.features(layer)
        spent["reading"] += time.process_time() - start
        for app in local:
            start = time.process_time()
            found[app.rule.id] += len(list(rules()[app.rule.id].run(window, app)))
            spent[app.rule.id] += time.process_time() - start
    city_wide = Whole(source, setting)
    for app in apps:
        if app.rule.scope == "global":
            start = time.process_time()
            found[app.rule.id] += len(list(in_whole(city_wide, [app])))
            spent[app.rule.id] += time.process_time() - start
    for name, seconds in sorted(spent.items()):
        print(f"  {name:8} {seconds:7.2f} s  {found[name]:7,} findings")
    print(f"{time.process_time() - began:.1f} s of processor time in {len(boxes)} windows")


if __name__ == "__main__":
    main()
