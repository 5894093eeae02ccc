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
            bucket_column(name): _buckets(_scores(frame, column), cuts)
            for (name, cuts), column in zip(self.cuts, self.reads, strict=True)
        }


@dataclass(frozen=True)
class GroupedBucket(Stage):
    """As `Bucket`, with cuts of their own for each value of the column `group`, "" for a missing one.

    `cuts` holds (classifier, ((value, 19 cuts), …)). A document of a value that has no cuts has no bucket: -1.
    """

    group: str
    cuts: tuple[tuple[str, tuple[tuple[str, tuple[float, ...]], ...]], ...]
    score_columns: tuple[tuple[str, str], ...] = ()

    @property
    def reads(self) -> tuple[str, ...]:
        """The group, and the score columns."""
        return (self.group, *(dict(self.score_columns).get(name, name) for name, _ in self.cuts))

    @property
    def adds(self) -> "Schema":
        """One int8 column for every classifier."""
        return {bucket_column(name): "int8" for name, _ in self.cuts}

    def compute(self, frame: "Frame") -> Mapping[str, NDArray[np.int8]]:
        """The buckets. Raises ColumnError when scores are not floats."""
        codes, values = group_codes(frame, self.group)
        found = {}
        for (name, by_value), column in zip(self.cuts, self.reads[1:], strict=True):
            scores = _scores(frame, column)
            buckets = np.full(len(scores), -1, np.int8)
            for value, cuts in by_value:
                if value in values:
                    here = codes == values.index(value)
                    buckets[here] = _buckets(scores[here], cuts)
            found[bucket_column(name)] = buckets
        return found


def group_codes(frame: "Frame", column: str) -> tuple[NDArray[np.intp], list[str]]:
    """For each row the place of its value among the values of a column, which are strings; "" is a missing one."""
    import pandas as pd

    codes, values = pd.factorize(frames.on_host(frame[[column]])[column])
    return codes + 1, ["", *map(_word, values)]


def _word(value: object) -> str:
    """A value as a string; whole numbers as such, which are floats where others of their column are missing."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _scores(frame: "Frame", column: str) -> NDArray[np.float32]:
    scores = frames.array(frame, column)
    if scores.dtype.kind != "f":
        raise ColumnError(f"Bucket reads {column!r} as {scores.dtype}; scores are floats, NaN where missing.")
    return scores


def _buckets(scores: NDArray[np.float32], cuts: tuple[float, ...]) -> NDArray[np.int8]:
    buckets = np.searchsorted(np.asarray(cuts, np.float32), scores, side="right").astype(np.int8)
    buckets[~np.isfinite(scores)] = -1
    return buckets
