"""A shard as a stream of partitions, in memory bounded by the largest of them, with every row accounted for."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curation.core import frames
from curation.core.errors import CurationError, ShardError
from curation.data.inputs import InputSpec
from curation.data.jsonl import CompressedLines, Lines
from curation.data.parquet import RowGroups
from curation.data.rows import Carried, Quarantined, Row
from curation.data.shards import Shard
from curation.data.sidecar import NULLABLE

_ARROW = {"string": pa.large_string(), "int64": pa.int64(), "float64": pa.float64(), "bool": pa.bool_()}
_EXAMPLES = {"string": "a", "int64": 1, "float64": 0.5, "bool": True}


@dataclass(frozen=True)
class Partition:
    """Rows of a shard that are in memory together: about `partition_bytes` of text, or one longer document.

    `frame` has the columns position, id, text, n_bytes, n_chars, state ("ok", "blank", "not_selected") and the carried
    ones (nullable), for the rows that could be read; `quarantined` has the others.
    """

    frame: pd.DataFrame
    quarantined: tuple[Quarantined, ...]


@dataclass
class Counts:
    """Rows of a shard. `read` is counted in the file, before anything is made of a row.

    `made_ids`: rows without an id that could be used. `carry_nulls`: carried values of a wrong type.
    """

    read: int = 0
    ok: int = 0
    blank: int = 0
    not_selected: int = 0
    quarantined: int = 0
    made_ids: int = 0
    carry_nulls: int = 0


class Reader:
    """Iterates over the partitions of a shard; what they are follows from the shard and the spec alone.

    After the last one, `counts` and `fingerprint` (of the content that was read) are complete. Raises ShardError,
    which says about where, when the file cannot be read to its end.
    """

    def __init__(self, shard: Shard, spec: InputSpec) -> None:
        self._shard, self._spec = shard, spec
        self.counts = Counts()
        self.fingerprint = ""

    def __iter__(self) -> Iterator[Partition]:
        self.counts = Counts()
        source = _source(self._shard, self._spec)
        try:
            for gathered in _gathered(source.rows(), self._spec):
                yield self._counted(gathered)
        except CurationError:
            raise
        except Exception as error:
            raise ShardError(
                f"{self._shard.url}: reading stopped {source.place}: {error}. "
                "Repair or replace the file, then start the same command again."
            ) from error
        self.counts.read = source.num_read
        self.fingerprint = source.fingerprint

    def _counted(self, gathered: "_Gathered") -> Partition:
        """The partition of gathered rows, after counting them."""
        partition, counts = gathered.partition(self._shard.relative), self.counts
        states = Counter(partition.frame["state"].tolist())
        counts.ok += states["ok"]
        counts.blank += states["blank"]
        counts.not_selected += states["not_selected"]
        counts.quarantined += len(gathered.quarantined)
        counts.made_ids += gathered.ids.count(None)
        counts.carry_nulls += gathered.num_wrong
        return partition


def read(shard: Shard, spec: InputSpec) -> Reader:
    """The partitions of a shard, to be iterated over."""
    return Reader(shard, spec)


def documents_at(shard: Shard, spec: InputSpec, positions: NDArray[np.int64], fingerprint: str) -> pd.DataFrame:
    """The rows of a shard at these positions, in the order of the shard, with the columns of a partition.

    The shard is read to its end. Raises ShardError when it is not the one of this fingerprint any more.
    """
    reader = read(shard, spec)
    found = [part.frame[part.frame["position"].isin(positions)] for part in reader]
    if reader.fingerprint != fingerprint:
        raise ShardError(f"{shard.url}: has changed since it was scored; run again to score this shard anew.")
    return pd.concat(found, ignore_index=True)


def where_mistakes(spec: InputSpec) -> list[str]:
    """What is wrong with `where`, found on one row of values of the types that `carry` says.

    Where a type is wrong itself, the column is a string here, and only what cannot be parsed is reported.
    """
    if not spec.where or not spec.carry:
        return []
    kinds = {name: kind if kind in _EXAMPLES else "string" for name, kind in spec.carried.items()}
    arrays = {name: pa.array([_EXAMPLES[kind]], _ARROW[kind]) for name, kind in kinds.items()}
    try:
        frames.where(pa.table(arrays).to_pandas(types_mapper=NULLABLE.get), spec.where)
    except Exception as error:  # noqa: BLE001 - an expression can fail in any way
        if kinds == spec.carried or isinstance(error, SyntaxError):
            columns = ", ".join(f"{name}:{kind}" for name, kind in spec.carried.items())
            return [f"[input] where: {spec.where!r} cannot be evaluated over the carried columns {columns}: {error}."]
    return []


def _source(shard: Shard, spec: InputSpec) -> RowGroups | Lines | CompressedLines:
    if shard.format == "parquet":
        groups = range(shard.first_group, shard.stop_group) if shard.num_rows >= 0 else None
        return RowGroups(shard.url, groups, shard.start, shard.stop, spec)
    if shard.compression:
        return CompressedLines(shard.url, shard.compression, spec)
    return Lines(shard.url, shard.start, shard.stop, spec)


class _Gathered:
    """Rows of one partition, column by column; their text in one buffer, which the frame takes over without a copy."""

    def __init__(self, spec: InputSpec) -> None:
        self._spec = spec
        self._positions: list[int] = []
        self._text = bytearray()
        self._alone: bytes | memoryview = b""
        self._ends = [0]
        self._num_chars: list[int] = []
        self._blank: list[bool] = []
        self._carried: list[list[Carried]] = [[] for _ in spec.carried]
        self.ids: list[str | None] = []
        self.num_wrong = 0
        self.num_bytes = 0
        self.quarantined: list[Quarantined] = []

    def add(self, row: Row | Quarantined) -> None:
        self.num_bytes += row.num_bytes
        if isinstance(row, Quarantined):
            self.quarantined.append(row)
            return
        self._positions.append(row.position)
        if row.num_bytes > self._spec.partition_bytes:
            self._alone = row.text  # nothing comes beside it, so it need not be copied
        else:
            self._text += row.text
        self._ends.append(self._ends[-1] + len(row.text))
        self._num_chars.append(row.num_chars)
        self._blank.append(row.blank)
        self.ids.append(row.id)
        for values, (value, is_wrong) in zip(self._carried, row.carried, strict=True):
            values.append(value)
            self.num_wrong += is_wrong

    def partition(self, relative: str) -> Partition:
        """What was gathered; `relative` names the file in the ids that are made."""
        count = len(self._positions)
        ids = [each or f"{relative}#{position}" for each, position in zip(self.ids, self._positions, strict=True)]
        ends, text = pa.array(self._ends, pa.int64()), pa.py_buffer(self._alone or self._text)
        known = {
            "position": pa.array(self._positions, pa.int64()),
            "id": pa.array(ids, pa.large_string()),
            "text": pa.LargeStringArray.from_buffers(count, ends.buffers()[1], text),
            "n_bytes": pc.subtract(ends[1:], ends[:-1]),
            "n_chars": pa.array(self._num_chars, pa.int64()),
        }
        columns = zip(self._spec.carried.items(), self._carried, strict=True)
        carried = {name: pa.array(values, _ARROW[kind]) for (name, kind), values in columns}
        values = pa.table(carried).to_pandas(types_mapper=NULLABLE.get, use_threads=False)
        selected = frames.where(values, self._spec.where) if self._spec.where else np.ones(count, dtype=bool)
        states = np.where(selected, np.where(self._blank, "blank", "ok"), "not_selected")
        frame: pd.DataFrame = pa.table(known | {"state": pa.array(states)}).to_pandas(use_threads=False)
        return Partition(frame.join(values) if carried else frame, tuple(self.quarantined))


def _gathered(rows: Iterable[Row | Quarantined], spec: InputSpec) -> Iterator[_Gathered]:
    """Rows in runs of at most `partition_bytes`; a larger one goes alone."""
    run = _Gathered(spec)
    for row in rows:
        if run.num_bytes and run.num_bytes + row.num_bytes > spec.partition_bytes:
            yield run
            run = _Gathered(spec)
        run.add(row)
    if run.num_bytes:
        yield run
