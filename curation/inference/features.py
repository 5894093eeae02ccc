"""Texts → features of a trunk, for training heads on them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from curation.inference.forward import forward
from curation.inference.replica import ScoringSpec, here, prepare_torch
from curation.inference.tokens import Tokenizer

if TYPE_CHECKING:
    from torch import Tensor

    from curation.inference.states import States


def pooled(
    texts: Sequence[str], directory: Path, pooling: str, max_tokens: int, spec: ScoringSpec | None = None
) -> NDArray[np.float32]:
    """Features [n, D] of texts: the "mean" of a trunk's hidden states over all tokens, or its first token's ("cls").

    Equal to what a linear head of that pooling reads. At least one text is needed.
    """
    from curation.inference import trunk as trunks

    spec = here(spec or ScoringSpec())
    prepare_torch(spec)
    tokenizer = Tokenizer(directory)
    tokens = tokenizer.encode(texts, max_tokens - tokenizer.template.num_special)
    trunk = trunks.load_trunk(directory, spec.device, first_only=pooling == "cls")
    outputs = forward(trunk, [_Pool(pooling)], tokens, tokenizer.template, token_budget=spec.budget, device=spec.device)
    return outputs.heads[0]


class _Pool:
    """A head that gives what others would read."""

    def __init__(self, pooling: str) -> None:
        self.pooling = pooling
        self.reads_first = pooling == "cls"

    def __call__(self, states: "States") -> "Tensor":
        """features_BD."""
        return states.pooled(self.pooling)
