"""Power: 110 kV to substations on the west side, a 22 kV comb along the boulevards, radial low voltage.

Every vertex of an overhead line stands on a pole or tower; voltage changes only at a substation. With open
switches cut, all lines together are a tree below the 220 kV substation in the south-west: a superblock hangs
on its western neighbour, the first of a row on its 110 kV substation.
"""

from __future__ import annotations

from gis.demo.attributes import network
from gis.demo.features import Features, Path, Point, Value, rectangle, steps
from gis.demo.names import x_street, y_street
from gis.demo.plan import STREETS_X, STREETS_Y, SUPER_X, SUPER_Y, Plan, Superblock
from gis.demo.sections import FEEDER_Y, HIGH_X, LAST_Y, LIGHTING, is_major_x, is_major_y, poles

SPAN = 30.0
#: The 220 kV substation stands this far south of the first 110 kV substation (m).
GRID_GAP = 70.0
#: Lines end this far before the next street; a meter is this far from the street's centre line.
END_GAP, FRONT = 12.0, 8.9


def add_power(out: Features, plan: Plan, block: Superblock) -> None:
    """Everything electric of one superblock."""
    feeder = f"22-{block.row + 1:02d}"
    if block.column == 0:
        _high_voltage(out, plan, block)
    stations = _feeder(out, plan, block, feeder)
    for i, at in enumerate(stations):
        station = f"TBA-{block.code}-{i}"
        out.point(
            "power_substation", station, at, code=station, kind="pole_mounted", voltage_kv=22.0,
            voltage_level="mv", voltage_secondary_kv=0.4, rated_kva=(250.0, 400.0, 560.0)[i % 3],
            transformers=1, feeder=feeder, phases="ABC", **_network(block, i, "steel"),
        )  # fmt: skip
        _low_voltage(out, block, feeder, i, at, station)
        _lighting(out, block, feeder, i, at, station)


def _high_voltage(out: Features, plan: Plan, block: Superblock) -> None:
    """The 110/22 kV substation of a row and the 110 kV line to the next; in the first row the grid's end."""
    code = block.code
    at = (block.x + HIGH_X, block.y + FEEDER_Y)
    feeder = f"110-{block.row + 1}"
    name = f"110 kV Thủ Thiêm {block.row + 1}"
    out.point(
        "power_substation", f"TBA-{code}", at, code=f"TBA-{code}", kind="substation", voltage_kv=110.0,
        name=f"Trạm {name}", voltage_level="hv", voltage_secondary_kv=22.0, rated_kva=63_000.0,
        transformers=2, feeder=feeder, phases="ABC", **_network(block, 1, "steel"),
    )  # fmt: skip
    if block.row == 0:
        south = (at[0], at[1] - GRID_GAP)
        out.point(
            "power_substation", "TBA-220", south, code="TBA-220", kind="substation", voltage_kv=220.0,
            name="Trạm 220 kV Thủ Thiêm", voltage_level="ehv", voltage_secondary_kv=110.0,
            rated_kva=500_000.0, transformers=2, feeder="220-1", phases="ABC", **_network(block, 1, "steel"),
        )  # fmt: skip
        _high_line(out, block, f"{code}-G", [south, at], "110-0", "110 kV Thủ Thiêm 0")
    if plan.has(0, block.row + 1):
        path = steps(at, (at[0], at[1] + SUPER_Y), SUPER_Y / 4 + 1)
        for n, tower in enumerate(path[1:-1]):
            out.point(
                "power_support", f"COT-{code}-H{n}", tower, code=f"T{block.row + 1}.{n + 1}", kind="tower",
                function="intermediate", voltage_kv=110.0, voltage_level="hv", height_m=38.0,
                **_network(block, n, "steel"),
            )  # fmt: skip
        _high_line(out, block, f"{code}-H", path, feeder, name)


def _high_line(
    out: Features, block: Superblock, part: str, path: list[Point], feeder: str, name: str
) -> None:
    out.line(
        "power_line", f"DD-{part}", path, name=name, kind="overhead", function="transmission",
        voltage_kv=110.0, voltage_level="hv", conductor="ACSR-240", section_mm2=240.0, insulation="bare",
        circuits=2, phases="ABC", feeder=feeder, **_network(block, 2, "aluminium_steel"),
    )  # fmt: skip
    (x, south), (_, north) = path[0], path[-1]
    out.polygon(
        "power_corridor", f"HL-{part}", rectangle(x - 4.0, south, x + 4.0, north), name=f"Hành lang {name}",
        voltage_kv=110.0, voltage_level="hv", half_width_m=4.0, legal_basis="Nghị định 14/2014/NĐ-CP",
    )  # fmt: skip


