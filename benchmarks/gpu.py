"""Encoders on one GPU: useful tokens a second, and how much of the machine's own matrix product that is. Prints JSON.

A trunk of arctic-embed-m's shape (12 layers of 768) with random weights and real pages, so that lengths are real.
Measured: exact and fast, packed in one constant shape and in padded batches, compiled and not, one head and three, the
token budgets, the host's tokenisers, and how long the GPU waits when texts are prepared beside it. `--device cpu` and
few documents try the script out.

The share of the ceiling is of the fastest large matrix product in 16 bits that this GPU was seen to do, and counts what
useful tokens need: 2 FLOP for each weight of the layers, and 4 · width for each pair of tokens and layer.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
import transformers
from checkpoints import write_checkpoints

from curation.classifiers.encoder import Encoder
from curation.core.stopwatch import Stopwatch
from curation.execution.overlap import ahead
from curation.inference.replica import Replica, ScoringSpec, load_replica

MAX_TOKENS = 512


def synchronize(device: str) -> None:
    """Wait for the device."""
    if device != "cpu":
        torch.cuda.synchronize()


def ceiling(device: str) -> float:
    """FLOP a second of the fastest square matrix product in 16 bits."""
    best = 0.0
    for size in (4096, 8192) if device != "cpu" else (512,):
        dtype = torch.float16 if device != "cpu" else torch.bfloat16
        a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
        for _ in range(3):
            a @ b
        synchronize(device)
        start = time.perf_counter()
        for _ in range(10):
            a @ b
        synchronize(device)
        best = max(best, 10 * 2 * size**3 / (time.perf_counter() - start))
    return best


def flop(lengths: Sequence[int], num_layers: int, width: int) -> float:
    """What a trunk of BERT's shape needs for texts of these lengths."""
    counts = np.asarray(lengths, np.float64)
    return float(num_layers * (24 * width**2 * counts.sum() + 4 * width * (counts**2).sum()))


def seconds(work: Callable[[], Any], device: str, num_rounds: int) -> list[float]:
    """Wall seconds of each round, after one that warms up."""
    found = []
    for _ in range(num_rounds + 1):
        synchronize(device)
        start = time.perf_counter()
        work()
        synchronize(device)
        found.append(time.perf_counter() - start)
    return found[1:]


def waited(replica: Replica, texts: Sequence[str]) -> dict[str, float]:
    """Shares of the wall time when partitions of 1,000 are prepared beside the device, by what it waited for."""
    stopwatch = Stopwatch()
    parts = (texts[start : start + 1000] for start in range(0, len(texts), 1000))
    with stopwatch.running(), closing(ahead(map(replica.prepare, parts))) as prepared:
        for part in prepared:
            replica.score(part)
    found = stopwatch.seconds()
    return {what: round(value / sum(found.values()), 4) for what, value in found.items()}


def measure(texts: Sequence[str], device: str, num_layers: int, num_rounds: int) -> dict[str, Any]:
    """Every variant, in turns only with itself: a GPU of one's own is quiet."""
    found: dict[str, Any] = {"device": torch.cuda.get_device_name() if device != "cpu" else "cpu"}
    found |= {"torch": torch.__version__, "transformers": transformers.__version__, "num_documents": len(texts)}
    most = ceiling(device)
    found["ceiling_tflops"] = round(most / 1e12, 2)
    with tempfile.TemporaryDirectory() as name:
        folders = write_checkpoints(
            Path(name), "arctic", num_layers, num_heads=3, texts=texts[:32], max_tokens=MAX_TOKENS
        )

        def replica(spec: ScoringSpec, precision: str = "fast", num_heads: int = 1) -> Replica:
            recipes = [
                Encoder(name=f"head-{head}", model=str(folder), max_tokens=MAX_TOKENS, precision=precision)  # type: ignore[arg-type]
                for head, folder in enumerate(folders[:num_heads])
            ]
            return load_replica(recipes, spec)

        usual = partial(ScoringSpec, device=device)
        reference = replica(usual(), "exact")
        prepared = reference.prepare(texts)
        (tokens,) = prepared.tokens.values()
        lengths = np.minimum(tokens.lengths + 2, MAX_TOKENS)
        found["num_tokens"] = int(lengths.sum())
        needed = flop(lengths.tolist(), num_layers or 12, 768)
        exact = reference.score(prepared)["head-0"]
        variants: dict[str, Callable[[], Replica]] = {
            "exact": lambda: reference,
            "fast": lambda: replica(usual()),
            "fast, three heads": lambda: replica(usual(), num_heads=3),
            "fast, 16,384 tokens": lambda: replica(usual(token_budget=16384)),
            "fast, 65,536 tokens": lambda: replica(usual(token_budget=65536)),
            "fast, padded": lambda: padded(replica(usual())),
            "bfloat16": lambda: replica(usual(), "bfloat16"),
        }
        if device != "cpu":
            variants["fast, compiled"] = lambda: replica(usual(compiled=True))
        found["variants"] = {}
        for variant, load in variants.items():
            made = load()
            times = seconds(partial(made.score, prepared), device, num_rounds)
            scores = made.score(prepared)["head-0"]
            found["variants"][variant] = {
                "tokens_per_s": round(int(lengths.sum()) / statistics.median(times)),
                "documents_per_s": round(len(texts) / statistics.median(times), 1),
                "share_of_ceiling": round(needed / statistics.median(times) / most, 4),
                "max_difference_std": float(np.abs(scores - exact).max() / exact.std()),
                "mean_difference_std": float(np.abs(scores - exact).mean() / exact.std()),
                "tally": asdict(made.take_tallies()["head-0"]),
                "build": made.build,
            }
        whole = replica(usual(), num_heads=3)
        found["waiting"] = waited(whole, texts)
    return found


def padded(replica: Replica) -> Replica:
    """The same replica, run in padded batches sorted by length."""
    for each in replica._passes:  # noqa: SLF001 - nobody else wants what is slower
        each.trunk._first = each.trunk._shape = None  # noqa: SLF001
    return replica


def main() -> None:
    """Read the texts, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", nargs="+", required=True, help="Parquet files with a column text")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--num-documents", type=int, default=8000)
    parser.add_argument("--num-layers", type=int, default=0, help="0: all 12")
    parser.add_argument("--num-rounds", type=int, default=3)
    arguments = parser.parse_args()
    texts = [text for path in arguments.texts for text in pq.read_table(path, columns=["text"])["text"].to_pylist()]
    found = measure(texts[: arguments.num_documents], arguments.device, arguments.num_layers, arguments.num_rounds)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
