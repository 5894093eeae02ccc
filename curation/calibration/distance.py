"""How far two distributions lie apart, both given as weights by bucket or by bin."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEAST_SHARE = 1e-4
"""A bucket with less is taken to hold so much: the PSI of an empty one would be infinite."""


def psi(before: ArrayLike, after: ArrayLike) -> float:
    """The population stability index of two distributions over the same buckets: Σ (q - p) ln(q / p).

    Both are given as weights. 0 where the shares are equal, and the same both ways. Shares below `LEAST_SHARE` count as
    that.
    """
    first, second = (np.maximum(shares(each), LEAST_SHARE) for each in (before, after))
    return float(((second - first) * np.log(second / first)).sum())


def ks(before: ArrayLike, after: ArrayLike) -> tuple[float, float]:
    """The least and the most that the Kolmogorov-Smirnov distance of two distributions, as weights by bin, can be.

    The least is the greatest difference at an edge of a bin; the most is what it would be if in one of the bins all of
    the one came before all of the other.
    """
    first, second = (cumulative(each) for each in (before, after))
    least = np.abs(first - second).max()
    most = np.maximum(first[1:] - second[:-1], second[1:] - first[:-1]).max(initial=0.0)
    return float(least), float(max(least, most))


def cumulative(weight: ArrayLike) -> NDArray[np.float64]:
    """The share of the weight before each bin, and 1."""
    total = np.cumsum(np.asarray(weight, np.int64))
    return np.concatenate([[0.0], total / max(int(total[-1]) if len(total) else 1, 1)])


def shares(weight: ArrayLike) -> NDArray[np.float64]:
    """The share of the weight in each bucket."""
    values = np.asarray(weight, np.float64)
    return np.asarray(values / max(values.sum(), 1))
