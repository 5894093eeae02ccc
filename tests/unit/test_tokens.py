"""Tokens are what transformers gives; a tokenizer is known by what it does."""

import json
import shutil

import numpy as np
import pytest
from tokenizers import Tokenizer as Backend
from tokenizers import models, pre_tokenizers, processors
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from curation.classifiers import tiny_bert
from curation.core.errors import ConfigError, ModelError
from curation.inference.tokens import Tokenizer, TokensSpec, count_tokens, max_length, tokenizer_fingerprint

TEXTS = ["the river", "", "water " * 40, "the mill of the river and the light"]


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    tiny_bert.write_tokenizer(folder)
    return folder


@pytest.fixture
def copy(directory, tmp_path):
    return shutil.copytree(directory, tmp_path / "copy")


def rewrite(file, **changes):
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_tokens_are_those_of_transformers_between_its_special_tokens(directory):
    tokenizer, reference = Tokenizer(directory), AutoTokenizer.from_pretrained(directory)
    tokens = tokenizer.encode(TEXTS, 6)
    template = tokenizer.template
    framed = [[*template.prefix, *tokens.of(i).tolist(), *template.suffix] for i in range(len(TEXTS))]
    assert framed == [reference(text, truncation=True, max_length=8)["input_ids"] for text in TEXTS]


def test_the_arrays_are_flat_and_typed(directory):
    tokens = Tokenizer(directory).encode(TEXTS, 6)
    assert (tokens.ids.dtype, tokens.offsets.dtype) == (np.int32, np.int64)
    assert tokens.offsets.tolist() == [0, 2, 2, 8, 14]
    assert tokens.lengths.tolist() == [2, 0, 6, 6]


def test_truncation_is_known_exactly(directory):
    tokenizer = Tokenizer(directory)
    assert tokenizer.encode(["water " * 6, "water " * 7], 6).truncated.tolist() == [False, True]
    assert tokenizer.encode(["water " * 6 + " " * 5000], 6).truncated.tolist() == [False]


def test_cutting_tokens_equals_encoding_fewer(directory):
    tokenizer = Tokenizer(directory)
    for max_content in (0, 1, 5, 8, 100):
        cut, direct = tokenizer.encode(TEXTS, 20).cut(max_content), tokenizer.encode(TEXTS, min(20, max_content))
        np.testing.assert_array_equal(cut.ids, direct.ids)
        np.testing.assert_array_equal(cut.offsets, direct.offsets)
        np.testing.assert_array_equal(cut.truncated, direct.truncated)


def test_counting_sees_the_whole_text(directory):
    assert Tokenizer(directory).count(TEXTS).tolist() == [2, 0, 40, 8]


def test_a_long_text_is_not_normalised_beyond_what_is_read(directory):
    tokenizer = Tokenizer(directory)
    pieces = []
    encode = tokenizer._encode

    def recording(texts, limit):
        assert limit == 11
        pieces.extend(map(len, texts))
        return encode(texts, limit)

    tokenizer._encode = recording
    tokenizer.encode(["water " * 10_000, "z " * 5 + " " * 9_999 + "x " * 50], 10)
    assert max(pieces[:2]) <= 6 * 11
    assert len(pieces) <= 6


def test_a_tokenizer_that_truncates_on_the_left_is_refused(copy):
    rewrite(copy / "tokenizer_config.json", truncation_side="left")
    with pytest.raises(ModelError, match="cuts or frames texts in a way that is not supported"):
        Tokenizer(copy)


def test_a_tokenizer_with_other_token_types_is_refused(tmp_path):
    backend = Backend(models.WordLevel({"a": 0, "[UNK]": 1, "[CLS]": 2, "[PAD]": 3}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing("$A:0 [CLS]:2", special_tokens=[("[CLS]", 2)])
    PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="[PAD]", model_input_names=["input_ids", "token_type_ids"]
    ).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="cuts or frames"):
        Tokenizer(tmp_path)


def test_a_folder_without_a_tokenizer_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"no tokenizer\.json and no vocabulary"):
        tokenizer_fingerprint(tmp_path)


def test_the_fingerprint_ignores_names_lengths_truncation_and_padding(directory, copy):
    rewrite(copy / "tokenizer_config.json", name_or_path="elsewhere", model_max_length=9, transformers_version="4.0")
    truncation = {"max_length": 128, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    rewrite(copy / "tokenizer.json", truncation=truncation)
    assert tokenizer_fingerprint(copy) == tokenizer_fingerprint(directory)


@pytest.mark.parametrize(
    ("file", "changes"),
    [("tokenizer_config.json", {"do_lower_case": False}), ("tokenizer.json", {"normalizer": None})],
)
def test_the_fingerprint_follows_what_changes_ids(file, changes, directory, copy):
    rewrite(copy / file, **changes)
    assert tokenizer_fingerprint(copy) != tokenizer_fingerprint(directory)


def test_the_longest_input_is_read_from_the_config_unless_it_is_absurd(copy):
    assert max_length(copy) == tiny_bert.MAX_TOKENS
    rewrite(copy / "tokenizer_config.json", model_max_length=10**30)
    assert max_length(copy) is None


def test_document_tokens_are_estimated_from_bytes():
    spec = TokensSpec(bytes_per_token=4)
    assert count_tokens(spec, TEXTS, np.array([0, 1, 4, 9])).tolist() == [0, 1, 1, 3]
    assert spec.how == "estimated as bytes / 4"


def test_document_tokens_are_counted_uncut_by_the_tokenizer_that_is_named(directory):
    spec = TokensSpec(count_tokenizer=str(directory))
    assert count_tokens(spec, TEXTS, np.zeros(4)).tolist() == [2, 0, 40, 8]
    assert spec.how == f"counted by tokenizer {tokenizer_fingerprint(directory)[:8]}"


def test_a_ratio_must_be_positive():
    with pytest.raises(ConfigError, match="bytes_per_token: 0 is not above 0"):
        TokensSpec(bytes_per_token=0)
