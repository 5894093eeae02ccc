"""crossfit's ops around our encoders, for those who want to compare: another engine, in library use only.

It works where ``crossfit.op.tokenize`` can be imported, and `why_not` says why it cannot. What is known of crossfit
0.0.9 from its source, and what is done here about it:

* it computes on CUDA alone and takes frames of cuDF alone;
* when a model is made it fits a memory curve, for minutes, and pickles it into a folder named by the checkpoint's path,
  which for a directory is that directory. Here the folder is named by the trunk's fingerprint;
* a worker's models are known by the `id()` of the object that wraps them, which Python gives away again. Here these
  objects live as long as the process;
* its GPU tokenizer keeps one vocabulary for each class of tokenizers, whatever their words. Here it is not used;
* ids are padded to the full length on their way to the GPU; batches are sorted by length, longest first, and their
  memory is estimated from the shortest of their texts;
* outputs come back by the labels of the index, so that these must not repeat. Here they are 0 to n - 1.

Scores come from another computation than those of `replica`: padded, in other batches. Nothing writes them to a run.
"""

import importlib
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from numpy.typing import NDArray

from curation.core.classifier import Classifier, EncoderParts
from curation.core.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

    from curation.core.frames import Frame

_NEEDED = ("crossfit.op.tokenize", "crossfit.backend.torch.op.base", "crossfit.backend.torch.hf.model")


def why_not() -> str:
    """Why crossfit's ops cannot be used in this process, in one sentence; "" where they can."""
    for name in _NEEDED:
        try:
            importlib.import_module(name)
        except Exception as error:  # noqa: BLE001 - its imports fail in the ways of CUDA, RAPIDS and torch
            return (
                f"crossfit cannot be used here: import {name} fails with {type(error).__name__}: {error}; it takes "
                "crossfit 0.0.9 beside cuDF 25.08 or older, which still has cudf.core.subword_tokenizer, or use Score."
            )
    return ""


def score(classifier: Classifier, frame: "Frame") -> Mapping[str, NDArray[Any]]:
    """The columns of an encoder for a cuDF frame: its column "text" holds no missing text, its index 0 to n - 1.

    Raises ModelError where crossfit cannot be used, or the classifier is none that it can run.
    """
    ops = _ops(classifier, classifier.fingerprint())
    found = ops.predict(ops.tokenise(frame), partition_info={"number": 0})["preds"]
    return ops.parts.read(found.list.leaves.to_numpy().reshape(len(frame), -1))


class _Ops(NamedTuple):
    parts: EncoderParts
    tokenise: Any
    predict: Any


@cache
def _ops(classifier: Classifier, fingerprint: str) -> _Ops:  # noqa: ARG001 - other content is another model
    if reason := why_not():
        raise ModelError(reason)
    parts = classifier.parts()
    if parts is None or parts.long_documents != "head":
        raise ModelError(
            f"{classifier.name}: crossfit runs encoders that read the head of long documents, and no others."
        )
    tokenizers, predictors, models = (importlib.import_module(name) for name in _NEEDED)
    model = _model(parts, models.HFModel)
    tokenise = tokenizers.Tokenizer(model, cols=["text"], tokenizer_type="default", max_length=parts.max_tokens)
    predict = predictors.Predictor(model)
    predict.worker_address = "this process"  # outside of Dask its progress bar looks for it there
    return _Ops(parts, tokenise, predict)


def _model(parts: EncoderParts, base: Any) -> Any:
    """The encoder as crossfit wants a model: a subclass of its HFModel."""
    from transformers import AutoConfig, AutoTokenizer

    config = AutoConfig.from_pretrained(parts.directory, local_files_only=True)
    config._name_or_path = parts.trunk  # noqa: SLF001 - by it crossfit names the folder of its memory curve
    tokenizer = AutoTokenizer.from_pretrained(parts.directory, local_files_only=True)
    if not hasattr(tokenizer, "batch_encode_plus"):  # crossfit calls it, and transformers 5 has it no more
        tokenizer.batch_encode_plus = tokenizer.__call__

    class Checkpoint(base):  # type: ignore[misc]
        def load_model(self, device: str = "cuda") -> "_Whole":
            return _Whole(parts, device, tokenizer.pad_token_id)

        def load_tokenizer(self) -> Any:
            return tokenizer

        def load_cfg(self) -> Any:
            return config

        def max_seq_length(self) -> int:
            return parts.max_tokens

    return Checkpoint(str(parts.directory))


class _Whole:
    """Trunk and head in one, on rows of padded ids: outputs_BC in float32."""

    def __init__(self, parts: EncoderParts, device: str, pad: int) -> None:
        self._trunk, self._head = parts.load_trunk(device, False), parts.load_head(device)
        self._pad = pad

    def __call__(self, input_ids: "Tensor", attention_mask: "Tensor") -> "Tensor":
        import torch

        from curation.inference.states import States

        ids_BT, mask_BT = input_ids.long(), attention_mask.bool()
        with torch.no_grad():  # crossfit goes on with what it gets
            hidden_BTD = self._trunk.model(input_ids=ids_BT, attention_mask=mask_BT.long()).last_hidden_state
            hidden_TD = hidden_BTD[mask_BT] if self._trunk.precision == "bfloat16" else hidden_BTD[mask_BT].float()
            states = States(hidden_TD, ids_BT[mask_BT], tuple(mask_BT.sum(1).tolist()), self._pad)
            return self._head(states).float()  # type: ignore[no-any-return]
