"""A long text may be read whole, in chunks of what a model can read."""

import numpy as np
import pytest
from test_architectures import write_model

from curation.classifiers import tiny_bert
from curation.classifiers.encoder import Encoder
from curation.core.errors import ModelError
from curation.inference.chunks import Chunks
from curation.inference.forward import forward
from curation.inference.replica import ScoringSpec, groups, load_replica
from curation.inference.tokens import Tokens

WORDS = ("the", "water", "of", "mill", "and", "light", "river", "trees", "school", "numbers", "x")
LONG = " ".join(np.random.default_rng(0).choice(WORDS, 70))
TEXTS = ["the river", LONG, "x", "\u200b", LONG * 2]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    directory = tmp_path_factory.mktemp("model")
    tiny_bert.write(directory)
    return directory


def encoder(model, long_documents, name="score", **settings):
    return Encoder(name=name, model=str(model), max_tokens=16, long_documents=long_documents, **settings)


def chunk_scores(model, text):
    """The score of each chunk of a text, cut by hand, and the chunks' tokens."""
    (tokenizer,) = load_replica([encoder(model, "head")], ScoringSpec())._tokenizers.values()
    ids = tokenizer.encode([text], 10**6).ids
    cut = [ids[start : start + 14] for start in range(0, max(1, len(ids)), 14)]
    (about,) = load_replica([encoder(model, "head")], ScoringSpec())._passes
    tokens = Tokens(np.concatenate(cut), np.cumsum([0, *map(len, cut)]), np.zeros(len(cut), bool))
    outputs = forward(about.trunk, about.heads, tokens, tokenizer.template, token_budget=64, device="cpu")
    return outputs.heads[0][:, 0], [len(each) for each in cut]


@pytest.mark.parametrize("text", TEXTS)
def test_the_highest_chunk_decides_or_the_mean_of_all_by_their_tokens(model, text):
    scores, sizes = chunk_scores(model, text)
    for how, expected in (("max", max(scores)), ("mean", np.average(scores, weights=np.maximum(1, sizes)))):
        got = load_replica([encoder(model, f"chunks:{how}")], ScoringSpec())([text])["score"][0]
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5)


def test_many_texts_give_what_each_gives_alone(model):
    replica = load_replica([encoder(model, "chunks:max")], ScoringSpec())
    alone = [replica([text])["score"][0] for text in TEXTS]
    np.testing.assert_allclose(replica(TEXTS)["score"], alone, rtol=0, atol=1e-5)


def test_nothing_is_truncated_and_all_tokens_are_counted(model):
    replica = load_replica([encoder(model, "chunks:max"), encoder(model, "head", "head")], ScoringSpec())
    replica([LONG])
    tallies = replica.take_tallies()
    assert (tallies["score"].num_truncated, tallies["head"].num_truncated) == (0, 1)
    assert tallies["head"].num_tokens == 16 < tallies["score"].num_tokens


def test_maximum_and_mean_share_a_pass_and_the_head_does_not(model):
    trio = [encoder(model, how, how[-3:]) for how in ("chunks:max", "chunks:mean", "head")]
    assert [each.names for each in groups(trio).passes] == [("max", "ean"), ("ead",)]


def test_the_policy_is_part_of_the_fingerprint(model):
    assert len({encoder(model, how).fingerprint() for how in ("head", "chunks:max", "chunks:mean")}) == 3


def test_a_canary_of_the_head_is_none_of_the_chunks(tmp_path):
    tiny = Encoder.tiny(tmp_path)
    assert Encoder(name="a", model=tiny.model).canary() is not None
    assert Encoder(name="a", model=tiny.model, long_documents="chunks:max").canary() is None


def test_labels_of_chunks_are_refused(tmp_path):
    write_model(tmp_path, "Bert", num_labels=3)
    with pytest.raises(ModelError, match="labels of chunks cannot be put together"):
        _ = encoder(tmp_path, "chunks:max").columns
    assert encoder(tmp_path, "chunks:max", label="LABEL_1").columns == {"score": "float32"}


def test_a_missing_chunk_makes_its_text_missing():
    tokens = Tokens(np.arange(5, dtype=np.int32), np.array([0, 3, 5]), np.zeros(2, bool))
    chunks = Chunks.of(tokens, 2)
    for how in ("chunks:max", "chunks:mean"):
        got = chunks.join(np.array([1.0, np.nan, 2.0], np.float32), how)
        np.testing.assert_array_equal(got, np.array([np.nan, 2.0], np.float32))


def test_no_texts_have_no_chunks():
    chunks = Chunks.of(Tokens(np.empty(0, np.int32), np.zeros(1, np.int64), np.empty(0, bool)), 4)
    assert len(chunks.join(np.empty(0, np.float32), "chunks:max")) == 0
