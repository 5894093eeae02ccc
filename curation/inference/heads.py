"""Heads: hidden states → outputs [B, C]. Importing this module imports torch and transformers."""

from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForSequenceClassification
from transformers.modeling_outputs import BaseModelOutputWithPooling

from curation.core.classifier import Precision
from curation.core.errors import ModelError
from curation.inference.states import States
from curation.inference.trunk import load_model
from curation.inference.weights import WRAPPED_HEAD, model_config, weight_files

_PROBE_TOKENS = (7, 4)
_PROBE_TOLERANCE = 1e-5


class Head(Protocol):
    """What turns the hidden states of a batch into outputs."""

    reads_first: bool
    """Whether it reads the state of each text's first token alone."""

    def __call__(self, states: States, /) -> Tensor:
        """outputs_BC."""


class LinearHead:
    """A pooling, a dense layer with tanh where there is one, and a linear layer with one output."""

    def __init__(self, how: str, weight_CD: Tensor, bias_C: Tensor, dense: tuple[Tensor, Tensor] | None = None) -> None:
        self.reads_first = how == "cls"
        self._how, self._weight_CD, self._bias_C, self._dense = how, weight_CD, bias_C, dense

    def __call__(self, states: States) -> Tensor:
        """outputs_BC, in float32."""
        pooled_BD = states.pooled(self._how).float()
        if self._dense is not None:
            pooled_BD = torch.tanh(torch.nn.functional.linear(pooled_BD, *self._dense))
        return torch.nn.functional.linear(pooled_BD, self._weight_CD, self._bias_C)


