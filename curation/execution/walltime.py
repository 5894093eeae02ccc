"""When a run has to stop: asked by a signal, or because the Slurm job that it runs in ends soon."""

import os
import signal
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

import numpy as np

from curation.execution.window import IN_FLIGHT_PER_WORKER, TASK_S
from curation.execution.worker import ENDS

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
_RECENT = 1000
_RESERVE_S = 5.0  # for what follows the last shard: a log line, the lock, the exit


class Stopping:
    """Whether nothing more is to be begun; the same signal a second time no longer waits for what is running."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self.why = ""
        self._ends = float(environ.get(ENDS) or "inf")
        self._signals: set[int] = set()
        self._recent: deque[float] = deque(maxlen=_RECENT)

    def __call__(self) -> bool:
        """Whether to stop; a run asks between tasks. Once true it stays true."""
        if not self.why and (left_s := self._ends - time.time()) < (need_s := self._need_s()):
            self._stop(f"This job ends in {left_s:,.0f} s, and shards that begin now may take {need_s:,.0f} s")
        return bool(self.why)

    def learn(self, seconds: float) -> None:
        """Count how long a shard took."""
        self._recent.append(seconds)

    def _need_s(self) -> float:
        """Until what is submitted now is done: in 95 of 100 cases, behind what its worker has already."""
        if not self._recent:
            return _RESERVE_S
        return _RESERVE_S + IN_FLIGHT_PER_WORKER * max(TASK_S, float(np.percentile(self._recent, 95)))

    def ask(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        del frame
        if number in self._signals:
            raise KeyboardInterrupt
        self._signals.add(number)
        if not self.why:
            self._stop(f"Asked to stop by {signal.Signals(number).name}")

    def _stop(self, why: str) -> None:
        self.why = why
        sys.stderr.write(f"{why}: stopping when the shards that are being scored are done.\n")


@contextmanager
def stop_on_signals() -> Iterator[Stopping]:
    """What a run asks between tasks, while SIGINT, SIGTERM and SIGUSR1 ask it to stop."""
    stopping = Stopping()
    before = {number: signal.signal(number, stopping.ask) for number in _SIGNALS}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
