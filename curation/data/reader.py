"""A shard as a stream of partitions, in memory bounded by the largest of them, with every row accounted for."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from curation.core.errors import CurationError, ShardError
from curation.data.inputs import InputSpec
from curation.data.jsonl import CompressedLines, Lines
from curation.data.parquet import RowGroups
from curation.data.rows import Quarantined, Row
from curation.data.shards import Shard

_ARROW = {"string": pa.large_string(), "int64": pa.int64(), "float64": pa.float64(), "bool": pa.bool_()}
_NULLABLE = {pa.int64(): pd.Int64Dtype(), pa.float64(): pd.Float64Dtype(), pa.bool_(): pd.BooleanDtype()}


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
    """Iterates over the partitions of a shard, once; what they are follows from the shard and the spec alone.

    After the last one, `counts` and `fingerprint` (of the content that was read) are complete. Raises ShardError,
    which says about where, when the file cannot be read to its end.
    """

    def __init__(self, shard: Shard, spec: InputSpec) -> None:
        self._shard, self._spec = shard, spec
        self.counts = Counts()
        self.fingerprint = ""

    def __iter__(self) -> Iterator[Partition]:
        source = _source(self._shard, self._spec)
        try:
            for rows in _gathered(source.rows(), self._spec.partition_bytes):
                yield self._partition(rows)
        except CurationError:
            raise
        except Exception as error:
            raise ShardError(
                f"{self._shard.url}: reading stopped {source.place}: {error}. "
                "Repair or replace the file, then start the same command again."
            ) from error
        self.counts.read = source.num_read
        self.fingerprint = source.fingerprint

    def _partition(self, rows: list[Row | Quarantined]) -> Partition:
        """The rows as a frame; the list is emptied, so that no text is in memory twice."""
        quarantined = tuple(row for row in rows if isinstance(row, Quarantined))
        read = [row for row in rows if isinstance(row, Row)]
        rows.clear()
        counts = self.counts
        counts.quarantined += len(quarantined)
        counts.made_ids += sum(row.id is None for row in read)
        counts.carry_nulls += sum(row.num_wrong for row in read)
        frame = _frame(read, self._shard.relative, self._spec)
        states = frame["state"].value_counts()
        counts.ok += int(states.get("ok", 0))
        counts.blank += int(states.get("blank", 0))
        counts.not_selected += int(states.get("not_selected", 0))
        return Partition(frame, quarantined)


def read(shard: Shard, spec: InputSpec) -> Reader:
    """The partitions of a shard, to be iterated over once."""
    return Reader(shard, spec)


def where_mistakes(spec: InputSpec) -> list[str]:
    """What is wrong with `where`, found on a frame without rows."""
    if not spec.where or spec.mistakes():
        return []
    try:
        _frame([], "", spec)
    except Exception as error:  # noqa: BLE001 - an expression can fail in any way
        return [
            f"[input] where: {spec.where!r} cannot be evaluated over the carried columns {list(spec.carried)}: {error}."
        ]
    return []


def _source(shard: Shard, spec: InputSpec) -> RowGroups | Lines | CompressedLines:
    if shard.format == "parquet":
        groups = range(shard.first_group, shard.stop_group) if shard.num_rows >= 0 else None
        return RowGroups(shard.url, groups, shard.start, shard.stop, spec)
    if shard.compression:
        return CompressedLines(shard.url, shard.compression, spec)
    return Lines(shard.url, shard.start, shard.stop, spec)


def _gathered(rows: Iterable[Row | Quarantined], max_bytes: int) -> Iterator[list[Row | Quarantined]]:
    """Rows in runs of at most `max_bytes`; a larger one goes alone."""
    run: list[Row | Quarantined] = []
    total = 0
    for row in rows:
        if run and total + row.num_bytes > max_bytes:
            yield run
            run, total = [], 0
        run.append(row)
        total += row.num_bytes
    if run:
        yield run


def _frame(rows: list[Row], relative: str, spec: InputSpec) -> pd.DataFrame:
    """The frame of rows that could be read, with their state."""
    known = {
        "position": pa.array([row.position for row in rows], pa.int64()),
        "id": pa.array([row.id or f"{relative}#{row.position}" for row in rows], pa.large_string()),
        "text": pa.array([row.text for row in rows], pa.large_binary()).view(pa.large_string()),
        "n_bytes": pa.array([len(row.text) for row in rows], pa.int64()),
        "n_chars": pa.array([row.num_chars for row in rows], pa.int64()),
    }
    carried = {
        name: pa.array([row.carried[place] for row in rows], _ARROW[kind])
        for place, (name, kind) in enumerate(spec.carried.items())
    }
    frame: pd.DataFrame = pa.table(known).to_pandas()
    values = pa.table(carried).to_pandas(types_mapper=_NULLABLE.get)
    selected = _selected(values, spec.where) if spec.where else np.ones(len(rows), dtype=bool)
    read_states = np.where([row.blank for row in rows], "blank", "ok")
    frame["state"] = pd.Series(np.where(selected, read_states, "not_selected"), dtype="str")
    return frame.join(values) if carried else frame


def _selected(carried: pd.DataFrame, where: str) -> NDArray[np.bool_]:
    """Where an expression is true; what is missing is not. Raises whatever a wrong expression raises."""
    result: Any = carried.eval(where, engine="python", local_dict={}, global_dict={})
    if not isinstance(result, pd.Series) or result.dtype.name not in {"bool", "boolean"} or len(result) != len(carried):
        raise TypeError("it does not give true or false for each row")
    return result.to_numpy(dtype=bool, na_value=False)
