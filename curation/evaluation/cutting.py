"""What there is to say of a score that is cut at a threshold: a yes or no, its calibration, its curves."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.evaluation import metrics
from curation.evaluation.judged import Figures
from curation.evaluation.metrics import Matrix, Values

_MOST_POINTS = 200
_NUM_BINS = 30


def kept(positive: NDArray[np.bool_], scores: Values, threshold: float, suffix: str) -> Figures:
    """What keeping everything from a threshold on finds."""
    return binary(metrics.binary(positive, scores >= threshold), suffix)


def binary(matrix: Matrix, suffix: str) -> Figures:
    """The figures of a yes or no by its matrix [2, 2], their names with this suffix."""
    negative_f1, positive_f1 = metrics.f1(matrix)
    return {
        f"macro_f1{suffix}": float(negative_f1 + positive_f1) / 2,
        f"positive_f1{suffix}": float(positive_f1),
        f"negative_f1{suffix}": float(negative_f1),
        f"precision{suffix}": float(metrics.precision(matrix)[1]),
        f"recall{suffix}": float(metrics.recall(matrix)[1]),
        f"kept_share{suffix}": float(matrix[:, 1].sum() / matrix.sum()),
    }


def mistakes(name: str, given: float | None) -> list[str]:
    """What is wrong with a threshold."""
    is_one = given is None or np.isfinite(given)
    return [] if is_one else [f"judged.{name}.threshold: {given:g} is no number; leave it out to take the best."]


def threshold(given: float | None, cut: float) -> dict[str, Any]:
    """The threshold, and where it comes from."""
    return {"threshold": cut, "threshold_is": "chosen on these documents" if given is None else "given"}


def calibration(truth: Values, scores: Values) -> dict[str, Any]:
    """Mean score against mean label, by tenths of the documents."""
    return {
        "calibration": [
            {"num_documents": number, "score": score, "label": label}
            for number, score, label in metrics.calibration(truth, scores)
        ]
    }


def curves(positive: NDArray[np.bool_], scores: Values, alone: Values) -> dict[str, Any]:
    """Precision and recall at thresholds from the lowest to the highest, of the score and of length alone."""
    from sklearn.metrics import precision_recall_curve

    curves = {}
    for whose, values in (("classifier", scores), ("length_alone", alone)):
        precision, recall, _ = precision_recall_curve(positive, values, drop_intermediate=True)
        places = np.unique(np.linspace(0, len(recall) - 1, _MOST_POINTS).astype(int))
        curves[whose] = {"precision": precision[places].tolist(), "recall": recall[places].tolist()}
    return {"precision_recall": curves}


def histogram(classes: NDArray[np.int64], names: tuple[str, ...], scores: Values) -> dict[str, Any]:
    """How many documents of each true class lie in each of equally wide bins of scores."""
    edges = np.histogram_bin_edges(scores, _NUM_BINS)
    counts = {name: np.histogram(scores[classes == place], edges)[0].tolist() for place, name in enumerate(names)}
    return {"histogram": {"edges": edges.tolist(), "num_documents": counts}}
