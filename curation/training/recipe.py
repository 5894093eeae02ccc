"""What a recipe for a classifier is: settings of a config that know how to train."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from curation.core.classifier import Classifier
from curation.training.annotations import Annotations
from curation.training.evaluation import Metric

Values = NDArray[np.float32]
Places = NDArray[np.int64]
Setting = Mapping[str, float]


@dataclass(frozen=True)
class Choice:
    """The setting, after which epoch to stop, and how well that did on validation."""

    setting: Setting
    num_epochs: int
    merit: float

    def __str__(self) -> str:
        values = ", ".join(f"{name} {value:g}" for name, value in self.setting.items())
        return f"{values}, stopped after epoch {self.num_epochs}" if self.num_epochs > 1 else values


class Learner(ABC):
    """One way to train, with its inputs at hand: what cross-validation and the final fit ask of it."""

    settings: Sequence[Setting]
    """What is chosen from on validation."""
    targets: Values
    """What scores should agree with, one for each document."""

    @abstractmethod
    def trace(self, train: Places, held_out: Places, setting: Setting) -> Values:
        """Scores [E, n] of the held-out documents after each epoch; E = 1 where there is no epoch to stop at."""

    @abstractmethod
    def merit(self, targets: Values, scores: Values) -> float:
        """What the choice of a setting and an epoch maximises."""

    @abstractmethod
    def fit(self, places: Places, choice: Choice) -> Any:
        """The finished model, trained on the documents at `places`."""

    @abstractmethod
    def scores(self, model: Any, places: Places) -> Values:
        """Scores of the documents at `places`."""

    @abstractmethod
    def files(self, model: Any) -> Mapping[str, bytes]:
        """The model's files by name."""


class Recipe(ABC):
    """A kind of classifier and how it is trained: a frozen dataclass, filled from a config's `[recipe]` table."""

    kind: ClassVar[str]
    metrics: ClassVar[Mapping[str, Metric]]
    """What is reported of scores."""
    headline: ClassVar[str]
    """The metric by which the best of several learners is packaged: the higher the better."""
    metric_notes: ClassVar[str]
    """What the metrics' names do not say, for the model card."""
    limits: ClassVar[str]
    """What a reader of the model card must know before trusting a score."""

    @property
    @abstractmethod
    def summary(self) -> str:
        """What the model is, in half a sentence for the model card."""

    @property
    @abstractmethod
    def labels(self) -> tuple[str, ...]:
        """The columns of the data that it learns from."""

    @abstractmethod
    def mistakes(self) -> list[str]:
        """What is wrong with the settings themselves."""

    @abstractmethod
    def targets(self, annotations: Annotations) -> Values:
        """What scores should agree with, one for each document."""

    @abstractmethod
    def learners(self, annotations: Annotations, scratch: Path) -> Mapping[str, Learner]:
        """The ways to train, by name. Inputs that are slow to make are kept in the folder `scratch`."""

    @abstractmethod
    def card(self) -> Mapping[str, Any]:
        """What card.json says so that the model can be loaded."""

    @abstractmethod
    def classifier(self, name: str, directory: Path) -> Classifier:
        """The classifier in a directory that holds the model's files and card.json."""
