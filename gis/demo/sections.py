"""The cross-section of a street: where everything lies, so that all clearances of QCVN 01 hold.

Offsets (m) are from the street's centre line, to the north of a street along x and to the east of one
along y; depths are below the ground. A minor street has 8 m of carriageway in 14 m, a major one 15 in 24.

===================  ==========  ==========  ====================================================
what                 minor       major       depth
===================  ==========  ==========  ====================================================
telecom poles        -6.4                    overhead
telecom ducts        -5.5        -10.5       axis 0.45
trench (y-streets)               -8.4        1.2 to 2.0
kerb inlets          -3.8        -7.3        at the lateral
combined drains      -1.0        -1.0        crown 2.35 (laterals) or 2.85 (trunks) and more
water, distribution  +2.9        +2.9        axis 1.2
power poles          +5.5        +10.0       overhead
===================  ==========  ==========  ====================================================

Along the boulevard south of the blocks (k = 0), from the north: the 22 kV feeder (+10), the transmission
main (-8.8, axis 1.35), telecom ducts (-10.5) and lighting poles (-11.5) beside the canal. Under the
north sidewalk of the boulevard north of the blocks (k = 10): the utility tunnel (+6.5).

Reasons for the depths, from the top: a duct's bottom is at 0.51 and water begins 0.5 below it; a combined
drain's crown is 1.0 below the water.
"""

from __future__ import annotations

from gis.demo.plan import STREETS_X, STREETS_Y, SUPER_Y

CARRIAGEWAY, MAJOR_CARRIAGEWAY = 8.0, 15.0

DRAIN, WATER = -1.0, 2.9
TRENCH, TUNNEL = -8.4, 6.5
MAIN, LIGHTING, TELECOM_POLE = -8.8, -11.5, -6.4
WATER_DEPTH, MAIN_DEPTH = 1.2, 1.35
DUCT_DEPTH = 0.45
#: Crown of a lateral's upper end and least crown of a trunk.
LATERAL_CROWN, TRUNK_CROWN = 2.35, 2.85

#: The 22 kV feeder runs at this local y, the 110 kV line at this x (west of the first superblocks).
FEEDER_Y = STREETS_Y[0] + 10.0
HIGH_X = -40.0
#: The vertical transmission main, west of the first superblocks.
MAIN_X = -16.0

#: Height of the ground beside the canals (m), and how much it rises in a metre away from them.
LOWEST, FALL = 1.6, 0.003

LAST_X, LAST_Y = len(STREETS_X) - 1, len(STREETS_Y) - 1


def is_major_x(k: int) -> bool:
    """Whether the k-th street along x is a boulevard."""
    return k in (0, LAST_Y)


def is_major_y(i: int) -> bool:
    """Whether the i-th street along y is a major street (i == len(STREETS_X): the next superblock's)."""
    return i in (0, LAST_X + 1)


def telecom(major: bool) -> float:
    """Offset of telecom ducts and chambers."""
    return -10.5 if major else -5.5


def kerb(major: bool) -> float:
    """Offset of kerb inlets."""
    return -7.3 if major else -3.8


def poles(major: bool) -> float:
    """Offset of power poles."""
    return 10.0 if major else 5.5


def ground(y: float) -> float:
    """Height of the ground (m, Hòn Dấu) at a local y: it falls to the canals on both sides."""
    y = y % SUPER_Y
    return round(LOWEST + FALL * min(y, SUPER_Y - y), 3)


def level(y: float, depth: float) -> float:
    """Height (m) at ``depth`` below the ground at a local y."""
    return round(ground(y) - depth, 3)