def station_x(i: int) -> float:
    """Local x in the superblock of the i-th transformer and of the low voltage line along its street."""
    x = STREETS_X[i] if i < len(STREETS_X) else SUPER_X
    return x + poles(is_major_y(i))


def _feeder(out: Features, plan: Plan, block: Superblock, feeder: str) -> list[Point]:
    """The 22 kV comb of a superblock; returns the places of its transformers, one for each y-street."""
    code, y = block.code, block.y + FEEDER_Y
    street = x_street(block, 0).name
    first = (block.x + station_x(0), y)
    if block.column == 0:
        path = steps((block.x + HIGH_X, y), first, SPAN)
        _poles(out, block, f"{code}-F", path, 22.0)
        _line(out, block, f"{code}-F", path, 22.0, feeder, street)
    stations: list[Point] = [first]
    # At the end of a row the feeder goes on to where ties to the rows above and below begin.
    last = block.column == plan.columns - 1
    onward = plan.has(block.column + 1, block.row) or _has_tie(plan, block) or (last and block.row > 0)
    for i in range(1, len(STREETS_X) + (1 if onward else 0)):
        following = (block.x + station_x(i), y)
        path = steps(stations[-1], following, SPAN)
        _poles(out, block, f"{code}-F{i}", path, 22.0)
        if i == 1:
            _switch(out, block, f"MC-{code}", path[1], "closed", feeder)
            _line(out, block, f"{code}-F0", path[:2], 22.0, feeder, street)
            path = path[1:]
        _line(out, block, f"{code}-F{i}", path, 22.0, feeder, street)
        stations.append(following)
    if _has_tie(plan, block):
        _tie(out, block, feeder, stations[-1])
    return stations[: len(STREETS_X)]


def _has_tie(plan: Plan, block: Superblock) -> bool:
    return block.column == plan.columns - 1 and plan.has(block.column, block.row + 1)


def _tie(out: Features, block: Superblock, feeder: str, start: Point) -> None:
    """A line to the next row's feeder with a switch that is normally open: the feeders can stand in for
    each other, and the network is radial all the same."""
    path = steps(start, (start[0], start[1] + SUPER_Y), SPAN)
    _poles(out, block, f"{block.code}-R", path[:-1], 22.0)
    middle = len(path) // 2
    _switch(out, block, f"MC-{block.code}-R", path[middle], "open", feeder)
    name = y_street(block, len(STREETS_X)).name
    _line(out, block, f"{block.code}-R0", path[: middle + 1], 22.0, feeder, name)
    _line(out, block, f"{block.code}-R1", path[middle:], 22.0, f"22-{block.row + 2:02d}", name)


def _switch(out: Features, block: Superblock, asset_id: str, at: Point, state: str, feeder: str) -> None:
    out.point(
        "power_switch", asset_id, at, code=asset_id.replace("MC", "LBS"), kind="load_break", state=state,
        normal_state=state, voltage_kv=22.0, voltage_level="mv", rated_current_a=630.0, feeder=feeder,
        phases="ABC", **_network(block, 3, "steel"),
    )  # fmt: skip


def spur(block: Superblock, i: int, k: int) -> list[Point]:
    """Poles of the low voltage line along the k-th x-street, east of the i-th y-street."""
    start = (block.x + station_x(i), block.y + STREETS_Y[k] + poles(is_major_x(k)))
    end_x = (STREETS_X[i + 1] if i + 1 < len(STREETS_X) else SUPER_X) + block.x - END_GAP
    return steps(start, (end_x, start[1]), SPAN)


def _low_voltage(out: Features, block: Superblock, feeder: str, i: int, at: Point, station: str) -> None:
    """Up the y-street, and from each junction a spur along the x-street to a meter box."""
    code, below = block.code, at
    street = y_street(block, i).name
    for k in range(1, len(STREETS_Y)):
        part = f"{code}-Y{i}{k:02d}"
        path = spur(block, i, k)
        up = steps(below, path[0], SPAN)
        _poles(out, block, part, up, 0.4)
        _line(out, block, part, up, 0.4, feeder, street)
        below = path[0]
        part, name = f"{code}-X{i}{k:02d}", x_street(block, k).name
        _poles(out, block, part, path, 0.4)
        _line(out, block, part, path, 0.4, feeder, name)
        cabinet = f"TU-{code}-{i}{k:02d}"
        out.point(
            "power_cabinet", cabinet, path[-1], code=cabinet, kind="meter_box", voltage_kv=0.4,
            voltage_level="lv", substation_id=station, feeder=feeder, phases="ABCN",
            address=f"Đường {name}", **_network(block, k, "composite"),
        )  # fmt: skip
        if k < LAST_Y:
            _meter(out, block, feeder, i, k, path[-1], cabinet)


