"""Power: 110 kV to substations on the west side, a 22 kV comb along the boulevards, radial low voltage.

Every vertex of an overhead line stands on a pole or tower; voltage changes only at a substation. All lines
together are a tree: a superblock hangs on its western neighbour, the first of a row on its substation.
"""

from __future__ import annotations

from gis.demo.features import Features, Value
from gis.demo.plan import COLUMNS, STREETS_X, STREETS_Y, SUPER_X, SUPER_Y, Plan, Superblock
from gis.demo.streets import x_street, y_street

#: Poles stand this far north (along x-streets) or east (along y-streets) of the centre line (m).
POLES = 5.5
#: The feeder runs along the boulevard's north side; the 110 kV line west of the first superblocks.
FEEDER_Y = STREETS_Y[0] + 10.0
HIGH_X = -40.0
SPAN = 30.0


def add_power(out: Features, plan: Plan, block: Superblock) -> None:
    """Everything electric of one superblock."""
    if block.column == 0:
        _high_voltage(out, plan, block)
    feeder = f"22-{block.row + 1:02d}"
    branch = _feeder(out, plan, block, feeder)
    _low_voltage(out, block, feeder, branch)


def _high_voltage(out: Features, plan: Plan, block: Superblock) -> None:
    code = block.code
    x, y = block.x + HIGH_X, block.y + FEEDER_Y
    name = f"110 kV Thủ Thiêm {block.row + 1}"
    out.point(
        "power_substation", f"TBA-{code}", [x, y], code=f"TBA-{code}", kind="substation", voltage_kv=110.0,
        voltage_level="hv", voltage_secondary_kv=22.0, rated_kva=63_000.0, transformers=2, feeder=f"110-{block.row + 1}",
        phases="ABC", **_network("steel", block, 1),
    )  # fmt: skip
    if not plan.has(0, block.row + 1):
        return
    end = y + SUPER_Y
    path = [[x, y]]
    for n in range(1, 4):
        at = [x, y + SUPER_Y * n / 4]
        path.append(at)
        out.point(
            "power_support", f"COT-{code}-H{n}", at, code=f"T{block.row + 1}.{n}", kind="tower", function="intermediate",
            voltage_kv=110.0, voltage_level="hv", height_m=38.0, **_network("steel", block, n),
        )  # fmt: skip
    path.append([x, end])
    out.line(
        "power_line", f"DD-{code}-H", path, name=name, kind="overhead", function="transmission", voltage_kv=110.0,
        voltage_level="hv", conductor="ACSR-240", section_mm2=240.0, insulation="bare", circuits=2, phases="ABC",
        feeder=f"110-{block.row + 1}", **_network("aluminium_steel", block, 2),
    )  # fmt: skip
    ring = [[x - 4, y], [x + 4, y], [x + 4, end], [x - 4, end]]
    out.polygon(
        "power_corridor", f"HL-{code}", ring, name=f"Hành lang {name}", voltage_kv=110.0, voltage_level="hv",
        half_width_m=4.0, legal_basis="Nghị định 14/2014/NĐ-CP",
    )  # fmt: skip


def _feeder(out: Features, plan: Plan, block: Superblock, feeder: str) -> list[list[float]]:
    """The 22 kV comb of a superblock; returns the places of its transformers, one for each y-street."""
    code, y = block.code, block.y + FEEDER_Y
    start = [block.x + (HIGH_X if block.column == 0 else POLES), y]
    first = [block.x + POLES, y]
    if block.column == 0:
        _pole(out, f"COT-{code}-F", first, "tension", 22.0, block)
        _line(out, f"DD-{code}-F0", [start, first], 22.0, feeder, x_street(block, 0).name, block)
    out.point(
        "power_switch", f"MC-{code}", first, code=f"LBS-{code}", kind="load_break", state="closed", normal_state="closed",
        voltage_kv=22.0, voltage_level="mv", rated_current_a=630.0, feeder=feeder, phases="ABC", **_network("steel", block, 3),
    )  # fmt: skip
    transformers = []
    stops = [*(block.x + x + POLES for x in STREETS_X[1:]), block.x + SUPER_X + POLES]
    at = first
    for i in range(COLUMNS):
        transformers.append(at)
        if i == COLUMNS - 1 and not plan.has(block.column + 1, block.row):
            break
        nxt = [stops[i], y]
        steps = _steps(at, nxt)
        for n, p in enumerate(steps[1:]):
            _pole(out, f"COT-{code}-F{i}{n}", p, "intermediate", 22.0, block)
        _line(out, f"DD-{code}-F{i + 1}", steps, 22.0, feeder, x_street(block, 0).name, block)
        at = nxt
    return transformers


