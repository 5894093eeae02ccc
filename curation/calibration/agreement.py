"""How far two classifiers agree, from their buckets together: [21, 21], of the first in rows, from -1 to 19."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from curation.calibration.histogram import PERCENTS

KEPT_PERCENTS = (5, 10, 25)
"""The best buckets that are held against each other: a bucket is 5 % of the weight that it was calibrated with."""


def rank_correlation(joint: ArrayLike) -> float:
    """Spearman's rank correlation of two classifiers' buckets, of what both have scored; a bucket shares its mean rank.

    `joint` weighs documents by any measure. NaN where one bucket holds everything.
    """
    weight = np.asarray(joint, np.float64)[1:, 1:]
    weight = weight / max(weight.sum(), 1)
    first, second = (_centred_ranks(weight.sum(axis)) for axis in (1, 0))
    spread = np.sqrt((weight.sum(1) @ first**2) * (weight.sum(0) @ second**2))
    return float(first @ weight @ second / spread) if spread else float("nan")


def overlap(joint: ArrayLike, percent: int) -> dict[str, NDArray[Any]]:
    """What two classifiers keep of their best `percent`: both, only the first, only the second, and their union.

    The form of Nemotron-CC's Table 8 (arXiv 2412.02595). `joint` is [K, 21, 21] by measure; each part has shape [K].
    """
    place = 1 + len(PERCENTS) + 1 - percent // (PERCENTS[1] - PERCENTS[0])
    counts = np.asarray(joint, np.int64)
    parts = {
        "both": counts[:, place:, place:].sum(axis=(1, 2)),
        "only_first": counts[:, place:, :place].sum(axis=(1, 2)),
        "only_second": counts[:, :place, place:].sum(axis=(1, 2)),
    }
    return {"union": sum(parts.values(), np.zeros(len(counts), np.int64)), **parts}


def _centred_ranks(weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean rank of each bucket, of the share that lies below and in it; half of everything is the middle."""
    return np.asarray(np.cumsum(weight) - weight / 2 - weight.sum() / 2)
