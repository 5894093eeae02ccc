"""A number for every document, as good as random and the same whoever asks: what is drawn by a seed follows it."""

import numpy as np
import xxhash
from numpy.typing import NDArray

_GAMMA, _MIX = np.uint64(0x9E3779B97F4A7C15), (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def lots(seed: int, shard: str, positions: NDArray[np.int64]) -> NDArray[np.uint64]:
    """The lot of the documents at these positions of a shard, from 0 to 2^64 - 1.

    It follows from the three alone: SplitMix64 (Steele et al. 2014), begun by a hash of seed and shard.
    """
    start = np.uint64(xxhash.xxh3_64_intdigest(f"{seed}\0{shard}".encode()))
    with np.errstate(over="ignore"):
        return _mixed(_mixed(positions.astype(np.uint64) * _GAMMA) ^ start)


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    for shift, factor in zip((30, 27), _MIX, strict=True):
        values = (values ^ (values >> np.uint64(shift))) * factor
    return np.asarray(values ^ (values >> np.uint64(31)))
