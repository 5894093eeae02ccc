"""One row of an input file, read or put in quarantine, whatever the file's format."""

from collections.abc import Sequence
from typing import NamedTuple, Self

MAX_RAW_BYTES = 16_384
"""What quarantine keeps of a row, at most."""

Carried = str | int | float | bool | None


class Row(NamedTuple):
    """A row that could be read.

    `text` is valid UTF-8; as bytes, because a str can take four times as much memory. `carried` holds each value (None
    for a missing one) and whether it was of a wrong type, which makes it None too.
    """

    position: int
    id: str | None
    text: bytes | memoryview
    num_chars: int
    blank: bool
    carried: Sequence[tuple[Carried, bool]]

    @property
    def num_bytes(self) -> int:
        """About what it takes in memory, in bytes."""
        strings = sum(len(value) for value, _ in self.carried if isinstance(value, str))
        return len(self.text) + len(self.id or "") + strings + _ROW_BYTES


class Quarantined(NamedTuple):
    """A row that could not be read. `reason` is one of few, with details after a colon; `raw` is its beginning."""

    position: int
    reason: str
    raw: bytes

    @classmethod
    def of(cls, position: int, reason: str, raw: bytes | bytearray | memoryview = b"") -> Self:
        """With as much of `raw` as quarantine keeps."""
        return cls(position, reason, bytes(raw[:MAX_RAW_BYTES]))

    @property
    def num_bytes(self) -> int:
        """About what it takes in memory, in bytes."""
        return len(self.raw) + _ROW_BYTES


_ROW_BYTES = 64
_INT64 = range(-(1 << 63), 1 << 63)


def fits_int64(value: int) -> bool:
    """Whether an integer can be carried."""
    return value in _INT64
