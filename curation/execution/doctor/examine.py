"""The examination of a cluster: gather facts on its nodes, all at once and never for long, and have them judged."""

import asyncio
import concurrent.futures
import os
import secrets
import shutil
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from curation.classifiers import source
from curation.core.errors import ConfigError, CurationError
from curation.data import storage
from curation.data.explaining import explaining
from curation.data.inputs import Found, find
from curation.execution import checks
from curation.execution.cluster.connect import connect
from curation.execution.doctor import between, facts, files, network, resources, software
from curation.execution.doctor.facts import Facts
from curation.execution.doctor.findings import Check, Finding, by_host, change, note, ok
from curation.execution.plan import Plan, make_plan
from curation.execution.spec import RunSpec
from curation.execution.window import describe

if TYPE_CHECKING:
    from distributed import Client

Value = TypeVar("Value")

_TOGETHER_S = 55.0  # beside the start of a cluster
_PLAN_S = 15.0
_LOOK_S = 10.0
_EXCHANGE_S = 6.0
_REREAD_S = 1.0
_HASH_S = 25.0
_FETCH_S = 1.0  # for what is finished at the last moment; a result comes over another connection than the question went
_CLOCK_ROUNDS = 4
_CLOCKS_AT_ONCE = 8
_WHEN_LOST = (OSError, asyncio.CancelledError, concurrent.futures.CancelledError)
_FIRST = 1 << 20  # priority over whatever else the cluster does


@dataclass(frozen=True)
class Failed:
    """Why there is no answer."""

    reason: str


@dataclass(frozen=True)
class _Ask:
    """A question to one worker."""

    worker: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...] = ()


def examine(spec: RunSpec) -> Iterator[Check]:
    """What is well on the cluster of a run and what must be changed, check by check.

    Looks at the plan and at this machine first, then connects as a run does. Writes a folder of its own beside or in
    the output, and removes it. Beside the start of the cluster all of it takes less than a minute.
    """
    doctor = _Doctor(spec)
    yield doctor.plan()
    if "SLURM_JOB_ID" in os.environ:
        yield _check("job", resources.job(os.environ, *_asked(spec), time.time()))
    problem = "; ".join(spec.cluster.mistakes(spec.scoring.device))
    try:
        if not problem:
            with _connected(spec) as client:
                yield from doctor.cluster(client)
                return
    except CurationError as error:
        problem = str(error)
    except _WHEN_LOST as error:
        problem = f"The cluster was lost meanwhile: {describe(error)}. See the logs of scheduler and workers."
    yield from doctor.this_machine(problem)


def _check(title: str, findings: Iterator[Finding]) -> Check:
    return Check(title, tuple(findings))


@contextmanager
def _connected(spec: RunSpec) -> "Iterator[Client]":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of versions that differ, which are judged here
        with connect(spec.cluster, spec.scoring) as client:
            yield client


