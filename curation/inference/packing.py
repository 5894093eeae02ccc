"""Packed execution: texts one after the other in one row without padding, each attending to itself alone.

Stock transformers models run so where their attention goes through transformers' attention interface: this module
registers a function there. Whether a model really does, and counts positions as expected, is found out by a probe when
it is loaded (`first_position`); a model that fails it runs padded. The danger is silent: a model that drops the lengths
on the way lets every text see its neighbours. Importing this module imports torch and transformers.
"""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from curation.core.stopwatch import spent
from curation.inference.batches import Batch

NAME = "curation_packed"

_PROBE_LENGTHS = (150, 9, 4)  # the first is longer than the windows of models with local attention
_PROBE_TOLERANCE = 2e-5  # in standard deviations; texts that see each other are off by tenths
_PADDING_TOLERANCE = 1e-3
_UNSUPPORTED = ("sliding_window", "softcap", "s_aux", "position_bias")
NOT_SO = (IndexError, RuntimeError, ValueError, TypeError, AttributeError, NotImplementedError)
"""What a model of another kind than is asked for may raise."""


def run(model: Any, batch: Batch, first: int, device: str, *, num_texts: int = 0, longest: int = 0) -> Tensor:
    """hidden_TD of a batch whose positions are counted from `first`; hidden_BD after `read_first_rows`.

    Empty texts at the end bring it to `num_texts`, and `longest` stands for the longest text, for shapes that do not
    vary.
    """
    ids_T, places_T = (on_device(torch.from_numpy(each), device) for each in (batch.ids, batch.places + first))
    ends = torch.full((max(num_texts, len(batch)) + 1,), len(batch.ids), dtype=torch.int32)
    ends[: len(batch)] = torch.from_numpy(batch.starts)
    hidden_1TD = model(
        input_ids=ids_T.unsqueeze(0),
        position_ids=places_T.unsqueeze(0),
        cu_seq_lens_q=on_device(ends, device),
        max_length_q=longest or int(batch.lengths.max()),
    ).last_hidden_state
    return hidden_1TD.squeeze(0)  # type: ignore[no-any-return]


def on_device(tensor: Tensor, device: str) -> Tensor:
    """A tensor of this process on a device; the copy to a GPU is not waited for."""
    if device == "cpu":
        return tensor
    with spent("copy"):
        return tensor.pin_memory().to(device, non_blocking=True)


def first_position(model: Any) -> int | None:
    """Prepare a model for packed execution: the position that its first token has, None when it cannot be packed.

    Three texts are run packed and one by one on the CPU in float32, which must give the same. Most models count from 0,
    RoBERTa's kin from the one after the padding token's.
    """
    before = model.config._attn_implementation  # noqa: SLF001 - it has no public name
    try:
        texts = probe(model.config)
        model.set_attn_implementation(NAME)
        with torch.inference_mode():
            expected = _alone(model, texts)
            for first in (0, texts.pad + 1):
                if _agree(_attempt(model, texts, first), expected):
                    return first
    except NOT_SO:
        pass
    model.set_attn_implementation(before)
    return None


def read_first_rows(model: Any, first: int) -> bool:
    """Let a packed model compute its last layer for each text's first token alone; whether it can, found by a probe.

    The first token attends to all others, but no one attends to theirs: what is left out is never read.
    """
    stack: Any = None
    try:
        texts, stack = probe(model.config), model.encoder.layer
        if hasattr(stack[-1].attention, "LayerNorm"):  # it comes before the attention, and is not called here
            return False
        with torch.inference_mode():
            expected = run(model, texts, first, "cpu")[texts.starts]
            stack[-1] = _FirstRows(stack[-1])
            if _agree(_attempt(model, texts, first), expected):
                return True
    except NOT_SO:
        pass
    if stack is not None and isinstance(stack[-1], _FirstRows):
        stack[-1] = stack[-1].layer
    return False


