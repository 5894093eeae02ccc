"""Hidden states as heads want to read them: of each text's first token, their mean, or in padded rows."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

_NONE = 1 << 40  # longer than any text: ends the last part


@dataclass(frozen=True, eq=False)
class States:
    """The last hidden states of texts that lie one after the other.

    `hidden_TD` belongs to the tokens `ids_T`; text i owns the next ``lengths[i]`` of them. Where heads read nothing
    else, a text may consist of its first token alone.
    """

    hidden_TD: Tensor
    ids_T: Tensor
    lengths: tuple[int, ...]
    pad: int

    @property
    def first_BD(self) -> Tensor:
        """The hidden state of each text's first token."""
        return self.hidden_TD[self._starts_B]

    @property
    def first_ids_B(self) -> Tensor:
        """Each text's first token."""
        return self.ids_T[self._starts_B]

    @property
    def mean_BD(self) -> Tensor:
        """The mean over each text's tokens, special ones included."""
        if self.hidden_TD.is_cuda:  # one kernel, not one for each text
            lengths_B = torch.tensor(self.lengths, device=self.hidden_TD.device)
            return torch.segment_reduce(self.hidden_TD, "mean", lengths=lengths_B, axis=0)
        return torch.stack([text_TD.mean(0) for text_TD in torch.split(self.hidden_TD, list(self.lengths))])

    def pooled(self, how: str) -> Tensor:
        """One row for each text, as a card names it: "cls", the first token, or "mean"."""
        return {"cls": lambda: self.first_BD, "mean": lambda: self.mean_BD}[how]()

    def parts(self) -> Iterator["States"]:
        """The texts in their order, so many together that their padded rows take no more than twice the memory."""
        start = first = longest = 0
        for text, length in enumerate((*self.lengths, _NONE)):
            longest = max(longest, length)
            if length == _NONE or (text - first + 1) * longest > 2 * max(len(self.ids_T), longest):
                stop = start + sum(self.lengths[first:text])
                yield States(self.hidden_TD[start:stop], self.ids_T[start:stop], self.lengths[first:text], self.pad)
                start, first, longest = stop, text, length

    def padded(self) -> tuple[Tensor, Tensor, Tensor]:
        """hidden_BTD, ids_BT and mask_BT in rows padded on the right; the states of padding are 0."""
        lengths_B = torch.tensor(self.lengths)
        is_token_BT = (torch.arange(int(lengths_B.max())) < lengths_B[:, None]).to(self.ids_T.device)
        ids_BT = self.ids_T.new_full(is_token_BT.shape, self.pad)
        hidden_BTD = self.hidden_TD.new_zeros(*is_token_BT.shape, self.hidden_TD.shape[-1])
        ids_BT[is_token_BT], hidden_BTD[is_token_BT] = self.ids_T, self.hidden_TD
        return hidden_BTD, ids_BT, is_token_BT.long()

    @property
    def _starts_B(self) -> Tensor:
        lengths_B = torch.tensor(self.lengths)
        return (lengths_B.cumsum(0) - lengths_B).to(self.hidden_TD.device)
