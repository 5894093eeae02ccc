"""Packed execution: documents one after the other in one row without padding, each attending to itself alone.

Stock transformers models run so where their attention goes through transformers' attention interface: this module
registers a function there. Whether a model really does, and counts positions as expected, is found out by a probe when
it is loaded (`first_position`); a model that fails it runs padded. The danger is silent: a model that drops the lengths
on the way lets every document see its neighbours. Importing this module imports torch and transformers.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "curation_packed"

_PROBE_LENGTHS = (150, 9, 4)  # the first is longer than the windows of models with local attention
_PROBE_TOLERANCE = 1e-4  # of values about 1; documents that see each other are off by tenths
_UNSUPPORTED = ("sliding_window", "softcap", "s_aux", "position_bias")


def run(model: Any, ids_T: Tensor, lengths: Sequence[int], first: int) -> Tensor:
    """hidden_TD of documents that lie one after the other, `lengths` tokens each, counted from position `first`."""
    position_ids_T = torch.cat([torch.arange(first, first + length) for length in lengths]).to(ids_T.device)
    ends = torch.tensor([0, *lengths], dtype=torch.int32).cumsum(0, dtype=torch.int32).to(ids_T.device)
    hidden_1TD = model(
        input_ids=ids_T.unsqueeze(0),
        position_ids=position_ids_T.unsqueeze(0),
        cu_seq_lens_q=ends,
    ).last_hidden_state
    return hidden_1TD.squeeze(0)  # type: ignore[no-any-return]


def first_position(model: Any) -> int | None:
    """Prepare a model for packed execution: the position that its first token has, None when it cannot be packed.

    Three documents are run packed and one by one, which must give the same. Most models count from 0, RoBERTa's kin
    from the one after the padding token's.
    """
    before = model.config._attn_implementation  # noqa: SLF001 - it has no public name
    lengths = [min(length, _able(model.config)) for length in _PROBE_LENGTHS]
    ids = torch.arange(sum(lengths)) * 7 % (model.config.vocab_size - 10) + 5
    pad = model.config.pad_token_id or 0
    ids[ids == pad] += 1
    try:
        model.set_attn_implementation(NAME)
        with torch.inference_mode():
            alone = [model(input_ids=part.unsqueeze(0)).last_hidden_state[0] for part in ids.split(lengths)]
            expected = torch.cat(alone)
            for first in (0, pad + 1):
                if _agree(_attempt(model, ids, lengths, first), expected):
                    return first
    except (ValueError, TypeError, AttributeError, NotImplementedError):
        pass
    model.set_attn_implementation(before)
    return None


def _attempt(model: Any, ids_T: Tensor, lengths: Sequence[int], first: int) -> Tensor | None:
    try:
        return run(model, ids_T, lengths, first)
    except (IndexError, RuntimeError, ValueError, TypeError, NotImplementedError):
        return None  # positions past the table, shapes of attention that are not supported here


def _agree(got: Tensor | None, expected: Tensor) -> bool:
    tolerance = _PROBE_TOLERANCE * float(expected.abs().nan_to_num().max())
    return got is not None and torch.allclose(got, expected, rtol=0, atol=tolerance, equal_nan=True)


def _able(config: Any) -> int:
    """How many tokens a probe may have."""
    return max(1, (getattr(config, "max_position_embeddings", None) or max(_PROBE_LENGTHS)) - 8)


def _attend(  # noqa: PLR0917 - the signature is that of transformers' attention functions
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    cu_seq_lens_q: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention of query, key, value [1, H, T, D] within each document; as sdpa where no lengths are given."""
    if cu_seq_lens_q is None:
        return sdpa_attention_forward(  # type: ignore[no-any-return]
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    if getattr(module, "is_causal", False) or any(kwargs.get(name) is not None for name in _UNSUPPORTED):
        raise NotImplementedError("only plain bidirectional attention can be packed")
    context = torch.empty_like(query)
    for start, stop in pairwise(cu_seq_lens_q.tolist()):
        context[:, :, start:stop] = torch.nn.functional.scaled_dot_product_attention(
            query[:, :, start:stop], key[:, :, start:stop], value[:, :, start:stop], scale=scaling
        )
    return context.transpose(1, 2), None


AttentionInterface.register(NAME, _attend)
AttentionMaskInterface.register(NAME, sdpa_mask)
