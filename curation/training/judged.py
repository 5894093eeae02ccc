"""What scores are held against, by kind: labels from 0 to 5, a yes or no, or names."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from curation.core.errors import ConfigError
from curation.statistics import spearman
from curation.training import evaluation, length
from curation.training.evaluation import Matrix, Values

Columns = Mapping[str, NDArray[Any]]
Figures = dict[str, float]
_MOST_POINTS = 200
_NUM_BINS = 30


@dataclass(frozen=True)
class Judged(ABC):
    """A column of scores and the labels that it is held against: a `[[judged]]` table of a config.

    `name` is a classifier of the config, or one of `columns`. Missing labels are NaN, or None where they are strings.
    """

    kind: ClassVar[str]
    name: str

    @property
    @abstractmethod
    def labels(self) -> tuple[str, ...]:
        """The columns of the data that it is held against."""

    @property
    @abstractmethod
    def question(self) -> str:
        """What is asked of the scores, in words."""

    @abstractmethod
    def mistakes(self) -> list[str]:
        """What is wrong with the settings themselves."""

    @abstractmethod
    def truth(self, columns: Columns) -> NDArray[Any]:
        """What scores should agree with, one for each document."""

    @abstractmethod
    def unusable(self, truth: NDArray[Any]) -> str:
        """Why nothing can be judged by these labels, none of which is missing; "" when it can."""

    @abstractmethod
    def cut(self, truth: NDArray[Any], scores: NDArray[Any]) -> float:
        """The threshold, or the best one on these documents where none is given."""

    @abstractmethod
    def matrix(self, truth: NDArray[Any], scores: NDArray[Any], cut: float) -> Matrix:
        """Documents by true class (rows) and scored class (columns)."""

    @abstractmethod
    def classes(self, truth: NDArray[Any], scores: NDArray[Any]) -> tuple[str, ...]:
        """The names of the matrix's classes."""

    @abstractmethod
    def figures(self, truth: NDArray[Any], scores: NDArray[Any], cut: float) -> Figures:
        """Every figure that has an interval."""

    @abstractmethod
    def length_alone(
        self,
        truth: NDArray[Any],
        scores: NDArray[Any],
        cut: float,
        lengths: NDArray[np.int64],
    ) -> tuple[NDArray[Any], float]:
        """Scores that follow from length alone, and their cut, which keeps as many as the classifier's."""

    @abstractmethod
    def details(self, truth: NDArray[Any], scores: NDArray[Any], alone: NDArray[Any], cut: float) -> dict[str, Any]:
        """What else there is to say, as JSON; `alone` are the scores by length."""


def _kept(positive: NDArray[np.bool_], scores: Values, threshold: float, suffix: str) -> Figures:
    """What keeping everything from a threshold on finds."""
    return _binary(evaluation.binary(positive, scores >= threshold), suffix)


