"""A run from plan to tier table: score what is missing, calibrate, tier, audit."""

import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.console import Console

from curation import config
from curation.core.errors import CalibrationError, ClusterError, ShardError
from curation.core.fingerprint import canonical_json
from curation.data import storage
from curation.data.fingerprints import write_inputs
from curation.data.shards import write_shards
from curation.data.sidecar import read_record
from curation.execution import job, summary
from curation.execution.audit import Audit, ShardRecords, audit, read_records
from curation.execution.cluster.connect import connect
from curation.execution.cluster.roll import Roll
from curation.execution.forming import form
from curation.execution.log import RunLog
from curation.execution.missing import is_complete
from curation.execution.plan import Plan
from curation.execution.progress import progress
from curation.execution.scoring import score_shard, warm
from curation.execution.settling import settle
from curation.execution.summary import Summary
from curation.execution.tiering import Totals
from curation.execution.times import Times
from curation.execution.walltime import Stopping, stop_on_signals
from curation.execution.window import IN_FLIGHT_PER_WORKER, TASK_S, on_each_worker, run_window

if TYPE_CHECKING:
    from distributed import Client

RECONCILED, INCOMPLETE, MISTAKE, STOPPED = 0, 1, 2, 75
"""Exit codes: all accounted for; failed shards or rows unaccounted for; a mistake in the plan; stopped, resumable."""


def run(plan: Plan, console: Console, *, prune: bool = False) -> int:
    """Carry out a plan; the caller holds the run directory's lock. Gives the exit code.

    With `prune`, files of earlier runs that no shard and no classifier accounts for are deleted first. A lost cluster,
    or files that were written and cannot be read, end the run as incomplete. Raises ModelError when a worker cannot
    load its replica or a canary fails, ClusterError when there is no cluster to begin with.
    """
    if num_swept := storage.sweep_scratch(plan.layout.root):
        console.print(f"swept: {num_swept:,} scratch files that no run writes any more", highlight=False)
    with RunLog(plan.layout) as log, stop_on_signals(IN_FLIGHT_PER_WORKER, TASK_S) as stopping:
        num_tasks = len(plan.missing.tasks)
        log.event("start", config=config.dump(plan.spec), shards=len(plan.shards), tasks=num_tasks, swept=num_swept)
        try:
            with connect(plan.asked.cluster, plan.asked.scoring, stopping) as client:
                code = _carry_out(plan, client, console, log, stopping, prune=prune)
        except ClusterError:
            if not stopping():
                raise
            code = _stopped(console, stopping, is_manned=False)
        log.event("end", exit_code=code)
        return code


def _prune(plan: Plan, console: Console) -> None:
    """Delete the orphans that a run has written; a file that is not one of ours stays."""
    urls = [storage.join(plan.layout.root, orphan) for orphan in plan.missing.orphans]
    ours = [url for url in urls if read_record(url, report=lambda _: None) is not None]
    for url in ours:
        storage.remove(url)
    console.print(
        f"pruned: {len(ours):,} files; {len(urls) - len(ours):,} that no run has written stay", highlight=False
    )


def _carry_out(plan: Plan, client: "Client", console: Console, log: RunLog, stopping: Stopping, *, prune: bool) -> int:
    running: _Run | None = None
    try:
        if stopping():
            return _stopped(console, stopping, is_manned=bool(client.nthreads()))
        plan = settle(plan, client, console, stopping)
        if stopping():
            return _stopped(console, stopping)
        layout = plan.layout
        storage.write_bytes(layout.config_json, canonical_json(config.dump(plan.spec)))
        write_shards(layout.shards, plan.shards)
        write_inputs(layout.inputs_json, plan.division.inputs)
        if prune:
            _prune(plan, console)
        running = _Run(plan, client, console, log, stopping)
        return running.carry_out()
    except (ClusterError, ShardError) as error:  # no mistake of the plan, and the same command goes on from here
        if isinstance(error, ClusterError) and stopping():  # the workers were told to leave too, and were faster
            if running:
                running.break_off(summary.STOPPED)
            return _stopped(console, stopping)
        log.event("error", message=str(error))
        console.print(str(error), highlight=False, markup=False)
        if running:
            running.break_off(summary.INCOMPLETE, str(error))
        return INCOMPLETE


def _stopped(console: Console, stopping: Stopping, *, num_done: int = 0, is_manned: bool = True) -> int:
    if not is_manned:
        console.print("No worker has come in all the time of this run.", highlight=False)
    elif stopping.in_time and not num_done:  # would be requeued for ever
        console.print(
            "This job ends before anything is done. Ask for more time (cluster.slurm.time) or make shards smaller "
            "(input.shard_bytes), then run it again.",
            highlight=False,
        )
        return INCOMPLETE
    console.print(f"Stopped; what was finished is kept. {job.how_it_goes_on(os.environ)}", highlight=False)
    return STOPPED