class _FirstRows(torch.nn.Module):
    """A layer of BERT's kind, for the first token of each packed text; for all tokens of what is not packed."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, hidden_1TD: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        ends: Tensor | None = kwargs.get("cu_seq_lens_q")
        if ends is None:
            return self.layer(hidden_1TD, *args, **kwargs)  # type: ignore[no-any-return]
        attention, attend = self.layer.attention, self.layer.attention.self
        first_1BD = hidden_1TD[:, ends[:-1].long().clamp(max=hidden_1TD.shape[1] - 1)]  # an empty text has none
        split = (1, -1, attend.num_attention_heads, attend.attention_head_size)
        query, key, value = (
            projection(given).view(split).transpose(1, 2)
            for projection, given in ((attend.query, first_1BD), (attend.key, hidden_1TD), (attend.value, hidden_1TD))
        )
        one_each = torch.arange(len(ends), dtype=torch.int32, device=ends.device)
        context = _within(query, key, value, one_each, ends, 1, kwargs["max_length_q"], attend.scaling)
        attended_1BD = attention.output(context.flatten(2), first_1BD)
        return self.layer.feed_forward_chunk(attended_1BD)  # type: ignore[no-any-return]


def _within(  # noqa: PLR0917 - two sequences with their bounds
    query: Tensor,
    key: Tensor,
    value: Tensor,
    query_ends: Tensor,
    key_ends: Tensor,
    longest_query: int,
    longest_key: int,
    scaling: float | None,
) -> Tensor:
    """Attention [1, Tq, H, D] of query [1, H, Tq, D] to key and value [1, H, T, D] within each text."""
    if query.is_cuda:
        from torch.nn.attention.varlen import varlen_attn

        query, key, value = (each.squeeze(0).transpose(0, 1) for each in (query, key, value))
        # One split: the order of its sums then depends on nothing but the text itself.
        bounds = query_ends, key_ends, longest_query, longest_key
        context = varlen_attn(query, key, value, *bounds, scale=scaling, num_splits=1)
        return context.unsqueeze(0)  # type: ignore[union-attr]
    context = torch.empty_like(query)
    texts = zip(pairwise(query_ends.tolist()), pairwise(key_ends.tolist()), strict=True)
    for (start, stop), (key_start, key_stop) in texts:
        context[:, :, start:stop] = torch.nn.functional.scaled_dot_product_attention(
            query[:, :, start:stop], key[:, :, key_start:key_stop], value[:, :, key_start:key_stop], scale=scaling
        )
    return context.transpose(1, 2)


def probe(config: Any) -> Batch:
    """Three texts that a model of this config can read."""
    able = max(1, (getattr(config, "max_position_embeddings", None) or max(_PROBE_LENGTHS)) - 8)
    lengths = torch.tensor([min(length, able) for length in _PROBE_LENGTHS])
    ids = torch.arange(int(lengths.sum())) * 7 % (config.vocab_size - 10) + 5
    pad = config.pad_token_id or 0
    ids[ids == pad] += 1
    return Batch(ids.numpy(), lengths.numpy(), pad)


def feels_padding(model: Any) -> bool:
    """Whether a model's states of a text depend on the padding that it gets beside longer ones, in float32 on the CPU.

    So those of models that mix all tokens without a mask do. One that cannot be asked is taken for one that does not.
    """
    try:
        texts = probe(model.config)
        ids_BT, mask_BT = (torch.from_numpy(each) for each in texts.padded())
        with torch.inference_mode():
            hidden_BTD = model(input_ids=ids_BT, attention_mask=mask_BT).last_hidden_state
            return not _agree(hidden_BTD[mask_BT.bool()], _alone(model, texts), tolerance=_PADDING_TOLERANCE)
    except NOT_SO:
        return False


def _alone(model: Any, batch: Batch) -> Tensor:
    texts = torch.split(torch.from_numpy(batch.ids), batch.lengths.tolist())
    return torch.cat([model(input_ids=ids_T.unsqueeze(0)).last_hidden_state[0] for ids_T in texts])


def _attempt(model: Any, batch: Batch, first: int) -> Tensor | None:
    try:
        return run(model, batch, first, "cpu")
    except NOT_SO:
        return None  # positions past the table, shapes of attention that are not supported here


def _agree(got: Tensor | None, expected: Tensor, tolerance: float = _PROBE_TOLERANCE) -> bool:
    if got is None or got.shape != expected.shape:
        return False
    atol = tolerance * float(expected.nan_to_num().std())
    return torch.allclose(got, expected, rtol=0, atol=atol, equal_nan=True)


def _attend(  # noqa: PLR0917 - the signature is that of transformers' attention functions
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    cu_seq_lens_q: Tensor | None = None,
    max_length_q: int = 0,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention of query, key, value [1, H, T, D] within each text; as sdpa where no lengths are given."""
    if cu_seq_lens_q is None:
        return sdpa_attention_forward(  # type: ignore[no-any-return]
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    if key.shape[1] != query.shape[1]:
        raise NotImplementedError("heads that share keys cannot be packed")
    if getattr(module, "is_causal", False) or any(kwargs.get(name) is not None for name in _UNSUPPORTED):
        raise NotImplementedError("only plain bidirectional attention can be packed")
    return _within(query, key, value, cu_seq_lens_q, cu_seq_lens_q, max_length_q, max_length_q, scaling), None


AttentionInterface.register(NAME, _attend)
AttentionMaskInterface.register(NAME, sdpa_mask)
