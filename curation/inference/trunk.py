"""The trunk: an encoder up to its last hidden states. Importing this module imports torch and transformers."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModel, AutoModelForSequenceClassification
from transformers.utils import logging

from curation.core.errors import ModelError
from curation.inference import packing
from curation.inference.weights import model_config, trunk_digests, weight_files


class Trunk:
    """Token ids → last hidden states, in float32, without gradients.

    It runs packed where the model can (`is_packed`): no padding is computed, and a text does not feel its neighbours.
    """

    def __init__(self, model: Any, device: str) -> None:
        with quiet():
            # elsewhere than on CPUs, attention text by text costs more than padding does
            self._first = packing.first_position(model) if device == "cpu" else None
        self.model = model.to(device)
        self.device = device

    @property
    def is_packed(self) -> bool:
        """Whether texts run without padding."""
        return self._first is not None

    def __call__(self, ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
        """hidden_BTD of ids padded on the right and their mask: 1 for a token, 0 for padding, whose states are void."""
        lengths = mask_BT.sum(1).tolist()
        if self._first is None or not all(lengths):
            return self.model(input_ids=ids_BT, attention_mask=mask_BT).last_hidden_state  # type: ignore[no-any-return]
        is_token_BT = mask_BT.bool()
        hidden_TD = packing.run(self.model, ids_BT[is_token_BT], lengths, self._first)
        hidden_BTD = hidden_TD.new_zeros(*ids_BT.shape, hidden_TD.shape[-1])
        hidden_BTD[is_token_BT] = hidden_TD
        return hidden_BTD


def load_trunk(directory: Path, device: str) -> Trunk:
    """The trunk of a checkpoint of either sort: one that is nothing else, or a sequence classifier.

    Raises ModelError when it cannot be loaded or one of its weights is not in the checkpoint.
    """
    if is_classifier(directory):
        model, missing = load_model(AutoModelForSequenceClassification, directory)
        prefix = model.base_model_prefix + "."
        inside = [name.removeprefix(prefix) for name in missing if name.startswith(prefix)]
        return Trunk(_complete(model.base_model, inside, directory), device)
    model, missing = load_model(AutoModel, directory)
    return Trunk(_complete(model, missing, directory), device)


def is_classifier(directory: Path) -> bool:
    """Whether the checkpoint says that it is a sequence classifier."""
    architectures = model_config(directory).get("architectures") or [""]
    return bool(architectures[0].endswith("ForSequenceClassification"))


def load_model(auto: Any, directory: Path) -> tuple[Any, list[str]]:
    """A model in float32, ready for inference, and the names of the weights that its checkpoint lacks.

    Never reaches a hub and never runs code from the checkpoint.
    """
    model_config(directory)
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
            )
    except (ValueError, OSError, RuntimeError, KeyError, TypeError, ImportError) as error:
        raise ModelError(f"{directory}: transformers cannot load the model: {error}") from error
    if wrong := sorted(str(key) for key in info["mismatched_keys"]):
        raise ModelError(f"{directory}: weights have another shape than config.json says: {wrong[:3]}.")
    return model.eval().requires_grad_(requires_grad=False), sorted(info["missing_keys"])


def pooling(how: str) -> Callable[[Tensor, Tensor], Tensor]:
    """The function (hidden_BTD, mask_BT) → pooled_BD that a card names: "mean" over all tokens, or "cls", the first."""
    return {"mean": _mean, "cls": _first}[how]


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


def _mean(hidden_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    weight_BT1 = mask_BT.unsqueeze(-1).to(hidden_BTD.dtype)
    return (hidden_BTD * weight_BT1).sum(1) / weight_BT1.sum(1).clamp(min=1e-9)


def _first(hidden_BTD: Tensor, _mask_BT: Tensor) -> Tensor:
    return hidden_BTD[:, 0]


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
