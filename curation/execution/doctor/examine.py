"""The examination of a cluster: gather facts on its nodes, all at once and never for long, and have them judged."""

import asyncio
import concurrent.futures
import os
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from curation.core.errors import ConfigError, CurationError
from curation.core.words import counted
from curation.data import storage
from curation.data.inputs import Found, find
from curation.execution import checks
from curation.execution.cluster.connect import connect
from curation.execution.cluster.existing import SOON_S
from curation.execution.cluster.scheduler import lost_is_one_error, workers_of
from curation.execution.doctor import facts, files, network, resources, rounds, software
from curation.execution.doctor.asking import Ask, Failed, Patience, ask, within
from curation.execution.doctor.facts import Facts
from curation.execution.doctor.findings import Check, Finding, Workers, by_host, change, note, ok, on_nodes
from curation.execution.doctor.trial import tried
from curation.execution.plan import Plan, make_plan
from curation.execution.spec import RunSpec
from curation.execution.window import describe

if TYPE_CHECKING:
    from distributed import Client

_TOGETHER_S = 55.0  # beside the start of a cluster
_FIRST_WORKER_S = 45  # then it goes on without one: a run would wait for a day in Slurm's queue
_PLAN_S = 15.0
_COME_S = 20.0  # for the workers that are not there when the first one is
_LOOK_S = 10.0
_WHEN_LOST = (OSError, asyncio.CancelledError, concurrent.futures.CancelledError)


def examine(spec: RunSpec) -> Iterator[Check]:
    """What is well on the cluster of a run and what must be changed, check by check, each thing once.

    Looks at the plan and at this machine first, then connects as a run does. Writes a folder of its own beside or in
    the output, and removes it. Beside the start of the cluster all of it takes less than a minute.
    """
    told = set[Finding]()
    for check in _Doctor(spec).checks():
        findings = tuple(dict.fromkeys(each for each in check.findings if each not in told))
        told.update(findings)
        if findings:
            yield Check(check.title, findings)


