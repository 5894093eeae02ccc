"""What a recipe for a classifier is: settings of a config that know how to train."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from curation.classifiers.bundle import read_bundle
from curation.classifiers.encoder import most_tokens
from curation.classifiers.source import is_hub_id, resolve
from curation.core.classifier import Classifier
from curation.core.errors import ModelError
from curation.data.labelled import Column
from curation.evaluation.metrics import Metric
from curation.training.annotations import Annotations

Values = NDArray[np.float32]
Places = NDArray[np.int64]
Setting = Mapping[str, float]
Say = Callable[[str], None]


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
    """One way to train, with its inputs at hand: what judging and the final fit ask of it."""

    targets: Values
    """What scores should agree with, one for each document."""

    @abstractmethod
    def best(self, train: Places, held_out: Places) -> tuple[Any, Choice]:
        """The model with most merit on the held-out documents, the first of equals, and what was chosen for it."""

    @abstractmethod
    def scores(self, model: Any, places: Places) -> Values:
        """Scores of the documents at `places`."""

    @abstractmethod
    def save(self, model: Any, directory: Path) -> None:
        """Write the model's files into a directory that is there."""


class QuickLearner(Learner):
    """One that trains in seconds, so that settings are compared on folds and the best one is fitted again."""

    settings: Sequence[Setting]
    """What is chosen from on validation."""

    @abstractmethod
    def trace(self, train: Places, held_out: Places, setting: Setting) -> Values:
        """Scores [E, n] of the held-out documents after each epoch; E = 1 where there is no epoch to stop at."""

    @abstractmethod
    def merit(self, targets: Values, scores: Values) -> float:
        """What the choice of a setting and an epoch maximises."""

    @abstractmethod
    def fit(self, places: Places, choice: Choice) -> Any:
        """The finished model, trained on the documents at `places`."""

    def best(self, train: Places, held_out: Places) -> tuple[Any, Choice]:
        """See `Learner.best`."""
        targets = self.targets[held_out]
        choices = [
            Choice(setting, epoch, self.merit(targets, scores))
            for setting in self.settings
            for epoch, scores in enumerate(self.trace(train, held_out, setting), start=1)
        ]
        choice = max(choices, key=lambda each: each.merit)
        return self.fit(train, choice), choice


class Recipe(ABC):
    """A kind of classifier and how it is trained: a frozen dataclass, filled from a config's `[recipe]` table."""

    kind: ClassVar[str]
    limits: ClassVar[str]
    """What a reader of the model card must know before trusting a score."""

    @property
    def needs_hold_out(self) -> bool:
        """Whether its learners choose on held-out documents only, because folds within folds would take too long."""
        return False

    @property
    @abstractmethod
    def metrics(self) -> Mapping[str, Metric]:
        """What is reported of scores."""

    @property
    @abstractmethod
    def headline(self) -> str:
        """The metric by which the best of several learners is packaged: the higher the better."""

    @property
    @abstractmethod
    def metric_notes(self) -> str:
        """What the metrics' names do not say, for the model card."""

    @property
    @abstractmethod
    def cuts(self) -> tuple[float, ...]:
        """From which target on a document is a good one, for the thresholds in the card; several questions, or none."""

    @property
    @abstractmethod
    def summary(self) -> str:
        """What the model is, in half a sentence for the model card."""

    @property
    @abstractmethod
    def columns(self) -> tuple[Column, ...]:
        """The columns of the data that it learns from."""

    @abstractmethod
    def mistakes(self) -> list[str]:
        """What is wrong with the settings themselves."""

    @abstractmethod
    def targets(self, annotations: Annotations) -> Values:
        """What scores should agree with, one for each document."""

    @abstractmethod
    def learners(self, annotations: Annotations, scratch: Path, say: Say) -> Mapping[str, Learner]:
        """The ways to train, by name. What is slow to make is kept in the folder `scratch`."""

    @abstractmethod
    def card(self, output: Path) -> Mapping[str, Any]:
        """What the card.json in the directory `output` says so that the model can be loaded."""

    @abstractmethod
    def classifier(self, name: str, directory: Path) -> Classifier:
        """The classifier in a directory that holds the model's files and card.json."""


class TrunkRecipe(Recipe):
    """A recipe that starts from a pretrained trunk.

    `trunk` is a folder, ``package:NAME``, or a hub id that lies in the folder `bundles`, at the commit `revision` where
    several do. `max_tokens` of a document are read.
    """

    trunk: str
    revision: str
    bundles: str
    max_tokens: int

    @property
    def folder(self) -> Path:
        """The trunk's files. Raises ModelError when they are not there, or are not those that were fetched."""
        return resolve(self.trunk, self.revision, self.bundles)

    @property
    def pinned(self) -> str:
        """The commit that the files of a trunk from the hub are of; "" for any other."""
        return read_bundle(self.folder).revision if is_hub_id(self.trunk) else ""

    def trunk_mistakes(self) -> list[str]:
        """A trunk that is not there, or reads less than it should."""
        try:
            able = most_tokens(self.folder)
        except ModelError as error:
            return [f"recipe.trunk: {error}"]
        if 3 <= self.max_tokens <= able:
            return []
        return [f"recipe.max_tokens: {self.max_tokens} is not from 3 to {able}, the most the trunk reads."]
