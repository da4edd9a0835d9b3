"""PMTiles archives: whatever is written is read back, here and by the format's own reader; what is damaged
is told."""

from __future__ import annotations

import gzip
import json
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pmtiles.reader import MmapSource, Reader, all_tiles
from pmtiles.tile import tileid_to_zxy, zxy_to_tileid

from tiles.archive import Archive
from tiles.archive_write import LEAF, Writer, clear_parts
from tiles.grid import Tile
from tiles.hilbert import tile_id, tile_of
from tiles.packing import checksum, join, pack, unpack
from tiles.pmtiles import ArchiveError

BOUNDS = (106.5, 10.5, 107.0, 11.0)
LOOSE = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def write(path: Path, tiles: dict[int, bytes], metadata: dict[str, Any] | None = None) -> Archive:
    with Writer(path) as writer:
        for number in sorted(tiles):
            writer.add(number, tiles[number])
        writer.finish(metadata or {}, BOUNDS, (0, 16))
    return Archive(path)


def at(archive: Archive, number: int) -> bytes | None:
    tile = tile_of(number)
    return archive.get(tile.z, tile.x, tile.y)


def content(archive: Archive) -> dict[int, bytes]:
    return {e.first + i: archive.read(e.offset, e.length) for e in archive.entries() for i in range(e.run)}


#: Few different bytes, so that tiles share them, and numbers that lie together as well as far apart.
TILES = st.dictionaries(
    st.one_of(st.integers(0, 40), st.integers(0, 1 << 33)),
    st.sampled_from([b"sea", b"land", b"town" * 50]),
    max_size=60,
)


@given(st.integers(0, 26).flatmap(lambda z: st.tuples(st.just(z), *[st.integers(0, (1 << z) - 1)] * 2)))
def test_numbers_are_those_of_the_format(place: tuple[int, int, int]) -> None:
    z, x, y = place
    number = tile_id(z, x, y)
    assert number == zxy_to_tileid(z, x, y)
    assert tile_of(number) == Tile(z, x, y)


@given(TILES)
@LOOSE
def test_what_is_written_is_read_back(tmp_path: Path, tiles: dict[int, bytes]) -> None:
    path = tmp_path / "a.pmtiles"
    with write(path, tiles, {"name": "Thành phố"}) as archive:
        assert {n: at(archive, n) for n in tiles} == tiles
        found = {
            e.first + i: archive.read(e.offset, e.length) for e in archive.entries() for i in range(e.run)
        }
        assert found == tiles
        assert archive.metadata == {"name": "Thành phố"}
        around = {n + d for n in tiles for d in (-1, 1)} | {0, 1 << 40} - set(tiles)
        assert all(at(archive, n) is None for n in around if n >= 0 and n not in tiles)
    if tiles:
        with path.open("rb") as file:
            theirs = {zxy_to_tileid(*zxy): data for zxy, data in all_tiles(MmapSource(file))}
        assert theirs == tiles
        assert sum(len(b) for b in set(tiles.values())) == archive.header.tiles.length, "each stored once"


def test_header_says_what_the_specification_wants(tmp_path: Path) -> None:
    """Facts by their byte, from the specification, not from our structure."""
    path = tmp_path / "a.pmtiles"
    write(path, {tile_id(1, 1, 0): b"x", tile_id(1, 1, 1): b"x", tile_id(16, 52190, 30801): b"yy"}).close()
    raw = path.read_bytes()
    assert raw[:8] == b"PMTiles\x03"
    offsets = struct.unpack("<8Q", raw[8:72])
    root, metadata, leaves, tiles = zip(offsets[::2], offsets[1::2], strict=True)
    assert root[0] == 127
    assert sum(root) <= 16384
    assert leaves[1] == 0
    assert raw[tiles[0] : sum(tiles)] == b"xyy"
    assert json.loads(gzip.decompress(raw[metadata[0] : sum(metadata)])) == {}
    # tiles with bytes, entries (the two of level 1 are not neighbours on the curve), different bytes
    assert struct.unpack("<3Q", raw[72:96]) == (3, 2, 2)
    assert tuple(raw[96:102]) == (1, 2, 2, 1, 0, 16), "clustered, gzip, gzip, MVT, zooms"
    assert struct.unpack("<4i", raw[102:118]) == (1065000000, 105000000, 1070000000, 110000000)
    assert sum(metadata) == len(raw) == 16384 + metadata[1] + leaves[1] + tiles[1], "as pmtiles verify counts"
    assert not list(tmp_path.glob(".*")), "nothing is left beside it"


def test_many_tiles_need_leaves_and_few_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tiles.archive.MOST_LEAVES", 2)
    first = tile_id(12, 0, 0)
    tiles = {first + 3 * i: struct.pack("<I", i) for i in range(5 * LEAF)}
    with write(tmp_path / "a.pmtiles", tiles) as archive:
        assert archive.header.leaves.length
        assert all(at(archive, n) == tiles[n] for n in list(tiles)[::97])
        assert all(at(archive, n + 1) is None for n in list(tiles)[::997])
        assert len(archive._leaves) == 2
        assert sum(1 for _ in archive.entries()) == len(tiles)
    with (tmp_path / "a.pmtiles").open("rb") as file:
        reader = Reader(MmapSource(file))
        assert all(reader.get(*tileid_to_zxy(n)) == tiles[n] for n in list(tiles)[::997])