def _binary(matrix: Matrix, suffix: str) -> Figures:
    negative_f1, positive_f1 = evaluation.f1(matrix)
    return {
        f"macro_f1{suffix}": float(negative_f1 + positive_f1) / 2,
        f"positive_f1{suffix}": float(positive_f1),
        f"negative_f1{suffix}": float(negative_f1),
        f"precision{suffix}": float(evaluation.precision(matrix)[1]),
        f"recall{suffix}": float(evaluation.recall(matrix)[1]),
        f"kept_share{suffix}": float(matrix[:, 1].sum() / matrix.sum()),
    }


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
        """A class that divides nothing."""
        wrong = not 0 < self.positive < evaluation.NUM_CLASSES
        return [f"judged.{self.name}.positive: {self.positive} is not a class from 1 to 5."] if wrong else []

    def truth(self, columns: Columns) -> Values:
        """The label."""
        return _numbers(columns, self.label)

    def unusable(self, truth: Values) -> str:
        """Labels outside 0 to 5, or all on one side."""
        if outside := int(np.count_nonzero((truth < 0) | (truth > evaluation.NUM_CLASSES - 1))):
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
        return evaluation.best_cut(self._positive(truth), scores)

    def matrix(self, truth: Values, scores: Values, cut: float) -> Matrix:  # noqa: ARG002 - classes need no cut
        """By rounded and clipped class."""
        return evaluation.confusion(truth, scores)

    def classes(self, truth: Values, scores: Values) -> tuple[str, ...]:  # noqa: ARG002 - always the same
        """0 to 5."""
        return tuple(map(str, range(evaluation.NUM_CLASSES)))

    def figures(self, truth: Values, scores: Values, cut: float) -> Figures:
        """Ranks, classes, and the questions of 2, 3 and the threshold."""
        matrix = evaluation.confusion(truth, scores)
        f1 = evaluation.f1(matrix)
        found = {
            "spearman": spearman(truth, scores),
            "mae": evaluation.mean_absolute_error(truth, scores),
            "accuracy": evaluation.accuracy(matrix),
            "macro_f1": evaluation.macro(f1, matrix),
            "weighted_f1": evaluation.weighted(f1, matrix),
        }
        for each in (2, 3):
            found |= _binary(evaluation.at_least(matrix, each), f"_at_{each}")
            found[f"roc_auc_at_{each}"] = evaluation.roc_auc(evaluation.classes(truth) >= each, scores)
        positive = self._positive(truth)
        found |= _kept(positive, scores, cut, "_at_threshold")
        found["roc_auc_at_threshold"] = evaluation.roc_auc(positive, scores)
        return found

    def length_alone(
        self, truth: Values, scores: Values, cut: float, lengths: NDArray[np.int64]
    ) -> tuple[Values, float]:
        """A straight line through the logarithm of the length."""
        alone = length.line(truth, lengths)
        return alone, length.cut_that_keeps(int((scores >= cut).sum()), alone)

    def details(self, truth: Values, scores: Values, alone: Values, cut: float) -> dict[str, Any]:
        """The threshold, the calibration and the curves."""
        return {
            **_threshold(self.threshold, cut),
            "positive": self.positive,
            **_calibration(truth, scores),
            **_curves(self._positive(truth), scores, alone),
            **_histogram(evaluation.classes(truth), self.classes(truth, scores), scores),
        }

    def _positive(self, truth: Values) -> NDArray[np.bool_]:
        return evaluation.classes(truth) >= self.positive


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
        """An empty rule."""
        return [] if self.keep else [f"judged.{self.name}.keep: no label is named; write for example edu = 3."]

    def truth(self, columns: Columns) -> Values:
        """1 for yes, 0 for no, NaN where a label is missing and no other says yes."""
        given = [(_numbers(columns, name), least) for name, least in self.keep]
        yes = np.any([values >= least for values, least in given], axis=0)
        unknown = np.any([np.isnan(values) for values, _ in given], axis=0)
        return np.where(yes, 1.0, np.where(unknown, np.nan, 0.0))

    def unusable(self, truth: Values) -> str:
        """All on one side."""
        return f"by {self.question} all documents are equal." if len(set(truth)) < 2 else ""

    def cut(self, truth: Values, scores: Values) -> float:
        """See `Judged.cut`."""
        return evaluation.best_cut(truth > 0, scores) if self.threshold is None else self.threshold

    def matrix(self, truth: Values, scores: Values, cut: float) -> Matrix:
        """Below the threshold and from it on."""
        return evaluation.binary(truth > 0, scores >= cut)

    def classes(self, truth: Values, scores: Values) -> tuple[str, ...]:  # noqa: ARG002 - always the same
        """No and yes."""
        return ("no", "yes")

    def figures(self, truth: Values, scores: Values, cut: float) -> Figures:
        """How it ranks, and what it does at its threshold."""
        matrix = self.matrix(truth, scores, cut)
        return {
            "roc_auc": evaluation.roc_auc(truth > 0, scores),
            "accuracy": evaluation.accuracy(matrix),
            **_binary(matrix, "_at_threshold"),
        }

    def length_alone(
        self, truth: Values, scores: Values, cut: float, lengths: NDArray[np.int64]
    ) -> tuple[Values, float]:
        """A logistic regression on the logarithm of the length."""
        alone = length.probabilities(truth.astype(np.int64), lengths)[:, 1]
        return alone, length.cut_that_keeps(int((scores >= cut).sum()), alone)

    def details(self, truth: Values, scores: Values, alone: Values, cut: float) -> dict[str, Any]:
        """The threshold, the calibration and the curves."""
        return {
            **_threshold(self.threshold, cut),
            **_calibration(truth, scores),
            **_curves(truth > 0, scores, alone),
            **_histogram(truth.astype(np.int64), self.classes(truth, scores), scores),
        }


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
        names, codes = np.unique(np.concatenate([truth, scores]), return_inverse=True)
        cells = codes[: len(truth)] * len(names) + codes[len(truth) :]
        return np.bincount(cells, minlength=len(names) ** 2).reshape(len(names), len(names))

    def classes(self, truth: NDArray[Any], scores: NDArray[Any]) -> tuple[str, ...]:
        """Every label that is true or scored somewhere."""
        return tuple(sorted({*truth, *scores}))

    def figures(self, truth: NDArray[Any], scores: NDArray[Any], cut: float) -> Figures:
        """Accuracy and averages of F1."""
        matrix = self.matrix(truth, scores, cut)
        f1 = evaluation.f1(matrix)
        return {
            "accuracy": evaluation.accuracy(matrix),
            "macro_f1": evaluation.macro(f1, matrix),
            "weighted_f1": evaluation.weighted(f1, matrix),
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


KINDS: Mapping[str, type[Judged]] = {cls.kind: cls for cls in (Regression, Probability, Labels)}


def kind(name: str) -> type[Judged]:
    """The class of a kind. Raises ConfigError that lists the kinds."""
    if name not in KINDS:
        raise ConfigError(f"nothing is judged as {name!r}; the kinds are {', '.join(KINDS)}.")
    return KINDS[name]


def _numbers(columns: Columns, name: str) -> Values:
    return columns[name].astype(np.float64)


def _threshold(given: float | None, cut: float) -> dict[str, Any]:
    return {"threshold": cut, "threshold_is": "chosen on these documents" if given is None else "given"}


def _calibration(truth: Values, scores: Values) -> dict[str, Any]:
    return {
        "calibration": [
            {"num_documents": number, "score": score, "label": label}
            for number, score, label in evaluation.calibration(truth, scores)
        ]
    }


def _curves(positive: NDArray[np.bool_], scores: Values, alone: Values) -> dict[str, Any]:
    """Precision and recall at thresholds from the lowest to the highest, of the score and of length alone."""
    from sklearn.metrics import precision_recall_curve

    curves = {}
    for whose, values in (("classifier", scores), ("length_alone", alone)):
        precision, recall, _ = precision_recall_curve(positive, values, drop_intermediate=True)
        places = np.unique(np.linspace(0, len(recall) - 1, _MOST_POINTS).astype(int))
        curves[whose] = {"precision": precision[places].tolist(), "recall": recall[places].tolist()}
    return {"precision_recall": curves}


def _histogram(classes: NDArray[np.int64], names: tuple[str, ...], scores: Values) -> dict[str, Any]:
    """How many documents of each true class lie in each of equally wide bins of scores."""
    edges = np.histogram_bin_edges(scores, _NUM_BINS)
    counts = {name: np.histogram(scores[classes == place], edges)[0].tolist() for place, name in enumerate(names)}
    return {"histogram": {"edges": edges.tolist(), "num_documents": counts}}
