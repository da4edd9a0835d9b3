"""The demo city's outline, its former districts and its wards: each level covers the one above exactly."""

from __future__ import annotations

from gis.demo.features import Features, Point
from gis.demo.names import commune
from gis.demo.plan import SUPER_X, SUPER_Y, Plan, Superblock

#: The city reaches this far beyond its outer superblocks (m): mains and the 110 kV line lie there.
MARGIN = 60.0
#: Superblocks of a former district, in each direction.
DISTRICT = 4


def add_admin(out: Features, plan: Plan, block: Superblock) -> None:
    """The ward of a superblock; with the first of a district the district, with the first of all the city."""
    code, name = commune(block.column, block.row)
    last = block.row * plan.columns + block.column == len(plan.counts) - 1
    # The last ward takes the places of its row that have no superblock, so that the city is a rectangle.
    columns = plan.columns - block.column if last else 1
    ring = _outline(plan, block.column, block.row, columns, 1)
    english = f"Thu Thiem {block.row + 1}.{block.column + 1}"
    out.polygon(
        "admin_ward", f"XA-{code}", ring,
        name=name.removeprefix("Phường "), name_en=english, full_name=name, full_name_en=f"{english} Ward",
        unit_type="phuong", commune_code=code, population=block.parcels * 4, valid_from="2025-07-01",
        legal_basis="Dữ liệu mô phỏng",
    )  # fmt: skip
    if block.column % DISTRICT == 0 and block.row % DISTRICT == 0:
        _district(out, plan, block)
    if block.column == 0 and block.row == 0:
        out.polygon(
            "admin_city", "TP-DEMO", _outline(plan, 0, 0, plan.columns, plan.rows),
            name="Thủ Thiêm (mô phỏng)", name_en="Thu Thiem (demo)", full_name="Thành phố mô phỏng Thủ Thiêm",
            full_name_en="Demo City of Thu Thiem", unit_type="thanh_pho", population=plan.parcels * 4,
            legal_basis="Dữ liệu mô phỏng",
        )  # fmt: skip


def _district(out: Features, plan: Plan, block: Superblock) -> None:
    columns = min(DISTRICT, plan.columns - block.column)
    if block.row == plan.rows - 1 and not plan.has(block.column + DISTRICT, block.row):
        columns = plan.columns - block.column  # as the last ward does
    rows = min(DISTRICT, plan.rows - block.row)
    number = block.row // DISTRICT * -(-plan.columns // DISTRICT) + block.column // DISTRICT + 1
    out.polygon(
        "admin_district_old", f"QH-9{number:02d}", _outline(plan, block.column, block.row, columns, rows),
        name=f"Thủ Thiêm {number}", name_en=f"Thu Thiem {number}", full_name=f"Quận Thủ Thiêm {number}",
        full_name_en=f"Thu Thiem {number} District", unit_type="quan", district_code=f"9{number:02d}",
        valid_to="2025-06-30", legal_basis="Dữ liệu mô phỏng",
    )  # fmt: skip


def _outline(plan: Plan, column: int, row: int, columns: int, rows: int) -> list[Point]:
    """Outline of some places of the plan, with a vertex at each corner of a ward that lies on it."""
    xs = [_east(plan, c) for c in range(column, column + columns + 1)]
    ys = [_north(plan, r) for r in range(row, row + rows + 1)]
    south = _corners(plan, xs, column, row)
    north = _corners(plan, xs, column, row + rows)
    return [
        *((x, ys[0]) for x in south),
        *((xs[-1], y) for y in ys[1:-1]),
        *((x, ys[-1]) for x in reversed(north)),
        *((xs[0], y) for y in reversed(ys[1:-1])),
    ]


def _corners(plan: Plan, xs: list[float], column: int, line: int) -> list[float]:
    """The ``xs`` where wards or districts meet on the line below row ``line``; the ends always."""
    found = []
    for n, x in enumerate(xs):
        at = column + n
        ward = plan.has(at, line - 1) or plan.has(at, line)
        if n in (0, len(xs) - 1) or ward or at % DISTRICT == 0:
            found.append(x)
    return found


def _east(plan: Plan, column: int) -> float:
    """Local x of the border west of that column; the outer ones lie a margin further out."""
    return column * SUPER_X + (MARGIN if column == plan.columns else -MARGIN if column == 0 else 0.0)


def _north(plan: Plan, row: int) -> float:
    return row * SUPER_Y + (MARGIN if row == plan.rows else -MARGIN if row == 0 else 0.0)
