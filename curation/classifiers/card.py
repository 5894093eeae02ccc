"""Head directories: a head of this project beside the card that names its trunk.

``card.json`` says format 1, kind "encoder", name, trunk, trunk_sha256 (of the trunk's model.safetensors), pooling
("mean" or "cls") and max_tokens; ``head.safetensors`` holds weight [1, D] and bias [1], and, where a dense layer and a
tanh come before them, its dense_weight [D, D] and dense_bias [D]. The trunk is a path relative to the card,
``package:DISTRIBUTION``, or a hub id with trunk_revision.
"""

from dataclasses import dataclass
from pathlib import Path

from curation.classifiers.source import resolve
from curation.core.errors import ModelError
from curation.inference.files import read_json, sha256

FORMAT = 1
FILE_NAME = "card.json"
POOLINGS = ("mean", "cls")


@dataclass(frozen=True)
class Card:
    """What a card says of a head, with its trunk found on this machine."""

    trunk: Path
    pooling: str
    max_tokens: int


def read_card(directory: Path, bundles: str) -> Card:
    """The card of a head directory. Raises ModelError when it is wrong or its trunk is missing or another one."""
    path = directory / FILE_NAME
    content = read_json(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT or content.get("kind") != "encoder":
        raise ModelError(f"{path}: is not a card of format {FORMAT} and kind 'encoder'.")
    try:
        named, digest, pooling = str(content["trunk"]), str(content["trunk_sha256"]), content["pooling"]
        max_tokens = int(content["max_tokens"])
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path}: needs trunk, trunk_sha256, pooling and max_tokens: {error!r}.") from None
    if pooling not in POOLINGS:
        raise ModelError(f"{path}: pooling is {pooling!r}; it is one of {', '.join(POOLINGS)}.")
    beside = directory / named
    trunk = beside if beside.is_dir() else resolve(named, str(content.get("trunk_revision", "")), bundles)
    if (found := sha256(trunk / "model.safetensors")) != digest:
        raise ModelError(
            f"{path}: was trained on a trunk whose model.safetensors has sha256 {digest[:12]}…, "
            f"but the one in {trunk} has {found[:12]}…."
        )
    return Card(trunk, pooling, max_tokens)
