"""A probability, held against a yes or no."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from curation.evaluation import cutting, length, metrics
from curation.evaluation.judged import Columns, Figures, Judged
from curation.evaluation.metrics import Matrix, Values


@dataclass(frozen=True)
class Probability(Judged):
    """A probability, or any score without a scale, against a yes or no: one label of `keep` reaches its least value."""

    kind: ClassVar[str] = "probability"
    keep: tuple[tuple[str, float], ...]
    threshold: float | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """The columns of the rule."""
        return tuple(name for name, _ in self.keep)

    @property
    def question(self) -> str:
        """The rule."""
        return "against " + " or ".join(f"{name} ≥ {least:g}" for name, least in self.keep)

    def mistakes(self) -> list[str]:
        """An empty rule, a threshold that is none."""
        found = [] if self.keep else [f"judged.{self.name}.keep: no label is named; write for example edu = 3."]
        return found + cutting.mistakes(self.name, self.threshold)

    def truth(self, columns: Columns) -> Values:
        """1 for yes, 0 for no, NaN where a label is missing: were it enough that another says yes, yes would gain."""
        given = [(columns[name], least) for name, least in self.keep]
        yes = np.any([values >= least for values, least in given], axis=0)
        unknown = np.any([np.isnan(values) for values, _ in given], axis=0)
        return np.where(unknown, np.nan, yes)

    def unusable(self, truth: Values) -> str:
        """All on one side."""
        return f"by {self.question} all documents are equal." if len(set(truth)) < 2 else ""

    def cut(self, truth: Values, scores: Values) -> float:
        """See `Judged.cut`."""
        return metrics.best_cut(truth > 0, scores) if self.threshold is None else self.threshold

    def matrix(self, truth: Values, scores: Values, cut: float) -> Matrix:
        """Below the threshold and from it on."""
        return metrics.binary(truth > 0, scores >= cut)

    def classes(self, truth: Values, scores: Values) -> tuple[str, ...]:  # noqa: ARG002 - always the same
        """No and yes."""
        return ("no", "yes")

    def present(self, truth: Values, scores: Values) -> NDArray[np.int64]:  # noqa: ARG002 - always the same
        """No and yes."""
        return np.arange(2)

    def figures(self, truth: Values, scores: Values, cut: float, among: NDArray[np.int64]) -> Figures:  # noqa: ARG002
        """How it ranks, and what it does at its threshold."""
        matrix = self.matrix(truth, scores, cut)
        return {
            "roc_auc": metrics.roc_auc(truth > 0, scores),
            "accuracy": metrics.accuracy(matrix),
            **cutting.binary(matrix, "_at_threshold"),
        }

    def length_alone(
        self, truth: Values, scores: Values, cut: float, lengths: NDArray[np.int64]
    ) -> tuple[Values, float]:
        """A logistic regression on the logarithm of the length."""
        alone = length.probabilities(truth.astype(np.int64), lengths)[:, 1]
        if self.threshold is None:
            return alone, self.cut(truth, alone)
        return alone, length.cut_that_keeps(int((scores >= cut).sum()), alone)

    def details(self, truth: Values, scores: Values, alone: Values, cut: float) -> dict[str, Any]:
        """The threshold, the calibration and the curves."""
        return {
            **cutting.threshold(self.threshold, cut),
            **cutting.calibration(truth, scores),
            **cutting.curves(truth > 0, scores, alone),
            **cutting.histogram(truth.astype(np.int64), self.classes(truth, scores), scores),
        }
