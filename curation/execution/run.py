"""A run from plan to tier table: score what is missing, calibrate, tier, audit."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from rich.console import Console

from curation import config
from curation.calibration.thresholds import Thresholds
from curation.core.errors import ConfigError, CurationError
from curation.core.fingerprint import canonical_json, fingerprint
from curation.data import storage
from curation.data.shards import write_inputs, write_shards
from curation.data.sidecar import read_record
from curation.execution.audit import Audit, ShardRecords, audit, read_records
from curation.execution.calibrating import calibrate
from curation.execution.cluster import connect
from curation.execution.log import RunLog
from curation.execution.plan import Plan
from curation.execution.progress import progress
from curation.execution.scoring import score_shard, warm
from curation.execution.summary import Summary
from curation.execution.tiering import NAME, Opinion, TierTask, tier_shard
from curation.execution.window import run_window

if TYPE_CHECKING:
    from distributed import Client

RECONCILED, INCOMPLETE, MISTAKE, STOPPED = 0, 1, 2, 75
"""Exit codes: all accounted for; failed shards or rows unaccounted for; a mistake in the plan; stopped, resumable."""


class Stopping:
    """Whether SIGINT or SIGTERM has asked the run to stop; a second one no longer waits for what is running."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self) -> bool:
        return self.asked

    def ask(self, number: int, frame: FrameType | None) -> None:
        """Handle the signal."""
        del number, frame
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


@contextmanager
def stop_on_signals() -> Iterator[Stopping]:
    """Turn SIGINT and SIGTERM into a question that the run asks between tasks."""
    stopping = Stopping()
    before = {number: signal.signal(number, stopping.ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run(plan: Plan, console: Console) -> int:
    """Carry out a plan; the caller holds the run directory's lock. Gives the exit code.

    Raises ModelError when a worker cannot load its replica or a canary fails, ClusterError when the cluster is lost.
    """
    with RunLog(plan.layout) as log, stop_on_signals() as stopping:
        log.event("start", config=config.dump(plan.spec), shards=len(plan.shards), tasks=len(plan.tasks))
        _write_plan(plan)
        with connect(plan.spec.cluster, plan.spec.scoring.compute_threads) as client:
            code = _Run(plan, client, console, log, stopping).carry_out()
        log.event("end", exit_code=code)
        return code


def _write_plan(plan: Plan) -> None:
    layout = plan.layout
    storage.sweep_scratch(layout.root)
    storage.write_bytes(layout.config_json, canonical_json(config.dump(plan.spec)))
    write_shards(layout.shards, plan.shards)
    write_inputs(layout.inputs_json, plan.inputs)


class _Run:
    def __init__(self, plan: Plan, client: "Client", console: Console, log: RunLog, stopping: Stopping) -> None:
        self.plan = plan
        self.spec = plan.spec
        self.client = client
        self.console = console
        self.log = log
        self.stopping = stopping
        self.failed: dict[str, str] = {}

    def carry_out(self) -> int:
        seconds = self._score()
        if self.stopping():
            return self._stopped()
        records = read_records(self.plan.layout, self.plan.shards, self.plan.pinned)
        found = audit(records, self.failed)
        summary = Summary(self.plan, found, self.failed, seconds)
        complete = [each for each in records if each.shard.name not in self.failed and each.rows is not None]
        if len(complete) < len(records) and not self.spec.tiering.allow_partial:
            summary.say_waiting(self.console)
        elif complete:
            self._tier(complete, partial=len(complete) < len(records))
            if self.stopping():
                return self._stopped()
            summary.say_tiers(self.console, [self._tiers_record(each) for each in complete])
        summary.write(self.plan.layout)
        return INCOMPLETE if self.failed or found.problems else RECONCILED

    def _stopped(self) -> int:
        self.console.print("Stopped; what was finished is kept. Run the same command again to go on.")
        return STOPPED

    def _warm(self) -> None:
        """Load every worker's replica before the first shard, so that a bad checkpoint costs no shard."""
        needed = tuple(each for each in self.plan.pinned if any(each in task.classifiers for task in self.plan.tasks))
        workers = list(self.client.scheduler_info(n_workers=-1)["workers"])
        futures = [
            self.client.submit(warm, self.spec, needed, workers=[worker], key=f"warm-{worker}-{time.monotonic_ns()}")
            for worker in workers
        ]
        for worker, build in zip(workers, self.client.gather(futures), strict=True):
            self.log.event("warm", worker=worker, torch=build)

    def _score(self) -> float:
        """Score what is missing; gives the seconds it took."""
        if not self.plan.tasks:
            return 0.0
        self._warm()
        start = time.monotonic()
        total = sum(task.shard.num_bytes for task in self.plan.tasks)
        with progress("scoring", total, self.console) as advance:
            for outcome in run_window(self.client, score_shard, self.plan.tasks, self._stop_scoring):
                shard, done = outcome.item.shard, outcome.result
                if done is None:
                    self.failed[shard.name] = outcome.error
                    self.log.event("failed", shard=shard.name, attempts=outcome.attempts, error=outcome.error)
                    advance(shard.num_bytes, num_failed=1)
                else:
                    self.log.event("scored", shard=shard.name, documents=done.num_documents, seconds=done.seconds)
                    advance(shard.num_bytes, done.num_documents, done.num_tokens)
        return time.monotonic() - start

    def _stop_scoring(self) -> bool:
        return self.stopping() or len(self.failed) >= self.spec.max_failures

    def _tier(self, complete: list[ShardRecords], *, partial: bool) -> None:
        thresholds = self._thresholds(complete, partial=partial)
        opinion = Opinion.of(self.spec, self.plan.pinned, thresholds)
        storage.write_bytes(self.plan.layout.spec(NAME), canonical_json(config.dump(self.spec.tiering)))
        tasks = [TierTask(self.spec, self.plan.pinned, opinion, each.shard) for each in complete]
        with progress("tiering", sum(each.shard.num_bytes for each in complete), self.console) as advance:
            for outcome in run_window(self.client, tier_shard, tasks, self.stopping):
                advance(outcome.item.shard.num_bytes, num_failed=bool(outcome.error))
                if outcome.error:
                    self.failed[outcome.item.shard.name] = outcome.error
                    self.log.event("failed", shard=outcome.item.shard.name, error=outcome.error)

    def _thresholds(self, complete: list[ShardRecords], *, partial: bool) -> Thresholds:
        """The frozen ones, or those that the scores give; what is there and follows from the same scores is kept."""
        url = self.plan.layout.thresholds(NAME)
        if self.plan.frozen is not None:
            thresholds = self.plan.frozen
        else:
            used = self.plan.used
            scores = [[each.shard.name, each.scores[pinned.name]] for each in complete for pinned in used]
            rows = [[each.shard.name, each.rows] for each in complete]
            made_of = canonical_json({"weights": self.spec.tiering.weights, "scores": fingerprint([rows, scores])})
            kept = Thresholds.read(url)
            if kept is not None and kept.run == made_of.decode():
                return kept
            names = [each.shard.name for each in complete]
            cuts = tuple(calibrate(self.client, self.spec, pinned, names) for pinned in used)
            thresholds = Thresholds(cuts, partial=partial, run=made_of.decode())
        storage.write_bytes(url, thresholds.to_json().encode())
        return thresholds
