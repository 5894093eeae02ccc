"""Texts → scores: the one stage that reads text and needs models."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from curation.core import frames
from curation.core.classifier import Classifier
from curation.core.stage import Stage
from curation.inference.replica import ScoringSpec, replica_for, schema_of

if TYPE_CHECKING:
    from curation.core.frames import Frame, Schema


@dataclass(frozen=True)
class Score(Stage):
    """Adds the columns of all classifiers, in one pass over the text.

    A missing or blank text gets missing values. The models are loaded once in each process, at the first frame.
    Raises ColumnError when two classifiers give the same column, ModelError when a model is not there.
    """

    classifiers: tuple[Classifier, ...]
    text_column: str = "text"
    scoring: ScoringSpec = field(default_factory=ScoringSpec)

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
        """Scores as the models give them, neither clamped nor rounded."""
        return replica_for(self.classifiers, self.scoring)(frames.texts(frame, self.text_column))
