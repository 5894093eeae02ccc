"""Sequence classifiers of many architectures score as the loop on their model cards does."""

import numpy as np
import pytest
import torch
import transformers
from reference import card_loop
from tokenizers import AddedToken

from curation.classifiers import tiny_bert
from curation.classifiers.encoder import Encoder
from curation.inference.replica import ScoringSpec, load_replica

TEXTS = (
    "The mill stands by the river.",
    "water " * 90,
    "x",
    "Numbers: 1, 2, 3! A school of trees; the light of the mill, the water and the river. " * 2,
    "水 river 山",
    "nothing but words about rivers",
    "\u200b",
)
MAX_TOKENS = 32
SMALL = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 16, "intermediate_size": 32}
ARCHITECTURES = {
    "Bert": SMALL,
    "Roberta": SMALL | {"pad_token_id": 1, "max_position_embeddings": 66},
    "XLMRoberta": SMALL | {"pad_token_id": 1, "max_position_embeddings": 66},
    "DistilBert": {"n_layers": 2, "n_heads": 2, "dim": 16, "hidden_dim": 32, "max_position_embeddings": 64},
    "DebertaV2": SMALL
    | {
        "relative_attention": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_biased_input": False,
        "type_vocab_size": 0,
    },
    "ModernBert": SMALL
    | {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "cls_token_id": 0, "sep_token_id": 2},
    "RobertaPreLayerNorm": SMALL | {"pad_token_id": 1, "max_position_embeddings": 66},
    "FNet": {"num_hidden_layers": 2, "hidden_size": 16, "intermediate_size": 32, "max_position_embeddings": 64},
    "Electra": SMALL | {"embedding_size": 16},
    "Albert": SMALL | {"embedding_size": 8},
    "MPNet": SMALL | {"pad_token_id": 1, "max_position_embeddings": 66},
    "GPT2": {"n_layer": 2, "n_head": 2, "n_embd": 16, "n_positions": 64}
    | {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2},
    "Bart": {"encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
    | {"d_model": 16, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "max_position_embeddings": 64},
}
UNIGRAM = {"RobertaPreLayerNorm", "XLMRoberta", "Roberta", "ModernBert", "MPNet", "GPT2", "Bart"}


def write_unigram_tokenizer(directory):
    letters = [*"▁abcdefghijklmnopqrstuvwxyz0123456789.,;:!?", "▁the", "▁water", "▁river", "ing", "水", "▁mill"]
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    vocabulary = [(token, 0.0) for token in special] + [(token, -2.0 - len(token) / 9) for token in letters]
    tokenizer = transformers.XLMRobertaTokenizer(vocab=[*vocabulary, ("<mask>", 0.0)], model_max_length=64)
    tokenizer.add_special_tokens({"mask_token": AddedToken("<mask>", lstrip=True)})
    tokenizer.save_pretrained(directory)
    return len(tokenizer)


def write_model(directory, name, num_labels=1):
    size = write_unigram_tokenizer(directory) if name in UNIGRAM else len(tiny_bert.write_tokenizer(directory))
    cls = getattr(transformers, f"{name}ForSequenceClassification")
    config = cls.config_class(vocab_size=size, initializer_range=0.3, num_labels=num_labels, **ARCHITECTURES[name])
    torch.manual_seed(1)
    cls(config).save_pretrained(directory)


@pytest.fixture(params=ARCHITECTURES)
def model(request, tmp_path):
    write_model(tmp_path, request.param)
    return tmp_path


def test_scores_equal_the_model_card_loop(model):
    encoder = Encoder(name="score", model=str(model), max_tokens=MAX_TOKENS)
    replica = load_replica([encoder], ScoringSpec(token_budget=80))
    alone = "FNet" in (model / "config.json").read_text()  # there a card's scores depend on the padding
    expected = card_loop(model, list(TEXTS), max_length=MAX_TOKENS, batch_size=1 if alone else 4)[:, 0]
    np.testing.assert_allclose(replica(TEXTS)["score"], expected, rtol=0, atol=1e-5)
    assert np.ptp(expected) > 0.01


@pytest.mark.parametrize("name", ["Bert", "FNet", "DebertaV2"])
def test_a_score_does_not_depend_on_the_neighbours_of_a_text(name, tmp_path):
    write_model(tmp_path, name)
    replica = load_replica([Encoder(name="score", model=str(tmp_path), max_tokens=MAX_TOKENS)], ScoringSpec())
    alone = [replica([text])["score"][0] for text in TEXTS]
    np.testing.assert_allclose(replica(TEXTS)["score"], alone, rtol=0, atol=1e-5)
