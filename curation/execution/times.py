"""Where the workers' time went, and what therefore bounds a run."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from curation.core.words import counted

ADVICE = {
    "forward": "the models' own work. More or faster workers would help; see precision",
    "tokenise": "tokenising. Install the fast extra, or give each worker more cores (scoring.compute_threads)",
    "io": "reading bytes. Faster storage or more workers would help",
    "parse": "parsing. Uncompressed or Parquet input, or more workers, would help",
    "write": "writing. A faster output would help",
    "copy": "copying to the device. A larger scoring.token_budget would help",
    "load": "loading models. Fewer kinds of tasks or longer runs would help",
    "failed": "shards that failed. See what is wrong with them",
    "idle": "waiting for shards: there are too few, or they are too uneven. A smaller input.shard_bytes would help",
}
"""What bounds a run that spends most of its time so, and what would help."""

_WORTH_SAYING = 0.001


class Times:
    """Seconds of each worker by what they were spent on; what is left of the wall time is idle."""

    def __init__(self, workers: Mapping[str, Any]) -> None:
        self.wall_s = 0.0
        self._spent: dict[str, Counter[str]] = {worker: Counter() for worker in workers}

    def add(self, worker: str, seconds: Mapping[str, float]) -> None:
        """What one task of a worker says; nothing where it is not known which worker that was."""
        if not worker:
            return
        self._spent.setdefault(worker, Counter()).update(seconds)

    @property
    def by_worker(self) -> dict[str, dict[str, float]]:
        """Seconds by worker and by what they were spent on, idle ones included."""
        return {
            worker: {**spent, "idle": max(0.0, self.wall_s - spent.total())} for worker, spent in self._spent.items()
        }

    @property
    def shares(self) -> dict[str, float]:
        """The part of all workers' time that each thing took, the largest first; empty when nothing was done."""
        total: Counter[str] = Counter()
        for spent in self.by_worker.values():
            total.update(spent)
        whole = total.total()
        return {what: seconds / whole for what, seconds in total.most_common()} if whole else {}

    def lines(self) -> Iterator[str]:
        """The times for people, with a verdict."""
        if shares := self.shares:
            told = (f"{share:.1%} {what}" for what, share in shares.items() if share >= _WORTH_SAYING)
            yield f"time of {counted(len(self._spent), 'worker')}: {', '.join(told)}"
            most = next(iter(shares))
            yield f"bound by {ADVICE.get(most, most)}."

    def report(self) -> dict[str, Any]:
        """The same as JSON values."""
        workers = {worker: _rounded(spent) for worker, spent in self.by_worker.items()}
        return {"wall_s": round(self.wall_s, 3), "shares": _rounded(self.shares), "workers": workers}


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {key: round(value, 4) for key, value in values.items()}
