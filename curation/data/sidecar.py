"""Files of columns that lie beside a shard's documents: same rows, same order.

A sidecar is a Parquet file. Its footer holds the *record*, canonical JSON that says what the file is; equal tables and
an equal record give equal bytes. It appears under its final name when it is complete, record included.
"""

import contextlib
import json
import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from curation.core.errors import ShardError
from curation.core.fingerprint import canonical_json
from curation.data import storage
from curation.data.explaining import explaining

FORMAT = 1
"""The version of everything in a run directory. Newer ones are refused, older ones can be read."""

NULLABLE = {pa.int64(): pd.Int64Dtype(), pa.float64(): pd.Float64Dtype(), pa.bool_(): pd.BooleanDtype()}
"""How carried columns are held in a frame of pandas: what is missing stays missing, and whole numbers whole."""

Record = dict[str, Any]
Report = Callable[[str], object]

_KEY = b"curation"
_BUFFER_BYTES = 1 << 20
_BATCH_ROWS = 1 << 16
_END_BYTES = 1 << 16  # holds almost every footer
_warn = logging.getLogger("curation").warning


class SidecarWriter:
    """Streams tables into one sidecar, one row group each, inside a ``with`` block.

    `finish` gives it its record; the end of the block commits it. A block that raises leaves nothing behind. Raises
    ShardError when the file cannot be written, pyarrow's ValueError when columns do not fit the schema.
    """

    def __init__(self, url: str, schema: pa.Schema) -> None:
        self._url = url
        self._schema = schema
        self._finished = False

    def __enter__(self) -> Self:
        self._stack = contextlib.ExitStack()
        file = self._stack.enter_context(storage.committed(self._url))
        strings = [field.name for field in self._schema if pa.types.is_string(field.type)]
        repeating = [name for name in strings if name not in {"id", "text"}]
        rising = {"position": "DELTA_BINARY_PACKED"} if "position" in self._schema.names else None
        with explaining(self._url, "written"):
            self._writer = pq.ParquetWriter(
                file, self._schema, compression="zstd", use_dictionary=repeating, column_encoding=rising
            )
        return self

    def write(self, columns: pa.Table | pd.DataFrame | Mapping[str, Any]) -> None:
        """Append rows: a table, a frame or arrays by name. Columns that the schema does not name are left out."""
        arrays = [_array(columns[field.name], field) for field in self._schema]
        table = pa.Table.from_arrays(arrays, schema=self._schema)
        if not table.num_rows:
            return
        with explaining(self._url, "written"):
            self._writer.write_table(table, row_group_size=table.num_rows)

    def finish(self, record: Mapping[str, Any]) -> None:
        """Say what the file is. `record` holds JSON values, and nothing that varies from run to run."""
        self._writer.add_key_value_metadata({_KEY: canonical_json({**record, "format": FORMAT})})
        with explaining(self._url, "written"):
            self._writer.close()
        self._finished = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        if not self._finished:
            error = error or RuntimeError(f"{self._url}: the block ended before finish(record) was called.")
            with contextlib.suppress(OSError, pa.ArrowException):  # the file is given up: only its handle must go
                self._writer.close()
        self._stack.__exit__(type(error) if error else None, error, trace)
        if error and not kind:
            raise error
        return None


def read_record(url: str, report: Report = _warn) -> Record | None:
    """What a sidecar's footer says about it; None when there is no such file.

    A damaged file counts as absent, and `report` is called with a sentence about it. Raises ShardError when the file
    is of a newer format or the disk fails.
    """
    if (end := _end(url)) is None:
        return None
    try:
        return _record(pq.read_metadata(pa.BufferReader(end)), url)
    except (ValueError, OSError, pa.ArrowException) as error:
        report(f"{url}: is damaged and counts as absent: {error}")
        return None


