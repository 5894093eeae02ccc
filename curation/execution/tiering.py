"""The tiering task: score files → buckets, quality and tier of every row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from curation.calibration.description import Counts, Subject
from curation.calibration.thresholds import Thresholds
from curation.core import frames
from curation.core.errors import ShardError
from curation.core.fingerprint import fingerprint
from curation.core.frames import Library
from curation.core.stage import Pipeline
from curation.data.layout import Layout, columns_schema
from curation.data.shards import Shard
from curation.data.sidecar import NULLABLE, SidecarWriter, read_columns, read_record
from curation.execution.describing import count_tiers
from curation.execution.documents import write_documents
from curation.execution.spec import RunSpec, Scores
from curation.stages.tiering import TieringSpec, stages

SIZES = ("n_bytes", "n_chars", "n_tokens")
"""Columns of rows/ that a rule may read, beside the carried ones."""

_FIXED = ("position", "n_bytes", "n_tokens", "state")


@dataclass(frozen=True)
class Opinion:
    """What turns the scores of a run into tiers, and the identity of all that it depends on."""

    pipeline: Pipeline
    identity: str

    @classmethod
    def of(
        cls, tiering: TieringSpec, scores: Sequence[Scores], thresholds: Thresholds, carried: Sequence[str] = ()
    ) -> "Opinion":
        """The opinion that a tiering's settings, all scores and carried columns of a run, and thresholds make."""
        columns = [*SIZES, *carried, *(name for each in scores for name, _ in each.columns)]
        pipeline = stages(tiering, thresholds, {each.name: each.column for each in scores}, columns)
        used = {
            each.name: each.fingerprint for each in scores if any(name in pipeline.reads for name, _ in each.columns)
        }
        return cls(pipeline, fingerprint([used, thresholds.fingerprint(), tiering.identity()]))


Totals = Mapping[str, Mapping[str, int]]
"""Tier → documents, bytes and tokens."""


@dataclass(frozen=True)
class TierTask:
    """Tier one shard of the run directory `root` under the name `tiering`; of `documents`, copy its text too.

    With a `subject` what the tiers hold is counted for its description.
    """

    root: str
    tiering: str
    scores: tuple[Scores, ...]
    opinion: Opinion
    shard: Shard
    frame: Library = "pandas"
    documents: RunSpec | None = None
    subject: Subject | None = None


@dataclass(frozen=True)
class Tiered:
    """What the tiers of a shard hold, and its counts where they are wanted."""

    totals: Totals
    counts: Counts | None

    @staticmethod
    def joined(several: "Sequence[Tiered]") -> "list[Tiered]":
        """The same shards, with the counts of all in the first."""
        counts = [each.counts for each in several if each.counts]
        first = Counts.merged(counts) if counts else None
        return [replace(each, counts=None if place else first) for place, each in enumerate(several)]


def tier_shard(task: TierTask) -> Tiered:
    """Write the tiers of a shard, and its documents by tier if the run wants them; what they hold. Runs on a worker.

    What is there already and follows from the same scores and the same opinion stays as it is.
    """
    layout, name = Layout(task.root), task.shard.name
    rows = read_record(layout.rows(name))
    if rows is None:
        raise ShardError(f"{layout.rows(name)}: is missing; run again to score this shard.")
    about = {"kind": "tiers", "shard": name, "opinion": task.opinion.identity}
    about |= {key: rows[key] for key in ("input", "reading")}
    record = read_record(layout.tiers(task.tiering, name))
    read: tuple[pd.DataFrame, pd.DataFrame] | None = None
    if record is None or not about.items() <= record.items():
        read = _tiered(task)
        record = _write_tiers(task, read[1], about)
    if task.documents:
        write_documents(task.documents, task.shard, record)
    counts = count_tiers(task.subject, *(read or _read_tiered(task))) if task.subject else None
    return Tiered(record["tiers"], counts)


def _scored(task: TierTask) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What is known of every row of a shard, and the frame of all that the opinion reads."""
    layout, name = Layout(task.root), task.shard.name
    pipeline = task.opinion.pipeline
    scored = {column for each in task.scores for column, _ in each.columns}
    known = [column for column in pipeline.reads if column not in scored]
    table = read_columns(layout.rows(name), list(dict.fromkeys((*_FIXED, *known))))
    rows = table.select(_FIXED).to_pandas(use_threads=False)
    carried = table.select(known).to_pandas(types_mapper=NULLABLE.get, use_threads=False)
    return rows, pd.DataFrame({column: carried[column] for column in known} | _scores(task, rows["position"]))


def _tiered(task: TierTask) -> tuple[pd.DataFrame, pd.DataFrame]:
    """That frame, and the rows with the opinion about them."""
    rows, frame = _scored(task)
    pipeline = task.opinion.pipeline
    opinions = frames.on_host(pipeline(frames.of(task.frame, frame)))
    return frame, rows.join(opinions[list(pipeline.adds)])


def _read_tiered(task: TierTask) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The same, of tiers that are there."""
    rows, frame = _scored(task)
    columns = list(task.opinion.pipeline.adds)
    tiers = read_columns(Layout(task.root).tiers(task.tiering, task.shard.name), columns)
    return frame, rows.join(tiers.to_pandas(use_threads=False))


def _write_tiers(task: TierTask, tiered: pd.DataFrame, about: Mapping[str, Any]) -> dict[str, Any]:
    record = dict(about) | {"num_rows": len(tiered), "tiers": _totals(tiered)}
    url = Layout(task.root).tiers(task.tiering, task.shard.name)
    with SidecarWriter(url, columns_schema(task.opinion.pipeline.adds)) as writer:
        writer.write(tiered)
        writer.finish(record)
    return record


def _scores(task: TierTask, positions: "pd.Series[Any]") -> dict[str, Any]:
    """The score columns that the opinion reads. Raises ShardError unless they lie row for row beside the rows."""
    layout, name = Layout(task.root), task.shard.name
    columns = {}
    for each in task.scores:
        wanted = {column: kind for column, kind in each.columns if column in task.opinion.pipeline.reads}
        if not wanted:
            continue
        table = read_columns(layout.scores(each.folder, name), ["position", *wanted])
        if not np.array_equal(table["position"].to_numpy(), positions.to_numpy()):
            raise ShardError(f"{layout.scores(each.folder, name)}: its rows are not those of rows/; delete both files.")
        for column, kind in wanted.items():
            if kind == "str":
                columns[column] = table[column].to_pandas()
            else:
                columns[column] = table[column].to_numpy().astype(np.float32, copy=False)
    return columns


def _totals(tiered: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Documents, bytes and tokens of each tier; rows that were not selected are no documents of it."""
    selected = tiered[tiered["state"] != "not_selected"]
    places, tiers = pd.factorize(selected["tier"])  # a groupby would take more time than all else of a small shard
    totals = {key: np.zeros(len(tiers), np.int64) for key in ("documents", "bytes", "tokens")}
    np.add.at(totals["documents"], places, 1)
    np.add.at(totals["bytes"], places, selected["n_bytes"].to_numpy())
    np.add.at(totals["tokens"], places, selected["n_tokens"].to_numpy())
    return {str(tier): {key: int(total[place]) for key, total in totals.items()} for place, tier in enumerate(tiers)}
