"""How far a run is: a bar on a terminal, a line every ten seconds elsewhere."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

LINE_EVERY_S = 10.0


class Advance(Protocol):
    """Tell that a task is done."""

    def __call__(self, num_bytes: int, num_documents: int = 0, num_tokens: int = 0, num_failed: int = 0) -> None:
        """Add to the totals; `num_bytes` of input is what the bar measures."""


@contextmanager
def progress(what: str, total_bytes: int, console: Console) -> Iterator[Advance]:
    """Show how much of `total_bytes` is done while the block runs; it yields the function to call after each task."""
    with (_bar if console.is_terminal else _lines)(what, total_bytes, console) as advance:
        yield advance


class _Totals:
    def __init__(self, total_bytes: int) -> None:
        self.total_bytes = total_bytes
        self.start = time.monotonic()
        self.bytes = self.documents = self.tokens = self.failed = 0

    def add(self, num_bytes: int, num_documents: int = 0, num_tokens: int = 0, num_failed: int = 0) -> None:
        self.bytes += num_bytes
        self.documents += num_documents
        self.tokens += num_tokens
        self.failed += num_failed

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self.start

    def __str__(self) -> str:
        failed = f"{self.failed:,} failed"
        if not self.documents:
            return failed
        rate = self.tokens / max(self.elapsed_s, 1e-9)
        return f"{self.documents:,} documents · {rate:,.0f} tokens/s · {failed}"


@contextmanager
def _bar(what: str, total_bytes: int, console: Console) -> Iterator[Advance]:
    totals = _Totals(total_bytes)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[totals]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(what, total=max(total_bytes, 1), totals=str(totals))

        def advance(num_bytes: int, num_documents: int = 0, num_tokens: int = 0, num_failed: int = 0) -> None:
            totals.add(num_bytes, num_documents, num_tokens, num_failed)
            bar.update(task, completed=totals.bytes, totals=str(totals))

        yield advance


@contextmanager
def _lines(what: str, total_bytes: int, console: Console) -> Iterator[Advance]:
    totals = _Totals(total_bytes)
    stop = threading.Event()

    def say() -> None:
        while not stop.wait(LINE_EVERY_S):
            share = totals.bytes / max(total_bytes, 1)
            eta = f" · about {totals.elapsed_s * (1 / share - 1):,.0f} s to go" if share else ""
            console.print(f"{what}: {share:.0%} · {totals}{eta}", highlight=False)

    speaker = threading.Thread(target=say, name="progress", daemon=True)
    speaker.start()
    try:
        yield totals.add
    finally:
        stop.set()
        speaker.join()
    end = "done in" if totals.bytes == total_bytes else "stopped after"
    console.print(f"{what}: {end} {totals.elapsed_s:,.1f} s · {totals}", highlight=False)