@given(TILES, TILES, st.sets(st.integers(0, 40)))
@LOOSE
def test_parts_of_an_archive_are_taken_over(
    tmp_path: Path, old: dict[int, bytes], new: dict[int, bytes], gone: set[int]
) -> None:
    """A build of changed parts: tiles of ``new`` and ``gone`` are not those of the archive any more."""
    before = write(tmp_path / "a.pmtiles", old)
    new = {n: b"new " + data for n, data in new.items()}
    waiting = sorted(new)
    with Writer(tmp_path / "a.pmtiles") as writer:
        copying = writer.copying(before)
        for entry in before.entries():
            for number in range(entry.first, entry.first + entry.run):
                while waiting and waiting[0] <= number:
                    writer.add(waiting[0], new[waiting[0]])
                    waiting.pop(0)
                if number not in new and number not in gone:
                    copying.take(entry._replace(first=number, run=1))
        for number in waiting:
            writer.add(number, new[number])
        writer.finish({}, BOUNDS, (0, 16))
    wanted = {n: data for n, data in old.items() if n not in gone} | new
    with Archive(tmp_path / "a.pmtiles") as after:
        assert content(after) == wanted
    # who had the old one open goes on reading it
    assert {n: at(before, n) for n in old} == old
    before.close()


def test_a_build_that_ends_early_leaves_the_archive_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.pmtiles"
    write(path, {0: b"old"}).close()
    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt), Writer(path) as writer:
        writer.add(0, b"new")
        raise KeyboardInterrupt
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.pmtiles"]
    killed = tmp_path / ".a.pmtiles.4711.part"
    killed.write_bytes(b"half")
    clear_parts(tmp_path)
    assert not killed.exists()
    with pytest.raises(ValueError, match="order"), Writer(path) as writer:
        writer.add(5, b"x")
        writer.add(5, b"y")


def test_the_same_tiles_give_the_same_file(tmp_path: Path) -> None:
    tiles = {n: os.urandom(5) for n in range(0, 9000, 2)}
    one, other = tmp_path / "1", tmp_path / "2"
    write(one, tiles).close()
    write(other, tiles).close()
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda raw: b"", "not a PMTiles"),
        (lambda raw: b"SQLite format 3\0" + raw[16:], "not a PMTiles"),
        (lambda raw: raw[:7] + b"\x02" + raw[8:], "version 2"),
        (lambda raw: raw[:-1], "shorter"),
        (lambda raw: raw[:16384], "shorter"),
        (lambda raw: raw[:8] + struct.pack("<Q", 16380) + raw[16:], "root directory"),
        (lambda raw: raw[:16] + struct.pack("<Q", 0) + raw[24:], "root directory"),
        (lambda raw: raw[:16] + struct.pack("<Q", 30) + raw[24:], "damaged"),
        (lambda raw: raw[:127] + b"\0" * 40 + raw[167:], "damaged"),
        (lambda raw: raw[:98] + b"\3" + raw[99:], "gzip"),
        (lambda raw: raw[:99] + b"\2" + raw[100:], "vector tiles"),
        (lambda raw: raw[:97] + b"\4" + raw[98:], "packed"),
    ],
)
def test_what_is_not_an_archive_is_told(tmp_path: Path, damage: Any, says: str) -> None:
    path = tmp_path / "a.pmtiles"
    write(path, {n: str(n).encode() for n in range(50)}).close()
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ArchiveError, match=says):
        Archive(path)


def put_root(raw: bytes, numbers: list[int]) -> bytes:
    """The archive with another root directory of these numbers (below 128)."""
    root = gzip.compress(bytes(numbers))
    return raw[:16] + struct.pack("<Q", len(root)) + raw[24:127] + root + raw[127 + len(root) :]


@pytest.mark.parametrize(
    "numbers",
    [
        [],
        [0],
        [1, 0, 1, 1],
        [2, 1, 0, 1, 1, 1, 1, 1, 1],  # the same tile twice
        [2, 1, 1, 2, 1, 1, 1, 1, 1],  # a run into the next entry
        [1, 0, 1, 0, 1],  # no bytes
        [1, 0, 1, 1, 0],  # behind what?
        [1, 0, 1, 127, 100],  # beyond the tiles
        [1, 0, 0, 1, 1],  # a leaf, where there are none
        [1, 0, 1, 1, 255],  # a number without end
    ],
)
def test_a_directory_that_cannot_be_is_told(tmp_path: Path, numbers: list[int]) -> None:
    path = tmp_path / "a.pmtiles"
    write(path, {0: b"abc"}).close()
    path.write_bytes(put_root(path.read_bytes(), numbers))
    with pytest.raises(ArchiveError, match="damaged"):
        Archive(path)


def test_a_file_that_is_cut_short_while_it_is_open_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.pmtiles"
    archive = write(path, {0: b"a" * 1000, 1: b"b" * 1000})
    os.truncate(path, 16384 + 1500)
    assert at(archive, 0) == b"a" * 1000
    with pytest.raises(ArchiveError, match="short"):
        at(archive, 1)


@given(st.lists(st.binary(max_size=300).map(lambda b: b * 7), min_size=1, max_size=6))
def test_packed_layers_are_joined_without_packing_them_again(bodies: list[bytes]) -> None:
    packed = [pack(body) for body in bodies]
    joined = join(packed)
    whole = b"".join(bodies)
    assert gzip.decompress(joined) == zlib.decompress(joined, 31) == unpack(joined) == whole
    assert checksum(joined) == struct.pack("<II", zlib.crc32(whole), len(whole))
    assert unpack(join([joined, joined])) == whole * 2
    assert [pack(body) for body in bodies] == packed


def test_only_what_was_packed_here_is_joined() -> None:
    with pytest.raises(ValueError, match="joined"):
        join([pack(b"a"), gzip.compress(b"b", mtime=0)])
    with pytest.raises(ValueError, match="damaged"):
        unpack(pack(b"abc")[:-1])
