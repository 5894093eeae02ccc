"""The weights of a checkpoint by content, read from safetensors without torch.

A tensor is known by the sha256 of its values in float32, so that a trunk that is stored in bfloat16 equals the float32
file that was made from it, and nothing that rounding has made equal counts as equal.

Some checkpoints are *wrapped*: written by huggingface_hub for a class that transformers does not know, a trunk
``model`` and a linear layer ``fc`` on the state of its first token. Their config.json names a base model, whose own
config.json, which says all sizes, lies beside it as base_config.json.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from curation.core.errors import ModelError
from curation.core.fingerprint import fingerprint
from curation.inference.files import once, read_json

_EMBEDDINGS = re.compile(r"(?:^|\.)(?:embeddings|embed_tokens|wte|shared)\.")
_INSIDE_A_TRUNK = {"embeddings", "embed_tokens", "wte", "shared", "encoder", "decoder"}
_POOLER = "pooler."
BASE_CONFIG = "base_config.json"
WRAPPED_TRUNK, WRAPPED_HEAD = "model.", "fc."
_BUFFERS = re.compile(r"(?:^|\.)(?:position_ids|token_type_ids)$")
_FLOATS = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": np.uint16}
_WHOLE = {"I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL"}
_BLOCK_BYTES = 1 << 24

# What a config says that no score depends on: names, versions, storage, labels, what only training uses.
_IDLE_KEYS = {
    "_attn_implementation_autoset", "_name_or_path", "architectures", "attention_dropout",
    "attention_probs_dropout_prob", "auto_map", "base_model", "classifier_dropout", "config_path", "dropout",
    "dtype", "embd_pdrop", "embedding_dropout", "fc_dropout", "finetuning_task", "gradient_checkpointing",
    "hidden_dropout_prob", "id2label", "initializer_range", "label2id", "mlp_dropout", "name_or_path", "num_labels",
    "pooler_dropout", "pretrained", "problem_type", "resid_pdrop", "seq_classif_dropout", "torch_dtype",
    "transformers_version", "use_cache",
}  # fmt: skip


def model_config(directory: Path) -> Mapping[str, Any]:
    """The model's config.json, of a wrapped one together with its base model's.

    Raises ModelError, also for models that need code of their own or are quantised.
    """
    config = read_json(directory / "config.json")
    if base := base_model(directory):
        if not (path := directory / BASE_CONFIG).is_file():
            raise ModelError(
                f"{directory}/config.json: names the base model {base!r} and no sizes; the config.json of that model "
                f"has to lie here as {BASE_CONFIG}. `python pipelines/fetch_models.py` puts it there."
            )
        config = {key: value for key, value in read_json(path).items() if key != "architectures"} | config
    if not isinstance(config, dict) or "model_type" not in config:
        raise ModelError(f"{directory}/config.json: has no model_type; it is not a transformers model.")
    if "quantization_config" in config:
        raise ModelError(f"{directory}: is quantised; scores need the weights in float32, float16 or bfloat16.")
    if "auto_map" in config and not _known_to_transformers(config["model_type"]):
        raise ModelError(
            f"{directory}: model type {config['model_type']!r} needs code from its own repository (auto_map), "
            "which is never run. Use a model that transformers knows."
        )
    return config


def base_model(directory: Path) -> str:
    """The base model that a wrapped checkpoint names; "" for every other checkpoint."""
    config = read_json(directory / "config.json")
    return "" if "architectures" in config else str(config.get("base_model", ""))


def behaviour(config: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a model config that can change a hidden state."""
    return {key: value for key, value in config.items() if key not in _IDLE_KEYS}


def tensor_digests(directory: Path) -> dict[str, str]:
    """Tensor name → sha256 of its shape and float32 values, over all files of the checkpoint.

    Integer tensors count as they are; buffers of positions, which some versions of transformers stored, do not.
    Raises ModelError when there is no safetensors checkpoint, or it is damaged.
    """
    digests = {name: digest for path in weight_files(directory) for name, digest in _file_digests(path).items()}
    return dict(sorted(digests.items()))


def trunk_digests(directory: Path) -> dict[str, str]:
    """`tensor_digests` of the trunk alone, named as in a checkpoint that holds nothing but a trunk.

    The trunk is everything that stands beside the word embeddings (``bert.…``), without its pooler.
    """
    digests = tensor_digests(directory)
    prefix = trunk_prefix(digests)
    names = (name for name in digests if name.startswith(prefix))
    return {short: digests[name] for name in names if not (short := name.removeprefix(prefix)).startswith(_POOLER)}


def trunk_prefix(names: Mapping[str, Any]) -> str:
    """What stands before the names of a trunk's tensors: "bert." in a classifier, "" in a trunk, or in doubt."""
    tops = {name.partition(".")[0] for name in names if _EMBEDDINGS.search(name)}
    return "" if len(tops) != 1 or tops & _INSIDE_A_TRUNK else f"{tops.pop()}."