class _Doctor:
    def __init__(self, spec: RunSpec) -> None:
        self.spec = spec
        self.until = time.monotonic() + _TOGETHER_S
        self.found = Found((), (), ())
        self.num_shards = 0
        self.here = facts.look("", spec.output)
        self.own_models: Mapping[str, tuple[str, str]] = {}

    def left_s(self, at_most: float) -> float:
        """The seconds that something may take."""
        return max(1.0, min(at_most, self.until - time.monotonic()))

    def plan(self) -> Check:
        """The mistakes and notes of the plan, but for those of models, which are told with the models."""
        return Check("plan", tuple(self._planned()))

    def _planned(self) -> Iterator[Finding]:
        spec = self.spec
        planned = within(self.left_s(_PLAN_S), lambda: _plan_or_mistakes(spec))
        own = within(self.left_s(_HASH_S), lambda: facts.fingerprints(spec.classifier))
        if isinstance(own, Failed):
            own = {each.name: ("", f"cannot be checked here: {own.reason}") for each in spec.classifier}
        self.own_models = own
        if isinstance(planned, Plan):
            self.found, self.num_shards = planned.found, len(planned.shards)
            yield ok(f"{len(self.found.files):,} files, {self.num_shards:,} shards, {len(spec.classifier)} classifiers")
            yield from map(note, planned.notes)
            return
        found = within(self.left_s(_PLAN_S), lambda: find(spec.input))
        if isinstance(found, Found):
            self.found, self.num_shards = found, len(found.files)
        if isinstance(planned, Failed):
            yield note(f"the plan could not be made: {planned.reason}. `run_ensemble.py … --plan` takes its time.")
            return
        told = {f"classifier.{name}: {problem}" for name, (_, problem) in own.items()}
        told |= set(spec.cluster.mistakes(spec.scoring.device))
        yield from (change(mistake) for mistake in planned if mistake not in told)

    def this_machine(self, problem: str) -> Iterator[Check]:
        """What can be said without a cluster."""
        here, nobody = self.here, dict[str, Facts]()
        yield Check("cluster", (change(problem),))
        yield _check("interfaces", network.interfaces("", None, here, nobody))
        yield _check("limits", resources.limits(here, None, nobody))
        yield _check("output", self.output(None, nobody, {}))
        yield _check("versions", software.versions(here, None, nobody))
        yield _check("models", software.models(self.own_models, {}))
        yield _check("input", files.inputs(self.urls, {here.host: facts.unreadable(self.urls)}))

    def cluster(self, client: "Client") -> Iterator[Check]:
        """What can be said with one."""
        about = client.scheduler_info(n_workers=-1)
        scheduler_address, told = about["address"], about["workers"]
        spec, here, ours = self.spec, self.here, self.spec.cluster.kind != "existing"
        looks = (scheduler_address, spec.output)
        from_scheduler = self.from_scheduler(client, scheduler_address, list(told))
        asks = {each: _Ask(each, facts.look, looks) for each in told if not isinstance(from_scheduler.get(each), str)}
        answers = ask(client, asks, self.left_s(_LOOK_S))
        workers = {worker: seen for worker, seen in answers.items() if isinstance(seen, Facts)}
        scheduler = within(self.left_s(_LOOK_S), lambda: client.run_on_scheduler(facts.look_from_loop, *looks))
        seen_scheduler = scheduler if isinstance(scheduler, Facts) else None
        yield _check("workers", _answered(len(told), answers, scheduler))
        yield _check("interfaces", network.interfaces(scheduler_address, seen_scheduler, here, workers))
        if facts.host_and_port(scheduler_address)[0]:
            yield _check("connections", self.connections(client, scheduler_address, from_scheduler, workers))
        if not workers:
            return
        offsets = self.offsets(client, workers)
        yield _check("clocks", network.clocks(offsets))
        yield _check("output", self.output(client, workers, offsets))
        threads = spec.scoring.compute_threads
        limits = {worker: told[worker]["memory_limit"] or 0 for worker in workers}
        yield _check("memory", resources.memory(workers, limits, ours=ours))
        yield _check("cores", resources.cores(workers, threads, ours=ours))
        yield _check("limits", resources.limits(here, seen_scheduler, workers))
        is_remote = here.output is None
        yield _check("temporary files", resources.places(workers, spec.input.shard_bytes, is_remote=is_remote))
        yield _check("versions", software.versions(here, seen_scheduler, workers))
        slow = self.slow_answers(client, workers)
        yield _check("GPUs", software.gpus(workers, slow["torch"], spec.cluster.device(spec.scoring.device)))
        yield Check("models", (*software.models(self.own_models, slow["models"]), *software.offline(workers)))
        yield _check("input", files.inputs(self.urls, slow["input"]))

    @property
    def urls(self) -> list[str]:
        """The first and the last file of the input."""
        return list(dict.fromkeys(file.url for file in (*self.found.files[:1], *self.found.files[-1:])))

    def from_scheduler(self, client: "Client", address: str, workers: Sequence[str]) -> dict[str, float | str]:
        """How the scheduler connects to workers; nothing where it cannot be asked, which is told with its facts.

        It fetches answers over such a connection, and one that cannot be made holds up the answers of the others.
        """
        if not facts.host_and_port(address)[0]:
            return {}
        timeout_s = self.left_s(2 * between.CONNECT_TIMEOUT_S)
        tried = within(timeout_s, lambda: client.run_on_scheduler(between.connect_to, workers))
        return {} if isinstance(tried, Failed) else dict(tried)

    def connections(
        self,
        client: "Client",
        scheduler_address: str,
        from_scheduler: Mapping[str, float | str],
        workers: Mapping[str, Facts],
    ) -> Iterator[Finding]:
        """Connect from workers to the scheduler and to a neighbour, on another host where there are several."""
        turns = zip_longest(*by_host(workers).values())
        ring = [worker for turn in turns for worker in turn if worker is not None]
        neighbours = dict(zip(ring, [*ring[1:], *ring[:1]], strict=True))
        asks = {
            worker: _Ask(worker, between.connect_from_here, ([scheduler_address, *({other} - {worker})],))
            for worker, other in neighbours.items()
        }
        answers = ask(client, asks, self.left_s(2 * between.CONNECT_TIMEOUT_S))
        for worker, answer in answers.items():
            if isinstance(answer, Failed):
                yield change(f"{worker}: {answer.reason}")
        hosts = {worker: seen.host for worker, seen in workers.items()}
        from_workers = {worker: tried for worker, tried in answers.items() if not isinstance(tried, Failed)}
        yield from network.connections(scheduler_address, hosts, from_scheduler, from_workers)

    def offsets(self, client: "Client", workers: Mapping[str, Facts]) -> dict[str, tuple[float, float] | None]:
        """Host → how far its clock is ahead of ours, and how wrong that may be; None where nothing answers."""
        first = {host: next(iter(here)) for host, here in by_host(workers).items()}
        timeout_s = self.left_s(_LOOK_S / _CLOCK_ROUNDS)
        with ThreadPoolExecutor(_CLOCKS_AT_ONCE) as pool:
            measured = pool.map(lambda worker: _offset(client, worker, timeout_s), first.values())
            return dict(zip(first, measured, strict=True))

    def slow_answers(self, client: "Client", workers: Mapping[str, Facts]) -> dict[str, dict[str, Any]]:
        """What is hashed, imported and read once on each node; where several workers run, they share the work."""
        timeout_s = self.left_s(_HASH_S)
        questions: dict[str, tuple[Callable[..., Any], Any]] = {
            "torch": (facts.torch_in_a_process, timeout_s - 1),
            "models": (facts.fingerprints, self.spec.classifier),
            "input": (facts.unreadable, self.urls),
        }
        asks = {
            (what, host): _Ask(list(here)[turn % len(here)], function, (argument,))
            for host, here in by_host(workers).items()
            for turn, (what, (function, argument)) in enumerate(questions.items())
        }
        answers: dict[str, dict[str, Any]] = {what: {} for what in questions}
        for (what, host), answer in ask(client, asks, timeout_s).items():
            answers[what][host] = answer.reason if isinstance(answer, Failed) else answer
        return answers

    def output(
        self, client: "Client | None", workers: Mapping[str, Facts], offsets: network.Offsets
    ) -> Iterator[Finding]:
        """Write and read where the output will be: in it, or in the nearest folder above that is there."""
        spec = self.spec
        need = checks.written_bytes(spec, self.found)
        num_files = self.num_shards * (2 + len(spec.classifier) + (len(spec.tiering.tiers) if spec.documents else 0))
        yield from files.folders(self.here, workers, files.relative_paths(_paths(spec)))
        yield from files.room(self.here, workers, need, num_files)
        try:
            with _own_folder(spec.output) as folder:
                if not storage.exists(spec.output):
                    yield ok(f"{spec.output} is not there yet; tried in {_parent(folder)}")
                yield from self.tried(folder, client, workers, offsets)
        except Exception as error:  # noqa: BLE001 - a remote file system fails in its own ways
            yield change(f"{spec.output}: {describe(error)}")

    def tried(
        self, folder: str, client: "Client | None", workers: Mapping[str, Facts], offsets: network.Offsets
    ) -> Iterator[Finding]:
        """Every node and this process write into one folder and read what the others wrote."""
        first = {host: next(iter(here)) for host, here in by_host(workers).items()}
        names = {f"from-{number}": host for number, host in enumerate(first)}
        every = ("from-client", *names)
        timeout_s = self.left_s(_EXCHANGE_S)
        sent: dict[str, between.Exchange] = {}

        def join_in() -> None:
            sent["from-client"] = between.exchange(folder, "from-client", every, timeout_s)

        asks = {
            name: _Ask(first[host], between.exchange, (folder, name, every, timeout_s)) for name, host in names.items()
        }
        answers = ask(client, asks, timeout_s + 2, join_in)
        for name, answer in answers.items():
            if isinstance(answer, Failed):
                yield change(f"{names[name]} did not write to {folder}: {answer.reason}")
            else:
                sent[name] = answer
        hosts = {"from-client": self.here.host, **names}
        shifts = {"from-client": 0.0} | {name: each[0] for name, host in names.items() if (each := offsets[host])}
        sent = {name: each for name, each in sent.items() if name in shifts}
        yield from files.exchanged(_parent(folder), sent, hosts, shifts)
        if storage.is_local(folder) and all(len(each.seen_at) == len(every) for each in sent.values()):
            yield from self.replaced(folder, client, first)

    def replaced(self, folder: str, client: "Client | None", first: Mapping[str, str]) -> Iterator[Finding]:
        """One process replaces a file while others read it."""
        path = Path(folder, "replaced")
        num_replaced = between.replaced(path, 0.01)

        def replace() -> None:
            nonlocal num_replaced
            num_replaced += between.replaced(path, 1.5 * _REREAD_S)

        asks = {host: _Ask(worker, between.reread, (path, _REREAD_S)) for host, worker in first.items()}
        answers = ask(client, asks, self.left_s(4 * _REREAD_S), replace)
        read = {host: each.reason if isinstance(each, Failed) else each for host, each in answers.items()}
        yield from files.reread(_parent(folder), read, num_replaced)


