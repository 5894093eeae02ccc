"""A precision certificate: how far a cheaper precision moves scores, on a sample of the documents that are scored."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from curation.calibration.histogram import PERCENTS
from curation.statistics import spearman, weighted_quantile

MOST_MOVED_SHARE = 0.03
"""A precision in which more documents than this come into another bucket is not chosen by itself."""


Pair = tuple[ArrayLike, ...]
"""What is exact, and what is held against it."""


@dataclass(frozen=True)
class Certificate:
    """What becomes of the scores of one classifier in a precision, held against exact ones.

    `max_moved` and `mean_moved` are in units of the exact scores' standard deviation. The shares are those of documents
    in another of the 20 buckets, each precision ranked by its own cuts as a run would, or by the run's frozen ones, and
    in another tier when all classifiers are measured so. `spearman` is None where all scores are equal.
    """

    num_documents: int
    max_moved: float
    mean_moved: float
    spearman: float | None
    bucket_share: float
    tier_share: float

    @property
    def is_good(self) -> bool:
        """Whether the precision may be chosen without being asked for."""
        return self.bucket_share <= MOST_MOVED_SHARE

    def __str__(self) -> str:
        ranks = "undefined" if self.spearman is None else f"{self.spearman:.6f}"
        return (
            f"on {self.num_documents:,} documents: scores move by {self.mean_moved:.4f} standard deviations in the "
            f"mean, {self.max_moved:.4f} at most, Spearman {ranks}, {self.bucket_share:.1%} in another "
            f"bucket, {self.tier_share:.1%} in another tier"
        )


def certify(scores: Pair, buckets: Pair, tiers: Pair) -> Certificate:
    """The certificate of n ≥ 2 documents: their exact scores, buckets and tiers, and those in another precision.

    A score that is missing in one precision alone is in another bucket.
    """
    first, second = (np.asarray(each, np.float64) for each in scores)
    known = np.isfinite(first) & np.isfinite(second)
    spread = float(first[known].std()) or 1.0
    distance = np.abs(first[known] - second[known]) / spread
    ranks = spearman(first[known], second[known])
    return Certificate(
        num_documents=len(first),
        max_moved=float(distance.max(initial=0.0)),
        mean_moved=float(distance.mean()) if len(distance) else 0.0,
        spearman=None if math.isnan(ranks) else ranks,
        bucket_share=_share_that_differs(*buckets),
        tier_share=_share_that_differs(*tiers),
    )


def sample_cuts(scores: ArrayLike, weights: ArrayLike) -> tuple[float, ...]:
    """The 19 cuts of a sample's own scores, as `curation.calibration.thresholds` finds them for a whole run.

    Any cuts where all scores are missing.
    """
    if np.isnan(np.asarray(scores)).all():
        return (0.0,) * len(PERCENTS)
    cuts: NDArray[Any] = weighted_quantile(np.asarray(scores, np.float32), weights, PERCENTS)
    return tuple(map(float, cuts))


def _share_that_differs(first: ArrayLike, second: ArrayLike) -> float:
    return float(np.mean(np.asarray(first) != np.asarray(second)))