class ModelHead:
    """The head of a transformers sequence classifier: the model itself around the hidden states of a trunk.

    The model's own forward runs, so its dropout, pooling, projections and choice of a token are its own.
    """

    def __init__(self, model: Any) -> None:
        self.given = _Given(model.base_model)
        setattr(model, model.base_model_prefix, self.given)
        self.model = model
        self.reads_first = False

    def __call__(self, states: States) -> Tensor:
        """outputs_BC."""
        if self.reads_first:
            hidden_B1D = states.first_BD.unsqueeze(1)
            first_B1 = states.first_ids_B.unsqueeze(1)
            return self.outputs_BC(hidden_B1D, first_B1, torch.ones_like(first_B1))
        return torch.cat([self.outputs_BC(*part.padded()) for part in states.parts()])

    def outputs_BC(self, hidden_BTD: Tensor, ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
        """What the model gives for these states in rows."""
        self.given.hidden_BTD = hidden_BTD
        outputs_BC: Tensor = self.model(input_ids=ids_BT, attention_mask=mask_BT).logits
        self.given.hidden_BTD = None
        return outputs_BC


def load_linear_head(directory: Path, how: str, width: int, device: str) -> LinearHead:
    """The head in ``head.safetensors``, in float32. Raises ModelError.

    It holds "weight" [1, `width`] and "bias" [1], and may hold "dense_weight" [`width`, `width`] and "dense_bias".
    """
    path = directory / "head.safetensors"
    try:
        tensors = load_file(path, device=device)
        weight_CD, bias_C = tensors["weight"], tensors["bias"]
    except (OSError, KeyError, SafetensorError) as error:
        raise ModelError(f"{path}: is no head with a weight and a bias: {error}.") from None
    if weight_CD.shape != (1, width) or bias_C.shape != (1,):
        raise ModelError(
            f"{path}: weight is {list(weight_CD.shape)} and bias {list(bias_C.shape)}; "
            f"on this trunk [1, {width}] and [1] are right."
        )
    dense = [tensors[name].float() for name in ("dense_weight", "dense_bias") if name in tensors]
    if dense and [list(each.shape) for each in dense] != [[width, width], [width]]:
        raise ModelError(
            f"{path}: the dense layer's tensors are {[list(each.shape) for each in dense]}; on this trunk "
            f"dense_weight [{width}, {width}] and dense_bias [{width}] are right."
        )
    return LinearHead(how, weight_CD.float(), bias_C.float(), (dense[0], dense[1]) if dense else None)


def load_wrapped_head(directory: Path, device: str) -> LinearHead:
    """The linear layer of a wrapped checkpoint, on the first token's state. Raises ModelError."""
    tensors = {name: tensor for path in weight_files(directory) for name, tensor in load_file(path).items()}
    config = model_config(directory)
    weight_CD, bias_C = (tensors.get(WRAPPED_HEAD + name, torch.empty(0)) for name in ("weight", "bias"))
    shape = [len(config.get("id2label", ())), config["hidden_size"]]
    if list(weight_CD.shape) != shape or list(bias_C.shape) != shape[:1]:
        raise ModelError(
            f"{directory}: {WRAPPED_HEAD}weight is {list(weight_CD.shape)} and {WRAPPED_HEAD}bias "
            f"{list(bias_C.shape)}; with the labels and sizes of its configs {shape} and {shape[:1]} are right."
        )
    return LinearHead("cls", weight_CD.to(device).float(), bias_C.to(device).float())


def load_model_head(directory: Path, device: str, precision: Precision = "exact") -> ModelHead:
    """The head of a sequence-classification checkpoint.

    Raises ModelError when a weight is not in the checkpoint, or when trunk and head do not give what the whole gives.
    """
    model, missing = load_model(AutoModelForSequenceClassification, directory)
    if missing:
        raise ModelError(
            f"{directory}: the checkpoint lacks {', '.join(missing[:3])}: it is no trained sequence classifier. "
            "Name a checkpoint that is one, or a head directory."
        )
    ids_BT, mask_BT = _probe(model.config)
    with torch.inference_mode():
        expected = model(input_ids=ids_BT, attention_mask=mask_BT).logits
        hidden_BTD = model.base_model(input_ids=ids_BT, attention_mask=mask_BT).last_hidden_state
        head = ModelHead(model)
        try:
            got = head.outputs_BC(hidden_BTD, ids_BT, mask_BT)
        except (AttributeError, TypeError, IndexError) as error:
            raise ModelError(
                f"{directory}: {type(model).__name__} cannot be split into trunk and head: {error}"
            ) from error
        if not torch.allclose(got, expected, rtol=0, atol=_PROBE_TOLERANCE, equal_nan=True):
            raise ModelError(
                f"{directory}: {type(model).__name__} scores otherwise when it is split into trunk and head."
            )
        head.reads_first = _reads_first(head, hidden_BTD, ids_BT, expected)
    head.model.to(device, torch.bfloat16 if precision == "bfloat16" else None)
    return head


def _reads_first(head: ModelHead, hidden_BTD: Tensor, ids_BT: Tensor, expected: Tensor) -> bool:
    """Whether the outputs stay what they are when only the first states are left."""
    first_B1 = ids_BT[:, :1]
    if not torch.isfinite(expected).all():
        return False
    try:
        got = head.outputs_BC(hidden_BTD[:, :1], first_B1, torch.ones_like(first_B1))
    except (IndexError, RuntimeError, ValueError):
        return False
    return torch.allclose(got, expected, rtol=0, atol=_PROBE_TOLERANCE * min(1.0, float(expected.abs().max())))


class _Output(BaseModelOutputWithPooling):  # type: ignore[misc]
    """What a trunk returns; the caches and attentions that some models pass on are None."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("_"):
            raise AttributeError(name)


class _Given(torch.nn.Module):
    """Stands where a model expects its trunk: returns the hidden states that were put in, and what its pooler makes."""

    def __init__(self, base: Any) -> None:
        super().__init__()
        self.config = base.config
        self.pooler = getattr(base, "pooler", None)
        self.activation = getattr(base, "pooler_activation", None)  # ALBERT's pooler is a bare linear layer
        self.hidden_BTD: Tensor | None = None

    def forward(self, *_args: Any, **_kwargs: Any) -> _Output:
        return _Output(last_hidden_state=self.hidden_BTD, pooler_output=self._pooled())

    def _pooled(self) -> Tensor | None:
        if self.pooler is None or self.hidden_BTD is None:
            return None
        if self.activation is not None:
            return self.activation(self.pooler(self.hidden_BTD[:, 0]))  # type: ignore[no-any-return]
        return self.pooler(self.hidden_BTD)  # type: ignore[no-any-return]


def _probe(config: Any) -> tuple[Tensor, Tensor]:
    """Two rows of ids of different lengths, which end as the model expects texts to end."""
    pad, end = config.pad_token_id or 0, getattr(config, "eos_token_id", None)
    end = end if isinstance(end, int) and end < config.vocab_size else None
    rows = []
    for length in _PROBE_TOKENS:
        ids = [(5 + 3 * place) % config.vocab_size for place in range(length)]
        ids = [token if token not in (pad, end) else (token + 1) % config.vocab_size for token in ids]
        rows.append([*ids[:-1], ids[-1] if end is None else end] + [pad] * (max(_PROBE_TOKENS) - length))
    mask = [[1] * length + [0] * (max(_PROBE_TOKENS) - length) for length in _PROBE_TOKENS]
    return torch.tensor(rows), torch.tensor(mask)
