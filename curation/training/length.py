"""What a document's length alone knows of its label: every classifier must do better."""

import numpy as np
from numpy.typing import NDArray

from curation.training.evaluation import Values
from curation.training.splits import folds

NUM_FOLDS = 5
"""Folds by host, in which length learns the labels; so many hosts are needed at least."""

Hosts = NDArray[np.int64]


def line(labels: Values, lengths: Values, hosts: Hosts) -> Values:
    """For each document the label on a straight line through the logarithm of the length, fitted on other hosts."""
    inputs = np.column_stack([np.log1p(lengths), np.ones(len(lengths))])
    found = np.zeros(len(labels))
    for train, held_out in folds(labels.astype(np.float32), hosts, NUM_FOLDS, 0):
        found[held_out] = inputs[held_out] @ np.linalg.lstsq(inputs[train], labels[train], rcond=None)[0]
    return found


def probabilities(codes: NDArray[np.int64], num_classes: int, lengths: Values, hosts: Hosts) -> NDArray[np.float64]:
    """The probability of every class [n, C] by a logistic regression on the logarithm, fitted on other hosts."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    inputs = np.log1p(lengths)[:, np.newaxis]
    found = np.zeros((len(codes), num_classes))
    for train, held_out in folds(codes.astype(np.float32), hosts, NUM_FOLDS, 0):
        if len(known := np.unique(codes[train])) == 1:  # nothing to learn: all that is left to train on is of one class
            found[held_out, known[0]] = 1
            continue
        model = make_pipeline(StandardScaler(), LogisticRegression()).fit(inputs[train], codes[train])
        found[np.ix_(held_out, known)] = model.predict_proba(inputs[held_out])
    return found


def cut_that_keeps(number: int, scores: Values) -> float:
    """The score from which on so many documents are kept, or the fewest above that where scores are equal."""
    return float(np.sort(scores)[::-1][number - 1]) if number else float(np.nextafter(scores.max(), np.inf))
