"""Classifiers against each other: what each would keep, how alike they rank, where they disagree."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from curation.evaluation.metrics import Values
from curation.statistics import spearman, weighted_quantile

NUM_EXAMPLES = 5
"""Documents shown of each side of a disagreement."""


@dataclass(frozen=True, eq=False)
class Compared:
    """Scores of the documents that every classifier has scored, with the documents' places and sizes in tokens."""

    scores: Mapping[str, Values]
    places: NDArray[np.intp]
    num_tokens: NDArray[np.int64]

    @classmethod
    def of(cls, scores: Mapping[str, Values], num_tokens: NDArray[np.int64]) -> "Compared":
        """Those of all documents that have every score."""
        complete = np.all([np.isfinite(values) for values in scores.values()], axis=0)
        kept = {name: values[complete] for name, values in scores.items()}
        return cls(kept, np.flatnonzero(complete), num_tokens[complete])


def compare(compared: Compared, keep_shares: tuple[float, ...]) -> dict[str, Any]:
    """Everything there is to say of two classifiers or more, as JSON; documents are named by their places."""
    return {
        "num_documents": len(compared.places),
        "num_tokens": int(compared.num_tokens.sum()),
        "rank_correlation": rank_correlation(compared),
        "overlap": [overlap(compared, share) for share in keep_shares],
        "disagreements": disagreements(compared),
    }


def rank_correlation(compared: Compared) -> dict[str, Any]:
    """Spearman's of every two, and of each with the size of the documents in tokens; None where one is constant."""
    columns = {**compared.scores, "length": compared.num_tokens}
    found = [[spearman(one, other) for other in columns.values()] for one in columns.values()]
    return {
        "names": list(columns),
        "matrix": [[value if np.isfinite(value) else None for value in row] for row in found],
    }


def overlap(compared: Compared, keep_share: float) -> dict[str, Any]:
    """What every two classifiers keep when each keeps its best documents, about `keep_share` of all tokens.

    In the form of Nemotron-CC's Table 8: both, only the first, only the second, and the union, by documents and tokens.
    A score equal to the threshold is kept, so a classifier whose best scores are equal keeps more: see "kept".
    """
    percent = round(100 * (1 - keep_share))
    kept = {
        name: scores >= weighted_quantile(scores, compared.num_tokens, [percent])[0]
        for name, scores in compared.scores.items()
    }
    return {
        "keep_share": keep_share,
        "kept": {name: _counts(rows, compared) for name, rows in kept.items()},
        "pairs": [
            {
                "first": first,
                "second": second,
                "both": _counts(kept[first] & kept[second], compared),
                "only_first": _counts(kept[first] & ~kept[second], compared),
                "only_second": _counts(~kept[first] & kept[second], compared),
                "union": _counts(kept[first] | kept[second], compared),
            }
            for first, second in combinations(kept, 2)
        ],
    }


def disagreements(compared: Compared) -> list[dict[str, Any]]:
    """For every two classifiers the documents whose ranks lie furthest apart, those that the first prefers first.

    A rank is the share of documents that do not score higher, equal ones counted half.
    """
    number = len(compared.places)
    ranks = {name: (rankdata(scores) - 0.5) / number for name, scores in compared.scores.items()}
    return [
        {
            "first": first,
            "second": second,
            "first_prefers": _furthest(ranks[first] - ranks[second], ranks, compared),
            "second_prefers": _furthest(ranks[second] - ranks[first], ranks, compared),
        }
        for first, second in combinations(ranks, 2)
    ]


def _furthest(apart: Values, ranks: Mapping[str, Values], compared: Compared) -> list[dict[str, Any]]:
    rows = np.argsort(-apart, kind="stable")[:NUM_EXAMPLES]
    return [
        {
            "place": int(compared.places[row]),
            "scores": {name: float(scores[row]) for name, scores in compared.scores.items()},
            "ranks": {name: float(values[row]) for name, values in ranks.items()},
        }
        for row in rows
        if apart[row] > 0
    ]


def _counts(rows: NDArray[np.bool_], compared: Compared) -> dict[str, int]:
    return {"num_documents": int(rows.sum()), "num_tokens": int(compared.num_tokens[rows].sum())}
