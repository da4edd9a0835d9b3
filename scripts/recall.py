"""Holds the findings of a check against the errors that ``bandoso demo --defects`` injected.

    bandoso demo --parcels 100000 --defects defects.json
    bandoso check --report report.json
    python scripts/recall.py report.json defects.json

A defect is found when a finding of its rule names one of its features, or all of it lies at the defect's
place. A finding of severity E is elsewhere when it neither names a feature of a defect (those in its
``changed``, too) nor lies within REACH of one. Exit 0: all found and nothing elsewhere.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import shapely

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from gis import crs  # noqa: E402
from gis.settings import Settings  # noqa: E402

#: Metres around a defect within which its consequences are seen.
REACH = 2.0

Record = dict[str, Any]


def judge(findings: list[Record], defects: list[Record]) -> tuple[list[Record], list[Record]]:
    """(defects that no finding of their rule shows, E findings that belong to no defect)."""
    storage = Settings(data_dir=Path("/nonexistent")).load_city().crs.storage
    places = _planar([d["geometry"] for d in defects], storage)
    shown = _planar([f["geometry"] for f in findings], storage)
    named: dict[tuple[str, str], set[int]] = {}
    for number, finding in enumerate(findings):
        for feature in finding["features"]:
            named.setdefault((finding["rule"], feature["asset_id"]), set()).add(number)
    near: dict[int, set[int]] = {}
    if len(findings) and len(defects):
        tree = shapely.STRtree(shown)
        for defect, finding in tree.query(places, predicate="dwithin", distance=REACH).T:
            near.setdefault(int(defect), set()).add(int(finding))

    missed = [
        defect
        for number, defect in enumerate(defects)
        if not any((defect["rule"], asset) in named for asset in defect["asset_ids"])
        and not any(findings[n]["rule"] == defect["rule"] for n in near.get(number, ()))
    ]
    touched = {
        (entry["layer"], entry["asset_id"]) for defect in defects for entry in defect.get("changed", ())
    } | {(defect["layer"], asset) for defect in defects for asset in defect["asset_ids"]}
    explained = {n for some in near.values() for n in some}
    elsewhere = [
        finding
        for number, finding in enumerate(findings)
        if finding["severity"] == "E"
        and number not in explained
        and not any((f["layer"], f["asset_id"]) in touched for f in finding["features"])
    ]
    return missed, elsewhere


def _planar(geometries: list[Record | None], storage: int) -> np.ndarray:
    shapes = np.array(
        [
            shapely.Point() if g is None else shapely.force_2d(shapely.from_geojson(json.dumps(g)))
            for g in geometries
        ],
        dtype=object,
    )
    return crs.transform_geometries(shapes, crs.WGS84, storage)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("report", type=Path)
    parser.add_argument("defects", type=Path)
    arguments = parser.parse_args()
    findings = json.loads(arguments.report.read_text(encoding="utf-8"))["findings"]
    defects = json.loads(arguments.defects.read_text(encoding="utf-8"))["defects"]
    missed, elsewhere = judge(findings, defects)
    print(f"{len(defects) - len(missed)} of {len(defects)} defects found; {len(findings)} findings")
    for (rule, layer), count in sorted(Counter((d["rule"], d["layer"]) for d in missed).items()):
        print(f"  missed     {rule} {layer}: {count}")
    for defect in missed[:5]:
        print(f"             {defect['rule']} {defect['asset_ids']} {defect.get('note', '')}")
    for (rule, layers), count in sorted(
        Counter((f["rule"], "+".join(f["layers"])) for f in elsewhere).items()
    ):
        print(f"  elsewhere  {rule} {layers}: {count}")
    for finding in elsewhere[:5]:
        print(f"             {finding['rule']} {[f['asset_id'] for f in finding['features']][:4]}", end=" ")
        print(finding["message"]["en"])
    return 1 if missed or elsewhere else 0


if __name__ == "__main__":
    sys.exit(main())
