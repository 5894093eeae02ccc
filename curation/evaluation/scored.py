"""Texts → scores.parquet: what classifiers say of labelled documents, scored by the code that workers use, and kept."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.core.classifier import Classifier
from curation.core.fingerprint import fingerprint_each
from curation.data.sidecar import SidecarWriter, read_columns, read_record
from curation.inference.replica import ScoringSpec, load_replica, schema_of

FILE_NAME = "scores.parquet"
_TEXTS_PER_SAVE = 512
_TYPES = {"float32": pa.float32(), "str": pa.string()}

Columns = dict[str, NDArray[Any]]


def score(
    path: Path,
    classifiers: Sequence[Classifier],
    ids: Sequence[str],
    texts: Sequence[str],
    *,
    spec: ScoringSpec,
    say: Callable[[str], None],
) -> Columns:
    """The columns of all classifiers, from the file `path` as far as it holds them.

    The file is rewritten after every 512 texts, so that a run that was killed goes on from there. Its record says of
    which texts it is, and of every classifier its fingerprint, its columns and how many texts it has scored: whatever
    it is called now, a classifier with an equal fingerprint scores nothing twice. Raises ModelError.
    """
    identity = fingerprint_each([list(pair) for pair in zip(ids, texts, strict=True)])
    columns, done = _held(path, classifiers, identity, len(texts))
    while waiting := [each for each in classifiers if done[each.name] < len(texts)]:
        start = min(done[each.name] for each in waiting)
        together = [each for each in waiting if done[each.name] == start]
        replica = load_replica(together, spec)
        names = ", ".join(each.name for each in together)
        until = min((done[each.name] for each in classifiers if done[each.name] > start), default=len(texts))
        for first in range(start, until, _TEXTS_PER_SAVE):
            last = min(first + _TEXTS_PER_SAVE, until)
            for name, values in replica(texts[first:last]).items():
                columns[name][first:last] = values
            done |= dict.fromkeys((each.name for each in together), last)
            _write(path, ids, columns, schema_of(classifiers), _record(identity, classifiers, done))
            say(f"{names}: {last:,} of {len(texts):,} documents scored")
    return columns


def _held(
    path: Path, classifiers: Sequence[Classifier], identity: str, num_texts: int
) -> tuple[Columns, dict[str, int]]:
    """Columns as far as the file has them, missing values elsewhere, and how many texts each classifier has done."""
    columns = {
        name: np.full(num_texts, None, object) if dtype == "str" else np.full(num_texts, np.nan, np.float32)
        for name, dtype in schema_of(classifiers).items()
    }
    record = read_record(str(path))
    if record is None or record.get("texts") != identity:
        return columns, dict.fromkeys((each.name for each in classifiers), 0)
    table = read_columns(str(path))
    held = {each["fingerprint"]: each for each in record["classifiers"]}
    done = {}
    for each in classifiers:
        there = held.get(each.fingerprint())
        done[each.name] = there["num_scored"] if there else 0
        for name, former in zip(each.columns, there["columns"] if there else (), strict=bool(there)):
            columns[name][:] = table[former].to_numpy()
    return columns, done


def _record(identity: str, classifiers: Sequence[Classifier], done: Mapping[str, int]) -> dict[str, Any]:
    each_done = [
        {"fingerprint": each.fingerprint(), "columns": list(each.columns), "num_scored": done[each.name]}
        for each in classifiers
    ]
    return {"texts": identity, "classifiers": each_done}


def _write(path: Path, ids: Sequence[str], columns: Columns, types: Mapping[str, str], record: Any) -> None:
    schema = pa.schema({"id": pa.string(), **{name: _TYPES[dtype] for name, dtype in types.items()}})
    with SidecarWriter(str(path), schema) as writer:
        writer.write({"id": list(ids), **columns})
        writer.finish(record)
