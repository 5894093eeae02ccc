"""Texts that are longer than a model, read whole: cut into chunks, whose scores are put together."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curation.core.classifier import LongDocuments
from curation.inference.tokens import Tokens


@dataclass(frozen=True, eq=False)
class Chunks:
    """The tokens of texts in chunks: text i owns the chunks from ``starts[i]`` on, at least one."""

    tokens: Tokens
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, tokens: Tokens, max_content: int) -> "Chunks":
        """Whole texts in chunks of `max_content` ids; the last one of a text may be shorter."""
        counts = np.maximum(1, -(-tokens.lengths // max_content))
        starts = np.cumsum(counts) - counts
        number = np.arange(counts.sum()) - np.repeat(starts, counts)
        first = np.repeat(tokens.offsets[:-1], counts) + max_content * number
        offsets = np.append(first, tokens.offsets[-1])
        return cls(Tokens(tokens.ids, offsets, np.zeros(len(first), np.bool_)), starts)

    def join(self, scores: NDArray[np.float32], how: LongDocuments) -> NDArray[np.float32]:
        """One score for each text, from one for each chunk; missing where that of a chunk is.

        "chunks:max" takes the highest, "chunks:mean" the mean weighted by the chunks' tokens.
        """
        if not len(self.starts):
            return scores
        if how == "chunks:max":
            return np.maximum.reduceat(scores, self.starts)
        weights = np.maximum(1, self.tokens.lengths)
        sums = np.add.reduceat(scores.astype(np.float64) * weights, self.starts)
        return (sums / np.add.reduceat(weights, self.starts)).astype(np.float32)