def _asked(spec: RunSpec) -> tuple[int, int]:
    """The cores and the bytes that a config asks of this machine; 0 where it asks for none or for a share."""
    if spec.cluster.settled(spec.scoring.device)[0].kind != "cpu":
        return 0, 0
    num_workers = spec.cluster.num_workers(spec.scoring.compute_threads)
    return num_workers * spec.scoring.compute_threads, num_workers * spec.cluster.memory_bytes


def _paths(spec: RunSpec) -> Iterator[str]:
    """The paths of a config that workers open."""
    yield from (spec.output, *spec.input.path)
    for each in spec.classifier:
        model, bundles = getattr(each, "model", ""), getattr(each, "bundles", "")
        yield from filter(None, [bundles if source.is_hub_id(model) else model])


def _plan_or_mistakes(spec: RunSpec) -> Plan | Sequence[str]:
    try:
        return make_plan(spec)
    except ConfigError as error:
        return error.mistakes
    except CurationError as error:
        return [str(error)]


def _parent(folder: str) -> str:
    return folder.rpartition("/")[0]


def _answered(
    num_workers: int, answers: Mapping[str, "Facts | Failed"], scheduler: "Facts | Failed"
) -> Iterator[Finding]:
    there = {worker: each for worker, each in answers.items() if isinstance(each, Facts)}
    if there:
        hosts = by_host(there)
        nodes = "nodes" if len(hosts) > 1 else "node"
        yield ok(f"{len(there):,} of {num_workers:,} workers answer, on {len(hosts):,} {nodes}")
    for worker, each in answers.items():
        if isinstance(each, Failed):
            yield change(
                f"{worker} does not answer: {each.reason}. If its connections are well, restart it in the environment "
                "that this runs in."
            )
    if isinstance(scheduler, Failed):
        yield note(f"the scheduler cannot be looked at: {scheduler.reason}. It should run in the same environment.")


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
    asks: Mapping[Any, _Ask],
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


