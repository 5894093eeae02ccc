"""The smallest BERT that works, for tests without downloads: random weights, a vocabulary of its own."""

from pathlib import Path

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,;:!?()'\"-水河山"
_WORDS = (
    "the",
    "of",
    "and",
    "water",
    "river",
    "mill",
    "number",
    "light",
    "tree",
    "school",
    "##ing",
    "##ed",
    "##er",
    "##s",
)

CANARY_TEXTS = (
    "The mill stands by the river.",
    "A number is even when two divides it.",
    "CLICK HERE!!! win win win",
    "水 and light",
    "x",
    "the the the the the the the the",
    "Trees drink water; schools teach numbers.",
    "0 1 2 3 4 5 6 7 8 9 (and so on)",
)
MAX_TOKENS = 64


def write(
    directory: Path, *, labels: tuple[str, ...] = ("score",), seed: int = 0, config: dict[str, object] | None = None
) -> None:
    """Write a sequence classifier with a tokenizer into a directory; as many outputs as `labels`."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    from curation.inference.trunk import quiet

    directory.mkdir(parents=True, exist_ok=True)
    vocabulary = write_tokenizer(directory)
    settings = {
        "vocab_size": len(vocabulary),
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": MAX_TOKENS,
        "initializer_range": 0.4,  # so wide that scores differ
        "id2label": dict(enumerate(labels)),
        "label2id": {label: place for place, label in enumerate(labels)},
    }
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(seed)
        BertForSequenceClassification(BertConfig(**(settings | (config or {})))).save_pretrained(directory)


def write_tokenizer(directory: Path) -> list[str]:
    """Write a WordPiece tokenizer; gives its vocabulary."""
    from transformers import BertTokenizer

    vocabulary = [*_SPECIAL, *_LETTERS, *(f"##{letter}" for letter in _LETTERS), *_WORDS]
    tokenizer = BertTokenizer(
        vocab={token: place for place, token in enumerate(vocabulary)}, model_max_length=MAX_TOKENS
    )
    tokenizer.save_pretrained(directory)
    return vocabulary