def _low_voltage(out: Features, block: Superblock, feeder: str, transformers: list[list[float]]) -> None:
    code = block.code
    for i, at in enumerate(transformers):
        station = f"TBA-{code}-{i}"
        out.point(
            "power_substation", station, at, code=station, kind="pole_mounted", voltage_kv=22.0, voltage_level="mv",
            voltage_secondary_kv=0.4, rated_kva=(250.0, 400.0, 560.0)[i % 3], transformers=1, feeder=feeder, phases="ABC",
            **_network("steel", block, i),
        )  # fmt: skip
        street = y_street(block, i)
        below = at
        for k in range(1, len(STREETS_Y)):
            # Up the y-street, and from each junction a spur along the x-street.
            here = [at[0], block.y + STREETS_Y[k] + POLES]
            steps = _steps(below, here)
            for n, p in enumerate(steps[1:]):
                _pole(out, f"COT-{code}-Y{i}{k:02d}{n}", p, "intermediate", 0.4, block)
            _line(out, f"DD-{code}-Y{i}{k:02d}", steps, 0.4, feeder, street.name, block)
            below = here
            end_x = (STREETS_X[i + 1] if i + 1 < len(STREETS_X) else SUPER_X) + block.x - 12.0
            spur = _steps(here, [end_x, here[1]])
            for n, p in enumerate(spur[1:]):
                _pole(
                    out,
                    f"COT-{code}-X{i}{k:02d}{n}",
                    p,
                    "terminal" if n == len(spur) - 2 else "intermediate",
                    0.4,
                    block,
                )
            _line(out, f"DD-{code}-X{i}{k:02d}", spur, 0.4, feeder, x_street(block, k).name, block)
            cabinet = f"TU-{code}-{i}{k:02d}"
            out.point(
                "power_cabinet", cabinet, [spur[1][0], spur[1][1] + 0.6], code=cabinet, kind="meter_box", voltage_kv=0.4,
                voltage_level="lv", substation_id=station, feeder=feeder, address=f"Đường {x_street(block, k).name}",
                **_network("composite", block, k),
            )  # fmt: skip


def _steps(start: list[float], end: list[float]) -> list[list[float]]:
    """Places at most SPAN apart from start to end, both included (the line is parallel to an axis)."""
    length = abs(end[0] - start[0]) + abs(end[1] - start[1])
    count = max(1, -(-int(length) // int(SPAN)))
    return [
        [start[0] + (end[0] - start[0]) * n / count, start[1] + (end[1] - start[1]) * n / count]
        for n in range(count)
    ] + [end]


def _pole(out: Features, asset_id: str, at: list[float], function: str, kv: float, block: Superblock) -> None:
    out.point(
        "power_support", asset_id, at, code=asset_id.removeprefix("COT-"), kind="pole", function=function, voltage_kv=kv,
        voltage_level="mv" if kv > 1 else "lv", height_m=14.0 if kv > 1 else 8.5,
        **_network("prestressed_concrete", block, int(at[0]) % 9),
    )  # fmt: skip


def _line(
    out: Features,
    asset_id: str,
    path: list[list[float]],
    kv: float,
    feeder: str,
    street: str,
    block: Superblock,
) -> None:
    medium = kv > 1
    out.line(
        "power_line", asset_id, path, name=f"{'22 kV' if medium else '0,4 kV'} {street}", kind="overhead",
        function="distribution", voltage_kv=kv, voltage_level="mv" if medium else "lv",
        conductor="ACX-185" if medium else "LV-ABC 4x95", section_mm2=185.0 if medium else 95.0,
        insulation="insulated" if medium else "bundled", circuits=1, phases="ABC" if medium else "ABCN", feeder=feeder,
        **_network("aluminium", block, len(path)),
    )  # fmt: skip


def _network(material: str, block: Superblock, salt: int) -> dict[str, Value]:
    return {
        "material": material, "installed_year": 2001 + (block.column * 3 + block.row * 7 + salt * 5) % 24,
        "condition": ("good", "good", "good", "fair")[(block.row + salt) % 4], "underground_status": "aerial",
        "quality_level": "A", "horizontal_accuracy_m": 0.1, "source_scale": 2000,
    }  # fmt: skip
