"""Rows of PostgreSQL's binary COPY, found in their bytes without a loop over them.

A row is its number of fields (int16) and, for each, its length (int32; -1 for null) and its bytes, all of it
big endian. Format: PostgreSQL documentation, "COPY", "Binary Format".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

#: Days and microseconds from 1970-01-01 to PostgreSQL's epoch, 2000-01-01.
EPOCH_DAYS: Final = 10_957
EPOCH_MICROSECONDS: Final = EPOCH_DAYS * 86_400_000_000

#: Bytes that may be read after the last row: fields are copied in pieces of eight.
SLACK: Final = 16


def at_any_byte(data: Bytes, kind: str) -> npt.NDArray[Any]:
    """``data`` as values of a type that may begin at each byte: indexed by byte, not by value."""
    width = np.dtype(kind).itemsize
    return np.ndarray((max(0, len(data) - width + 1),), kind, data.data, strides=(1,))


@dataclass(frozen=True)
class Rows:
    """Some rows: where each field stands in ``data`` and how long it is (-1: null); a line for each field."""

    data: Bytes
    at: Ints
    length: Ints

    @property
    def count(self) -> int:
        """How many rows there are."""
        return int(self.at.shape[1])

    def values(self, field: int, kind: str) -> npt.NDArray[Any]:
        """A field of fixed width in the machine's byte order. What stands for null is not told."""
        found: npt.NDArray[Any] = at_any_byte(self.data, kind)[self.at[field]]
        return found

    def missing(self, field: int) -> npt.NDArray[np.bool_]:
        """Where a field is null."""
        found: npt.NDArray[np.bool_] = self.length[field] < 0
        return found


def rows_of(lengths: npt.NDArray[np.uint32], body: bytes | bytearray | memoryview, fields: int) -> Rows:
    """The rows in ``body``, each as long as ``lengths`` says. Raises ValueError where they are not."""
    data = np.zeros(len(body) + SLACK, np.uint8)
    data[: len(body)] = np.frombuffer(body, np.uint8)
    ends = np.cumsum(lengths, dtype=np.int64)
    if len(body) != (ends[-1] if len(ends) else 0):
        raise ValueError("rows are cut off")
    starts = ends - lengths
    long = at_any_byte(data, ">i4")
    if (at_any_byte(data, ">i2")[starts] != fields).any():
        raise ValueError("rows have other fields than was said")
    at = np.empty((fields, len(lengths)), np.int64)
    length = np.empty_like(at)
    here = starts + 2
    for n in range(fields):
        at[n] = here + 4
        length[n] = long[here]
        here = at[n] + np.maximum(length[n], 0)
    if (here != ends).any():
        raise ValueError("fields do not fill their rows")
    return Rows(data, at, length)


def texts(rows: Rows, field: int) -> list[bytes | None]:
    """The bytes of a field of any width."""
    whole = rows.data.tobytes()
    return [
        None if length < 0 else whole[at : at + length]
        for at, length in zip(rows.at[field].tolist(), rows.length[field].tolist(), strict=True)
    ]


def days(rows: Rows, field: int) -> npt.NDArray[np.int64]:
    """A date's days since 1970-01-01."""
    return rows.values(field, ">i4").astype(np.int64) + EPOCH_DAYS


def microseconds(rows: Rows, field: int) -> npt.NDArray[np.int64]:
    """A moment's microseconds since 1970-01-01, UTC."""
    return rows.values(field, ">i8").astype(np.int64) + EPOCH_MICROSECONDS
