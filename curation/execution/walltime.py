"""When to stop: a run asked by a signal, a run or a worker because the Slurm job that it is in ends soon."""

import os
import signal
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

import numpy as np

ENDS = "SLURM_JOB_END_TIME"
"""Where Slurm says when a job ends, in seconds since 1970; jobs of pipelines/submit.py say it for older Slurms too."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
_RECENT = 1000
_RESERVE_S = 5.0  # for what follows the last shard: a log line, the lock, the exit


class Walltime:
    """Whether there is time for one more, going by how long the last ones took.

    What is begun may wait behind `depth` - 1 others, none taken to be shorter than `least_s`. Without an end in
    `environ` there is always time.
    """

    def __init__(self, environ: Mapping[str, str], depth: int = 1, least_s: float = 0.0) -> None:
        self.ends = float(environ.get(ENDS) or "inf")
        self.depth, self.least_s = depth, least_s
        self._recent: deque[float] = deque(maxlen=_RECENT)

    def learn(self, seconds: float) -> None:
        """Count one more."""
        self._recent.append(seconds)

    @property
    def left_s(self) -> float:
        """Until the end."""
        return self.ends - time.time()

    @property
    def need_s(self) -> float:
        """Until what is begun now is done, in 95 of 100 cases."""
        if not self._recent:
            return _RESERVE_S
        return _RESERVE_S + self.depth * max(self.least_s, float(np.percentile(self._recent, 95)))

    def is_over(self) -> bool:
        """Whether nothing more is to be begun."""
        return self.left_s < float("inf") and self.left_s < self.need_s


class Stopping:
    """Whether a run is to begin nothing more; the same signal a second time does not wait for what is running.

    `in_time` says that no signal asked, but the end of the job is near.
    """

    def __init__(self, walltime: Walltime) -> None:
        self.why = ""
        self.in_time = False
        self.walltime = walltime
        self._signals: set[int] = set()

    def __call__(self) -> bool:
        """Asked between tasks. Once true it stays true."""
        if not self.why and self.walltime.is_over():
            self.in_time = True
            left_s, need_s = self.walltime.left_s, self.walltime.need_s
            self._stop(f"This job ends in {left_s:,.0f} s, and what begins now may take {need_s:,.0f} s")
        return bool(self.why)

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
def stop_on_signals(depth: int, least_s: float) -> Iterator[Stopping]:
    """What a run asks between tasks, while SIGINT, SIGTERM, SIGUSR1 or its walltime make it stop."""
    stopping = Stopping(Walltime(os.environ, depth, least_s))
    before = {number: signal.signal(number, stopping.ask) for number in _SIGNALS}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
