"""Tiles under gzip, made so that packed layers are joined to a packed tile without packing them again. Pure.

A tile of several layers is its layers one after the other (MVT is a protocol buffer), and a deflate stream
is blocks one after the other. So each layer is packed once, its blocks closed on a byte and kept without
reference to anything before, and the tile of any choice of layers is the blocks in a row, with one end and
one checksum (those of the parts combined). It costs 2 % of size against packing all together.

zlib-ng level 3 packs a city's tiles as well as zlib level 4 (38.5 % against 37.9 % of the plain size) at
twice its speed; ISA-L is five times as fast, for tiles that are 7 % larger on every way to every client.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from zlib_ng import zlib_ng

LEVEL: Final = 3
#: Layers of fewer plain bytes are packed with their neighbours in a tile of several.
SMALL: Final = 4096

#: No name, no time: the same bytes give the same packed bytes.
HEAD: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
#: An empty last block, then checksum and size.
_END: Final = b"\x03\x00"
#: What a flush leaves at the end of the blocks: an empty stored block.
_FLUSHED: Final = b"\x00\x00\xff\xff"
_TAIL: Final = struct.Struct("<II")
_FOOT: Final = len(_END) + _TAIL.size


def pack(body: bytes) -> bytes:
    """gzip of a layer's or tile's bytes; ``join`` takes it."""
    packer = zlib_ng.compressobj(LEVEL, zlib_ng.DEFLATED, -15)
    blocks = packer.compress(body) + packer.flush(zlib_ng.Z_SYNC_FLUSH)
    return b"".join((HEAD, blocks, _END, _TAIL.pack(zlib_ng.crc32(body), len(body) & 0xFFFFFFFF)))


def join(packed: Sequence[bytes]) -> bytes:
    """What ``pack`` would make of the bodies in a row, but for its blocks. Each was made by ``pack`` or this.

    Raises ValueError for gzip of other makers, whose blocks cannot be told from their end.
    """
    if len(packed) == 1:
        return packed[0]
    blocks, crc, size = [HEAD], 0, 0
    for one in packed:
        if one[:10] != HEAD or one[-_FOOT - 4 : -_TAIL.size] != _FLUSHED + _END:
            raise ValueError("these packed bytes cannot be joined")
        its_crc, its_size = _TAIL.unpack(one[-_TAIL.size :])
        crc = zlib_ng.crc32_combine(crc, its_crc, its_size)
        size += its_size
        blocks.append(one[10:-_FOOT])
    blocks += (_END, _TAIL.pack(crc, size & 0xFFFFFFFF))
    return b"".join(blocks)


def together(packed: Sequence[bytes]) -> bytes:
    """As ``join``, with what is small packed anew, together with its neighbours: a tile of forty layers of a
    few features each would hardly be smaller than its plain bytes."""
    parts: list[bytes] = []
    small: list[bytes] = []
    for one in packed:
        if _TAIL.unpack(one[-_TAIL.size :])[1] < SMALL:
            small.append(one)
            continue
        parts += _packed_anew(small)
        small = []
        parts.append(one)
    parts += _packed_anew(small)
    return join(parts)


def _packed_anew(small: Sequence[bytes]) -> Sequence[bytes]:
    return small if len(small) < 2 else [pack(b"".join(map(unpack, small)))]


def unpack(packed: bytes) -> bytes:
    """The plain bytes. Raises ValueError when they are not gzip, or damaged."""
    try:
        return bytes(zlib_ng.decompress(packed, 31))
    except (zlib_ng.error, EOFError) as error:  # type: ignore[misc]  # it is an exception; the stub is wrong
        raise ValueError("the packed bytes are damaged") from error


def checksum(packed: bytes) -> bytes:
    """Checksum and size of the plain bytes (8 bytes), without unpacking: the same for the same tile,
    however it was packed."""
    return packed[-_TAIL.size :]