class _Doctor:
    def __init__(self, spec: RunSpec) -> None:
        self.spec = replace(spec, output=storage.from_root(spec.output))  # as a run does
        self.patience = Patience(_TOGETHER_S)
        self.found = Found((), (), ())
        self.num_shards = 0
        self.needs_another_output = False
        self.here = facts.look("", self.spec.output)
        self.own_models: Mapping[str, tuple[str, str]] = {}

    def checks(self) -> Iterator[Check]:
        """All of them, as they are done."""
        spec = self.spec
        yield _check("plan", self.plan())
        if "SLURM_JOB_ID" in os.environ:
            yield _check("job", resources.job(os.environ, *_taken(spec), time.time()))
        problems = spec.cluster.mistakes(spec.scoring.device)
        try:
            if not problems:
                with self.connected() as client:
                    yield from self.cluster(client)
                    return
        except CurationError as error:
            problems = [str(error)]
        except _WHEN_LOST as error:
            problems = [f"The cluster was lost meanwhile: {describe(error)}. See the logs of scheduler and workers."]
        yield from self.this_machine(problems)

    def plan(self) -> Iterator[Finding]:
        """The mistakes and notes of the plan, but for those of models, which are told with the models."""
        spec = self.spec
        planned = within(self.patience.left_s(_PLAN_S), lambda: _plan_or_mistakes(spec))
        own = within(self.patience.left_s(rounds.HASH_S), lambda: facts.fingerprints(spec.classifier))
        if isinstance(own, Failed):
            own = {each.name: ("", f"cannot be checked here: {own.reason}") for each in spec.classifier}
        self.own_models = own
        if isinstance(planned, Plan):
            self.found, self.num_shards = planned.found, len(planned.shards)
            amounts = (
                (len(self.found.files), "file"),
                (self.num_shards, "shard"),
                (len(spec.classifier), "classifier"),
            )
            yield ok(", ".join(counted(number, noun) for number, noun in amounts))
            yield from map(note, planned.notes)
            return
        found = within(self.patience.left_s(_PLAN_S), lambda: find(spec.input))
        if isinstance(found, Found):
            self.found, self.num_shards = found, len(found.files)
        if isinstance(planned, Failed):
            yield note(f"the plan could not be made: {planned.reason}. `run_ensemble.py … --plan` takes its time.")
            return
        self.needs_another_output = any(mistake.startswith("output: ") for mistake in planned)
        told = {f"classifier.{name}: {problem}" for name, (_, problem) in own.items()}
        told |= set(spec.cluster.mistakes(spec.scoring.device))
        yield from (change(mistake) for mistake in planned if mistake not in told)

    @contextmanager
    def connected(self) -> "Iterator[Client]":
        """A client of the cluster, whose start may take longer than what is asked of it, though not for long."""
        start = time.monotonic()
        cluster = self.spec.cluster
        cluster = replace(cluster, wait_s=min(int(cluster.patience_s), _FIRST_WORKER_S))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of versions that differ, which are judged here
            with connect(cluster, self.spec.scoring, reach_s=SOON_S) as client:
                self.patience.pause(time.monotonic() - start)
                yield client

    def this_machine(self, problems: Sequence[str]) -> Iterator[Check]:
        """What can be said without a cluster."""
        here, nobody, num_asked = self.here, dict[str, Facts](), self.spec.cluster.num_asked(self.spec.scoring)
        yield _check("cluster", map(change, problems))
        yield _check("interfaces", network.interfaces("", None, here, nobody))
        yield _check("limits", resources.limits(here, None, nobody, num_asked))
        yield _check("output", self.output(None, nobody, {}))
        yield _check("versions", software.versions(here, None, nobody))
        yield _check("models", software.models(self.own_models, {here.host: self.own_models}))
        yield _check("input", files.inputs(self.urls, {here.host: facts.unreadable(self.urls)}))

    def cluster(self, client: "Client") -> Iterator[Check]:
        """What can be said with one."""
        spec, here, patience = self.spec, self.here, self.patience
        ours, num_asked = spec.cluster.kind != "existing", spec.cluster.num_asked(spec.scoring)
        rounds.wait_for(client, max(1, num_asked), patience.left_s(_COME_S))
        told = workers_of(client)
        with lost_is_one_error(client):
            scheduler_address = str(client.scheduler_info(n_workers=0)["address"])
        looks = (scheduler_address, spec.output)
        from_scheduler = rounds.connect_from_scheduler(client, scheduler_address, list(told), patience)
        asks = {each: Ask(each, facts.look, looks) for each in told if not isinstance(from_scheduler.get(each), str)}
        answers = ask(client, asks, patience.left_s(_LOOK_S))
        workers = {worker: seen for worker, seen in answers.items() if isinstance(seen, Facts)}
        scheduler = within(patience.left_s(_LOOK_S), lambda: client.run_on_scheduler(facts.look_from_loop, *looks))
        seen_scheduler = scheduler if isinstance(scheduler, Facts) else None
        missing = self.missing(len(told), num_asked)
        yield Check("workers", (*_answered(len(told), answers, scheduler), *missing))
        yield _check("interfaces", network.interfaces(scheduler_address, seen_scheduler, here, workers))
        if facts.host_and_port(scheduler_address)[0]:
            connections = rounds.connections(client, scheduler_address, from_scheduler, workers, patience)
            yield _check("connections", connections)
        if not workers:
            return
        offsets = rounds.offsets(client, workers, patience)
        yield _check("clocks", network.clocks(offsets))
        yield _check("output", self.output(client, workers, offsets))
        limits = {worker: told[worker]["memory_limit"] or 0 for worker in workers}
        yield _check("memory", resources.memory(workers, limits, ours=ours))
        yield _check("cores", resources.cores(workers, spec.scoring.compute_threads, ours=ours))
        yield _check("limits", resources.limits(here, seen_scheduler, workers, num_asked))
        is_remote = here.output is None
        yield _check("temporary files", resources.places(workers, spec.input.shard_bytes, is_remote=is_remote))
        yield _check("versions", software.versions(here, seen_scheduler, workers))
        slow = rounds.slow_answers(client, workers, spec.classifier, self.urls, patience)
        yield _check("GPUs", software.gpus(workers, slow["torch"], spec.cluster.device(spec.scoring.device)))
        yield Check("models", (*software.models(self.own_models, slow["models"]), *software.offline(workers)))
        yield _check("input", files.inputs(self.urls, slow["input"]))

    def missing(self, num_workers: int, num_asked: int) -> Iterator[Finding]:
        """The workers that were asked for and are not there; a run begins without them, so nothing must be changed."""
        if num_workers >= num_asked:
            return
        advice = "Start the others, or correct cluster.workers."
        if self.spec.cluster.kind == "slurm":
            logs = self.spec.cluster.slurm.logs
            advice = f"`squeue` says what the jobs of the others wait for; what jobs printed is in {logs}."
        yield note(
            f"{num_workers:,} of {num_asked:,} asked are there, and the others have been waited for: nothing is known "
            f"of their nodes. {advice}"
        )

    @property
    def urls(self) -> list[str]:
        """The first and the last file of the input."""
        return list(dict.fromkeys(file.url for file in (*self.found.files[:1], *self.found.files[-1:])))

    def output(self, client: "Client | None", workers: Workers, offsets: network.Offsets) -> Iterator[Finding]:
        """Whether there is room, and files work as a run needs it; not tried where the plan wants another place."""
        spec = self.spec
        need = checks.written_bytes(spec, self.found)
        num_files = self.num_shards * (2 + len(spec.classifier) + (len(spec.tiering.tiers) if spec.documents else 0))
        yield from files.folders(self.here, workers, files.relative_paths(spec.paths_of_workers().values()))
        yield from files.room(self.here, workers, need, num_files)
        if not self.needs_another_output:
            yield from tried(spec.output, client, workers, offsets, self.patience)


def _check(title: str, findings: Iterator[Finding]) -> Check:
    return Check(title, tuple(findings))


def _taken(spec: RunSpec) -> tuple[int, int]:
    """The cores and the bytes that a config takes of this machine; 0 where it takes none or a share."""
    if spec.cluster.settled(spec.scoring.device)[0].kind != "cpu":
        return 0, 0
    num_workers = spec.cluster.num_workers(spec.scoring.compute_threads)
    return num_workers * spec.scoring.compute_threads, num_workers * spec.cluster.memory_bytes


def _plan_or_mistakes(spec: RunSpec) -> Plan | Sequence[str]:
    try:
        return make_plan(spec)
    except ConfigError as error:
        return error.mistakes
    except CurationError as error:
        return [str(error)]


def _answered(
    num_workers: int, answers: Mapping[str, "Facts | Failed"], scheduler: "Facts | Failed"
) -> Iterator[Finding]:
    there = {worker: each for worker, each in answers.items() if isinstance(each, Facts)}
    if there:
        yield ok(
            f"answers from {len(there):,} of {counted(num_workers, 'worker')}, on {on_nodes(list(by_host(there)))}"
        )
    for worker, each in answers.items():
        if isinstance(each, Failed):
            yield change(
                f"{worker} does not answer: {each.reason}. If its connections are well, restart it in the environment "
                "that this runs in."
            )
    if isinstance(scheduler, Failed):
        yield note(f"the scheduler cannot be looked at: {scheduler.reason}. It should run in the same environment.")
