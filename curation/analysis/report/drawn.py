"""Documents drawn from a run: a few shards of it, the same ones every time, with what their sidecars say."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from curation.analysis.report.facts import Facts
from curation.core.errors import ShardError
from curation.data import storage
from curation.data.layout import classifier_folder, rows_schema, schema_of_columns
from curation.data.shards import Shard, read_shards
from curation.data.sidecar import read_first

MOST_DOCUMENTS, MOST_SHARDS = 200_000, 64
"""After so many, no further row is read, and no further shard is drawn."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """Documents of `shards`, of `num_shards` that have tiers; of the last of them maybe the beginning alone.

    `frame` has a row for each that was scored, labelled from 0 on: position, id, n_bytes, n_tokens, the carried columns
    and labels, scores, buckets, quality and tier. By these labels `places` says in which of `shards` it is, and
    `before_bytes` how much text is before it there. `columns` are those that are carried or labels, with their types.
    """

    frame: pd.DataFrame
    shards: tuple[Shard, ...]
    num_shards: int
    columns: Mapping[str, str]
    places: NDArray[np.int64]
    before_bytes: NDArray[np.int64]


def draw(facts: Facts) -> Drawn | None:
    """Shards in an order that follows from their names, until there are enough documents; None if there are none.

    Shards without tiers are passed over.
    """
    layout = facts.layout
    if not facts.described or not storage.exists(layout.shards):
        return None
    tiered = set(storage.list_files(storage.join(layout.tiering(facts.tiering), "tiers")))
    shards = [shard for shard in read_shards(layout.shards) if f"{shard.name}.parquet" in tiered]
    order = sorted(shards, key=lambda shard: hashlib.sha256(shard.name.encode()).digest())
    frames: list[pd.DataFrame] = []
    before: list[NDArray[np.int64]] = []
    drawn: list[Shard] = []
    columns: dict[str, str] = {}
    left = MOST_DOCUMENTS
    for shard in order[: 2 * MOST_SHARDS]:
        try:
            frame, found = _frame(facts, shard, left)
        except ShardError:
            continue
        left -= len(frame)
        columns |= found
        is_scored = (frame["state"] == "ok").to_numpy(bool)
        before.append((frame["n_bytes"].cumsum() - frame["n_bytes"]).to_numpy(np.int64)[is_scored])
        frames.append(frame[is_scored].drop(columns="state"))
        drawn.append(shard)
        if len(drawn) == MOST_SHARDS or left <= 0:
            break
    if not frames:
        return None
    places = np.repeat(np.arange(len(frames)), [len(each) for each in frames])
    joined = pd.concat(frames, ignore_index=True)
    return Drawn(joined, tuple(drawn), len(shards), columns, places, np.concatenate(before))


def _frame(facts: Facts, shard: Shard, most: int) -> tuple[pd.DataFrame, dict[str, str]]:
    """The first rows of a shard, and its carried columns and labels. Raises ShardError."""
    layout, name = facts.layout, shard.name
    rows, tiers = read_first(layout.rows(name), most), read_first(layout.tiers(facts.tiering, name), most)
    scores = list(_scores(facts, name, most))
    fixed = {*rows_schema({}).names, *tiers.column_names}
    columns = {column: kind for column, kind in schema_of_columns(rows.schema) if column not in fixed}
    parts = [rows.to_pandas(use_threads=False, integer_object_nulls=True).drop(columns="n_chars")]
    parts += [table.drop_columns("position").to_pandas(use_threads=False) for table in (tiers, *scores)]
    for table in scores:
        columns |= {column: kind for column, kind in schema_of_columns(table.schema) if kind == "str"}
    if len({len(part) for part in parts}) > 1:
        raise ShardError(f"{layout.rows(name)}: its sidecars are not of the same rows.")
    return pd.DataFrame({column: part[column] for part in parts for column in part}), columns


def _scores(facts: Facts, shard: str, most: int) -> Iterator[pa.Table]:
    """The scores of all classifiers of the run, and of this tiering, as far as they are there.

    Of two models of one name those of the one that was tiered.
    """
    known: list[Mapping[str, Any]] = [*facts.ended.get("models", ()), *facts.described["classifiers"]]
    for folder in {each["name"]: classifier_folder(each["name"], each["fingerprint"]) for each in known}.values():
        url = facts.layout.scores(folder, shard)
        if storage.exists(url):
            yield read_first(url, most)
