"""How far an annotation run is, and what it has cost: a bar on a terminal, a line every ten seconds elsewhere."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

LINE_EVERY_S = 10.0
_BAR_EVERY_S = 0.25


@dataclass
class Totals:
    """What this run has done so far.

    `cost` is in the currency of the config's prices; of `num_uncounted` replies the endpoint did not say the tokens.
    """

    num_due: int
    num_replies: int = 0
    num_unreadable: int = 0
    num_unanswered: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    num_uncounted: int = 0
    cost: float = 0.0
    start: float = field(default_factory=time.monotonic)

    @property
    def elapsed_s(self) -> float:
        """Since the first request."""
        return max(time.monotonic() - self.start, 1e-9)

    @property
    def requests_per_s(self) -> float:
        """Replies in a second."""
        return self.num_replies / self.elapsed_s

    @property
    def tokens_per_s(self) -> float:
        """Tokens in and out in a second."""
        return (self.prompt_tokens + self.completion_tokens) / self.elapsed_s

    def __str__(self) -> str:
        cost = f" · cost {self.cost:,.2f}" if self.cost else ""
        unknown = f" (unknown for {self.num_uncounted:,})" if self.num_uncounted else ""
        return (
            f"{self.num_replies:,} of {self.num_due:,} replies · {self.requests_per_s:,.1f}/s · "
            f"{self.tokens_per_s:,.0f} tokens/s{unknown}{cost} · {self.num_unreadable:,} unreadable · "
            f"{self.num_unanswered:,} unanswered"
        )


@asynccontextmanager
async def shown(totals: Totals, console: Console) -> AsyncIterator[None]:
    """Show the totals while the block runs."""
    speaker = asyncio.create_task(_bar(totals, console) if console.is_terminal else _lines(totals, console))
    try:
        yield
    finally:
        speaker.cancel()
        with suppress(asyncio.CancelledError):
            await speaker
        console.print(f"Annotated: {totals} · {totals.elapsed_s:,.1f} s")


async def _bar(totals: Totals, console: Console) -> None:
    columns = (
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[totals]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=max(totals.num_due, 1), totals=str(totals))
        while True:
            bar.update(task, completed=totals.num_replies + totals.num_unanswered, totals=str(totals))
            await asyncio.sleep(_BAR_EVERY_S)


async def _lines(totals: Totals, console: Console) -> None:
    while True:
        await asyncio.sleep(LINE_EVERY_S)
        console.print(str(totals))
