"""Documents drawn from a run: a few shards of it, the same ones every time, with what their sidecars say."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from curation.analysis.report.facts import Facts
from curation.core.errors import ShardError
from curation.data import storage
from curation.data.layout import Layout, classifier_folder, rows_schema, schema_of_columns
from curation.data.shards import Shard, read_shards
from curation.data.sidecar import read_columns, read_schema

MOST_DOCUMENTS, MOST_SHARDS = 200_000, 64
"""After so many, no further shard is drawn."""

_ROWS = ("position", "id", "n_bytes", "n_tokens", "state")


@dataclass(frozen=True, eq=False)
class Drawn:
    """The documents of `shards`, of `num_shards` in all.

    `frame` has a row for each that was scored: `shard` (its place in `shards`), position, id, n_bytes, n_tokens,
    `before_bytes` (of text before it in its shard), the carried columns and labels, scores, buckets, quality and tier.
    `columns` are the names of those that are carried or labels, with their types.
    """

    frame: pd.DataFrame
    shards: tuple[Shard, ...]
    num_shards: int
    columns: Mapping[str, str]


def draw(facts: Facts) -> Drawn | None:
    """Whole shards in an order that follows from their names, until there are enough documents; None if there are none.

    Shards without scores or tiers are passed over.
    """
    layout = facts.layout
    if not facts.described or not storage.exists(layout.shards):
        return None
    shards = read_shards(layout.shards)
    order = sorted(shards, key=lambda shard: hashlib.sha256(shard.name.encode()).digest())
    frames: list[pd.DataFrame] = []
    drawn: list[Shard] = []
    columns: dict[str, str] = {}
    for shard in order[: 2 * MOST_SHARDS]:
        try:
            frame, found = _frame(facts, shard)
        except ShardError:
            continue
        columns |= found
        frames.append(frame.assign(shard=len(drawn)))
        drawn.append(shard)
        if len(drawn) == MOST_SHARDS or sum(map(len, frames)) >= MOST_DOCUMENTS:
            break
    if not frames:
        return None
    return Drawn(pd.concat(frames, ignore_index=True), tuple(drawn), len(shards), columns)


def _frame(facts: Facts, shard: Shard) -> tuple[pd.DataFrame, dict[str, str]]:
    """The scored documents of a shard, and the carried columns and labels. Raises ShardError."""
    layout, name = facts.layout, shard.name
    carried = _carried(layout, name)
    table = read_columns(layout.rows(name), [*_ROWS, *carried])
    parts = [table.to_pandas(use_threads=False, integer_object_nulls=True)]
    parts.append(read_columns(layout.tiers(facts.tiering, name)).to_pandas(use_threads=False))
    columns = dict(carried)
    for url in _score_files(facts, name):
        kinds = dict(schema_of_columns(read_schema(url)))
        columns |= {column: kind for column, kind in kinds.items() if kind == "str"}
        parts.append(read_columns(url).to_pandas(use_threads=False))
    frame = pd.concat([parts[0], *(each.drop(columns="position") for each in parts[1:])], axis=1)
    if len({len(part) for part in parts}) > 1:
        raise ShardError(f"{layout.rows(name)}: its sidecars are not of the same rows.")
    before = frame["n_bytes"].cumsum() - frame["n_bytes"]
    return frame.assign(before_bytes=before)[frame["state"] == "ok"].drop(columns="state"), columns


def _carried(layout: Layout, shard: str) -> dict[str, str]:
    fixed = {"id", *rows_schema({}).names}
    return {name: kind for name, kind in schema_of_columns(read_schema(layout.rows(shard))) if name not in fixed}


def _score_files(facts: Facts, shard: str) -> Iterator[str]:
    """The scores of all classifiers of the run, and of this tiering, as far as they are there."""
    known: Sequence[Mapping[str, Any]] = [*facts.described["classifiers"], *facts.ended.get("models", ())]
    folders = dict.fromkeys(classifier_folder(each["name"], each["fingerprint"]) for each in known)
    for folder in folders:
        url = facts.layout.scores(folder, shard)
        if storage.exists(url):
            yield url
