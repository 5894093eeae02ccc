"""Which documents are trained on and which are held out: never two pages of one host on both sides."""

from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray


def host(url: str | None) -> str | None:
    """The host of a URL in lower case, without user, port and a leading "www."; None when there is none."""
    try:
        name = urlsplit(url or "").hostname
    except ValueError:
        return None
    return name.removeprefix("www.") or None if name else None


def groups(urls: Sequence[str | None], ids: Sequence[str]) -> NDArray[np.int64]:
    """For each document the number of its host, in order of appearance; one without a host stands for itself."""
    numbers: dict[tuple[str, str], int] = {}
    keys = [("host", name) if (name := host(url)) else ("id", id_) for url, id_ in zip(urls, ids, strict=True)]
    return np.asarray([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)


def first_of_equal(texts: Sequence[str]) -> NDArray[np.int64]:
    """Where each distinct text stands for the first time; exact duplicates are what is left out."""
    places: dict[str, int] = {}
    for place, text in enumerate(texts):
        places.setdefault(text, place)
    return np.fromiter(places.values(), dtype=np.int64)


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
