"""The trunk: an encoder up to its last hidden states. Importing this module imports torch and transformers."""

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification
from transformers.utils import logging

from curation.core.classifier import Precision
from curation.core.errors import ModelError
from curation.inference import packing
from curation.inference.batches import Batch, most_texts
from curation.inference.precision import exactly, low_dtype, lower, num_lowered, widen
from curation.inference.states import States
from curation.inference.weights import WRAPPED_TRUNK, base_model, model_config, trunk_digests, weight_files


class Trunk:
    """A batch of token ids → its last hidden states, without gradients.

    It runs packed where the model can (`is_packed`): no padding is computed, and a text does not feel its neighbours.
    With `first_only` the last layer is computed for each text's first token alone, where the model allows that. Where
    padding would change its states, only texts of equal length may share a batch (`alike_only`).
    Raises ModelError when the model cannot compute in this precision.
    """

    def __init__(self, model: Any, device: str, precision: Precision = "exact", *, first_only: bool = False) -> None:
        self.device = device
        self.precision = precision
        self.may_overflow = precision == "fast" and low_dtype(device) == torch.float16
        self._first: int | None = None
        self._shape: tuple[int, int] | None = None
        with quiet():
            if device == "cpu" or precision != "exact":  # on GPUs attention within texts computes in 16 bits only
                self._first = packing.first_position(model)
            self.first_only = first_only and self._first is not None and packing.read_first_rows(model, self._first)
            self.alike_only = self._first is None and packing.feels_padding(model)
        if precision == "fast":
            lower(model, low_dtype(device))
        elif precision == "bfloat16":
            model.to(torch.bfloat16)
        self.model = model.to(device)
        self._forward = self.model
        if precision != "exact":
            self._make_do()

    def _make_do(self) -> None:
        """Find a way to compute in 16 bits. Raises ModelError when there is none."""
        if not self._why_not():
            return
        widen(self.model)
        if self._why_not():
            self._first, self.first_only = None, False
        if problem := self._why_not():
            raise ModelError(
                f"{type(self.model).__name__} cannot compute in precision {self.precision!r}: {problem}. "
                'Set precision = "exact" for this classifier.'
            )

    @property
    def is_packed(self) -> bool:
        """Whether texts run without padding."""
        return self._first is not None

    def fix_shape(self, num_tokens: int, longest: int, *, compiled: bool = False) -> None:
        """Run every packed batch as `num_tokens` tokens of texts of at most `longest`, so that one shape is met.

        Kernels are then chosen once, and with `compiled` the model is compiled for it. Nothing where nothing is packed.
        """
        if self.is_packed:
            self._shape = num_tokens, longest
            if compiled:
                self._forward = torch.compile(self.model, dynamic=False, mode="reduce-overhead")  # with CUDA graphs

    @property
    def shape(self) -> tuple[int, int] | None:
        """The tokens of every batch and of its longest text; None when batches are as large as their texts."""
        return self._shape

    def __call__(self, batch: Batch, *, fill: bool = True) -> States:
        """The states of a batch; `fill` brings it to the fixed shape, if there is one."""
        if self._first is None:
            return self._padded(batch)
        if self._shape is None or not fill:
            hidden_TD = packing.run(self.model, batch, self._first, self.device)
        else:
            num_tokens, longest = self._shape
            filled, num_texts = batch.filled(num_tokens, longest), most_texts(num_tokens) + -(-num_tokens // longest)
            hidden_TD = packing.run(
                self._forward, filled, self._first, self.device, num_texts=num_texts, longest=longest
            )
        if self.first_only:
            return self._states(hidden_TD[: len(batch)], batch.ids[batch.starts], (1,) * len(batch), batch.pad)
        return self._states(hidden_TD[: len(batch.ids)], batch.ids, tuple(batch.lengths.tolist()), batch.pad)

    def exactly(self, batch: Batch) -> States:
        """The states of a batch in float32, though the trunk is fast; for what float16 cannot hold."""
        with exactly(self.model):
            return self._padded(batch)

    def _padded(self, batch: Batch) -> States:
        ids_BT, mask_BT = (packing.on_device(torch.from_numpy(each), self.device) for each in batch.padded())
        hidden_BTD = self.model(input_ids=ids_BT, attention_mask=mask_BT).last_hidden_state
        return self._states(hidden_BTD[mask_BT.bool()], batch.ids, tuple(batch.lengths.tolist()), batch.pad)

    def _states(self, hidden_TD: Tensor, ids: Any, lengths: tuple[int, ...], pad: int) -> States:
        hidden_TD = hidden_TD if self.precision == "bfloat16" else hidden_TD.float()
        return States(hidden_TD, packing.on_device(torch.from_numpy(ids), self.device), lengths, pad)

    def _why_not(self) -> str:
        """Why a model of an unusual architecture does not compute in 16 bits; "" when it does."""
        if self.precision == "fast" and not num_lowered(self.model):
            return "its layers have no linear layers, as torch knows them"
        try:
            with torch.inference_mode():
                self(packing.probe(self.model.config))
        except packing.NOT_SO as error:
            return str(error)
        return ""


def load_trunk(directory: Path, device: str, precision: Precision = "exact", *, first_only: bool = False) -> Trunk:
    """The trunk of a checkpoint of either sort: one that is nothing else, or a sequence classifier.

    Raises ModelError when it cannot be loaded or one of its weights is not in the checkpoint.
    """
    if is_classifier(directory):
        model, missing = load_model(AutoModelForSequenceClassification, directory)
        prefix = model.base_model_prefix + "."
        missing = [name.removeprefix(prefix) for name in missing if name.startswith(prefix)]
        model = model.base_model
    else:
        model, missing = load_model(AutoModel, directory)
    return Trunk(_complete(model, missing, directory), device, precision, first_only=first_only)


def is_classifier(directory: Path) -> bool:
    """Whether the checkpoint says that it is a sequence classifier."""
    architectures = model_config(directory).get("architectures") or [""]
    return bool(architectures[0].endswith("ForSequenceClassification"))


def load_model(auto: Any, directory: Path) -> tuple[Any, list[str]]:
    """A model in float32, ready for inference, and the names of the weights that its checkpoint lacks.

    Never reaches a hub and never runs code from the checkpoint.
    """
    config = model_config(directory)
    weight_files(directory)
    try:
        with quiet():
            model, info = auto.from_pretrained(
                directory,
                dtype=torch.float32,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                output_loading_info=True,
                **(_unwrapping(config) if base_model(directory) else {}),
            )
    except (ValueError, OSError, RuntimeError, KeyError, TypeError, ImportError) as error:
        raise ModelError(f"{directory}: transformers cannot load the model: {error}") from error
    if wrong := sorted(str(key) for key in info["mismatched_keys"]):
        raise ModelError(f"{directory}: weights have another shape than config.json says: {wrong[:3]}.")
    return model.eval().requires_grad_(requires_grad=False), sorted(info["missing_keys"])


def _unwrapping(config: Mapping[str, Any]) -> dict[str, Any]:
    """How transformers loads the trunk of a wrapped checkpoint, whose own config.json says no sizes."""
    return {"config": AutoConfig.for_model(**config), "key_mapping": {f"^{re.escape(WRAPPED_TRUNK)}": ""}}


@contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers while it loads: what it would warn of is checked here."""
    verbosity, has_bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(verbosity)
        if has_bar:
            logging.enable_progress_bar()


def _complete(model: torch.nn.Module, missing: list[str], directory: Path) -> torch.nn.Module:
    """The model, if it has all that hidden states need and its fingerprint covers it; a pooler comes after them."""
    if lost := [name for name in missing if not name.startswith("pooler.")]:
        raise ModelError(f"{directory}: the checkpoint lacks {len(lost)} weights of the encoder, first {lost[0]!r}.")
    num_tensors = sum(not name.startswith("pooler.") for name, _ in model.named_parameters())
    if num_tensors > (num_hashed := len(trunk_digests(directory))):
        raise ModelError(
            f"{directory}: the encoder of {type(model).__name__} has {num_tensors} tensors, {num_hashed} were found by "
            "their names in the checkpoint; which classifiers share it cannot be told. Please report this model."
        )
    return model