def _offset(client: "Client", worker: str, timeout_s: float) -> tuple[float, float] | None:
    """How far a worker's clock is ahead of ours: half of the fastest round trip is what it may be wrong by."""
    rounds = []
    for _ in range(_CLOCK_ROUNDS):
        sent_at, start = time.time(), time.perf_counter()
        answer = ask(client, {worker: _Ask(worker, between.clock)}, timeout_s)[worker]
        half_s = (time.perf_counter() - start) / 2
        if isinstance(answer, Failed):
            return None
        rounds.append((answer - sent_at - half_s, half_s))
    return min(rounds, key=lambda each: each[1])


@contextmanager
def _own_folder(output: str) -> Iterator[str]:
    """A folder for files of ours, on the file system of the output, and gone after the block."""
    fs, path = storage.filesystem(output)
    name = f".doctor-{socket.gethostname()}-{secrets.token_hex(4)}{storage.SCRATCH}"
    if not storage.is_local(output):
        folder = storage.join(output, name)
        try:
            yield folder
        finally:
            with suppress(FileNotFoundError):
                fs.rm(storage.filesystem(folder)[1], recursive=True)
        return
    local = storage.nearest(path) / name
    with explaining(str(local), "made"):
        local.mkdir()
    try:
        yield str(local)
    finally:
        shutil.rmtree(local, ignore_errors=True)
