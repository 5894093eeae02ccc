"""How far two annotators agree: quadratic-weighted kappa, mean absolute error, confusion."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from curation.annotation.labels import Labels


def agreement(found: Sequence[Labels]) -> list[dict[str, Any]]:
    """For every two columns of one rubric, over the documents that both have labelled.

    Kappa (Cohen 1968, with squared distances) and confusion, rows for the first column, take labels rounded to the
    rubric's values, halves to the even one; `mae` takes them as they are. What is not defined, such as the kappa of two
    columns that are constant, is None.
    """
    pairs = itertools.combinations(found, 2)
    return [_of_two(first, second) for first, second in pairs if first.column.rubric == second.column.rubric]


def _of_two(first: Labels, second: Labels) -> dict[str, Any]:
    from sklearn.metrics import cohen_kappa_score, confusion_matrix

    both = np.isfinite(first.values) & np.isfinite(second.values)
    one, other = first.values[both].astype(np.float64), second.values[both].astype(np.float64)
    values = list(map(int, first.column.rubric.values))
    rounded = np.rint(one).astype(int), np.rint(other).astype(int)
    is_defined = len(one) > 0 and len(np.unique(np.concatenate(rounded))) > 1
    kappa = cohen_kappa_score(*rounded, labels=values, weights="quadratic") if is_defined else None
    return {
        "first": first.column.label,
        "second": second.column.label,
        "num_documents": len(one),
        "quadratic_weighted_kappa": None if kappa is None else round(float(kappa), 4),
        "mae": round(float(np.abs(one - other).mean()), 4) if len(one) else None,
        "values": values,
        "confusion": confusion_matrix(*rounded, labels=values).tolist() if len(one) else None,
    }
