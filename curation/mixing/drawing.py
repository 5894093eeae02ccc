"""Which documents a part of a source is: those that come first in an order that a seed decides.

Every document has a key, a hash of the seed and of where it lies. Its source lists its documents by key, over and over;
the phases draw from that list one after the other. A document is drawn by the phase that its middle lies in, so what a
phase draws is what it was to draw within half a document at either end. All that has to be known of a source, whatever
its size, is one key for each end of a phase: documents below it have been drawn once more than the others.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from curation.data.lots import lots

KEY_BITS = 62
"""So that a key, and the one after the last, is an int64."""
BIN_BITS = 10
NUM_BINS = 1 << BIN_BITS


def keys(seed: int, run: str, shard: str, positions: NDArray[np.int64]) -> NDArray[np.int64]:
    """The key of the documents at these positions of a shard of a run, from 0 to 2^62 - 1."""
    return (lots(seed, f"{run}\0{shard}", positions) >> np.uint64(64 - KEY_BITS)).astype(np.int64)


def bins(of: NDArray[np.int64]) -> NDArray[np.int64]:
    """The bin of each key, in the order of keys."""
    return of >> (KEY_BITS - BIN_BITS)


class Cut(NamedTuple):
    """A place in the list of a source: how often all its documents were drawn, and below which key once more."""

    whole: int
    below: int


def bin_at(bin_tokens: NDArray[np.int64], left: int) -> tuple[int, int]:
    """The bin of the document in which `left` tokens of a source end, and the tokens before that bin."""
    ends = np.cumsum(bin_tokens)
    place = int(np.searchsorted(ends, left))
    return place, int(ends[place] - bin_tokens[place])


def key_at(of: NDArray[np.int64], num_tokens: NDArray[np.int64], left: int) -> int:
    """The key below which are those of these documents whose middle lies before `left` tokens of them."""
    order = np.argsort(of, kind="stable")
    ends = np.cumsum(num_tokens[order])
    place = np.searchsorted(ends, left)
    is_drawn = 2 * (ends[place] - left) < num_tokens[order[place]]
    return int(of[order[place]]) + int(is_drawn)


def times_before(cuts: Sequence[Sequence[Cut]], codes: NDArray[np.intp], of: NDArray[np.int64]) -> NDArray[np.int64]:
    """How often each document is drawn before each cut of its source [documents, cuts]; `codes` are the sources."""
    whole = np.asarray([[cut.whole for cut in each] for each in cuts], np.int64)
    below = np.asarray([[cut.below for cut in each] for each in cuts], np.int64)
    return np.asarray(whole[codes] + (of[:, None] < below[codes]))
