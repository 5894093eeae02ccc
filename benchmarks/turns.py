"""Candidates that take turns: CPU seconds of each, round by round, so that a noisy neighbour meets all of them."""

import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch

Result = TypeVar("Result")
Turn = Callable[[], tuple[float, Result]]
"""One round of a candidate: its CPU seconds and what it gave."""

_THREADS = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


def one_thread() -> None:
    """Let this process, and those that it starts, compute on one thread. Comes before any computation."""
    os.environ.update(_THREADS)
    torch.set_num_threads(1)


def timed(work: Callable[[], Result]) -> tuple[float, Result]:
    """The CPU seconds that this process spent on `work`, and what it gave."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def take_turns(turns: Mapping[str, Turn[Result]], num_rounds: int) -> tuple[dict[str, list[float]], dict[str, Result]]:
    """The CPU seconds of every candidate in every round, and what each gave in the last one."""
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    results: dict[str, Result] = {}
    for _ in range(num_rounds):
        for name, turn in turns.items():
            spent, results[name] = turn()
            seconds[name].append(spent)
    return seconds, results


def times_faster(seconds: Sequence[float], than: Sequence[float]) -> float:
    """The median over the rounds of how many times as long the other one took."""
    return round(statistics.median(other / own for own, other in zip(seconds, than, strict=True)), 3)


def markdown(rows: Sequence[Mapping[str, str]]) -> str:
    """A table of rows that have the same columns: a name, then numbers."""
    columns = list(rows[0])
    lines = [columns, ["---"] + ["---:"] * (len(columns) - 1), *(list(row.values()) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def table(candidates: Mapping[str, Mapping[str, Any]], columns: Mapping[str, tuple[str, str]]) -> str:
    """A row for every candidate; `columns` says for each title which value stands there, and its format."""
    return markdown(
        [
            {"": name} | {title: format(values[key], spec) for title, (key, spec) in columns.items()}
            for name, values in candidates.items()
        ]
    )
