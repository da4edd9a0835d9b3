"""A tile as it is sent: gzip bytes and what identifies them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tiles import packing
from tiles.render import Rendered


@dataclass(frozen=True)
class Packed:
    """The gzip form of a tile, made by tiles.packing."""

    packed: bytes
    #: Layers of which the tile holds only the first features.
    truncated: tuple[str, ...] = ()
    #: A strong ETag of the plain bytes.
    etag: str = field(init=False)

    def __post_init__(self) -> None:
        # For nothing, and the same one whether a tile was rendered or comes out of an archive.
        object.__setattr__(self, "etag", f'"{packing.checksum(self.packed).hex()}"')

    @property
    def body(self) -> bytes:
        """The plain bytes."""
        return packing.unpack(self.packed)


def pack(rendered: Rendered, stored: Mapping[str, bytes], order: tuple[str, ...]) -> Packed | None:
    """A tile as it is sent, of layers that were rendered and of such whose packed bytes are stored; None when
    nothing is in it. ``order``: ids of all its layers."""
    parts = []
    for layer in order:
        if stored.get(layer):  # (empty: nothing of it is in the tile)
            parts.append(stored[layer])
        elif layer in rendered.layers:
            parts.append(packing.pack(rendered.layers[layer]))
    return Packed(packing.together(parts), rendered.truncated) if parts else None
