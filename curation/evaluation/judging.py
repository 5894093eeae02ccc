"""Scores against labels: every figure, with its interval, beside what a document's length alone knows."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.core.errors import ConfigError
from curation.evaluation import metrics
from curation.evaluation.judged import Columns, Judged
from curation.evaluation.metrics import Matrix
from curation.statistics import bootstrap_intervals

LEAST_HOSTS = 5
"""Intervals draw hosts; of fewer than these they would say nothing."""

WHOSE = ("classifier", "length_alone", "difference")
"""What every figure is given of."""


def present(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Where a value is not missing."""
    if values.dtype == object:
        return np.asarray([value is not None for value in values], bool)
    return np.asarray(np.isfinite(values), bool)


def mistake(spec: Judged, truth: NDArray[Any], hosts: NDArray[np.int64]) -> str:
    """Why these documents, all of which have label and score, cannot judge; "" when they can."""
    if not len(truth):
        return "no document has both a label and a score."
    if why := spec.unusable(truth):
        return why
    if (num_hosts := len(np.unique(hosts))) < LEAST_HOSTS:
        return f"the labelled documents come from {num_hosts} hosts; intervals need {LEAST_HOSTS}."
    return ""


def judge(
    spec: Judged,
    columns: Columns,
    scores: NDArray[Any],
    lengths: NDArray[np.int64],
    hosts: NDArray[np.int64],
    *,
    num_resamples: int = 1000,
) -> dict[str, Any]:
    """Everything there is to say of a column of scores, as JSON; what is not defined is None.

    Documents without a label or without a score are left out, and counted. Intervals are of resamples of hosts;
    "difference" is the classifier's figure minus that of length alone, with the interval of the same resamples.
    Raises ConfigError when the documents that are left cannot judge.
    """
    truth = spec.truth(columns)
    with_label, with_score = present(truth), present(scores)
    here = with_label & with_score
    if why := mistake(spec, truth[here], hosts[here]):
        raise ConfigError(f"judged.{spec.name}: {why}")
    truth, scores, lengths, hosts = truth[here], scores[here], lengths[here], hosts[here]
    cut = spec.cut(truth, scores)
    alone, alone_cut = spec.length_alone(truth, scores, cut, lengths)

    matrix, names = spec.matrix(truth, scores, cut), spec.classes(truth, scores)
    if truth.dtype == object:  # numbers are counted faster
        truth, scores, alone = np.unique([truth, scores, alone], return_inverse=True)[1].reshape(3, -1)
    among, among_alone = spec.present(truth, scores), spec.present(truth, alone)

    def statistics(truth: NDArray[Any], scores: NDArray[Any], alone: NDArray[Any]) -> NDArray[np.float64]:
        own = np.asarray([*spec.figures(truth, scores, cut, among).values()])
        length = np.asarray([*spec.figures(truth, alone, alone_cut, among_alone).values()])
        return np.stack([own, length, own - length]).ravel()

    values = statistics(truth, scores, alone)
    intervals = bootstrap_intervals(statistics, (truth, scores, alone), 0, hosts, num_resamples=num_resamples)
    measured = np.column_stack([values, intervals]).reshape(3, -1, 3)
    return {
        "name": spec.name,
        "kind": spec.kind,
        "question": spec.question,
        "num_documents": len(truth),
        "num_hosts": len(np.unique(hosts)),
        "num_without_label": int(np.count_nonzero(~with_label)),
        "num_without_score": int(np.count_nonzero(with_label & ~with_score)),
        **spec.details(truth, scores, alone, cut),
        "figures": {
            name: {what: _json(measured[place, number]) for place, what in enumerate(WHOSE)}
            for number, name in enumerate(spec.figures(truth, scores, cut, among))
        },
        "classes": by_class(matrix, names),
        "averages": averages(matrix),
        "confusion": matrix.tolist(),
    }


def by_class(matrix: Matrix, names: Sequence[str]) -> list[dict[str, Any]]:
    """Precision, recall, F1 and the number of true documents of each class."""
    each = (metrics.precision(matrix), metrics.recall(matrix), metrics.f1(matrix), matrix.sum(axis=1))
    return [
        {"class": name, "precision": float(p), "recall": float(r), "f1": float(f), "support": int(n)}
        for name, p, r, f, n in zip(names, *each, strict=True)
    ]


def averages(matrix: Matrix) -> dict[str, dict[str, float]]:
    """Macro and weighted means of precision, recall and F1."""
    figures = {"precision": metrics.precision, "recall": metrics.recall, "f1": metrics.f1}
    means = {"macro": metrics.macro, "weighted": metrics.weighted}
    return {
        mean: {name: take(figure(matrix), matrix) for name, figure in figures.items()} for mean, take in means.items()
    }


def _json(measured: NDArray[np.float64]) -> dict[str, float | None]:
    return {
        name: float(value) if np.isfinite(value) else None
        for name, value in zip(("value", "low", "high"), measured, strict=True)
    }
