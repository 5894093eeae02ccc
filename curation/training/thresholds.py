"""Cuts on a score that answer a question about the labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.floating]


@dataclass(frozen=True)
class Cut:
    """Documents with at least this `score` are taken for those whose label is `label` or more.

    `macro_f1` is the mean of both answers' F1 on the scores that the cut was found in, which flatters it a little;
    `share_above` of the documents pass.
    """

    label: float
    score: float
    macro_f1: float
    share_above: float


def cuts(targets: Values, scores: Values, labels: Sequence[float]) -> list[Cut]:
    """For each label the cut of highest macro F1; none for one that no document reaches, or all do."""
    questions = ((label, targets >= label) for label in labels)
    return [_best(label, positive, scores) for label, positive in questions if 0 < positive.sum() < len(positive)]


def _best(label: float, positive: NDArray[np.bool_], scores: Values) -> Cut:
    """The lowest of the best cuts, which is the score of a document."""
    order = np.argsort(-scores, kind="stable")
    above = np.arange(1, len(scores) + 1)
    hits = np.cumsum(positive[order])
    num, num_positive = len(scores), int(positive.sum())
    misses, below = num_positive - hits, num - above
    f1 = 2 * hits / (above + num_positive), 2 * (below - misses) / (below + num - num_positive)
    macro = (f1[0] + f1[1]) / 2
    is_last = np.append(np.diff(scores[order]) != 0, True)  # equal scores pass together
    best = max(np.flatnonzero(is_last), key=lambda place: (macro[place], place))
    return Cut(label, float(scores[order[best]]), float(macro[best]), float(above[best] / num))
