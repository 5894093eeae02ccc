"""Parquet: footers, the columns that are needed, and their rows as a stream of bounded memory."""

import codecs
import contextlib
import math
from collections.abc import Iterator
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash
from pyarrow import types

from curation.core.errors import ShardError
from curation.data import storage
from curation.data.inputs import CARRY_TYPES, InputSpec
from curation.data.rows import Carried, Quarantined, Row, fits_int64

_BATCH_ROWS = 16  # so few because all of a batch is in memory, and its documents may be long; more is hardly faster
_BUFFER_BYTES = 1 << 20  # pages are read as they come; without it a whole column chunk is fetched first
_PIECE_BYTES = 1 << 20  # a str can take four times as much memory as its UTF-8
_MAGIC = b"PAR1"
_TAIL_BYTES = 8


@contextlib.contextmanager
def opened(url: str, **reading: int) -> Iterator[tuple[pq.ParquetFile, str]]:
    """A Parquet file whose columns are streamed, and the xxh3 of its footer. For `reading` see `storage.opened`.

    Raises ShardError when the file cannot be opened, or has no footer that can be read.
    """
    with storage.opened(url, **reading) as file:
        digest = footer_hash(file, url)
        try:
            parquet = pq.ParquetFile(file, pre_buffer=False, buffer_size=_BUFFER_BYTES, page_checksum_verification=True)
        except (pa.ArrowException, ValueError, OSError) as error:
            raise ShardError(f"{url}: its Parquet footer cannot be read: {error}. Replace the file.") from error
        counts = [parquet.metadata.row_group(group).num_rows for group in range(parquet.num_row_groups)]
        if min(counts, default=0) < 0 or sum(counts) != parquet.metadata.num_rows:
            raise ShardError(
                f"{url}: its Parquet footer contradicts itself about the number of rows. Replace the file."
            )
        yield parquet, digest


def footer_hash(file: BinaryIO, url: str) -> str:
    """The xxh3 of a file's footer, 32 hexadecimal digits. Raises ShardError when there is none."""
    size = file.seek(0, 2)
    file.seek(max(size - _TAIL_BYTES, 0))
    tail = file.read(_TAIL_BYTES)
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] != _MAGIC or length + _TAIL_BYTES > size:
        raise ShardError(f"{url}: has no Parquet footer; the file is cut short or something else. Replace it.")
    file.seek(size - _TAIL_BYTES - length)
    digest = xxhash.xxh3_128_hexdigest(file.read(length))
    file.seek(0)
    return digest


def mistakes(schema: pa.Schema, spec: InputSpec) -> list[str]:
    """What keeps a file of this schema from being read as `spec` asks."""
    found = []
    for name in spec.columns:
        if (count := schema.names.count(name)) != 1:
            hint = ' (write id_column = "" where there are no ids)' if name == spec.id_column else ""
            has = f"{count} times" if count else f"only {', '.join(schema.names)}"
            found.append(f"the column {name!r} is needed once, and the file has {has}{hint}.")
    present = [name for name in spec.columns if schema.names.count(name) == 1]
    kind = schema.field(spec.text_column).type if spec.text_column in present else pa.string()
    if not is_text(kind) and not types.is_null(kind):  # without a type when no row of the file has a value
        found.append(f"the text column {spec.text_column!r} holds {kind}, not strings; name the column of the text.")
    for name in spec.carried:
        kind = schema.field(name).type if name in present else pa.null()
        actual = carried_type(kind)
        if actual == spec.carried[name] or types.is_null(kind) or (actual, spec.carried[name]) == ("int64", "float64"):
            continue
        right = f'write "{name}:{actual}"' if actual else f"what can be carried is {', '.join(CARRY_TYPES)}"
        found.append(f"the carried column {name!r} holds {kind}, not {spec.carried[name]}; {right}.")
    return found


class RowGroups:
    """The rows of consecutive row groups, by their ordinal in the file; `groups` None means all."""

    def __init__(self, url: str, groups: range | None, start: int, stop: int, spec: InputSpec) -> None:
        self._url, self._groups, self._start, self._stop, self._spec = url, groups, start, stop, spec
        self.num_read = 0
        self.fingerprint = ""
        self.place = "at its footer"

    def rows(self) -> Iterator[Row | Quarantined]:
        """Every row, in order. Raises ShardError when the file is no longer the one that was split into shards."""
        with opened(self._url) as (file, self.fingerprint):
            self._check(file)
            position = self._start
            for group in range(file.num_row_groups) if self._groups is None else self._groups:
                self.place = f"after row {position}"
                self.num_read += file.metadata.row_group(group).num_rows
                for batch in file.iter_batches(_BATCH_ROWS, [group], list(self._spec.columns), use_threads=False):
                    yield from _rows(batch, position, self._spec)
                    position += batch.num_rows
                    self.place = f"after row {position}"
            if position - self._start != self.num_read:
                raise ValueError(f"the footer promises {self.num_read} rows and {position - self._start} came")

    def _check(self, file: pq.ParquetFile) -> None:
        if found := mistakes(file.schema_arrow, self._spec):
            raise ShardError(f"{self._url}: {found[0]}")
        if self._groups is None:
            return
        no_longer_empty = not self._groups and file.metadata.num_rows > 0
        if no_longer_empty or row_range(file.metadata, self._groups) != (self._start, self._stop):
            raise ShardError(
                f"{self._url}: the rows {self._start} to {self._stop} are not whole row groups any more, "
                "so the file has changed since it was split into shards. "
                "Start the same command again to plan it anew."
            )


