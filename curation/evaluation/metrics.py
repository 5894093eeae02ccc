"""How far to trust a score: agreement with annotations, with intervals.

Regression is read as classes the way the FineWeb-Edu classifier is evaluated: scores and labels are rounded (half to
even) and clipped to 0 to 5.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from curation.statistics import bootstrap_interval, spearman

NUM_CLASSES = 6
"""Annotations run from 0 to 5."""

Matrix = NDArray[np.int64]
Values = NDArray[np.floating]
Metric = Callable[[Values, Values], float]
"""(labels, scores) → a figure."""


class Measured(NamedTuple):
    """A figure and its interval."""

    value: float
    low: float
    high: float


def classes(values: Values) -> NDArray[np.int64]:
    """The nearest of the classes 0 to 5; halves go to the even neighbour."""
    return np.clip(np.rint(values), 0, NUM_CLASSES - 1).astype(np.int64)


def confusion(labels: Values, scores: Values) -> Matrix:
    """Documents by true class (rows) and scored class (columns), [6, 6]."""
    cells = classes(labels) * NUM_CLASSES + classes(scores)
    return np.bincount(cells, minlength=NUM_CLASSES**2).reshape(NUM_CLASSES, NUM_CLASSES)


def present(labels: NDArray[Any], scored: NDArray[Any]) -> NDArray[Any]:
    """The classes that are true or scored somewhere, in order."""
    return np.union1d(labels, scored)


def by_class(labels: NDArray[Any], scored: NDArray[Any], among: NDArray[Any]) -> Matrix:
    """Documents by true class (rows) and scored class (columns), of the classes `among`, in order."""
    cells = np.searchsorted(among, labels) * len(among) + np.searchsorted(among, scored)
    return np.bincount(cells, minlength=len(among) ** 2).reshape(len(among), len(among))


def at_least(matrix: Matrix, cut: int) -> Matrix:
    """The matrix [2, 2] of the question "is it of class `cut` or higher?"."""
    edges = [0, cut]
    return np.add.reduceat(np.add.reduceat(matrix, edges, axis=0), edges, axis=1)


def accuracy(matrix: Matrix) -> float:
    """The share of documents on the diagonal."""
    return float(np.trace(matrix) / matrix.sum())


def precision(matrix: Matrix) -> NDArray[np.float64]:
    """Of the documents scored as a class, the share that are of it; 0 where none are."""
    return np.asarray(np.diagonal(matrix) / np.maximum(matrix.sum(axis=0), 1), np.float64)


def recall(matrix: Matrix) -> NDArray[np.float64]:
    """Of the documents of a class, the share that are scored as it; 0 where there are none."""
    return np.asarray(np.diagonal(matrix) / np.maximum(matrix.sum(axis=1), 1), np.float64)


def f1(matrix: Matrix) -> NDArray[np.float64]:
    """F1 of each class; 0 for a class that is neither true nor scored anywhere."""
    totals = matrix.sum(axis=0) + matrix.sum(axis=1)
    return np.asarray(2 * np.diagonal(matrix) / np.maximum(totals, 1), np.float64)


def macro(by_class: NDArray[np.float64], matrix: Matrix) -> float:
    """The plain mean over the classes that are true or scored somewhere, as scikit-learn takes it."""
    present = matrix.sum(axis=0) + matrix.sum(axis=1) > 0
    return float(by_class[present].mean())


def weighted(by_class: NDArray[np.float64], matrix: Matrix) -> float:
    """The mean over the true classes, each weighted by its documents."""
    return float(by_class @ matrix.sum(axis=1) / matrix.sum())


def macro_f1(matrix: Matrix) -> float:
    """The plain mean of F1 over the classes that are true or scored somewhere."""
    return macro(f1(matrix), matrix)


@dataclass(frozen=True, eq=False)
class MacroF1:
    """The plain mean of F1 over the classes `among`; None: those that are true or scored somewhere.

    A resample may lack a rare class. It is averaged over those of the whole all the same, or its interval would say
    how well the common ones are found.
    """

    read: Callable[[Values], NDArray[Any]]
    among: NDArray[Any] | None = None

    def __call__(self, labels: Values, scores: Values) -> float:
        """Of labels and scores that `read` makes classes of."""
        true, scored = self.read(labels), self.read(scores)
        among = present(true, scored) if self.among is None else self.among
        return float(f1(by_class(true, scored, among)).mean())

    def of(self, labels: Values, scores: Values) -> "MacroF1":
        """The same, over the classes of this sample."""
        return replace(self, among=present(self.read(labels), self.read(scores)))


def roc_auc(positive: NDArray[np.bool_], scores: Values) -> float:
    """The chance that a positive document scores above a negative one, ties half; NaN when one side is empty."""
    from scipy.stats import rankdata

    num_positive = int(positive.sum())
    pairs = num_positive * (len(positive) - num_positive)
    if not pairs:
        return float("nan")
    return float((rankdata(scores)[positive].sum() - num_positive * (num_positive + 1) / 2) / pairs)


def binary(positive: NDArray[np.bool_], kept: NDArray[np.bool_]) -> Matrix:
    """The matrix [2, 2] of a yes or no: rows are true, columns kept."""
    return np.bincount(2 * positive + kept, minlength=4).reshape(2, 2)


def best_cut(positive: NDArray[np.bool_], scores: Values) -> float:
    """The score from which on keeping has the highest macro F1 on these documents, which flatters it."""
    cuts, place = np.unique(scores, return_inverse=True)
    kept = np.bincount(place, minlength=len(cuts))[::-1].cumsum()[::-1]
    found = np.bincount(place, positive, minlength=len(cuts))[::-1].cumsum()[::-1]
    num_positive = positive.sum()
    rejected = len(scores) - kept
    positive_f1 = 2 * found / (kept + num_positive)
    negative_f1 = 2 * (rejected - num_positive + found) / (rejected + len(scores) - num_positive)
    return float(cuts[np.argmax(positive_f1 + negative_f1)])


def calibration(labels: Values, scores: Values, num_groups: int = 10) -> list[tuple[int, float, float]]:
    """(documents, mean score, mean label) of equally many documents each, from the lowest scores to the highest."""
    parts = np.array_split(np.argsort(scores, kind="stable"), num_groups)
    return [(len(part), float(scores[part].mean()), float(labels[part].mean())) for part in parts if len(part)]


def mean_absolute_error(labels: Values, scores: Values) -> float:
    """The mean distance, in the unit of the labels."""
    return float(np.abs(labels - scores).mean())


def _at_3(labels: Values, scores: Values) -> NDArray[np.float64]:
    """F1 of "below class 3" and of "class 3 or higher"."""
    return f1(at_least(confusion(labels, scores), 3))


def _halves(targets: Values, scores: Values) -> Matrix:
    """The matrix [2, 2] of a probability read as yes from one half on."""
    return binary(targets > 0, scores >= 0.5)


REGRESSION: Mapping[str, Metric] = {
    "spearman": spearman,
    "roc_auc_at_3": lambda labels, scores: roc_auc(classes(labels) >= 3, scores),
    "macro_f1": MacroF1(classes),
    "macro_f1_at_3": lambda labels, scores: float(_at_3(labels, scores).mean()),
    "positive_f1_at_3": lambda labels, scores: float(_at_3(labels, scores)[1]),
    "accuracy": lambda labels, scores: accuracy(confusion(labels, scores)),
    "mae": mean_absolute_error,
}
"""What is reported of a score from 0 to 5.

