"""Scores → buckets."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from curation.calibration.thresholds import cut_mistakes
from curation.core import frames
from curation.core.errors import ColumnError, ConfigError
from curation.core.stage import Stage

if TYPE_CHECKING:
    from curation.core.frames import Frame, Schema


def bucket_column(name: str) -> str:
    """The column that holds the buckets of the classifier `name`."""
    return f"{name}_bucket"


@dataclass(frozen=True)
class Bucket(Stage):
    """Adds ``<name>_bucket`` for every classifier: how many of its cuts lie at or below the score, 0 to 19.

    `cuts` holds (classifier, 19 cuts); `score_columns` holds (classifier, column) where a score column is not named
    like its classifier. A score equal to a cut lies above it; a score that is not finite is missing, bucket -1.
    Raises ConfigError when cuts are not 19 finite float32 numbers that do not decrease.
    """

    cuts: tuple[tuple[str, tuple[float, ...]], ...]
    score_columns: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if mistakes := [mistake for name, cuts in self.cuts for mistake in cut_mistakes(cuts, f"cuts of {name!r}")]:
            raise ConfigError(*mistakes)

    @property
    def reads(self) -> tuple[str, ...]:
        """The score columns."""
        return tuple(dict(self.score_columns).get(name, name) for name, _ in self.cuts)

    @property
    def adds(self) -> "Schema":
        """One int8 column for every classifier."""
        return {bucket_column(name): "int8" for name, _ in self.cuts}

    def compute(self, frame: "Frame") -> Mapping[str, NDArray[np.int8]]:
        """The buckets. Raises ColumnError when scores are not floats."""
        return {
            bucket_column(name): _buckets(frame, column, cuts)
            for (name, cuts), column in zip(self.cuts, self.reads, strict=True)
        }


def _buckets(frame: "Frame", column: str, cuts: tuple[float, ...]) -> NDArray[np.int8]:
    scores = frames.array(frame, column)
    if scores.dtype.kind != "f":
        raise ColumnError(f"Bucket reads {column!r} as {scores.dtype}; scores are floats, NaN where missing.")
    buckets = np.searchsorted(np.asarray(cuts, np.float32), scores, side="right").astype(np.int8)
    buckets[~np.isfinite(scores)] = -1
    return buckets
