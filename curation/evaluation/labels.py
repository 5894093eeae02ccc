"""Names of classes, held against names of classes."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from curation.evaluation import length, metrics
from curation.evaluation.judged import Columns, Figures, Judged
from curation.evaluation.metrics import Matrix


@dataclass(frozen=True)
class Labels(Judged):
    """The best label of a classifier against labels that are strings."""

    kind: ClassVar[str] = "labels"
    label: str

    @property
    def labels(self) -> tuple[str, ...]:
        """The one label."""
        return (self.label,)

    @property
    def question(self) -> str:
        """The label."""
        return f"against {self.label}"

    def mistakes(self) -> list[str]:
        """Nothing can be wrong."""
        return []

    def truth(self, columns: Columns) -> NDArray[Any]:
        """The label."""
        return columns[self.label]

    def unusable(self, truth: NDArray[Any]) -> str:
        """One label for all, or values that are no strings."""
        if strange := sum(not isinstance(value, str) for value in truth):
            return f"{strange} values of {self.label} are no strings."
        return f"all documents have the {self.label} {truth[0]!r}." if len(set(truth)) < 2 else ""

    def cut(self, truth: NDArray[Any], scores: NDArray[Any]) -> float:  # noqa: ARG002 - nothing is cut
        """NaN: there is none."""
        return float("nan")

    def details(
        self,
        truth: NDArray[Any],  # noqa: ARG002 - the matrix says it all
        scores: NDArray[Any],  # noqa: ARG002
        alone: NDArray[Any],  # noqa: ARG002
        cut: float,  # noqa: ARG002
    ) -> dict[str, Any]:
        """Nothing else."""
        return {}

    def matrix(self, truth: NDArray[Any], scores: NDArray[Any], cut: float) -> Matrix:  # noqa: ARG002
        """By label, in alphabetical order."""
        return metrics.by_class(truth, scores, self.present(truth, scores))

    def classes(self, truth: NDArray[Any], scores: NDArray[Any]) -> tuple[str, ...]:
        """Every label that is true or scored somewhere."""
        return tuple(self.present(truth, scores))

    def present(self, truth: NDArray[Any], scores: NDArray[Any]) -> NDArray[Any]:
        """Every label that is true or scored somewhere."""
        return metrics.present(truth, scores)

    def figures(self, truth: NDArray[Any], scores: NDArray[Any], cut: float, among: NDArray[Any]) -> Figures:  # noqa: ARG002
        """Accuracy and averages of F1."""
        matrix = metrics.by_class(truth, scores, among)
        f1 = metrics.f1(matrix)
        return {
            "accuracy": metrics.accuracy(matrix),
            "macro_f1": float(f1.mean()),
            "weighted_f1": metrics.weighted(f1, matrix),
        }

    def length_alone(
        self,
        truth: NDArray[Any],
        scores: NDArray[Any],  # noqa: ARG002 - nothing is cut
        cut: float,
        lengths: NDArray[np.int64],
    ) -> tuple[NDArray[Any], float]:
        """The likeliest label by a logistic regression on the logarithm of the length."""
        names, codes = np.unique(list(truth), return_inverse=True)
        probabilities = length.probabilities(codes, lengths)
        return names.astype(object)[probabilities.argmax(axis=1)], cut
