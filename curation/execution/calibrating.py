"""Calibration on the workers: two passes over the score files, merged here, whatever the number of rows."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from curation.calibration.histogram import Histogram, Refinement, bins_to_refine, coarse, fine
from curation.calibration.thresholds import ClassifierThresholds
from curation.core.errors import CalibrationError, ShardError
from curation.data.layout import Layout
from curation.data.sidecar import read_columns
from curation.execution.spec import GroupColumn, Scores
from curation.execution.window import run_window
from curation.stages.bucket import group_codes
from curation.stages.tiering import TieringSpec

if TYPE_CHECKING:
    from distributed import Client

Part = TypeVar("Part", Histogram, Refinement)

MOST_GROUPS = 200
_GROUPS_AT_ONCE = 8  # in the second pass, where one takes up to 10 MB
_SHARDS_PER_TASK = 200
_ROWS_AT_ONCE = 1 << 17


@dataclass(frozen=True)
class PassTask:
    """One pass over the scores that one classifier gave some shards; the second pass names the bins to refine.

    Documents are told apart by `group`; without one all are of the group "". `bins` are those of each group.
    """

    root: str
    scores: Scores
    weight_column: str
    group: GroupColumn | None
    shards: tuple[str, ...]
    bins: tuple[tuple[str, tuple[int, ...]], ...] = ()


def calibrate(
    client: "Client",
    root: str,
    scores: Scores,
    shards: Sequence[str],
    *,
    tiering: TieringSpec,
    group: GroupColumn | None = None,
) -> tuple[ClassifierThresholds, ...]:
    """The exact thresholds of one classifier over all rows of these shards, for each group, by the tiering's weights.

    A group in which no row has both a score and a weight gets none. Raises ShardError when a score file cannot be read,
    CalibrationError when no row at all has both or there are more than `MOST_GROUPS`.
    """
    runs = [tuple(shards[start : start + _SHARDS_PER_TASK]) for start in range(0, len(shards), _SHARDS_PER_TASK)]
    tasks = [PassTask(root, scores, tiering.weight_column, group, run) for run in runs]
    histograms = _merged(client, first_pass, tasks)
    weighed = sorted(value for value, histogram in histograms.items() if histogram.total_weight)
    found = []
    for start in range(0, max(1, len(weighed)), _GROUPS_AT_ONCE):
        values = weighed[start : start + _GROUPS_AT_ONCE] or [""]
        bins = tuple((value, bins_to_refine(scores.name, histograms.get(value, Histogram.empty()))) for value in values)
        refinements = _merged(client, second_pass, [replace(task, bins=bins) for task in tasks])
        found += [
            replace(
                ClassifierThresholds.of(
                    scores.name, scores.fingerprint, tiering.weights, histograms[value], refinements[value]
                ),
                group=value,
            )
            for value in values
        ]
    return tuple(found)


def first_pass(task: PassTask) -> dict[str, Histogram]:
    """The coarse histograms of some shards. Runs on a worker."""
    found: dict[str, Histogram] = {}
    for value, scores, weights in _by_group(task):
        part = coarse(scores, weights)
        found[value] = found[value] + part if value in found else part
        if len(found) > MOST_GROUPS:  # enough to know that there are too many
            break
    return found


def second_pass(task: PassTask) -> dict[str, Refinement]:
    """The refinements of some shards. Runs on a worker."""
    found = {value: Refinement.empty(bins) for value, bins in task.bins}
    for value, scores, weights in _by_group(task):
        if value in found:
            found[value] += fine(scores, weights, found[value].bins)
    return found


def _merged(
    client: "Client", function: Callable[[PassTask], Mapping[str, Part]], tasks: Sequence[PassTask]
) -> dict[str, Part]:
    total: dict[str, Part] = {}
    for outcome in run_window(client, function, tasks):
        if outcome.result is None:
            raise ShardError(f"Calibration cannot read the scores: {outcome.error}")
        for value, part in outcome.result.items():
            total[value] = total[value] + part if value in total else part
        if len(total) > MOST_GROUPS:
            raise CalibrationError(_too_many(outcome.item))
    if not tasks:
        raise ShardError("Calibration was given no shards.")
    return total


def _too_many(task: PassTask) -> str:
    column = task.group.column if task.group else ""
    return f"tiering.group: {column!r} has more than {MOST_GROUPS} values; thresholds of so small groups mean nothing."


def _by_group(task: PassTask) -> Iterator[tuple[str, NDArray[Any], NDArray[Any]]]:
    """Group, scores and weights of the shards; small shards together: few rows cost as much as many."""
    places: dict[str, int] = {}
    for scores, weights, *codes in _together(task, places):
        if not codes:
            yield "", scores, weights
            continue
        for name, place in [*places.items()]:
            if (here := codes[0] == place).any():
                yield name, scores[here], weights[here]


def _together(task: PassTask, places: dict[str, int]) -> Iterator[list[NDArray[Any]]]:
    """Scores, weights and, if there are groups, their places, of which new ones are added to `places`."""
    layout, column = Layout(task.root), task.scores.column
    parts: list[tuple[NDArray[Any], ...]] = []
    for number, name in enumerate(task.shards, start=1):
        scores = read_columns(layout.scores(task.scores.folder, name), [column])[column].to_numpy()
        weights = _weights(layout.rows(name), task.weight_column, len(scores))
        codes = [_places(task.group, layout, name, len(scores), places)] if task.group else []
        parts.append((scores.astype(np.float32, copy=False), weights, *codes))
        if sum(len(each) for each, *_ in parts) >= _ROWS_AT_ONCE or number == len(task.shards):
            yield [np.concatenate(each) for each in zip(*parts, strict=True)]
            parts = []


def _weights(rows: str, column: str, num_rows: int) -> NDArray[Any]:
    if not column:
        return np.ones(num_rows, dtype=np.int64)
    weights = read_columns(rows, [column])[column].to_numpy()
    return np.asarray(_as_many(weights, num_rows, rows))


def _places(group: GroupColumn, layout: Layout, shard: str, num_rows: int, places: dict[str, int]) -> NDArray[np.intp]:
    url = group.url(layout, shard)
    codes, values = group_codes(read_columns(url, [group.column]).to_pandas(use_threads=False), group.column)
    place_of = np.asarray([places.setdefault(value, len(places)) for value in values], np.intp)
    places_of_rows: NDArray[np.intp] = place_of[_as_many(codes, num_rows, url)]
    return places_of_rows


def _as_many(values: NDArray[Any], num_rows: int, url: str) -> NDArray[Any]:
    if len(values) != num_rows:
        raise ShardError(f"{url}: has {len(values)} rows, and its scores {num_rows}; delete this shard's files.")
    return values