def _meter(out: Features, block: Superblock, feeder: str, i: int, k: int, at: Point, cabinet: str) -> None:
    """A service line from the meter box to a customer in the house behind it."""
    code = f"{block.code}-{i}{k:02d}"
    meter = (at[0], block.y + STREETS_Y[k] + FRONT)
    name = x_street(block, k).name
    out.point(
        "power_meter", f"CT-{code}", meter, meter_no=f"CT{block.code}{i}{k:02d}", voltage_kv=0.4,
        customer_code=f"PE-{code}", customer_kind="Sinh hoạt", voltage_level="lv", cabinet_id=cabinet,
        feeder=feeder, phases="A", address=f"Đường {name}", **_network(block, i + k, "composite"),
    )  # fmt: skip
    out.line(
        "power_line", f"DD-{code}-S", [at, meter], name=f"0,4 kV {name}", kind="service",
        function="distribution", voltage_kv=0.4, voltage_level="lv", conductor="Muller 2x11",
        section_mm2=11.0, insulation="insulated", circuits=1, phases="A", feeder=feeder,
        **_network(block, k, "copper"),
    )  # fmt: skip


def _lighting(out: Features, block: Superblock, feeder: str, i: int, at: Point, station: str) -> None:
    """Street lights on the canal's side of the boulevard, fed across it from a transformer."""
    code = f"{block.code}-L{i}"
    y = block.y + STREETS_Y[0] + LIGHTING
    end_x = (STREETS_X[i + 1] if i + 1 < len(STREETS_X) else SUPER_X) + block.x - END_GAP
    path = steps((at[0], y), (end_x, y), SPAN)
    name = x_street(block, 0).name
    for n, place in enumerate(path):
        out.point(
            "power_support", f"COT-{code}{n}", place, code=f"{code}{n}", kind="lighting_pole",
            function="terminal" if n == len(path) - 1 else "intermediate", voltage_kv=0.4,
            voltage_level="lv", height_m=9.0, **_network(block, n, "steel"),
        )  # fmt: skip
    out.point(
        "power_cabinet", f"TCS-{code}", path[0], code=f"TCS-{code}", kind="lighting_control", voltage_kv=0.4,
        voltage_level="lv", substation_id=station, feeder=feeder, phases="ABCN", address=f"Đường {name}",
        **_network(block, i, "composite"),
    )  # fmt: skip
    _line(out, block, f"{code}A", [at, path[0]], 0.4, feeder, name, "lighting")
    _line(out, block, f"{code}B", path, 0.4, feeder, name, "lighting")


def _poles(out: Features, block: Superblock, part: str, path: Path, kv: float) -> None:
    """A pole at every vertex but the first, where one stands already (or a substation)."""
    for n, at in enumerate(path[1:]):
        out.point(
            "power_support", f"COT-{part}{n}", at, code=f"{part}{n}", kind="pole",
            function="tension" if n == len(path) - 2 else "intermediate", voltage_kv=kv,
            voltage_level="mv" if kv > 1 else "lv", height_m=14.0 if kv > 1 else 8.5,
            **_network(block, n, "prestressed_concrete"),
        )  # fmt: skip


def _line(
    out: Features, block: Superblock, part: str, path: Path, kv: float, feeder: str, street: str,
    function: str = "distribution",
) -> None:  # fmt: skip
    medium = kv > 1
    out.line(
        "power_line", f"DD-{part}", path, name=f"{'22 kV' if medium else '0,4 kV'} {street}", kind="overhead",
        function=function, voltage_kv=kv, voltage_level="mv" if medium else "lv",
        conductor="ACX-185" if medium else "LV-ABC 4x95", section_mm2=185.0 if medium else 95.0,
        insulation="insulated" if medium else "bundled", circuits=1, phases="ABC" if medium else "ABCN",
        feeder=feeder, **_network(block, len(path), "aluminium"),
    )  # fmt: skip


def _network(block: Superblock, salt: int, material: str) -> dict[str, Value]:
    return network(block, salt, material, since=2001, accuracy=0.1, levels=("A",), buried=False)