def _end(url: str) -> bytes | None:
    """The end of a Parquet file, which holds its footer."""
    end = storage.read_end(url, _END_BYTES)
    if end is None or len(end) < _END_BYTES:
        return end
    footer_bytes = int.from_bytes(end[-8:-4], "little") + 8
    return end if footer_bytes <= len(end) else storage.read_end(url, footer_bytes)


def read_schema(url: str) -> pa.Schema:
    """The columns of a sidecar. Raises ShardError as `iter_columns`."""
    with storage.opened(url) as handle, _called_damaged(url):
        return pq.read_schema(handle)


def read_columns(url: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Columns of a whole sidecar, all by default. Raises ShardError as `iter_columns`."""
    tables = list(iter_columns(url, columns))
    return pa.concat_tables(tables)


def read_first(url: str, num_rows: int) -> pa.Table:
    """The first rows of a sidecar, `num_rows` if it has so many; the rest is not read.

    Raises ShardError as `iter_columns`.
    """
    with storage.opened(url) as handle, _called_damaged(url):
        file = pq.ParquetFile(handle, pre_buffer=False, buffer_size=_BUFFER_BYTES)
        _record(file.metadata, url)
        batches: list[pa.RecordBatch] = []
        for batch in file.iter_batches(min(num_rows, _BATCH_ROWS), use_threads=False):
            batches.append(batch)
            if sum(each.num_rows for each in batches) >= num_rows:
                break
        return pa.Table.from_batches(batches, file.schema_arrow).slice(0, num_rows)


def iter_columns(url: str, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Columns of a sidecar, a row group at a time; one empty table when it has no rows.

    Raises ShardError when it is missing, damaged, of a newer format or lacks a column.
    """
    with storage.opened(url) as handle, _called_damaged(url):
        file = pq.ParquetFile(handle, pre_buffer=False, buffer_size=_BUFFER_BYTES)
        _record(file.metadata, url)
        names = file.schema_arrow.names if columns is None else list(columns)
        if missing := [name for name in names if name not in file.schema_arrow.names]:
            raise ShardError(f"{url}: lacks the columns {missing}; it has {file.schema_arrow.names}.")
        for group in range(file.num_row_groups):
            yield file.read_row_group(group, columns=names, use_threads=False)  # few columns: threads cost more
        if not file.num_row_groups:
            yield file.read(columns=names)


@contextlib.contextmanager
def _called_damaged(url: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, OSError, pa.ArrowException) as error:
        if getattr(error, "errno", None):
            raise
        raise ShardError(f"{url}: is damaged: {error}. Remove it and start the same command again.") from error


def _record(footer: pq.FileMetaData, url: str) -> Record:
    """The record in a footer. Raises ValueError when it holds none, ShardError when it is of a newer format."""
    record = json.loads((footer.metadata or {}).get(_KEY, b"null"), object_pairs_hook=_interned)
    if not isinstance(record, dict) or not isinstance(record.get("format"), int):
        raise ValueError("its footer holds no record of this package")  # noqa: TRY004 - the file is wrong, not a caller
    if record["format"] > FORMAT:
        raise ShardError(
            f"{url}: is of format {record['format']}, and this version of curation reads formats up to {FORMAT}. "
            "Use the version that wrote it, or a newer one."
        )
    return record


def _interned(pairs: list[tuple[str, Any]]) -> Record:
    """A JSON object that shares its strings with others: a run holds the records of all its shards at once."""
    return {sys.intern(key): sys.intern(value) if isinstance(value, str) else value for key, value in pairs}


def _array(values: Any, field: pa.Field) -> pa.Array | pa.ChunkedArray:
    """One column in the type of the schema; a missing value, NaN too, becomes null."""
    is_arrow = isinstance(values, pa.Array | pa.ChunkedArray)
    array = values.cast(field.type) if is_arrow else pa.array(values, field.type, from_pandas=True)
    if array.null_count and not field.nullable:
        raise ValueError(f"the column {field.name!r} has {array.null_count} missing values and may have none.")
    return array
