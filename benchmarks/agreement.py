"""How far scores are from those of a reference, and what that does to buckets."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.statistics import spearman, weighted_quantile

_PERCENTS = range(5, 100, 5)


def agreement(scores: NDArray[np.float32], reference: NDArray[np.float32]) -> dict[str, Any]:
    """Differences of the scores, and the share of documents in another of 20 buckets, cut by each side's own scores."""
    difference = np.abs(scores - reference)
    return {
        "max_difference": float(difference.max()),
        "mean_difference_std": float(difference.mean() / reference.std()),
        "spearman": spearman(scores, reference),
        "other_bucket_share": float((_buckets(scores) != _buckets(reference)).mean()),
        "num_distinct": len(np.unique(scores)),
    }


def _buckets(scores: NDArray[np.float32]) -> NDArray[np.intp]:
    """A score equal to a cut lies above it, as in a run."""
    return np.digitize(scores, weighted_quantile(scores, np.ones(len(scores), np.int64), _PERCENTS))
