"""Calibration on the workers: two passes over the score files, merged here, whatever the number of rows."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add, iadd
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from curation.calibration.histogram import Histogram, Refinement, bins_to_refine, coarse, fine
from curation.calibration.thresholds import ClassifierThresholds
from curation.core.errors import ShardError
from curation.data.layout import Layout
from curation.data.sidecar import read_columns
from curation.execution.spec import Scores
from curation.execution.window import run_window
from curation.stages.tiering import TieringSpec

if TYPE_CHECKING:
    from distributed import Client

Part = TypeVar("Part", Histogram, Refinement)

_SHARDS_PER_TASK = 200
_ROWS_AT_ONCE = 1 << 17


@dataclass(frozen=True)
class PassTask:
    """One pass over the scores that one classifier gave some shards; the second pass names the bins to refine."""

    root: str
    scores: Scores
    weight_column: str
    shards: tuple[str, ...]
    bins: tuple[int, ...] = ()


def calibrate(
    client: "Client", root: str, tiering: TieringSpec, scores: Scores, shards: Sequence[str]
) -> ClassifierThresholds:
    """The exact thresholds of one classifier over all rows of these shards, by the weights that the tiering names.

    Raises ShardError when a score file cannot be read, CalibrationError when no row has both a score and a weight.
    """
    groups = [tuple(shards[start : start + _SHARDS_PER_TASK]) for start in range(0, len(shards), _SHARDS_PER_TASK)]
    tasks = [PassTask(root, scores, tiering.weight_column, group) for group in groups]
    histogram = _merged(client, first_pass, tasks)
    bins = bins_to_refine(scores.name, histogram)
    refinement = _merged(client, second_pass, [replace(task, bins=bins) for task in tasks])
    return ClassifierThresholds.of(scores.name, scores.fingerprint, tiering.weights, histogram, refinement)


def first_pass(task: PassTask) -> Histogram:
    """The coarse histogram of some shards. Runs on a worker."""
    return reduce(add, (coarse(*rows) for rows in _weighted_scores(task)), Histogram.empty())


def second_pass(task: PassTask) -> Refinement:
    """The refinement of some shards. Runs on a worker."""
    return reduce(iadd, (fine(*rows, task.bins) for rows in _weighted_scores(task)), Refinement.empty(task.bins))


def _merged(client: "Client", function: Callable[[PassTask], Part], tasks: Sequence[PassTask]) -> Part:
    total: Part | None = None
    for outcome in run_window(client, function, tasks):
        if outcome.result is None:
            raise ShardError(f"Calibration cannot read the scores: {outcome.error}")
        total = outcome.result if total is None else total + outcome.result
    if total is None:
        raise ShardError("Calibration was given no shards.")
    return total


def _weighted_scores(task: PassTask) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Scores and weights of the shards, small ones together: a histogram of few rows costs as much as one of many."""
    layout, column = Layout(task.root), task.scores.column
    scores: list[NDArray[Any]] = []
    weights: list[NDArray[Any]] = []
    for name in task.shards:
        found = read_columns(layout.scores(task.scores.folder, name), [column])[column].to_numpy()
        scores.append(found.astype(np.float32, copy=False))
        weights.append(_weights(layout.rows(name), task.weight_column, len(found)))
        if sum(map(len, scores)) >= _ROWS_AT_ONCE:
            yield np.concatenate(scores), np.concatenate(weights)
            scores, weights = [], []
    if scores:
        yield np.concatenate(scores), np.concatenate(weights)


def _weights(rows: str, column: str, num_rows: int) -> NDArray[Any]:
    if not column:
        return np.ones(num_rows, dtype=np.int64)
    weights = read_columns(rows, [column])[column].to_numpy()
    if len(weights) != num_rows:
        raise ShardError(f"{rows}: has {len(weights)} rows, and its scores {num_rows}; delete this shard's files.")
    return np.asarray(weights)
