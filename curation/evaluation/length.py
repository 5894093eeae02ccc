"""What a document's length alone knows of its label: every classifier must do better.

Fitted on the very documents that it is judged on, which flatters it a little, never the classifier: folds would pull
the ranks of something that knows nothing below zero.
"""

import numpy as np
from numpy.typing import NDArray

from curation.evaluation.metrics import Values


def line(labels: Values, lengths: NDArray[np.int64]) -> Values:
    """For each document the label on the straight line through the logarithm of the length that fits best."""
    inputs = np.column_stack([np.log1p(lengths), np.ones(len(lengths))])
    return np.asarray(inputs @ np.linalg.lstsq(inputs, labels, rcond=None)[0], np.float64)


def probabilities(codes: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.float64]:
    """The probability of every class [n, C] by a logistic regression on the logarithm; every code occurs."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    inputs = np.log1p(lengths)[:, np.newaxis]
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(inputs, codes)
    return np.asarray(model.predict_proba(inputs), np.float64)


def cut_that_keeps(number: int, scores: Values) -> float:
    """The score from which on so many documents are kept, or the fewest above that where scores are equal."""
    return float(np.sort(scores)[::-1][number - 1]) if number else float(np.nextafter(scores.max(), np.inf))
