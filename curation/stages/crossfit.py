"""Texts → scores through crossfit, for those who want to compare; runs use `curation.stages.score`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from curation.core import frames
from curation.core.classifier import Classifier
from curation.core.errors import ColumnError
from curation.core.stage import Stage
from curation.inference import crossfit
from curation.inference.replica import schema_of

if TYPE_CHECKING:
    from curation.core.frames import Frame, Schema


@dataclass(frozen=True)
class CrossfitScore(Stage):
    """Adds the columns of encoders to a frame of cuDF, each by a forward pass of its own through crossfit's ops.

    A missing or blank text gets missing values. `curation.inference.crossfit` says where it works and what is known of
    it. Raises ColumnError for a frame of pandas, ModelError where crossfit cannot be used.
    """

    classifiers: tuple[Classifier, ...]
    text_column: str = "text"

    def __post_init__(self) -> None:
        schema_of(self.classifiers)

    @property
    def reads(self) -> tuple[str, ...]:
        """The column of texts."""
        return (self.text_column,)

    @property
    def adds(self) -> "Schema":
        """The columns of every classifier, in their order."""
        return schema_of(self.classifiers)

    def compute(self, frame: "Frame") -> Mapping[str, NDArray[Any]]:
        """Scores as the models give them, neither clamped nor rounded; those that are not finite are missing."""
        if frames.library(frame).__name__ != "cudf":
            raise ColumnError("CrossfitScore takes frames of cuDF, and this one is of pandas; use Score for it.")
        texts = frames.texts(frame, self.text_column)
        rows = [row for row, text in enumerate(texts) if text is not None and text.strip()]
        present = frames.of("cudf", pd.DataFrame({"text": [texts[row] for row in rows]}))
        columns: dict[str, NDArray[Any]] = {
            name: np.full(len(texts), None, object) if dtype == "str" else np.full(len(texts), np.nan, dtype)
            for name, dtype in self.adds.items()
        }
        for classifier in self.classifiers if rows else ():
            for name, values in crossfit.score(classifier, present).items():
                columns[name][rows] = (
                    values if values.dtype == object else np.where(np.isfinite(values), values, np.nan)
                )
        return columns
