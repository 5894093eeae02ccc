"""Tokenisers by themselves: CPU seconds on one core for the first 512 tokens of each document. Prints JSON.

The packaged MiniLM's WordPiece (BERT's uncased vocabulary); the candidates take turns round by round after a warm-up:

* transformers' ``__call__`` in batches of 32, padded to the longest, as tensors: what model cards show, the reference;
* the same tokenizer's ``encode_batch`` and ``encode_batch_fast`` from the tokenizers package, truncated, in one call;
* this project's `Tokenizer.encode`, in one call;
* nanotoken's ``encode_batch``, in one call, where it is installed: with an empty cache of words, and with one that has
  seen these very documents.

Every text counts with the tokens that the reference gives it, special ones included.
"""

import argparse
import json
import platform
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import metadata, util
from pathlib import Path
from typing import Any

import transformers
from checkpoints import packaged_trunk
from documents import SETS, describe, read_documents
from tokenizers import Tokenizer as TokenizerFile
from turns import one_thread, table, take_turns, timed, times_faster

from curation.inference.tokens import Tokenizer

BATCH = 32
MAX_TOKENS = 512
REFERENCE = "transformers, padded tensors, batches of 32"
NANOTOKEN = "nanotoken"
COLUMNS = {
    "tokens per CPU s": ("tokens_per_cpu_s", ","),
    "µs per document": ("us_per_document", ",.1f"),
    "times transformers": ("times_transformers", ".2f"),
    "documents with other ids": ("num_different", ","),
}


@dataclass(frozen=True)
class Candidate:
    """Something that encodes texts, and how to read the ids of each text off what it gives, which is not timed."""

    encode: Callable[[Sequence[str]], Any]
    ids: Callable[[Any], Iterator[list[int]]]
    prepare: Callable[[], None] = lambda: None

    def turn(self, texts: Sequence[str]) -> tuple[float, Any]:
        """One round."""
        self.prepare()
        return timed(lambda: self.encode(texts))


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

    return Candidate(encode, ids)


def encodings(trunk: Path, method: str) -> Candidate:
    """The tokenizers package itself."""
    tokenizer = TokenizerFile.from_file(str(trunk / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    encode = getattr(tokenizer, method)
    return Candidate(lambda texts: encode(list(texts)), lambda found: (encoding.ids for encoding in found))


def ourselves(trunk: Path) -> Candidate:
    """Flat ids without special tokens, which are put in where batches are made."""
    tokenizer = Tokenizer(trunk)
    prefix, suffix = tokenizer.template.prefix, tokenizer.template.suffix
    max_content = MAX_TOKENS - tokenizer.template.num_special
    return Candidate(
        lambda texts: tokenizer.encode(texts, max_content),
        lambda tokens: ([*prefix, *tokens.of(place).tolist(), *suffix] for place in range(len(tokens))),
    )


def nanotoken(trunk: Path, *, is_cold: bool) -> Candidate:
    """Flat ids with special tokens."""
    from nanotoken import Tokenizer as NanoTokenizer

    tokenizer = NanoTokenizer(trunk / "tokenizer.json")
    return Candidate(
        lambda texts: tokenizer.encode_batch(list(texts), max_length=MAX_TOKENS, parallel=False),
        lambda rows: (row.tolist() for row in rows),
        tokenizer.clear_cache if is_cold else lambda: None,
    )


def candidates_of(trunk: Path) -> dict[str, Candidate]:
    """All that are installed."""
    found = {
        REFERENCE: padded(trunk),
        "tokenizers, encode_batch": encodings(trunk, "encode_batch"),
        "tokenizers, encode_batch_fast": encodings(trunk, "encode_batch_fast"),
        "curation": ourselves(trunk),
    }
    if util.find_spec(NANOTOKEN):
        found[f"{NANOTOKEN}, empty cache"] = nanotoken(trunk, is_cold=True)
        found[f"{NANOTOKEN}, warm cache"] = nanotoken(trunk, is_cold=False)
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
    parser.add_argument("--texts", type=Path, required=True, help="a Parquet file with a column text")
    parser.add_argument("--num-documents", type=int, default=1000)
    parser.add_argument("--num-rounds", type=int, default=5)
    parser.add_argument("--markdown", action="store_true", help="a table instead of JSON")
    arguments = parser.parse_args()
    one_thread()
    trunk = packaged_trunk()
    texts = read_documents(arguments.documents, arguments.texts, arguments.num_documents, trunk)
    about = describe(texts, trunk, MAX_TOKENS)
    candidates = candidates_of(trunk)
    installed = [name for name in ("tokenizers", "transformers", NANOTOKEN) if util.find_spec(name)]
    found = {
        "documents": {"set": arguments.documents} | about,
        "num_rounds": arguments.num_rounds,
        "processor": platform.machine(),
        "versions": {name: metadata.version(name) for name in installed},
        "candidates": measure(candidates, texts, about["num_tokens"], arguments.num_rounds),
        "left_out": {} if NANOTOKEN in installed else {NANOTOKEN: "not installed"},
    }
    print(table(found["candidates"], COLUMNS) if arguments.markdown else json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
