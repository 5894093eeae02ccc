"""Which documents are scored together: a function of their lengths and the token budget, nothing else."""

import numpy as np
from numpy.typing import NDArray


def batches(lengths: NDArray[np.int64], token_budget: int) -> list[NDArray[np.int64]]:
    """The places of the documents of each batch, longest documents first, equal lengths in their order.

    A batch of B documents whose longest has L tokens keeps B · L ≤ `token_budget`; a longer document goes alone, and an
    empty one counts as one token.
    """
    order = np.argsort(-lengths, kind="stable")
    result = []
    start = 0
    while start < len(order):
        size = max(1, token_budget // max(1, int(lengths[order[start]])))
        result.append(order[start : start + size])
        start += size
    return result


def halves(batch: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A batch of at least two documents as two, for when it does not fit into memory."""
    middle = (len(batch) + 1) // 2
    return batch[:middle], batch[middle:]
