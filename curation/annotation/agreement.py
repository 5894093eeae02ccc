"""How far two annotators agree: quadratic-weighted kappa, mean absolute error, confusion."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from curation.annotation.labels import Labels
from curation.statistics import weighted_kappa


def agreement(found: Sequence[Labels]) -> list[dict[str, Any]]:
    """For every two columns of one rubric, over the documents that both have labelled.

    Kappa (Cohen 1968, with squared distances between the places of answers) and confusion, rows for the first column,
    take the answer that each label is nearest to (`Rubric.nearest`); `mae` takes labels as they are. What is not
    defined, such as the kappa of two columns that are constant, is None.
    """
    pairs = itertools.combinations(found, 2)
    return [_of_two(first, second) for first, second in pairs if first.column.rubric == second.column.rubric]


def _of_two(first: Labels, second: Labels) -> dict[str, Any]:
    both = np.isfinite(first.values) & np.isfinite(second.values)
    one, other = first.values[both].astype(np.float64), second.values[both].astype(np.float64)
    rubric = first.column.rubric
    nearest = rubric.nearest(one), rubric.nearest(other)
    confusion = np.zeros((len(rubric.values),) * 2, np.int64)
    np.add.at(confusion, nearest, 1)
    kappa = weighted_kappa(confusion)
    return {
        "first": first.column.label,
        "second": second.column.label,
        "num_documents": len(one),
        "quadratic_weighted_kappa": None if math.isnan(kappa) else round(kappa, 4),
        "mae": round(float(np.abs(one - other).mean()), 4) if len(one) else None,
        "values": rubric.values,
        "confusion": confusion.tolist() if len(one) else None,
    }
