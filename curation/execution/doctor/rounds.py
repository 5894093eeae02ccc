"""Rounds: what is asked of the scheduler and of every node of a cluster."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from curation.core.classifier import Classifier
from curation.execution.doctor import between, facts, network
from curation.execution.doctor.asking import Ask, Failed, Patience, ask, within
from curation.execution.doctor.findings import Finding, Workers, by_host, change, first_of_host

if TYPE_CHECKING:
    from distributed import Client

_CLOCK_ROUNDS = 4
_CLOCK_S = 2.5  # for a round
HASH_S = 25.0
"""For all models of a config to be hashed."""

_CLOCKS_AT_ONCE = 8


def wait_for(client: "Client", num_workers: int, seconds: float) -> None:
    """Give the workers of a cluster so long to become so many."""
    with suppress(TimeoutError):
        client.wait_for_workers(num_workers, timeout=seconds)


def connect_from_scheduler(
    client: "Client", address: str, workers: Sequence[str], patience: Patience
) -> dict[str, float | str]:
    """How the scheduler connects to workers; nothing where it cannot be asked, which is told with its facts.

    It fetches answers over such a connection, and one that cannot be made holds up the answers of the others.
    """
    if not facts.host_and_port(address)[0]:
        return {}
    timeout_s = patience.left_s(2 * between.CONNECT_TIMEOUT_S)
    tried = within(timeout_s, lambda: client.run_on_scheduler(between.connect_to, workers))
    return {} if isinstance(tried, Failed) else dict(tried)


def connections(
    client: "Client", address: str, from_scheduler: Mapping[str, float | str], workers: Workers, patience: Patience
) -> Iterator[Finding]:
    """Connect from workers to the scheduler and to a neighbour, on another host where there are several."""
    turns = zip_longest(*by_host(workers).values())
    ring = [worker for turn in turns for worker in turn if worker is not None]
    neighbours = dict(zip(ring, [*ring[1:], *ring[:1]], strict=True))
    asks = {
        worker: Ask(worker, between.connect_from_here, ([address, *({other} - {worker})],))
        for worker, other in neighbours.items()
    }
    answers = ask(client, asks, patience.left_s(2 * between.CONNECT_TIMEOUT_S))
    for worker, answer in answers.items():
        if isinstance(answer, Failed):
            yield change(f"{worker}: {answer.reason}")
    hosts = {worker: seen.host for worker, seen in workers.items()}
    from_workers = {worker: tried for worker, tried in answers.items() if not isinstance(tried, Failed)}
    yield from network.connections(address, hosts, from_scheduler, from_workers)


def offsets(client: "Client", workers: Workers, patience: Patience) -> dict[str, tuple[float, float] | None]:
    """Host → how far its clock is ahead of ours, and how wrong that may be; None where nothing answers."""
    first = first_of_host(workers)
    timeout_s = patience.left_s(_CLOCK_S)
    with ThreadPoolExecutor(_CLOCKS_AT_ONCE) as pool:
        measured = pool.map(lambda worker: _offset(client, worker, timeout_s), first.values())
        return dict(zip(first, measured, strict=True))


def _offset(client: "Client", worker: str, timeout_s: float) -> tuple[float, float] | None:
    """How far a worker's clock is ahead of ours: half of the fastest round trip is what it may be wrong by."""
    rounds = []
    for _ in range(_CLOCK_ROUNDS):
        sent_at, start = time.time(), time.perf_counter()
        answer = ask(client, {worker: Ask(worker, between.clock)}, timeout_s)[worker]
        half_s = (time.perf_counter() - start) / 2
        if isinstance(answer, Failed):
            return None
        rounds.append((answer - sent_at - half_s, half_s))
    return min(rounds, key=lambda each: each[1])


def slow_answers(
    client: "Client", workers: Workers, classifiers: Sequence[Classifier], urls: Sequence[str], patience: Patience
) -> dict[str, dict[str, Any]]:
    """What is hashed, imported and read once on each node; where several workers run, they share the work."""
    timeout_s = patience.left_s(HASH_S)
    questions: dict[str, tuple[Callable[..., Any], Any]] = {
        "torch": (facts.torch_in_a_process, timeout_s - 1),
        "models": (facts.fingerprints, classifiers),
        "input": (facts.unreadable, urls),
    }
    asks = {
        (what, host): Ask(list(here)[turn % len(here)], function, (argument,))
        for host, here in by_host(workers).items()
        for turn, (what, (function, argument)) in enumerate(questions.items())
    }
    answers: dict[str, dict[str, Any]] = {what: {} for what in questions}
    for (what, host), answer in ask(client, asks, timeout_s).items():
        answers[what][host] = answer.reason if isinstance(answer, Failed) else answer
    return answers