def trunk_fingerprint(directory: Path) -> str:
    """Equal when the tensors of two trunks are equal in float32 and their configs behave alike."""
    return fingerprint({"tensors": trunk_digests(directory), "config": behaviour(model_config(directory))})


def rounded_trunk(directory: Path) -> str:
    """Equal when the tensors of two trunks are equal once each value is rounded to bfloat16; read anew each time."""
    prefix, wanted = trunk_prefix(tensor_digests(directory)), trunk_digests(directory)
    digests = {
        short: digest
        for path in weight_files(directory)
        for name, digest in _digests(path, _bfloat16).items()
        if (short := name.removeprefix(prefix)) in wanted
    }
    return fingerprint(digests)


def weight_files(directory: Path) -> tuple[Path, ...]:
    """The safetensors files of a checkpoint, one or the shards that its index names. Raises ModelError."""
    if (single := directory / "model.safetensors").is_file():
        return (single,)
    if (index := directory / "model.safetensors.index.json").is_file():
        if not isinstance(names := read_json(index).get("weight_map"), dict) or not names:
            raise ModelError(f"{index}: names no files under weight_map. Fetch the model again.")
        return tuple(directory / name for name in sorted(set(names.values())))
    if any(directory.glob("*.bin")):
        raise ModelError(
            f"{directory}: holds only pickled weights (.bin), which can run code when they are read. Convert them "
            "once, where you trust them: AutoModelForSequenceClassification.from_pretrained(DIR).save_pretrained(NEW)."
        )
    raise ModelError(f"{directory}: has no model.safetensors.")


@once
def _file_digests(path: Path) -> dict[str, str]:
    return _digests(path, lambda block: block)


def _digests(path: Path, rounding: Callable[[bytes], bytes]) -> dict[str, str]:
    """The digest of each tensor; those of numbers with a point see their float32 values rounded."""
    with path.open("rb") as file:
        start, header = _header(path, file)
        return {
            name: _digest(path, name, about, _blocks(file, start, about["data_offsets"]), rounding)
            for name, about in header.items()
            if not _BUFFERS.search(name)
        }


def _header(path: Path, file: BinaryIO) -> tuple[int, dict[str, Any]]:
    """Where the tensors begin, and what the header says of them."""
    num_bytes = int.from_bytes(file.read(8), "little")
    try:
        header = json.loads(file.read(min(num_bytes, path.stat().st_size)))
        header.pop("__metadata__", None)
        end = max((about["data_offsets"][1] for about in header.values()), default=0)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ModelError(f"{path}: is not a safetensors file, or a damaged one. Fetch the model again.") from None
    if (found := path.stat().st_size) != 8 + num_bytes + end:
        raise ModelError(f"{path}: has {found} bytes, its header needs {8 + num_bytes + end}. Fetch the model again.")
    return 8 + num_bytes, header


def _digest(
    path: Path, name: str, about: Mapping[str, Any], blocks: Iterator[bytes], rounding: Callable[[bytes], bytes]
) -> str:
    dtype = about["dtype"]
    if dtype not in _FLOATS and dtype not in _WHOLE:
        raise ModelError(f"{path}: tensor {name} is stored as {dtype}; float32, float16 or bfloat16 would be right.")
    digest = hashlib.sha256(f"{'F32' if dtype in _FLOATS else dtype}{about['shape']}".encode())
    for block in blocks:
        digest.update(rounding(_float32(block, dtype)) if dtype in _FLOATS else block)
    return digest.hexdigest()


def _blocks(file: BinaryIO, start: int, offsets: Sequence[int]) -> Iterator[bytes]:
    file.seek(start + offsets[0])
    left = offsets[1] - offsets[0]
    while left > 0:
        block = file.read(min(left, _BLOCK_BYTES))
        left -= len(block)
        yield block


def _float32(block: bytes, dtype: str) -> bytes:
    stored = np.frombuffer(block, dtype=_FLOATS[dtype])
    if dtype == "F32":
        return block
    return ((stored.astype(np.uint32) << 16) if dtype == "BF16" else stored.astype(np.float32)).tobytes()


def _bfloat16(block: bytes) -> bytes:
    """float32 values rounded to the nearest bfloat16, ties to even."""
    bits = np.frombuffer(block, np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16).tobytes()


def _known_to_transformers(model_type: str) -> bool:
    """Whether transformers has a folder for this type; looked up as a file, because importing it takes seconds."""
    from importlib.util import find_spec

    spec = find_spec("transformers")
    root = Path(spec.origin).parent if spec and spec.origin else Path()
    return (root / "models" / model_type.replace("-", "_")).is_dir()
