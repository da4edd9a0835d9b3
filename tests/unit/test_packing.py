"""Packed tiles are joined, whatever they are made of, to what the plain bytes in a row are."""

from __future__ import annotations

import gzip
import random

from hypothesis import given
from hypothesis import strategies as st

from tiles.packing import SMALL, checksum, pack, together, unpack

sizes = st.lists(st.sampled_from([0, 1, 30, SMALL - 1, SMALL, 3 * SMALL]), min_size=1, max_size=12)


def body(size: int, seed: int) -> bytes:
    return bytes(random.Random(seed).choices(b"abcdef", k=size))


@given(sizes)
def test_packed_together_are_the_bodies_in_a_row(wanted: list[int]) -> None:
    bodies = [body(size, n) for n, size in enumerate(wanted)]
    packed = together([pack(one) for one in bodies])
    assert gzip.decompress(packed) == unpack(packed) == b"".join(bodies)
    assert checksum(packed) == checksum(pack(b"".join(bodies)))


def test_many_small_layers_are_small_together() -> None:
    bodies = [body(200, 1) for _ in range(40)]
    assert len(together([pack(one) for one in bodies])) < 0.1 * sum(map(len, bodies))
