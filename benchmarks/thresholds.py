"""Exact weighted thresholds against a sort: rows per second, peak state, equality. Prints JSON.

python benchmarks/thresholds.py [ROWS]
"""

import json
import platform
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.calibration.histogram import PERCENTS, Histogram, Refinement, bins_to_refine, coarse, cuts, fine
from curation.statistics import weighted_quantile

Chunk = tuple[NDArray[np.float32], NDArray[np.int64]]

_CHUNK_ROWS = 1 << 20
_SHAPES: dict[str, Callable[[np.random.Generator, int], NDArray[Any]]] = {
    "normal": lambda generator, num_rows: generator.normal(1.2, 0.7, num_rows),
    "probability": lambda generator, num_rows: generator.beta(0.05, 1, num_rows),
    "constant": lambda _, num_rows: np.full(num_rows, 0.25),
}


def measure(scores: NDArray[np.float32], weights: NDArray[np.int64]) -> dict[str, Any]:
    """The speed of both passes over one column, what they hold, and whether the cuts are those of the sort."""

    def chunks() -> Iterator[Chunk]:
        for start in range(0, len(scores), _CHUNK_ROWS):
            yield scores[start : start + _CHUNK_ROWS], weights[start : start + _CHUNK_ROWS]

    started = time.perf_counter()
    histogram = sum((coarse(*chunk) for chunk in chunks()), Histogram.empty())
    first = time.perf_counter()
    bins = bins_to_refine("score", histogram)
    refinement = Refinement.empty(bins)
    for chunk in chunks():
        refinement += fine(*chunk, bins)
    found = cuts("score", histogram, refinement)
    second = time.perf_counter()
    expected = weighted_quantile(scores, weights, PERCENTS)
    sorted_s = time.perf_counter() - second
    return {
        "pass_1_rows_per_s": round(len(scores) / (first - started)),
        "rows_per_s": round(len(scores) / (second - started)),
        "sort_rows_per_s": round(len(scores) / sorted_s),
        "num_refined_bins": len(bins),
        "state_bytes": histogram.weight.nbytes + refinement.weight.nbytes,
        "equal_to_sort": found == tuple(expected.tolist()),
    }


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
