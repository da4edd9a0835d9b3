"""Tile addresses as one number: position along the Hilbert curves of PMTiles, level after level. Pure.

Neighbours in number are neighbours on the ground, so a window of the map is few ranges of an archive.
"""

from __future__ import annotations

from typing import Final

from tiles.grid import Tile

#: Deepest level that is numbered here; PMTiles itself goes to 31.
DEEPEST: Final = 26

#: Number of the first tile of each level: all tiles above come before.
FIRST: Final = tuple(((1 << 2 * z) - 1) // 3 for z in range(DEEPEST + 2))


def _tables() -> tuple[bytes, bytes]:
    """(digits, next state) of four bits of x and y at once, by ``state << 8 | x << 4 | y``.

    A state says how the rest of the curve lies: bit 0, x and y change places; bit 1, both are complemented.
    """
    digits, after = bytearray(1024), bytearray(1024)
    for place in range(1024):
        state, x, y = place >> 8, place >> 4 & 15, place & 15
        found = 0
        for bit in (3, 2, 1, 0):
            rx, ry = (x >> bit & 1) ^ state >> 1, (y >> bit & 1) ^ state >> 1
            if state & 1:
                rx, ry = ry, rx
            found = found << 2 | (3 * rx) ^ ry
            if not ry:
                state ^= 3 if rx else 1
        digits[place], after[place] = found, state
    return bytes(digits), bytes(after)


_DIGITS, _AFTER = _tables()


def tile_id(z: int, x: int, y: int) -> int:
    """The number of a tile that exists (0 <= x, y < 2^z, z <= DEEPEST)."""
    # Leading zeros fill up to four bits; each turns the curve over, so an odd number of them starts turned.
    state = z & 1
    found = 0
    for shift in _SHIFTS[z]:
        place = state << 8 | (x >> shift & 15) << 4 | y >> shift & 15
        found = found << 8 | _DIGITS[place]
        state = _AFTER[place]
    return FIRST[z] + found


_SHIFTS: Final = tuple(tuple(range((z + 3) // 4 * 4 - 4, -1, -4)) for z in range(DEEPEST + 1))


def tile_of(number: int) -> Tile:
    """The tile of a number. Raises ValueError beyond the deepest level."""
    z = (3 * number + 1).bit_length() - 1 >> 1
    if not 0 <= z <= DEEPEST:
        raise ValueError("no tile has this number")
    rest = number - FIRST[z]
    x = y = 0
    for level in range(z):
        digit = rest >> 2 * level & 3
        rx = digit >> 1
        ry = (digit ^ rx) & 1
        side = 1 << level
        if not ry:
            if rx:
                x, y = side - 1 - x, side - 1 - y
            x, y = y, x
        x, y = x + (side if rx else 0), y + (side if ry else 0)
    return Tile(z, x, y)
