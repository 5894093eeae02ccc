"""Small statistics that several folders need: numpy and scipy."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata


def weighted_quantile(values: ArrayLike, weights: ArrayLike, percents: Sequence[int]) -> NDArray[Any]:
    """The inverted CDF by sorting: at p percent the smallest value whose cumulative weight C has 100·C ≥ p·W.

    Exact for integer weights with 100·W < 2**63, and what `curation.calibration` is held against. NaN is missing and
    carries no weight; -0.0 counts as 0.0. Percents are whole, 1 to 100. Raises ValueError when nothing has a weight.
    """
    given, weight = np.asarray(values), np.asarray(weights, dtype=np.int64)
    counted = np.flatnonzero(~np.isnan(given) & (weight > 0))
    if not len(counted):
        raise ValueError("no value has a weight, so there is no quantile")
    order = counted[np.argsort(given[counted], kind="stable")]
    cumulative = np.cumsum(weight[order])
    first = np.searchsorted(100 * cumulative, np.asarray(percents) * cumulative[-1], side="left")
    found: NDArray[Any] = given[order[first]]
    found[found == 0] = 0
    return found


def spearman(first: ArrayLike, second: ArrayLike) -> float:
    """The rank correlation of two equally long sequences, in [-1, 1]; ties share their mean rank.

    NaN when one of them is constant or shorter than two.
    """
    ranks = np.stack([rankdata(first), rankdata(second)])
    if ranks.shape[1] < 2 or (np.ptp(ranks, axis=1) == 0).any():
        return float("nan")
    return float(np.corrcoef(ranks)[0, 1])


def bootstrap_interval(
    statistic: Callable[..., float],
    arrays: Sequence[ArrayLike],
    seed: int,
    groups: ArrayLike | None = None,
    *,
    num_resamples: int = 1000,
    confidence: float = 0.95,
) -> tuple[float, float]:
    """The percentile bootstrap interval (low, high) of ``statistic(*arrays)``.

    Rows are drawn with replacement, the same ones from every array; with `groups` (one label a row, such as the host)
    whole groups are drawn, because rows of one group are not independent (Efron and Tibshirani 1993, §13.3, §8.6).
    Equal seeds give equal intervals. NaN when the statistic of a resample is NaN.
    """
    columns = [np.asarray(array) for array in arrays]
    members = None if groups is None else _members(np.asarray(groups))
    num_units = len(columns[0]) if members is None else len(members)
    generator = np.random.default_rng(seed)
    values = np.empty(num_resamples)
    for place in range(num_resamples):
        drawn = generator.integers(num_units, size=num_units)
        rows = drawn if members is None else np.concatenate([members[each] for each in drawn])
        values[place] = statistic(*(column[rows] for column in columns))
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def _members(groups: NDArray[Any]) -> list[NDArray[np.intp]]:
    """The rows of every group."""
    _, group_of_row, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    return np.split(np.argsort(group_of_row, kind="stable"), np.cumsum(sizes)[:-1])
