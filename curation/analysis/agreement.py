"""How far two classifiers agree, from the counts of their buckets together."""

from collections.abc import Sequence
from typing import Any

import numpy as np

_TOP = ((5, 19), (10, 18), (25, 15))
"""(percent, lowest bucket): the best buckets that hold so much where each holds a twentieth."""


def rank_correlation(counts: Sequence[Sequence[int]]) -> float:
    """Spearman's rank correlation of the buckets of documents that have both; NaN where one is constant.

    `counts` [21, 21] are documents by bucket, from -1 on. Documents of one bucket share their rank.
    """
    joint = np.asarray(counts, float)[1:, 1:]
    total = joint.sum()
    if not total:
        return float("nan")
    centred = []
    for marginal in (joint.sum(1), joint.sum(0)):
        ranks = np.cumsum(marginal) - marginal / 2
        centred.append(ranks - (ranks * marginal).sum() / total)
    spread = [
        np.sqrt((marginal * rank**2).sum())
        for marginal, rank in zip((joint.sum(1), joint.sum(0)), centred, strict=True)
    ]
    if not all(spread):
        return float("nan")
    return float((joint * np.outer(*centred)).sum() / (spread[0] * spread[1]))


def overlaps(counts: Sequence[Sequence[int]]) -> list[dict[str, Any]]:
    """What both keep of the best buckets, and what only one does: the form of Nemotron-CC's Table 8."""
    joint = np.asarray(counts, np.int64)
    found = []
    for percent, lowest in _TOP:
        place = lowest + 1
        both, first, second = joint[place:, place:].sum(), joint[place:, :place].sum(), joint[:place, place:].sum()
        found.append(
            {
                "percent": percent,
                "lowest": lowest,
                "both": int(both),
                "only_first": int(first),
                "only_second": int(second),
            }
        )
    return found
