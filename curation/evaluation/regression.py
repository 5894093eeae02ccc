"""A score from 0 to 5, held against labels from 0 to 5."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from curation.evaluation import cutting, length, metrics
from curation.evaluation.judged import Columns, Figures, Judged
from curation.evaluation.metrics import Matrix, Values
from curation.statistics import spearman


@dataclass(frozen=True)
class Regression(Judged):
    """A score from 0 to 5 against a label from 0 to 5.

    Read as classes, and as a yes or no: whether the label is of class `positive` or higher, and the score at least
    `threshold`.
    """

    kind: ClassVar[str] = "regression"
    label: str
    threshold: float | None = None
    positive: int = 3

    @property
    def labels(self) -> tuple[str, ...]:
        """The one label."""
        return (self.label,)

    @property
    def question(self) -> str:
        """The label."""
        return f"against {self.label}, from 0 to 5"

    def mistakes(self) -> list[str]:
        """A class that divides nothing, a threshold that is none."""
        wrong = not 0 < self.positive < metrics.NUM_CLASSES
        found = [f"judged.{self.name}.positive: {self.positive} is not a class from 1 to 5."] if wrong else []
        return found + cutting.mistakes(self.name, self.threshold)

    def truth(self, columns: Columns) -> Values:
        """The label."""
        return columns[self.label]

    def unusable(self, truth: Values) -> str:
        """Labels outside 0 to 5, or all on one side."""
        if outside := int(np.count_nonzero((truth < 0) | (truth > metrics.NUM_CLASSES - 1))):
            return f"{outside} labels are outside 0 to 5."
        if len(set(self._positive(truth))) < 2:
            return (
                f"of the labels none or all are of class {self.positive} or higher; set `positive` to a class that "
                "divides them."
            )
        return ""

    def cut(self, truth: Values, scores: Values) -> float:
        """See `Judged.cut`."""
        if self.threshold is not None:
            return self.threshold
        return metrics.best_cut(self._positive(truth), scores)

    def matrix(self, truth: Values, scores: Values, cut: float) -> Matrix:  # noqa: ARG002 - classes need no cut
        """By rounded and clipped class."""
        return metrics.confusion(truth, scores)

    def classes(self, truth: Values, scores: Values) -> tuple[str, ...]:  # noqa: ARG002 - always the same
        """0 to 5."""
        return tuple(map(str, range(metrics.NUM_CLASSES)))

    def present(self, truth: Values, scores: Values) -> NDArray[np.int64]:
        """Rounded and clipped."""
        return metrics.present(metrics.classes(truth), metrics.classes(scores))

    def figures(self, truth: Values, scores: Values, cut: float, among: NDArray[np.int64]) -> Figures:
        """Ranks, classes, and the questions of 2, 3 and the threshold."""
        matrix = metrics.confusion(truth, scores)
        f1 = metrics.f1(matrix)
        found = {
            "spearman": spearman(truth, scores),
            "mae": metrics.mean_absolute_error(truth, scores),
            "accuracy": metrics.accuracy(matrix),
            "macro_f1": float(f1[among].mean()),
            "weighted_f1": metrics.weighted(f1, matrix),
        }
        for each in (2, 3):
            found |= cutting.binary(metrics.at_least(matrix, each), f"_at_{each}")
            found[f"roc_auc_at_{each}"] = metrics.roc_auc(metrics.classes(truth) >= each, scores)
        positive = self._positive(truth)
        found |= cutting.kept(positive, scores, cut, "_at_threshold")
        found["roc_auc_at_threshold"] = metrics.roc_auc(positive, scores)
        return found

    def length_alone(
        self, truth: Values, scores: Values, cut: float, lengths: NDArray[np.int64]
    ) -> tuple[Values, float]:
        """A straight line through the logarithm of the length."""
        alone = length.line(truth, lengths)
        if self.threshold is None:
            return alone, self.cut(truth, alone)
        return alone, length.cut_that_keeps(int((scores >= cut).sum()), alone)

    def details(self, truth: Values, scores: Values, alone: Values, cut: float) -> dict[str, Any]:
        """The threshold, the calibration and the curves."""
        return {
            **cutting.threshold(self.threshold, cut),
            "positive": self.positive,
            **cutting.calibration(truth, scores),
            **cutting.curves(self._positive(truth), scores, alone),
            **cutting.histogram(metrics.classes(truth), self.classes(truth, scores), scores),
        }

    def _positive(self, truth: Values) -> NDArray[np.bool_]:
        return metrics.classes(truth) >= self.positive