`macro_f1_at_3` is the mean of the positive and the negative class's F1 of "class 3 or higher", the figure that the card
of FineWeb-Edu calls 82 %; `positive_f1_at_3` is the positive class's alone.
"""

PROBABILITY: Mapping[str, Metric] = {
    "roc_auc": lambda targets, scores: roc_auc(targets > 0, scores),
    "macro_f1": lambda targets, scores: float(f1(_halves(targets, scores)).mean()),
    "positive_f1": lambda targets, scores: float(f1(_halves(targets, scores))[1]),
    "accuracy": lambda targets, scores: accuracy(_halves(targets, scores)),
}
"""What is reported of a probability: how it ranks, and how well it does as a yes or no at one half."""


def evaluate(
    metrics: Mapping[str, Metric], targets: Values, scores: Values, hosts: NDArray[np.int64]
) -> dict[str, Measured]:
    """Every metric with its 95 % bootstrap interval, drawing hosts; NaN where one is not defined."""
    of_the_whole = {
        name: metric.of(targets, scores) if isinstance(metric, MacroF1) else metric for name, metric in metrics.items()
    }
    return {
        name: Measured(metric(targets, scores), *bootstrap_interval(metric, (targets, scores), 0, hosts))
        for name, metric in of_the_whole.items()
    }
