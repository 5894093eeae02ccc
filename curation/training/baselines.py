"""What every classifier must do better than."""

from pathlib import Path

import numpy as np

from curation.training.annotations import Annotations
from curation.training.encoder import HeadLearner
from curation.training.heads import Ridge
from curation.training.recipe import Choice, Learner, Places, Values

_HARDLY = 1e-9
"""A penalty that changes nothing, but that documents may all be equally long."""


def baseline_of(annotations: Annotations, targets: Values) -> tuple[str, Learner]:
    """Its name, and how it learns: for classes the most common one, else what the log of a document's length says."""
    if annotations.classes:
        return "most common class", MostCommon(targets)
    lengths = np.asarray([len(text) for text in annotations.texts], np.float32)
    return "length alone", HeadLearner(Ridge(l2=(_HARDLY,)), np.log1p(lengths)[:, np.newaxis], targets)


class MostCommon(Learner):
    """The most common target, whatever the document."""

    def __init__(self, targets: Values) -> None:
        self.targets = targets

    def best(self, train: Places, held_out: Places) -> tuple[float, Choice]:  # noqa: ARG002 - nothing to choose
        """The most common target of `train`."""
        values, counts = np.unique(self.targets[train], return_counts=True)
        return float(values[counts.argmax()]), Choice({"class": float(values[counts.argmax()])}, 1, 0.0)

    def scores(self, model: float, places: Places) -> Values:
        """The same for all."""
        return np.full(len(places), model, np.float32)

    def save(self, model: float, directory: Path) -> None:
        """Nothing is written: a baseline is not packaged."""