class _Run:
    def __init__(self, plan: Plan, client: "Client", console: Console, log: RunLog, stopping: Stopping) -> None:
        self.plan = plan
        self.spec = plan.spec
        self.client = client
        self.console = console
        self.log = log
        self.stopping = stopping
        self.failed: dict[str, str] = {}
        self.scored_now: Counter[str] = Counter()
        self.times = Times({})
        self.builds: Mapping[str, str] = {}
        self.late: set[str] = set()
        asked = plan.asked  # of an existing cluster whose GPUs nobody has spoken of, they are told when they come
        device = asked.scoring.device if asked.cluster.kind == "existing" else plan.spec.scoring.device
        self.roll = Roll(client, device)
        self.num_done = 0
        self.num_scored = 0
        self.started = time.time()

    def carry_out(self) -> int:
        if self.plan.missing.tasks:
            self.builds = self._warm()
            self.times = Times(self.builds)
            start = time.monotonic()
            try:
                self._score()
            finally:
                self.times.wall_s = time.monotonic() - start
            self.log.event("times", **self.times.report())
        if self.stopping():
            return self._stopped()
        records = read_records(self.plan.layout, self.plan.shards, self.plan.pinned)
        complete: list[ShardRecords] = []
        waiting: list[ShardRecords] = []
        for each in records:
            (complete if self._is_complete(each) else waiting).append(each)
        recorded = {each.shard.name: each.rows["input"] for each in complete if each.rows is not None}
        write_inputs(self.plan.layout.inputs_json, self.plan.division.learn(recorded))
        found = audit(complete, waiting)
        tiers: Totals | None = None
        if complete and (not waiting or self.spec.tiering.allow_partial):
            try:
                tiers = self._tier(complete, partial=bool(waiting))
            except CalibrationError as error:
                found.problems.append(str(error))
            if self.stopping():
                return self._stopped()
        storage.sync_folders(self.plan.layout.root)
        code = INCOMPLETE if self.failed or waiting or found.problems else RECONCILED
        end = self._summary(found, len(waiting))
        end.write(summary.INCOMPLETE if code else summary.RECONCILED, tiers)
        end.say(self.console, tiers)
        return code

    def break_off(self, outcome: str, why: str = "") -> None:
        """Keep what is known at an end before the end; rows are not counted then."""
        try:
            num_waiting = len({task.shard.name for task in self.plan.missing.tasks}) - self.num_scored
            self._summary(Audit(), num_waiting).write(outcome, None, why)
        except ShardError as error:  # a disk that is full has been told of
            self.log.event("error", message=str(error))

    def _stopped(self) -> int:
        self.break_off(summary.STOPPED)
        return _stopped(self.console, self.stopping, num_done=self.num_done)

    def _summary(self, found: Audit, num_waiting: int) -> Summary:
        return Summary(
            self.plan,
            found,
            self.failed,
            self.scored_now,
            self.times,
            self.builds,
            num_waiting,
            self.log.number,
            self.started,
        )

    def _is_complete(self, records: ShardRecords) -> bool:
        return records.shard.name not in self.failed and is_complete(
            self.spec, records, self.plan.division, self.plan.pinned
        )

    def _warm(self) -> Mapping[str, str]:
        """Load every worker's replica before the first shard, so that a bad checkpoint costs no shard.

        Gives the build of each worker by its address.
        """
        needed = tuple(
            each for each in self.plan.pinned if any(each in task.pinned for task in self.plan.missing.tasks)
        )
        builds = on_each_worker(self.client, warm, self.spec, needed)
        for worker, build in builds.items():
            self.log.event("warm", worker=worker, build=build)
        return builds

    def _score(self) -> None:
        tasks = self.plan.missing.tasks
        with progress("scoring", sum(task.shard.num_bytes for task in tasks), self.console) as advance:
            for outcome in run_window(self.client, score_shard, tasks, self._has_enough, self.spec.cluster.patience_s):
                shard, done = outcome.item.shard, outcome.result
                self._meet(outcome.worker)
                if done is None:
                    self._fail(shard.name, outcome.error)
                    self.times.add(outcome.worker, {"failed": outcome.seconds * outcome.attempts})
                    advance(shard.num_bytes, num_failed=1)
                else:
                    self.num_done += 1
                    self.num_scored += 1
                    self.stopping.walltime.learn(outcome.seconds)
                    self.times.add(outcome.worker, done.seconds)
                    self.log.event("scored", shard=shard.name, worker=outcome.worker, **asdict(done))
                    self.scored_now.update(documents=done.num_documents, tokens=done.num_tokens)
                    advance(shard.num_bytes, done.num_documents, done.num_tokens)

    def _meet(self, worker: str) -> None:
        """A worker that came later is held to what was asked of the first ones."""
        if worker and worker not in self.builds and worker not in self.late:
            self.late.add(worker)
            self.log.event("joined", worker=worker)
            self.roll.call()

    def _has_enough(self) -> bool:
        return self.stopping() or len(self.failed) >= self.spec.max_failures

    def _fail(self, shard: str, error: str) -> None:
        self.failed[shard] = error
        self.log.event("failed", shard=shard, error=error)

    def _tier(self, complete: Sequence[ShardRecords], *, partial: bool) -> Totals:
        """Calibrate and tier these shards; gives what each tier holds."""
        formed = form(
            self.client,
            self.plan.tiering,
            complete,
            self.console,
            partial=partial,
            stopping=self.stopping,
            patience_s=self.spec.cluster.patience_s,
        )
        self.num_done += formed.num_done
        for name, error in formed.failed.items():
            self._fail(name, error)
        return formed.totals
