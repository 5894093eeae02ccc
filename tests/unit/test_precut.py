"""A long text is cut only where its first ids provably stay what they were."""

import json
import re
import unicodedata

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from curation.inference import precut

PLAIN = re.compile(f"[{precut._PLAIN}]")
FORMS = ("NFC", "NFD", "NFKC", "NFKD")
PLAIN_CHARS = [char for char in map(chr, range(0x110000)) if PLAIN.match(char)]


def spec(normalizer=None, pre_tokenizer=None, added=()):
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))
    if normalizer:
        tokenizer.normalizer = normalizer
    if pre_tokenizer:
        tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.add_tokens(list(added))
    return json.loads(tokenizer.to_str())


def test_plain_characters_are_letters_digits_and_ascii_signs():
    assert len(PLAIN_CHARS) > 30_000
    assert {unicodedata.category(char)[0] for char in PLAIN_CHARS if ord(char) > 127} <= {"L"}


@pytest.mark.parametrize("form", FORMS)
def test_a_plain_character_is_normalised_apart_from_the_blanks_beside_it(form):
    for char in PLAIN_CHARS:
        alone = unicodedata.normalize(form, char)
        assert not unicodedata.combining(alone[0])
        assert unicodedata.normalize(form, f"a {char} a") == f"a {alone} a"


def test_a_text_is_cut_before_the_last_blank_between_plain_characters():
    assert precut.cut("one two three", 9) == "one two"
    assert precut.cut("one two three", 7) == "one two"
    assert precut.cut("one two three", 6) == "one"


def test_a_short_text_and_one_without_a_safe_cut_stay_whole():
    assert precut.cut("one two", 7) == "one two"
    assert precut.cut("水" * 50, 10) == "水" * 50
    assert precut.cut("onetwothree" * 9, 10) == "onetwothree" * 9


@pytest.mark.parametrize(
    "gap", ["  ", " \u0301", "\u0301 ", " \u200d", "\u0600 ", "\t", "\u00a0", "\x85", " \uff9e", " \u0e33"]
)
def test_no_cut_is_made_at_anything_but_a_lone_blank_between_plain_characters(gap):
    assert precut.cut(f"one two{gap}three four", 10) == "one"


def test_a_cut_far_back_is_found():
    assert precut.cut("a b" + "x" * 5000 + " c", 5000) == "a"


def test_every_cut_at_every_length_is_a_prefix_before_a_safe_blank():
    text = "a bc  d\u0301 ef " * 60
    for max_chars in range(1, len(text)):
        piece = precut.cut(text, max_chars)
        assert text.startswith(piece)
        assert piece == text or (len(piece) <= max_chars and re.fullmatch("[^ ] [^ ]", text[len(piece) - 1 :][:3]))


@pytest.mark.parametrize(
    "pre_tokenizer",
    [
        pre_tokenizers.BertPreTokenizer(),
        pre_tokenizers.Whitespace(),
        pre_tokenizers.WhitespaceSplit(),
        pre_tokenizers.Metaspace(),
        pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(split=False)]),
        pre_tokenizers.Sequence([pre_tokenizers.Punctuation(), pre_tokenizers.Whitespace()]),
    ],
    ids=repr,
)
def test_the_rule_holds_where_the_pre_tokenizer_splits_at_blanks(pre_tokenizer):
    assert precut.is_provable(spec(normalizers.NFKC(), pre_tokenizer))


@pytest.mark.parametrize(
    "pre_tokenizer",
    [
        None,
        pre_tokenizers.Metaspace(split=False),
        pre_tokenizers.ByteLevel(),
        pre_tokenizers.Punctuation(),
        pre_tokenizers.Split("x", "isolated"),
        pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Split("x", "isolated")]),
    ],
    ids=repr,
)
def test_the_rule_does_not_hold_where_that_cannot_be_told(pre_tokenizer):
    assert not precut.is_provable(spec(None, pre_tokenizer))


def test_the_rule_does_not_hold_when_a_normalizer_can_look_across_blanks():
    assert not precut.is_provable(spec(normalizers.Replace("a b", "c"), pre_tokenizers.Whitespace()))
    assert precut.is_provable(spec(normalizers.Replace("  ", " "), pre_tokenizers.Whitespace()))


def test_the_rule_does_not_hold_when_an_added_token_contains_white_space():
    assert precut.is_provable(spec(None, pre_tokenizers.Whitespace(), ["<mask>"]))
    assert not precut.is_provable(spec(None, pre_tokenizers.Whitespace(), ["a b"]))
