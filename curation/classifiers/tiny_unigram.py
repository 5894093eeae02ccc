"""The smallest models with sentencepiece's kind of tokenizer that work: XLM-RoBERTa, and NVIDIA's way with DeBERTa.

Random weights, a vocabulary of a few pieces of English and Chinese, for tests without downloads.
"""

import json
from pathlib import Path
from typing import Any

_PIECES = (
    *"▁abcdefghijklmnopqrstuvwxyz0123456789.,;:!?()-", *"。、的一是在水河山春天学校老师数字我们你好不人有了大中国",
    *("▁the", "▁of", "▁and", "▁water", "▁river", "▁mill", "▁number", "▁school", "ing", "ed", "er", "s"),
    *("水车", "河边", "春天", "学校", "老师", "数字", "我们", "中国"),
)  # fmt: skip
_WIDTH = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
_SPREAD = {"initializer_range": 0.4}  # so wide that scores differ


def write_xlm_roberta(
    directory: Path, *, labels: tuple[str, ...] = ("score",), max_tokens: int = 2048, seed: int = 0
) -> None:
    """Write an XLM-RoBERTa sequence classifier as bge-m3's kin are stored; as many outputs as `labels`.

    It reads `max_tokens` tokens, and counts their positions from the one after the padding token's id.
    """
    import torch
    from transformers import XLMRobertaConfig, XLMRobertaForSequenceClassification, XLMRobertaTokenizer

    from curation.inference.trunk import quiet

    special = ("<s>", "<pad>", "</s>", "<unk>")
    tokenizer = XLMRobertaTokenizer(vocab=[*_vocabulary(special), ("<mask>", 0.0)], model_max_length=max_tokens)
    tokenizer.save_pretrained(directory)
    config = XLMRobertaConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=max_tokens + 2,
        type_vocab_size=1,
        pad_token_id=1,
        layer_norm_eps=1e-5,
        id2label=dict(enumerate(labels)),
        label2id={label: place for place, label in enumerate(labels)},
        **_WIDTH,
        **_SPREAD,
    )
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(seed)
        XLMRobertaForSequenceClassification(config).save_pretrained(directory)


def write_wrapped_deberta(directory: Path, *, labels: tuple[str, ...], seed: int = 0) -> dict[str, Any]:
    """Write a DeBERTa as NVIDIA's classifiers are stored; gives the config of its base model, which is not written.

    The trunk's tensors are ``model.…``, the linear layer on its first state ``fc.weight`` and ``fc.bias``; config.json
    names the base model and the labels and says nothing of sizes.
    """
    import torch
    from safetensors.torch import save_file
    from transformers import DebertaV2Config, DebertaV2Model, DebertaV2Tokenizer

    special = ("[PAD]", "[CLS]", "[SEP]", "[UNK]")
    tokenizer = DebertaV2Tokenizer(vocab=[*_vocabulary(special), ("[MASK]", 0.0)], unk_id=3)
    tokenizer.save_pretrained(directory)
    config = DebertaV2Config(
        vocab_size=len(tokenizer),
        max_position_embeddings=32,
        relative_attention=True,
        position_buckets=16,
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        pos_att_type=["p2c", "c2p"],
        position_biased_input=False,
        type_vocab_size=0,
        layer_norm_eps=1e-7,
        **_WIDTH,
        **_SPREAD,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        trunk = DebertaV2Model(config).state_dict()
        head = {"fc.weight": torch.randn(len(labels), config.hidden_size), "fc.bias": torch.zeros(len(labels))}
    save_file(
        {f"model.{name}": tensor.clone() for name, tensor in trunk.items()} | head, directory / "model.safetensors"
    )
    about = {
        "base_model": "acme/tiny-deberta",
        "config_path": None,
        "fc_dropout": 0.2,
        "id2label": dict(enumerate(labels)),
        "label2id": {label: place for place, label in enumerate(labels)},
        "model_type": "deberta-v2",
        "pretrained": True,
    }
    (directory / "config.json").write_text(json.dumps(about, indent=2), encoding="utf-8")
    return dict(json.loads(config.to_json_string(use_diff=False)))


def _vocabulary(special: tuple[str, ...]) -> list[tuple[str, float]]:
    """Special tokens, then pieces, of which the longer are the likelier for their length."""
    return [*((token, 0.0) for token in special), *((piece, -2.0 - 1 / len(piece)) for piece in _PIECES)]
