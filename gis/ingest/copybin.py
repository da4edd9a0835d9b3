"""PostgreSQL's binary COPY format, made from Arrow columns without a loop over rows.

A field of a row is its length (int32, big endian; -1 for null) and its bytes. Arrow's
``binary_join_element_wise`` lays the pieces of all columns side by side in C++, and the data buffer of its
result is the body of the COPY. Format: PostgreSQL documentation, "COPY", "Binary Format".
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_NULL = b"\xff\xff\xff\xff"
#: Days and microseconds from 1970-01-01 to PostgreSQL's epoch, 2000-01-01.
_EPOCH_DAYS = 10_957
_EPOCH_MICROSECONDS = _EPOCH_DAYS * 86_400_000_000


def rows(columns: Sequence[pa.Array]) -> memoryview:
    """The body of a binary COPY for ``columns`` of equal length.

    Types: those of gis.ingest.arrow_types, and binary for EWKB. Raises TypeError for others.
    """
    pieces: list[pa.Array | pa.Scalar] = []
    constant = len(columns).to_bytes(2, "big")
    for column in columns:
        if column.null_count == len(column):
            constant += _NULL
            continue
        if _is_constant(column):
            constant += b"".join(piece[0].as_py() for piece in _field(column[:1]))
            continue
        if constant:
            pieces.append(pa.scalar(constant, pa.large_binary()))
            constant = b""
        pieces += _field(column)
    if constant:
        pieces.append(pa.scalar(constant, pa.large_binary()))
    if not any(isinstance(p, pa.Array) for p in pieces):
        return memoryview(b"".join(p.as_py() for p in pieces) * (len(columns[0]) if columns else 0))
    joined = pc.binary_join_element_wise(*pieces, pa.scalar(b"", pa.large_binary()))
    if isinstance(joined, pa.ChunkedArray):
        joined = joined.combine_chunks()
    first, last = np.frombuffer(joined.buffers()[1], np.int64)[[joined.offset, joined.offset + len(joined)]]
    return memoryview(joined.buffers()[2])[first:last]


def _is_constant(column: pa.Array) -> bool:
    """Has every row the same value? False also where it is dear to know.

    Owner, status and the load's number nearly always have; laid side by side, each would cost as much as any.
    """
    if column.null_count or len(column) < 2:
        return False
    if not (pa.types.is_string(column.type) or pa.types.is_binary(column.type)):
        values = column.to_numpy(zero_copy_only=False)
        return bool((values == values[0]).all())
    offsets = np.frombuffer(column.buffers()[1], np.int32)[column.offset : column.offset + len(column) + 1]
    width = int(offsets[1] - offsets[0])
    if (offsets[1:] - offsets[:-1] != width).any():
        return False
    data = np.frombuffer(column.buffers()[2] or b"", np.uint8)[offsets[0] : offsets[-1]]
    return bool((data[width:] == data[: len(data) - width]).all())


def _field(column: pa.Array) -> list[pa.Array]:
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        return _variable(column)
    if pa.types.is_int64(kind):
        values = column.fill_null(0).to_numpy(zero_copy_only=False).astype(">i8")
    elif pa.types.is_float64(kind):
        values = column.fill_null(0.0).to_numpy(zero_copy_only=False).astype(">f8")
    elif pa.types.is_boolean(kind):
        values = column.fill_null(False).to_numpy(zero_copy_only=False).astype("u1")
    elif pa.types.is_date32(kind):
        days = column.cast(pa.int32()).fill_null(0).to_numpy(zero_copy_only=False)
        values = (days - _EPOCH_DAYS).astype(">i4")
    elif pa.types.is_timestamp(kind):
        micros = column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).fill_null(0)
        values = (micros.to_numpy(zero_copy_only=False) - _EPOCH_MICROSECONDS).astype(">i8")
    else:
        raise TypeError(f"no binary form for {kind}")
    return [_fixed(values, column)]


def _fixed(values: npt.NDArray[np.generic], column: pa.Array) -> pa.Array:
    """Length and value of a type of fixed width."""
    width = values.dtype.itemsize
    record = np.empty(len(values), dtype=[("length", ">i4"), ("value", values.dtype)])
    record["length"], record["value"] = width, values
    if column.null_count == 0:
        offsets = np.arange(len(values) + 1, dtype=np.int64) * (4 + width)
        return _binary(offsets, record.tobytes())
    missing = np.asarray(column.is_null())
    raw = record.view(np.uint8).reshape(len(values), 4 + width).copy()
    raw[missing, :4] = 0xFF
    keep = np.ones(raw.shape, dtype=np.bool_)
    keep[missing, 4:] = False
    lengths = np.where(missing, 4, 4 + width)
    return _binary(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), raw[keep].tobytes())


def _variable(column: pa.Array) -> list[pa.Array]:
    """Length and bytes of a text or geometry, as two arrays."""
    lengths = pc.binary_length(column).fill_null(-1).to_numpy(zero_copy_only=False).astype(">i4")
    offsets = np.arange(len(column) + 1, dtype=np.int64) * 4
    body = (column.view(pa.binary()) if pa.types.is_string(column.type) else column).cast(pa.large_binary())
    if column.null_count:
        body = body.fill_null(b"")
    return [_binary(offsets, lengths.tobytes()), body]


def _binary(offsets: npt.NDArray[np.int64], data: bytes) -> pa.Array:
    return pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(offsets) - 1, [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    )
