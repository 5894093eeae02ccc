"""One trunk pass over tokenised texts, with every head that reads it.

This is where padded batches meet a model. A packed execution takes the place of `forward`: same arguments, same result.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from curation.core.errors import ModelError
from curation.inference.batches import batches, halves
from curation.inference.tokens import Template, Tokens

if TYPE_CHECKING:
    from torch import Tensor

    from curation.inference.heads import Head

_CPU_OUT_OF_MEMORY = "DefaultCPUAllocator"


@dataclass(frozen=True)
class Outputs:
    """What the heads gave, float32 [n, C] for each in the order of the texts, and how often memory ran out."""

    heads: tuple[NDArray[np.float32], ...]
    num_out_of_memory: int


def forward(
    trunk: Callable[["Tensor", "Tensor"], "Tensor"],
    heads: Sequence["Head"],
    tokens: Tokens,
    template: Template,
    *,
    token_budget: int,
    device: str,
) -> Outputs:
    """Run every text through the trunk once and every head on its hidden states.

    When memory runs out, that batch alone is halved and redone. Raises ModelError when one text does not fit.
    """
    import torch

    lengths = tokens.lengths + template.num_special
    todo = batches(lengths, token_budget)[::-1]
    done: list[tuple[NDArray[np.int64], list[NDArray[np.float32]]]] = []
    num_out_of_memory = 0
    with torch.inference_mode():
        while todo:
            batch = todo.pop()
            outputs = _run(trunk, heads, _padded(tokens, template, batch), device)
            if outputs is not None:
                done.append((batch, outputs))
                continue
            num_out_of_memory += 1
            if len(batch) == 1:
                raise ModelError(
                    f"One text of {lengths[batch[0]]} tokens does not fit into the memory of {device}. Lower the "
                    "classifier's max_tokens, or free memory there."
                )
            todo.extend(reversed(halves(batch)))
    return Outputs(_in_order(done, len(heads)), num_out_of_memory)


def _padded(tokens: Tokens, template: Template, batch: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
    """ids_BT with special tokens, padded on the right, and their mask."""
    rows = [[*template.prefix, *tokens.of(i).tolist(), *template.suffix] for i in batch]
    shape = (len(rows), max(map(len, rows)))
    ids_BT, mask_BT = np.full(shape, template.pad, np.int64), np.zeros(shape, np.int64)
    for ids, mask, row in zip(ids_BT, mask_BT, rows, strict=True):
        ids[: len(row)] = row
        mask[: len(row)] = 1
    return ids_BT, mask_BT


def _run(
    trunk: Callable[["Tensor", "Tensor"], "Tensor"],
    heads: Sequence["Head"],
    padded: tuple[NDArray[Any], NDArray[Any]],
    device: str,
) -> list[NDArray[np.float32]] | None:
    """The outputs of each head; None when memory ran out."""
    import torch

    try:
        ids_BT, mask_BT = (torch.from_numpy(array).to(device) for array in padded)
        hidden_BTD = trunk(ids_BT, mask_BT)
        return [head(hidden_BTD, ids_BT, mask_BT).float().cpu().numpy() for head in heads]
    except torch.OutOfMemoryError:
        pass
    except RuntimeError as error:
        if _CPU_OUT_OF_MEMORY not in str(error):
            raise
    # Out here nothing refers to the failed batch any more, so that its memory can be given back.
    if device != "cpu":
        torch.cuda.empty_cache()
    return None


def _in_order(
    done: Sequence[tuple[NDArray[np.int64], list[NDArray[np.float32]]]], num_heads: int
) -> tuple[NDArray[np.float32], ...]:
    if not done:
        return tuple(np.empty((0, 1), np.float32) for _ in range(num_heads))
    order = np.argsort(np.concatenate([batch for batch, _ in done]))
    return tuple(np.concatenate([outputs[head] for _, outputs in done])[order] for head in range(num_heads))