def row_range(footer: pq.FileMetaData, groups: range) -> tuple[int, int]:
    """The first row of consecutive row groups and the one after their last, by ordinal in the file."""
    ends = [0]
    for group in range(min(groups.stop, footer.num_row_groups)):
        ends.append(ends[-1] + footer.row_group(group).num_rows)
    return ends[min(groups.start, len(ends) - 1)], ends[-1]


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of this type can hold text: any kind of string or bytes, dictionaries of them too."""
    if types.is_dictionary(kind):
        kind = kind.value_type
    return any(
        check(kind)
        for check in (
            types.is_string,
            types.is_large_string,
            types.is_string_view,
            types.is_binary,
            types.is_large_binary,
            types.is_binary_view,
        )
    )


def carried_type(kind: pa.DataType) -> str | None:
    """As what a column of this type can be carried; None when it cannot."""
    if is_text(kind):
        return "string"
    if types.is_integer(kind):
        return "int64"
    if types.is_floating(kind):
        return "float64"
    return "bool" if types.is_boolean(kind) else None


def _rows(batch: pa.RecordBatch, start: int, spec: InputSpec) -> Iterator[Row | Quarantined]:
    texts = batch.column(spec.text_column).cast(pa.large_binary())
    ids = _ids(batch.column(spec.id_column)) if spec.id_column else [None] * batch.num_rows
    columns = [_carried(batch.column(name), kind) for name, kind in spec.carried.items()]
    carried = list(zip(*columns, strict=True)) if columns else [()] * batch.num_rows
    for place in range(batch.num_rows):
        buffer, position = texts[place].as_buffer(), start + place
        if buffer is None:
            yield Quarantined.of(position, "text is null")
            continue
        text = memoryview(buffer)  # not a copy: a batch may hold long documents
        try:
            num_chars, blank = _measured(text)
        except UnicodeDecodeError:
            yield Quarantined.of(position, "bad UTF-8 in the text", text)
            continue
        yield Row(position, ids[place], text, num_chars, blank, carried[place])


def _measured(utf8: memoryview) -> tuple[int, bool]:
    """How many characters a text has, and whether it is blank. Raises UnicodeDecodeError; decodes piece by piece."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    num_chars, blank = 0, True
    for begin in range(0, len(utf8), _PIECE_BYTES):
        end = begin + _PIECE_BYTES
        piece = decoder.decode(utf8[begin:end], final=end >= len(utf8))
        num_chars += len(piece)
        blank = blank and (not piece or piece.isspace())
    return num_chars, blank


def _ids(array: pa.Array) -> list[str | None]:
    """Strings and integers as strings; None for what identifies nothing."""
    if is_text(array.type):
        return [_decoded(value) or None for value in array.cast(pa.large_binary()).to_pylist()]
    if types.is_integer(array.type):
        return [None if value is None else str(value) for value in array.to_pylist()]
    return [None] * len(array)


def _carried(array: pa.Array, kind: str) -> list[tuple[Carried, bool]]:
    """Each value, None for a missing one; and whether it cannot be carried, which makes it None too."""
    if kind == "float64" and types.is_integer(array.type):
        return [(None if value is None else float(value), False) for value in array.to_pylist()]
    if is_text(array.type):
        raw = array.cast(pa.large_binary()).to_pylist()
        values = [_decoded(value) for value in raw]
        return [(value, value is None and utf8 is not None) for value, utf8 in zip(values, raw, strict=True)]
    values = array.to_pylist()
    if types.is_integer(array.type):
        return [(None, True) if value is not None and not fits_int64(value) else (value, False) for value in values]
    return [(None, False) if value is None or math.isnan(value) else (value, False) for value in values]


def _decoded(utf8: bytes | None) -> str | None:
    """A string; None where there is none, or bytes that are not UTF-8."""
    try:
        return None if utf8 is None else utf8.decode()
    except UnicodeDecodeError:
        return None
