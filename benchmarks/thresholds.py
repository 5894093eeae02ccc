"""Exact weighted thresholds against a sort: rows per second, peak state, equality. Prints JSON.

python benchmarks/thresholds.py [ROWS]
"""

import json
import platform
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.calibration.histogram import PERCENTS, Histogram, Refinement, bins_to_refine, coarse, cuts, fine
from curation.statistics import weighted_quantile

Chunk = tuple[NDArray[np.float32], NDArray[np.int64]]

_CHUNK_ROWS = 1 << 20
_OTHER_CHUNK_ROWS = 777_777
_SHAPES: dict[str, Callable[[np.random.Generator, int], NDArray[Any]]] = {
    "normal": lambda generator, num_rows: generator.normal(1.2, 0.7, num_rows),
    "probability": lambda generator, num_rows: generator.beta(0.05, 1, num_rows),
    "constant": lambda _, num_rows: np.full(num_rows, 0.25),
}


def measure(scores: NDArray[np.float32], weights: NDArray[np.int64]) -> dict[str, Any]:
    """The speed of both passes over one column, what they hold, and whether the cuts are those of the sort.

    The passes run once more for their peak of memory beside the data, in chunks of another size, with equal cuts.
    """
    found, first_s, both_s, state_bytes, num_bins = two_passes(scores, weights, _CHUNK_ROWS)
    start = time.perf_counter()
    expected = weighted_quantile(scores, weights, PERCENTS)
    sorted_s = time.perf_counter() - start
    tracemalloc.start()
    again = two_passes(scores, weights, _OTHER_CHUNK_ROWS)[0]
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return {
        "seconds": round(both_s, 2),
        "pass_1_rows_per_s": round(len(scores) / first_s),
        "rows_per_s": round(len(scores) / both_s),
        "sort_rows_per_s": round(len(scores) / sorted_s),
        "num_refined_bins": num_bins,
        "state_bytes": state_bytes,
        "peak_bytes": peak_bytes,
        "equal_to_sort": found == tuple(expected.tolist()),
        "equal_in_other_chunks": again == found,
    }


def two_passes(
    scores: NDArray[np.float32], weights: NDArray[np.int64], chunk_rows: int
) -> tuple[tuple[float, ...], float, float, int, int]:
    """The cuts; seconds of the first pass and of both; bytes and refined bins of what they hold."""

    def chunks() -> Iterator[Chunk]:
        for start in range(0, len(scores), chunk_rows):
            yield scores[start : start + chunk_rows], weights[start : start + chunk_rows]

    started = time.perf_counter()
    histogram = sum((coarse(*chunk) for chunk in chunks()), Histogram.empty())
    first = time.perf_counter()
    bins = bins_to_refine("score", histogram)
    refinement = Refinement.empty(bins)
    for chunk in chunks():
        refinement += fine(*chunk, bins)
    found = cuts("score", histogram, refinement)
    both_s = time.perf_counter() - started
    return found, first - started, both_s, histogram.weight.nbytes + refinement.weight.nbytes, len(bins)


def main() -> None:
    """Measure every shape of score column."""
    num_rows = int(float(sys.argv[1])) if len(sys.argv) > 1 else 10**7
    generator = np.random.default_rng(0)
    weights = generator.integers(1, 20_000, num_rows)
    results = {name: measure(draw(generator, num_rows).astype(np.float32), weights) for name, draw in _SHAPES.items()}
    print(
        json.dumps({"num_rows": num_rows, "numpy": np.__version__, "machine": platform.machine()} | results, indent=1)
    )


if __name__ == "__main__":
    main()
