"""Exact weighted quantiles in two passes of mergeable integer histograms.

Every float32 has an integer key in the same order. Pass 1 adds up the weight of the upper 16 bits of the keys; it tells
which of the 65,536 bins hold a cut. Pass 2 adds up the lower 16 bits inside those bins alone. Both are sums of
integers, so that no split of the data, no order and no retry can change a bit of the result.

A score that is not finite is missing: it is counted and carries no weight.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from curation.core.errors import CalibrationError, CurationError

PERCENTS = tuple(range(5, 100, 5))
"""The share of the weight, in percent, that lies at or below each of the 19 cuts."""

MAX_TOTAL_WEIGHT = 1 << 56
"""Total weight stays below this, so that 100 times it is an int64: 72 petabytes."""

_NUM_BINS = 1 << 16
_BLOCK_ROWS = 1 << 17  # keeps the temporaries of a block in the processor's cache
_SIGN = np.uint32(1 << 31)
_SHIFT = np.uint32(16)
_LOW_BITS = np.uint32(_NUM_BINS - 1)
_KEY_OF_MINUS_ZERO = np.uint32((1 << 31) - 1)


def order_keys(scores: NDArray[np.float32]) -> NDArray[np.uint32]:
    """One uint32 per float32, in the same order; -0.0 gets the key of 0.0. NaN has no meaningful key."""
    bits = scores.view(np.uint32)
    negative = (scores.view(np.int32) >> 31).view(np.uint32)  # all ones below zero, else all zeros
    keys = bits ^ (negative | _SIGN)
    keys[keys == _KEY_OF_MINUS_ZERO] = _SIGN
    return keys


def score_of(key: int) -> float:
    """The float32 that has this key, as the Python float of the same value."""
    bits = key ^ (1 << 31) if key >> 31 else key ^ 0xFFFFFFFF
    return float(np.uint32(bits).view(np.float32))


@dataclass(frozen=True, eq=False)
class Histogram:
    """What pass 1 knows of a score column: `weight`, int64 of shape (65536,), by the upper half of the key.

    Merge with ``+``. Raises CurationError when the total weight is 2**56 or more.
    """

    weight: NDArray[np.int64]
    num_scored: int
    num_missing: int

    def __post_init__(self) -> None:
        _check_total(self.total_weight)

    @classmethod
    def empty(cls) -> Self:
        """The histogram of no documents, where a sum starts."""
        return cls(np.zeros(_NUM_BINS, np.int64), 0, 0)

    @property
    def total_weight(self) -> int:
        """The weight of all documents that have a score."""
        return int(self.weight.sum())

    def __add__(self, other: "Histogram") -> "Histogram":
        return Histogram(
            self.weight + other.weight, self.num_scored + other.num_scored, self.num_missing + other.num_missing
        )


@dataclass(frozen=True, eq=False)
class Refinement:
    """What pass 2 knows: `weight`, int64 of shape (len(bins), 65536), by the lower half of the key within each bin.

    Merge with ``+``, or in place with ``+=``, which keeps one state of up to 10 MB less in memory; both sides must have
    refined the same bins.
    """

    bins: tuple[int, ...]
    weight: NDArray[np.int64]

    @classmethod
    def empty(cls, bins: Sequence[int]) -> Self:
        """The refinement of no documents, where a sum starts."""
        return cls(tuple(bins), np.zeros((len(bins), _NUM_BINS), np.int64))

    def __add__(self, other: "Refinement") -> "Refinement":
        self._check_bins(other)
        return Refinement(self.bins, self.weight + other.weight)

    def __iadd__(self, other: "Refinement") -> Self:
        self._check_bins(other)
        np.add(self.weight, other.weight, out=self.weight)
        return self

    def _check_bins(self, other: "Refinement") -> None:
        if self.bins != other.bins:
            raise CurationError(
                f"Refinements of different bins cannot be merged: {self.bins} and {other.bins}. "
                "Give every part of pass 2 the bins that the merged histogram of pass 1 asks for."
            )


def coarse(scores: ArrayLike, weights: ArrayLike) -> Histogram:
    """Pass 1 over some documents.

    `scores` is float32, not finite where missing; `weights` are integers ≥ 0, one per document. Raises CurationError
    for other types, unequal lengths, negative weights, or a total weight of 2**56 or more.
    """
    scores, weights = _checked(scores, weights)
    weight = np.zeros(_NUM_BINS, np.int64)
    num_scored = 0
    for start in range(0, len(scores), _BLOCK_ROWS):
        keys, key_weights = _present(scores[start : start + _BLOCK_ROWS], weights[start : start + _BLOCK_ROWS])
        np.add.at(weight, (keys >> _SHIFT).astype(np.intp), key_weights)
        num_scored += len(keys)
    return Histogram(weight, num_scored, len(scores) - num_scored)


def fine(scores: ArrayLike, weights: ArrayLike, bins: Sequence[int]) -> Refinement:
    """Pass 2 over some documents, for the bins that `bins_to_refine` named. Takes and raises what `coarse` does."""
    scores, weights = _checked(scores, weights)
    refinement = Refinement.empty(bins)
    cells = refinement.weight.reshape(-1)
    first_cell = np.full(_NUM_BINS, -1, np.intp)
    first_cell[list(bins)] = np.arange(len(bins)) * _NUM_BINS
    for start in range(0, len(scores), _BLOCK_ROWS):
        keys, key_weights = _present(scores[start : start + _BLOCK_ROWS], weights[start : start + _BLOCK_ROWS])
        cell = first_cell[keys >> _SHIFT]
        wanted = cell >= 0
        np.add.at(cells, cell[wanted] + (keys[wanted] & _LOW_BITS), key_weights[wanted])
    return refinement


def bins_to_refine(name: str, histogram: Histogram) -> tuple[int, ...]:
    """The bins, at most 19 and in order, that hold a cut of the score column `name`.

    Raises CalibrationError when no document has both a score and a weight.
    """
    return tuple(np.unique(_find(histogram.weight, _targets(name, histogram))).tolist())


def cuts(name: str, histogram: Histogram, refinement: Refinement) -> tuple[float, ...]:
    """The 19 cuts of the score column `name`: float32 values as Python floats, not decreasing.

    The cut at p percent is the smallest score whose cumulative weight C satisfies 100·C ≥ p·W in integers (the
    inverted CDF, without interpolation); a document of weight 0 never defines one. Raises
    CalibrationError when no document has both a score and a weight, CurationError when the two passes did not see the
    same documents.
    """
    targets = _targets(name, histogram)
    below = np.cumsum(histogram.weight) - histogram.weight
    found = []
    for upper, target in zip(_find(histogram.weight, targets).tolist(), targets, strict=True):
        inside = _refined(name, upper, histogram, refinement)
        found.append(score_of(upper << 16 | int(_find(inside, target - below[upper]))))
    return tuple(found)


def _targets(name: str, histogram: Histogram) -> NDArray[np.int64]:
    """The cumulative weight that each cut must reach: p·W/100, rounded up."""
    if not (total := histogram.total_weight):
        raise CalibrationError(
            f"{name}: no cuts can be found, because no document has both a score and a weight "
            f"({histogram.num_scored} documents with a score, {histogram.num_missing} without). "
            "Use frozen thresholds, or leave this classifier out of the tiering."
        )
    return np.array([-(-percent * total // 100) for percent in PERCENTS], np.int64)


def _find(weight: NDArray[np.int64], targets: ArrayLike) -> Any:
    """Where the cumulative weight first reaches each target."""
    return np.searchsorted(np.cumsum(weight), targets, side="left")


def _refined(name: str, upper: int, histogram: Histogram, refinement: Refinement) -> NDArray[np.int64]:
    """The weights inside one bin; they must add up to what pass 1 saw there."""
    inside = refinement.weight[refinement.bins.index(upper)] if upper in refinement.bins else np.zeros(1, np.int64)
    if (second := int(inside.sum())) != (first := int(histogram.weight[upper])):
        raise CurationError(
            f"{name}: the two passes of the calibration saw different data: bin {upper} weighed {first} in the first "
            f"and {second} in the second. Something changed the scores or their list in between; calibrate again."
        )
    return inside


def _checked(scores: ArrayLike, weights: ArrayLike) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    scores, weights = np.asarray(scores), np.asarray(weights)
    if scores.dtype != np.float32:
        raise CurationError(f"Scores are {scores.dtype}; cuts are exact for float32 alone. Convert them first.")
    if weights.dtype.kind not in "iu":
        raise CurationError(f"Weights are {weights.dtype}; they must be whole numbers: bytes, tokens or ones.")
    if scores.ndim != 1 or scores.shape != weights.shape:
        raise CurationError(f"Scores have shape {scores.shape} and weights {weights.shape}; give one weight a score.")
    if len(weights) and weights.min() < 0:
        raise CurationError(f"A weight is {weights.min()}; weights are 0 or more.")
    # Integers could overflow in this sum; floats cannot, and what they lose is far below the room that is left here.
    if (total := weights.sum(dtype=np.float64, where=np.isfinite(scores))) > 2 * MAX_TOTAL_WEIGHT:
        _check_total(int(total))
    return scores, weights.astype(np.int64, copy=False)


def _present(scores: NDArray[np.float32], weights: NDArray[np.int64]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Keys and weights of the documents that have a score."""
    scored = np.isfinite(scores)
    return (order_keys(scores), weights) if scored.all() else (order_keys(scores[scored]), weights[scored])


def _check_total(total: int) -> None:
    if total >= MAX_TOTAL_WEIGHT:
        raise CurationError(
            f"The documents weigh {total:,} in all; exact thresholds need less than 2**56 = {MAX_TOTAL_WEIGHT:,}. "
            'Weigh by "tokens" or "documents", or calibrate on a part and use its thresholds as frozen ones.'
        )
