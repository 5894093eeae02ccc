"""The keys at which the phases of a mix end: two passes over sidecars, whatever the number of documents."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from curation.core.errors import ShardError
from curation.data.sidecar import read_columns
from curation.execution.window import OnWorkers
from curation.mixing import drawing
from curation.mixing.drawing import NUM_BINS, Cut
from curation.mixing.plan import MixPlan
from curation.mixing.supply import Key, Sidecars, Tiered, source_rows

_SHARDS_PER_TASK = 50

Places = tuple[tuple[Key, int], ...]
"""The sources of a run by key, and their places among the sources of the mix."""
_Sums = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True)
class Drawn:
    """Of every source its cuts, from the beginning of the first phase to the end of the last; its longest document."""

    cuts: tuple[tuple[Cut, ...], ...]
    longest: tuple[int, ...]


class Documents(NamedTuple):
    """The rows of a shard that are of sources of a mix, in order; `places` are those in the sidecars."""

    places: NDArray[np.intp]
    sources: NDArray[np.intp]
    positions: NDArray[np.int64]
    keys: NDArray[np.int64]
    num_tokens: NDArray[np.int64]


@dataclass(frozen=True)
class PassTask:
    """Look at the keys of some shards of a run, each with what it is made of.

    `bins`, numbers of source and bin, are what the second pass wants.
    """

    sidecars: Sidecars
    seed: int
    shards: tuple[tuple[str, str], ...]
    sources: Places
    bins: tuple[int, ...] = ()


def places_of(plan: MixPlan, run: str) -> Places:
    """The sources of a run."""
    return tuple((each.key, place) for place, each in enumerate(plan.sources) if each.run == run)


def documents_of(sidecars: Sidecars, seed: int, shard: str, made_of: str, sources: Places) -> Documents:
    """What can be drawn of a shard. Raises ShardError when it is not `made_of` what it was planned with."""
    rows, place_of = source_rows(sidecars, shard, made_of), dict(sources)
    found = np.asarray([place_of.get(key, -1) for key in rows.keys], np.intp)[rows.codes]
    known = found >= 0
    places = rows.places[known]
    positions = read_columns(sidecars.layout.rows(shard), ["position"])["position"].to_numpy()[places]
    keys = drawing.keys(seed, sidecars.supply.name, shard, positions)
    return Documents(places, found[known], positions, keys, rows.num_tokens[known])


def first_pass(task: PassTask) -> _Sums:
    """Numbers of source and bin, the tokens there, and the longest document. Runs on a worker."""
    num_sources = 1 + max((place for _, place in task.sources), default=-1)
    tokens, longest = np.zeros((2, num_sources * NUM_BINS), np.int64)
    for documents, here in _numbered(task):
        np.add.at(tokens, here, documents.num_tokens)
        np.maximum.at(longest, here, documents.num_tokens)
    numbers = np.flatnonzero(tokens)
    return numbers, tokens[numbers], longest[numbers]


def second_pass(task: PassTask) -> _Sums:
    """Numbers of source and bin, keys and tokens of the documents in some bins. Runs on a worker."""
    parts = [(np.zeros(0, np.int64),) * 3]
    for documents, here in _numbered(task):
        wanted = np.isin(here, task.bins)
        parts.append((here[wanted], documents.keys[wanted], documents.num_tokens[wanted]))
    numbers, keys, tokens = (np.concatenate(each) for each in zip(*parts, strict=True))
    return numbers, keys, tokens


def find_cuts(
    on_workers: OnWorkers, plan: MixPlan, runs: Sequence[Tiered], seed: int, stopping: Callable[[], bool]
) -> Drawn | None:
    """Where all phases end; None when it was told to stop. Raises ShardError when sidecars are not what was planned."""
    tasks = list(_pass_tasks(plan, runs, seed))
    sums = np.zeros((len(plan.sources), NUM_BINS), np.int64)
    longest = np.zeros(len(plan.sources), np.int64)
    for numbers, tokens, most in _results(on_workers, first_pass, tasks):
        np.add.at(sums.reshape(-1), numbers, tokens)
        np.maximum.at(longest, numbers // NUM_BINS, most)
    if stopping():
        return None
    ends = _ends(plan, sums)
    wanted = tuple(sorted({end.number for each in ends for end in each if end.left}))
    parts = [(np.zeros(0, np.int64),) * 3]
    if wanted:
        parts += _results(on_workers, second_pass, [replace(task, bins=wanted) for task in tasks])
    if stopping():
        return None
    numbers, keys, tokens = (np.concatenate(each) for each in zip(*parts, strict=True))
    order = np.argsort(numbers, kind="stable")  # all are wanted, so one stretch of them after the other is a bin
    stretches = np.split(order, np.searchsorted(numbers[order], wanted[1:]))
    documents = {number: (keys[here], tokens[here]) for number, here in zip(wanted, stretches, strict=False)}
    cuts = (
        tuple(Cut(end.whole, drawing.key_at(*documents[end.number], end.left) if end.left else 0) for end in each)
        for each in ends
    )
    return Drawn(tuple(cuts), tuple(longest.tolist()))


def _pass_tasks(plan: MixPlan, runs: Sequence[Tiered], seed: int) -> Iterator[PassTask]:
    for run in runs:
        shards = [(shard.name, made_of) for shard, made_of in zip(run.shards, run.made_of, strict=True)]
        places = places_of(plan, run.supply.name)
        for start in range(0, len(shards), _SHARDS_PER_TASK):
            yield PassTask(run.sidecars, seed, tuple(shards[start : start + _SHARDS_PER_TASK]), places)


class _End(NamedTuple):
    """The end of a phase in a source: whole draws before it, and `left` tokens more in the bin of that number."""

    whole: int
    number: int
    left: int


def _ends(plan: MixPlan, sums: NDArray[np.int64]) -> list[list[_End]]:
    found: dict[int, list[_End]] = defaultdict(list)
    for row, source in enumerate(plan.sources):
        if source.run and (now := int(sums[row].sum())) != source.num_tokens:
            raise ShardError(
                f"{source.name}: has {now:,} tokens, and was planned with {source.num_tokens:,}; plan again."
            )
        for tokens in [0, *np.cumsum(plan.tokens[row]).tolist()] if source.run else []:
            whole, left = divmod(tokens, source.num_tokens)
            place, before = drawing.bin_at(sums[row], left) if left else (0, 0)
            found[row].append(_End(whole, row * NUM_BINS + place, left - before))
    return [found[row] for row in range(len(plan.sources))]


def _numbered(task: PassTask) -> Iterator[tuple[Documents, NDArray[np.int64]]]:
    for shard, made_of in task.shards:
        documents = documents_of(task.sidecars, task.seed, shard, made_of, task.sources)
        yield documents, documents.sources * NUM_BINS + drawing.bins(documents.keys)


def _results(
    on_workers: OnWorkers, function: Callable[[PassTask], _Sums], tasks: Sequence[PassTask]
) -> Iterator[_Sums]:
    for outcome in on_workers(function, tasks):
        if outcome.result is None:
            raise ShardError(f"The sidecars of a run cannot be read: {outcome.error}")
        yield outcome.result
