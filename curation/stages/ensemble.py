"""The buckets of several classifiers → one quality bucket."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from curation.core import frames
from curation.core.errors import ConfigError
from curation.core.stage import Stage
from curation.stages.bucket import bucket_column

if TYPE_CHECKING:
    from curation.core.frames import Frame, Schema

_WEIGHT = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")  # in millionths below 10**12: sums with buckets fit into int64


@dataclass(frozen=True)
class Ensemble(Stage):
    """Adds `quality`, an int8 from 0 to 19: the highest bucket of the classifiers, or floor(Σ w·bucket / Σ w).

    `weights` are decimal numbers as strings, one a classifier and for "weighted" only; the arithmetic is exact. A
    missing bucket (-1) makes the quality -1; with ``missing="ignore"`` it does so only where all buckets are missing.
    Raises ConfigError for weights that do not fit.
    """

    classifiers: tuple[str, ...]
    method: Literal["max", "mean", "weighted"] = "max"
    weights: tuple[str, ...] = ()
    missing: Literal["unscored", "ignore"] = "unscored"

    def __post_init__(self) -> None:
        pairs = tuple(zip(self.classifiers, self.weights, strict=False))
        mistakes = weight_mistakes(self.method, pairs, self.classifiers)
        if len(self.weights) > len(self.classifiers):
            mistakes.append(f"there are {len(self.weights)} weights for {len(self.classifiers)} classifiers.")
        if not self.classifiers:
            mistakes.append("an ensemble needs at least one classifier.")
        if mistakes:
            raise ConfigError(*(f"Ensemble: {mistake}" for mistake in mistakes))

    @property
    def reads(self) -> tuple[str, ...]:
        """The bucket columns."""
        return tuple(bucket_column(name) for name in self.classifiers)

    @property
    def adds(self) -> "Schema":
        """The quality bucket."""
        return {"quality": "int8"}

    def compute(self, frame: "Frame") -> Mapping[str, NDArray[np.int8]]:
        """The quality of every row."""
        buckets = np.stack([frames.array(frame, column) for column in self.reads], axis=1).astype(np.int64)
        present = buckets >= 0
        quality = buckets.max(axis=1) if self.method == "max" else self._mean(buckets, present)
        kept = present.any(axis=1) if self.missing == "ignore" else present.all(axis=1)
        return {"quality": np.where(kept, quality, -1).astype(np.int8)}

    def _mean(self, buckets: NDArray[np.int64], present: NDArray[np.bool_]) -> NDArray[np.int64]:
        """The weighted mean of the buckets that are there, rounded down; any number where none is."""
        weights = np.array([_millionths(weight) for weight in self.weights or ("1",) * len(self.classifiers)], np.int64)
        return np.where(present, buckets, 0) @ weights // np.maximum(present @ weights, 1)


def weight_mistakes(method: str, weights: Sequence[tuple[str, str]], classifiers: Sequence[str]) -> list[str]:
    """What is wrong with (classifier, decimal weight) pairs for an ensemble of `classifiers`; empty if nothing is."""
    if method != "weighted":
        return [f'weights have no effect with "{method}"; remove them, or use "weighted".'] if weights else []
    given = [name for name, _ in weights]
    unweighted = [f"the classifier {name!r} has no weight; give it one." for name in classifiers if name not in given]
    unknown = [
        f"there is a weight for {name!r}, which is not in the ensemble of {list(classifiers)}; remove it."
        for name in given
        if name not in classifiers
    ]
    wrong = [
        f'the weight of {name!r} is {weight!r}; write a number above 0 such as "0.5", with up to six digits before '
        "and after the point."
        for name, weight in weights
        if not (_WEIGHT.fullmatch(weight) and _millionths(weight))
    ]
    return [*unweighted, *unknown, *wrong]


def _millionths(weight: str) -> int:
    return int(Decimal(weight) * 10**6)
