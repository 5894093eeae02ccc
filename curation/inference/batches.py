"""Which texts run together, and how they lie in memory: a function of their lengths and the token budget alone."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curation.inference.tokens import Template, Tokens

_FEWEST_TOKENS = 16  # a corpus of shorter texts than this does not fill its runs


@dataclass(frozen=True, eq=False)
class Batch:
    """Texts that run together: `ids` [T] of all of them one after the other, int64, and their `lengths` [B].

    Special tokens are included. `pad` fills what is laid out in rows.
    """

    ids: NDArray[np.int64]
    lengths: NDArray[np.int64]
    pad: int

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def starts(self) -> NDArray[np.int64]:
        """Where each text begins in `ids`."""
        return np.cumsum(self.lengths) - self.lengths

    @property
    def places(self) -> NDArray[np.int64]:
        """The place [T] of each token in its text, from 0."""
        return np.arange(len(self.ids)) - np.repeat(self.starts, self.lengths)

    def padded(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """ids_BT in rows padded on the right, and their mask: 1 for a token, 0 for padding."""
        mask_BT = np.arange(self.lengths.max()) < self.lengths[:, None]
        ids_BT = np.full(mask_BT.shape, self.pad, np.int64)
        ids_BT[mask_BT] = self.ids
        return ids_BT, mask_BT.astype(np.int64)

    def filled(self, num_tokens: int, longest: int) -> "Batch":
        """The batch with texts of padding at its end, at most `longest` tokens each, that make `num_tokens` of it."""
        missing = num_tokens - len(self.ids)
        fill = np.diff(np.append(np.arange(0, missing, longest), missing))
        ids = np.concatenate([self.ids, np.full(missing, self.pad, np.int64)])
        return Batch(ids, np.concatenate([self.lengths, fill]), self.pad)


class Framed:
    """The ids of texts between the special tokens of a template, from which batches are made.

    A text without any token becomes one of padding.
    """

    def __init__(self, tokens: Tokens, template: Template) -> None:
        prefix, suffix = np.array(template.prefix, np.int64), np.array(template.suffix, np.int64)
        self.lengths = np.maximum(1, tokens.lengths + template.num_special)
        self._pad = template.pad
        self._starts = np.cumsum(self.lengths) - self.lengths
        self._ids = np.full(self.lengths.sum(), template.pad, np.int64)
        stops = self._starts + self.lengths
        is_content = np.ones(len(self._ids), np.bool_)
        is_content[self._starts[tokens.lengths + template.num_special == 0]] = False
        for special, first in ((prefix, self._starts), (suffix, stops - len(suffix))):
            places = first[:, None] + np.arange(len(special))
            self._ids[places] = special
            is_content[places] = False
        self._ids[is_content] = tokens.ids

    def batch(self, places: NDArray[np.int64]) -> Batch:
        """Some of the texts, in the order given."""
        pieces = [self._ids[self._starts[i] : self._starts[i] + self.lengths[i]] for i in places]
        return Batch(np.concatenate(pieces), self.lengths[places], self._pad)


def batches(lengths: NDArray[np.int64], token_budget: int) -> list[NDArray[np.int64]]:
    """The places of the texts of each batch, longest texts first, equal lengths in their order.

    A batch of B texts whose longest has L tokens keeps B · L ≤ `token_budget`; a longer text goes alone, and an empty
    one counts as one token.
    """
    order = np.argsort(-lengths, kind="stable")
    result = []
    start = 0
    while start < len(order):
        size = max(1, token_budget // max(1, int(lengths[order[start]])))
        result.append(order[start : start + size])
        start += size
    return result


def alike(lengths: NDArray[np.int64], token_budget: int) -> list[NDArray[np.int64]]:
    """As `batches`, of texts of equal length only."""
    return [
        part
        for batch in batches(lengths, token_budget)
        for part in np.split(batch, np.flatnonzero(np.diff(lengths[batch])) + 1)
    ]


def runs(lengths: NDArray[np.int64], token_budget: int) -> list[NDArray[np.int64]]:
    """The places of the texts of each batch, in their order: as many as `token_budget` holds without padding.

    No more than `most_texts` come together; a text that is longer than the budget goes alone.
    """
    ends = np.cumsum(lengths)
    cuts = [0]
    while cuts[-1] < len(lengths):
        start = cuts[-1]
        stop = int(np.searchsorted(ends, ends[start] - lengths[start] + token_budget, side="right"))
        cuts.append(min(max(start + 1, stop), start + most_texts(token_budget)))
    return np.split(np.arange(len(lengths)), cuts[1:-1]) if len(lengths) else []


def most_texts(token_budget: int) -> int:
    """The texts that one run holds at most, beside those that fill it up."""
    return max(2, token_budget // _FEWEST_TOKENS)


def halves(batch: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A batch of at least two texts as two, for when it does not fit into memory."""
    middle = (len(batch) + 1) // 2
    return batch[:middle], batch[middle:]
