"""What is said of a cluster: lines that are well, worth a note, or name what must be changed."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from curation.execution.doctor.facts import Facts

Key = TypeVar("Key")
Value = TypeVar("Value")
Level = Literal["ok", "note", "change"]
Workers = Mapping[str, Facts]
"""Address → facts."""

_MOST_NAMED = 3


@dataclass(frozen=True)
class Finding:
    """One line."""

    level: Level
    text: str


@dataclass(frozen=True)
class Check:
    """What was looked at, and what was found."""

    title: str
    findings: tuple[Finding, ...]


def ok(text: str) -> Finding:
    """Nothing to do."""
    return Finding("ok", text)


def note(text: str) -> Finding:
    """Worth knowing."""
    return Finding("note", text)


def change(text: str) -> Finding:
    """Something that must be changed before a run."""
    return Finding("change", text)


def named(names: Iterable[str]) -> str:
    """The first few of some names, and how many there are beside them."""
    names = sorted(set(names))
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def grouped(found: Mapping[Key, Value]) -> dict[Value, list[Key]]:
    """Value → the keys that have it."""
    groups: dict[Value, list[Key]] = defaultdict(list)
    for key, value in found.items():
        groups[value].append(key)
    return dict(groups)


def on_nodes(hosts: Sequence[str]) -> str:
    """One host by its name, several by their number."""
    return f"{len(hosts):,} nodes" if len(hosts) > 1 else hosts[0]


def by_host(workers: Workers) -> dict[str, dict[str, Facts]]:
    """Host → its workers."""
    found: dict[str, dict[str, Facts]] = defaultdict(dict)
    for address, facts in workers.items():
        found[facts.host][address] = facts
    return dict(sorted(found.items()))


def first_of_host(workers: Workers) -> dict[str, str]:
    """Host → the address of one of its workers."""
    return {host: next(iter(here)) for host, here in by_host(workers).items()}


def nodes_of(client: Facts, workers: Workers) -> dict[str, Facts]:
    """Host → the facts of one process on it, that of the client included."""
    return {facts.host: facts for facts in (*workers.values(), client)}
