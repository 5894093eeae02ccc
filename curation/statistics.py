"""Small statistics that several folders need: numpy and scipy."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

Key = TypeVar("Key", str, tuple[str, str])


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
    from scipy.stats import rankdata

    ranks = np.stack([rankdata(first), rankdata(second)])
    if ranks.shape[1] < 2 or (np.ptp(ranks, axis=1) == 0).any():
        return float("nan")
    return float(np.corrcoef(ranks)[0, 1])


def weighted_kappa(confusion: ArrayLike) -> float:
    """Cohen's kappa with squared distances (1968): how far two agree on ordered classes, beyond chance.

    `confusion` [K, K] counts, or weighs, what both have judged: by the class of the first in rows. 1 is agreement, 0
    what chance gives; with two classes it is plain kappa. NaN where both have given one and the same class to all.
    """
    counts = np.asarray(confusion, np.float64)
    places = np.arange(len(counts))
    distance = np.square(places[:, None] - places)
    by_chance = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / max(counts.sum(), np.finfo(float).tiny)
    expected = (distance * by_chance).sum()
    return float(1 - (distance * counts).sum() / expected) if expected else float("nan")


def evenly(available: Mapping[Key, int], count: int) -> dict[Key, int]:
    """`count` divided into equal parts, but for those that have fewer: they give all, and the others share the rest."""
    counts: dict[Key, int] = {}
    ascending = sorted(available, key=lambda key: (available[key], key))
    for place, key in enumerate(ascending):
        counts[key] = min(available[key], count // (len(ascending) - place))
        count -= counts[key]
    return counts


def wilson_interval(
    count: ArrayLike, total: ArrayLike, *, confidence: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The interval (low, high) of a share that was seen `count` times in `total` trials (Wilson 1927).

    Honest for few trials and for shares near 0 and 1; of no trials it is (0, 1).
    """
    from scipy.special import ndtri

    seen, number = np.asarray(count, np.float64), np.asarray(total, np.float64)
    z = float(ndtri(0.5 + confidence / 2))
    middle = (seen + z * z / 2) / (number + z * z)
    spread = z / (number + z * z) * np.sqrt(np.maximum(seen * (number - seen), 0) / np.maximum(number, 1) + z * z / 4)
    return middle - spread, middle + spread


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
    low, high = bootstrap_intervals(
        lambda *drawn: [statistic(*drawn)], arrays, seed, groups, num_resamples=num_resamples, confidence=confidence
    )[0]
    return float(low), float(high)


def bootstrap_intervals(
    statistics: Callable[..., ArrayLike],
    arrays: Sequence[ArrayLike],
    seed: int,
    groups: ArrayLike | None = None,
    *,
    num_resamples: int = 1000,
    confidence: float = 0.95,
) -> NDArray[np.float64]:
    """The intervals [K, 2] of K statistics that ``statistics(*arrays)`` gives, all of the same resamples.

    Otherwise as `bootstrap_interval`. A difference of two statistics among the K has the interval of a paired test.
    """
    columns = [np.asarray(array) for array in arrays]
    units = _Units(np.arange(len(columns[0])) if groups is None else np.asarray(groups))
    generator = np.random.default_rng(seed)
    values = []
    for _ in range(num_resamples):
        rows = units.rows(generator.integers(units.number, size=units.number))
        values.append(np.asarray(statistics(*(column[rows] for column in columns)), np.float64))
    tail = (1 - confidence) / 2
    return np.quantile(values, [tail, 1 - tail], axis=0).T


class _Units:
    """What a resample draws: groups of rows."""

    def __init__(self, groups: NDArray[Any]) -> None:
        _, group_of_row, self._sizes = np.unique(groups, return_inverse=True, return_counts=True)
        self._order = np.argsort(group_of_row, kind="stable")
        self._starts = np.cumsum(self._sizes) - self._sizes
        self.number = len(self._sizes)

    def rows(self, drawn: NDArray[np.int64]) -> NDArray[np.intp]:
        """The rows of the units drawn, one unit after the other."""
        sizes = self._sizes[drawn]
        first = np.repeat(self._starts[drawn] - np.cumsum(sizes) + sizes, sizes)
        return np.asarray(self._order[first + np.arange(len(first))], np.intp)
