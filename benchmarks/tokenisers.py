"""Tokenisers by themselves: CPU seconds on one core for the first 512 tokens of each document. Prints JSON.

The packaged MiniLM's WordPiece (BERT's uncased vocabulary); the candidates take turns round by round after a warm-up:

* transformers' ``__call__`` in batches of 32, padded to the longest, as tensors: what model cards show, the reference;
* the same tokenizer's ``encode_batch`` and ``encode_batch_fast`` from the tokenizers package, truncated, in one call;
* this project's `Tokenizer.encode`, in one call: as if nanotoken were not installed, and with it;
* nanotoken's own ``encode_batch``, in one call.

nanotoken keeps the words that it has seen. It starts each round with those of all documents of the files that are not
measured, as in the middle of a run (the more files, the fewer words are new), or with none.

Every text counts with the tokens that the reference gives it, special ones included.
"""

import argparse
import json
import platform
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import metadata, util
from pathlib import Path
from typing import Any
from unittest.mock import patch

import transformers
from checkpoints import packaged_trunk
from documents import SETS, describe, first, read_documents
from tokenizers import Tokenizer as TokenizerFile
from turns import one_thread, table, take_turns, timed, times_faster

from curation.inference.tokens import Tokenizer, Tokens

BATCH = 32
MAX_TOKENS = 512
REFERENCE = "transformers, padded tensors, batches of 32"
NANOTOKEN = "nanotoken"
Encode = Callable[[Sequence[str]], Any]
COLUMNS = {
    "tokens per CPU s": ("tokens_per_cpu_s", ","),
    "µs per document": ("us_per_document", ",.1f"),
    "times transformers": ("times_transformers", ".2f"),
    "documents with other ids": ("num_different", ","),
}


@dataclass(frozen=True)
class Candidate:
    """What gives something that encodes texts, asked before every round, and reads the ids of each text off the result.

    Only the encoding is timed.
    """

    load: Callable[[], Encode]
    ids: Callable[[Any], Iterator[list[int]]]

    def turn(self, texts: Sequence[str]) -> tuple[float, Any]:
        """One round."""
        return timed(partial(self.load(), texts))


def padded(trunk: Path) -> Candidate:
    """Tensors, as model cards make them."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(trunk)
    settings = {"return_tensors": "pt", "padding": "longest", "truncation": True, "max_length": MAX_TOKENS}

    def encode(texts: Sequence[str]) -> list[Any]:
        return [tokenizer(list(texts[start : start + BATCH]), **settings) for start in range(0, len(texts), BATCH)]

    def ids(batches: list[Any]) -> Iterator[list[int]]:
        for batch in batches:
            for row, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True):
                yield row[mask.bool()].tolist()

    return Candidate(lambda: encode, ids)


def encodings(trunk: Path, method: str) -> Candidate:
    """The tokenizers package itself."""
    tokenizer = TokenizerFile.from_file(str(trunk / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    return Candidate(lambda: getattr(tokenizer, method), lambda found: (encoding.ids for encoding in found))


def ourselves(trunk: Path, seen: Sequence[str], missing: Mapping[str, None]) -> Candidate:
    """Flat ids without special tokens, which come in where batches are made; `missing` modules cannot be imported."""
    with patch.dict(sys.modules, missing):
        template = Tokenizer(trunk).template
    max_content = MAX_TOKENS - template.num_special

    def load() -> Encode:
        with patch.dict(sys.modules, missing):
            tokenizer = Tokenizer(trunk)
        tokenizer.encode(seen, max_content)
        return partial(tokenizer.encode, max_content=max_content)

    def ids(tokens: Tokens) -> Iterator[list[int]]:
        for place in range(len(tokens)):
            yield [*template.prefix, *tokens.of(place).tolist(), *template.suffix]

    return Candidate(load, ids)


def nanotoken(trunk: Path, seen: Sequence[str]) -> Candidate:
    """Flat ids with special tokens."""
    from nanotoken import Tokenizer as NanoTokenizer

    def load() -> Encode:
        encode = partial(NanoTokenizer(trunk / "tokenizer.json").encode_batch, max_length=MAX_TOKENS, parallel=False)
        encode(seen)
        return encode

    return Candidate(load, lambda rows: (row.tolist() for row in rows))


def candidates_of(trunk: Path, seen: Sequence[str]) -> dict[str, Candidate]:
    """All that are installed."""
    found = {
        REFERENCE: padded(trunk),
        "tokenizers, encode_batch": encodings(trunk, "encode_batch"),
        "tokenizers, encode_batch_fast": encodings(trunk, "encode_batch_fast"),
        "curation on tokenizers": ourselves(trunk, (), missing={NANOTOKEN: None}),
    }
    if util.find_spec(NANOTOKEN):
        found |= {
            "curation on nanotoken": ourselves(trunk, seen, missing={}),
            "curation on nanotoken, no words": ourselves(trunk, (), missing={}),
            "nanotoken": nanotoken(trunk, seen),
            "nanotoken, no words": nanotoken(trunk, ()),
        }
    return found


def measure(candidates: dict[str, Candidate], texts: Sequence[str], num_tokens: int, num_rounds: int) -> dict[str, Any]:
    """Let all warm up and take turns; compare their ids."""
    turns = {name: partial(candidate.turn, texts) for name, candidate in candidates.items()}
    take_turns(turns, 1)
    seconds, results = take_turns(turns, num_rounds)
    reference = list(candidates[REFERENCE].ids(results[REFERENCE]))
    return {
        name: {
            "cpu_s": [round(spent, 4) for spent in seconds[name]],
            "tokens_per_cpu_s": round(num_tokens / statistics.median(seconds[name])),
            "us_per_document": round(statistics.median(seconds[name]) / len(texts) * 1e6, 2),
            "times_transformers": times_faster(seconds[name], seconds[REFERENCE]),
            "num_different": sum(
                own != other for own, other in zip(candidate.ids(results[name]), reference, strict=True)
            ),
        }
        for name, candidate in candidates.items()
    }


def main() -> None:
    """Read the texts, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", choices=SETS, default="web", help="pages, or pieces of them")
    parser.add_argument("--texts", type=Path, nargs="+", required=True, help="Parquet files with a column text")
    parser.add_argument("--num-documents", type=int, default=1000)
    parser.add_argument("--num-rounds", type=int, default=5)
    parser.add_argument("--markdown", action="store_true", help="a table instead of JSON")
    arguments = parser.parse_args()
    one_thread()
    trunk = packaged_trunk()
    transformers.utils.logging.set_verbosity_error()
    all_texts = [text for file in arguments.texts for text in read_documents(arguments.documents, file, trunk)]
    texts = first(all_texts, arguments.num_documents)
    about = describe(texts, trunk, MAX_TOKENS)
    candidates = candidates_of(trunk, seen=all_texts[len(texts) :])
    installed = [name for name in ("tokenizers", "transformers", NANOTOKEN) if util.find_spec(name)]
    found = {
        "documents": {"set": arguments.documents, "num_seen_before": len(all_texts) - len(texts)} | about,
        "num_rounds": arguments.num_rounds,
        "processor": platform.machine(),
        "versions": {name: metadata.version(name) for name in installed},
        "candidates": measure(candidates, texts, about["num_tokens"], arguments.num_rounds),
        "left_out": {} if NANOTOKEN in installed else {NANOTOKEN: "not installed"},
    }
    print(table(found["candidates"], COLUMNS) if arguments.markdown else json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
