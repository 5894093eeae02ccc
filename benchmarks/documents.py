"""Real web pages, whole or cut short, and how long they are in tokens."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from tokenizers import Tokenizer as TokenizerFile

from curation.inference.tokens import Tokenizer

SETS = ("web", "short")

# Lengths of `short`, special tokens included: lognormal, 5.5 % above 512 tokens, a mean of 166 when cut there.
_MEDIAN_TOKENS = 121
_SIGMA = 0.9025
_SEED = 4  # one whose first thousand draws come near these figures
_NUM_SPECIAL = 2


def read_documents(kind: str, file: Path, trunk: Path) -> list[str]:
    """The pages of a Parquet file with a column text, as they are (``web``) or cut short (``short``)."""
    pages = [page for page in pq.read_table(file, columns=["text"])["text"].to_pylist() if page and page.strip()]
    return pages if kind == "web" else _pieces(pages, trunk)


def first(texts: Sequence[str], num_documents: int) -> list[str]:
    """The first documents; a file with fewer ends the program."""
    if len(texts) < num_documents:
        raise SystemExit(f"The file holds {len(texts)} documents of this set; {num_documents} were asked for.")
    return list(texts[:num_documents])


def describe(texts: Sequence[str], trunk: Path, max_tokens: int) -> dict[str, Any]:
    """How many tokens documents have, special ones included: uncut in the median, cut in the sum and the mean."""
    tokenizer = Tokenizer(trunk)
    lengths = tokenizer.count(texts) + tokenizer.template.num_special
    cut = np.minimum(lengths, max_tokens)
    return {
        "num_documents": len(texts),
        "num_bytes": sum(len(text.encode()) for text in texts),
        "num_tokens": int(cut.sum()),
        "mean_tokens": round(float(cut.mean()), 1),
        "median_tokens_uncut": float(np.median(lengths)),
        "truncated_share": round(float((lengths > max_tokens).mean()), 4),
    }


def _pieces(pages: Sequence[str], trunk: Path) -> list[str]:
    """The pages one after the other, cut at blanks into pieces of drawn numbers of tokens."""
    text = "\n\n".join(pages)
    starts = _token_starts(text, trunk)
    drawn = np.random.default_rng(_SEED).lognormal(np.log(_MEDIAN_TOKENS), _SIGMA, len(starts) // _MEDIAN_TOKENS)
    ends = np.cumsum(np.maximum(drawn - _NUM_SPECIAL, 1).astype(np.int64))
    cuts = [0, *(text.find(" ", start) for start in starts[ends[ends < len(starts)]])]
    pieces = [text[start:stop].strip() for start, stop in pairwise(cuts)]
    return [piece for piece in pieces if piece]


def _token_starts(text: str, trunk: Path) -> NDArray[np.int64]:
    """The character at which each token begins."""
    tokenizer = TokenizerFile.from_file(str(trunk / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return np.array([start for start, _ in tokenizer.encode(text, add_special_tokens=False).offsets], np.int64)
