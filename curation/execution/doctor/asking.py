"""Questions to workers and to this process, none of which is waited for long."""

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from curation.execution.window import describe

if TYPE_CHECKING:
    from distributed import Client

Value = TypeVar("Value")

_FETCH_S = 1.0  # for what is finished at the last moment; a result comes over another connection than the question went
_FIRST = 1 << 20  # priority over whatever else the cluster does


@dataclass(frozen=True)
class Failed:
    """Why there is no answer."""

    reason: str


@dataclass(frozen=True)
class Ask:
    """A question to one worker."""

    worker: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...] = ()


class Patience:
    """The seconds that all questions may take together; `pause` gives back what something else took."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds

    def left_s(self, at_most: float) -> float:
        """The seconds that something may take."""
        return max(1.0, min(at_most, self._until - time.monotonic()))

    def pause(self, seconds: float) -> None:
        """Do not count so many seconds."""
        self._until += seconds


def begin(function: Callable[[], Value]) -> "Callable[[float], Value | Failed]":
    """Call a function in a thread; what is returned waits so many seconds for what it gives, or for why it gives none.

    A function that takes longer is left alone, and ends with the process.
    """
    answer: list[Value | Failed] = []

    def call() -> None:
        try:
            answer.append(function())
        except Exception as error:  # noqa: BLE001 - whoever asked says what it means
            answer.append(Failed(describe(error)))

    thread = threading.Thread(target=call, daemon=True)
    thread.start()

    def wait(seconds: float) -> Value | Failed:
        thread.join(max(0.0, seconds))
        return answer[0] if answer else Failed("no answer in time")

    return wait


def within(seconds: float, function: Callable[[], Value]) -> "Value | Failed":
    """What a function gives, or why it gives nothing in time."""
    return begin(function)(seconds)


def ask(
    client: "Client | None",
    asks: Mapping[Any, Ask],
    timeout_s: float,
    meanwhile: Callable[[], None] = lambda: None,
) -> dict[Any, Any]:
    """The answers of workers, asked all at once while `meanwhile` runs here; Failed where one gives none in time."""
    if client is None:
        meanwhile()
        return {}
    from distributed import wait

    until = time.monotonic() + timeout_s
    futures = {
        key: client.submit(
            each.function, *each.arguments, workers=[each.worker], pure=False, retries=0, priority=_FIRST
        )
        for key, each in asks.items()
    }
    meanwhile()
    with suppress(TimeoutError):
        wait(list(futures.values()), timeout=max(0.1, until - time.monotonic()))
    results = {key: begin(future.result) for key, future in futures.items() if future.status in {"finished", "error"}}
    answers = {key: result(_FETCH_S + until - time.monotonic()) for key, result in results.items()}
    for key in futures.keys() - results.keys():
        futures[key].cancel()
        answers[key] = Failed(f"no answer within {timeout_s:.0f} s: it is busy, hung or gone")
    return {key: answers[key] for key in asks}
