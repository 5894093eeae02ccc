"""Cuts on a score that answer a question about the labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curation.evaluation import metrics

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
    return [_cut(label, positive, scores) for label, positive in questions if 0 < positive.sum() < len(positive)]


def _cut(label: float, positive: NDArray[np.bool_], scores: Values) -> Cut:
    cut = metrics.best_cut(positive, scores)
    kept = scores >= cut
    return Cut(label, cut, metrics.macro_f1(metrics.binary(positive, kept)), float(kept.mean()))
