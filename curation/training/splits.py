"""Which documents are trained on and which are held out: never two pages of one host on both sides."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


def folds(
    labels: NDArray[np.float32], hosts: NDArray[np.int64], num_folds: int, seed: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """(train, held out) places, `num_folds` times: every document is held out once, hosts stay together.

    Stratified by rounded label as far as the hosts allow. Equal arguments give equal folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(n_splits=num_folds, shuffle=True, random_state=seed)
    yield from splitter.split(np.zeros(len(labels)), _strata(labels, num_folds), hosts)


def hold_out(
    labels: NDArray[np.float32], hosts: NDArray[np.int64], share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(train, held out) places, about `share` of the documents held out: the first of so many folds."""
    return next(folds(labels, hosts, num_parts(share), seed))


def num_parts(share: float) -> int:
    """Into how many folds documents are cut so that one of them is about this share."""
    return max(2, round(1 / share))


def _strata(labels: NDArray[np.float32], least: int) -> NDArray[np.int64]:
    """Rounded labels; one with fewer than `least` documents joins the next lower, the lowest the next higher."""
    strata = np.rint(labels).astype(np.int64)
    for value in np.unique(strata)[:0:-1]:
        if np.count_nonzero(strata == value) < least:
            strata[strata == value] = strata[strata < value].max()
    values, counts = np.unique(strata, return_counts=True)
    if counts[0] < least and len(values) > 1:
        strata[strata == values[0]] = values[1]
    return strata
