"""What the facts mean for talking to each other: interfaces, connections, clocks."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from curation.core.words import counted
from curation.execution.doctor.facts import Facts, Interface, host_and_port, is_loopback
from curation.execution.doctor.findings import (
    Finding,
    Workers,
    by_host,
    change,
    grouped,
    named,
    nodes_of,
    note,
    ok,
    on_nodes,
)
from curation.execution.lock import STALE_AFTER_S

Offsets = Mapping[str, tuple[float, float] | None]
"""Host → how far its clock is ahead of the client's, and how wrong that may be, in seconds; None: no answer."""

_MOST_LISTED = 8
_BRIDGES = ("docker", "br-", "virbr", "veth", "cni", "flannel", "cali", "podman", "lxc", "lxd", "tap", "tun")
_TO_WORKERS = (
    "Open the ports of workers (any, unless they are started with `--worker-port FIRST:LAST`), or have all use one "
    "network with `--interface`."
)
_TO_SCHEDULER = "Open the scheduler's port towards the nodes, or start it with the `--interface` that they reach."
_CLOCKS_DIFFER_S, _CLOCKS_ARE_WRONG_S = 1.0, 5.0


def interfaces(scheduler_address: str, scheduler: Facts | None, client: Facts, workers: Workers) -> Iterator[Finding]:
    """Every node's interfaces, the one that is used, and the one to name."""
    nodes = nodes_of(client, workers)
    for host in sorted(nodes)[:_MOST_LISTED]:
        yield ok(f"{host}: {_listed(nodes[host])}")
    if len(nodes) > _MOST_LISTED:
        yield ok(f"and {counted(len(nodes) - _MOST_LISTED, 'more node')}")
    if not scheduler_address:
        yield from _to_name(client)
        return
    elsewhere = [host for host in by_host(workers) if scheduler is None or host != scheduler.host]
    if is_loopback(host_and_port(scheduler_address)[0]):
        if elsewhere and scheduler is not None:
            able = candidates(scheduler)
            flag = f"`--interface {able[0].name}`" if able else "an interface that other nodes reach"
            yield change(
                f"The scheduler listens at {scheduler_address}, which only {scheduler.host} can reach, and there are "
                f"workers on {named(elsewhere)}. Start it with {flag}."
            )
        else:
            yield ok(f"scheduler and workers talk within {client.host}")
        return
    ways = grouped({host: _way(nodes[host]) for host in elsewhere})
    for (used, better), hosts in ways.items():
        if better:
            yield note(
                f"{named(hosts)}: the scheduler is reached over {used}, and there is {better}. Start scheduler and "
                f"workers with `--interface {better.partition(' ')[0]}`."
            )
        elif used:
            yield ok(f"{named(hosts)}: the scheduler is reached over {used}, as `--interface` may name it")
    if not elsewhere:
        yield ok(f"scheduler and workers talk within {client.host}")
        yield from _to_name(client)


def candidates(facts: Facts) -> list[Interface]:
    """The interfaces by which other nodes may reach this one, the fastest first."""
    able = (
        each
        for each in facts.interfaces
        if each.is_up and not each.name.startswith(_BRIDGES) and any(map(_is_reachable, each.addresses))
    )
    return sorted(able, key=lambda each: -each.megabits)


def _is_reachable(address: str) -> bool:
    return not is_loopback(address) and not address.lower().startswith("fe80:")


def _way(facts: Facts) -> tuple[str, str]:
    """The interface that is used, and a better one, each with its speed; "" where there is none."""
    used = next((each for each in facts.interfaces if facts.source_address in each.addresses), None)
    able = candidates(facts)
    if used is None:
        return "", ""
    is_better = bool(able) and (used not in able or able[0].megabits > used.megabits)
    return f"{used.name} ({_speed(used)})", f"{able[0].name} ({_speed(able[0])})" if is_better else ""


def _speed(interface: Interface) -> str:
    return f"{interface.megabits / 1000:g} Gbit/s" if interface.megabits else "speed unknown"


def _listed(facts: Facts) -> str:
    parts = []
    for each in facts.interfaces:
        state = "" if each.is_up else ", down"
        parts.append(f"{each.name} {' '.join(each.addresses)} ({_speed(each)}{state})")
    return "; ".join(parts) or "no interface has an address"


def _to_name(facts: Facts) -> Iterator[Finding]:
    able = candidates(facts)
    if not able:
        yield note(f"{facts.host} has no interface that other nodes could reach; workers can only run here.")
        return
    why = f", the fastest of {len(able)} ({_speed(able[0])})" if len(able) > 1 and able[0].megabits else ""
    yield ok(f"a scheduler here is reached by other nodes with `--interface {able[0].name}`{why}")


def connections(
    scheduler_address: str,
    hosts: Mapping[str, str],
    from_scheduler: Mapping[str, float | str],
    from_workers: Mapping[str, Mapping[str, float | str]],
) -> Iterator[Finding]:
    """Whether the scheduler reaches every worker, every worker the scheduler, and each worker its neighbour."""
    to_scheduler = {worker: tried[scheduler_address] for worker, tried in from_workers.items()}
    to_workers = {
        f"{worker} → {other}": found
        for worker, tried in from_workers.items()
        for other, found in tried.items()
        if other != scheduler_address
    }
    ways = (
        (from_scheduler, "from the scheduler to {}", _TO_WORKERS),
        (to_scheduler, "from {} to the scheduler", _TO_SCHEDULER),
        (to_workers, "from {} to a neighbour", _TO_WORKERS),
    )
    for tried, words, advice in ways:
        reached = [found for found in tried.values() if isinstance(found, float)]
        if reached:
            share = f"{len(reached):,} of {counted(len(tried), 'worker')}"
            yield ok(f"{words.format(share)}, in {max(reached) * 1e3:.1f} ms at most")
        failed: dict[str, list[str]] = defaultdict(list)
        for end, found in tried.items():
            if isinstance(found, str):
                failed[found].append(f"{end} on {hosts[end]}" if end in hosts else end)
        for reason, ends in failed.items():
            yield change(f"no connection {words.format(named(ends))}: {reason}. {advice}")


def clocks(offsets: Offsets) -> Iterator[Finding]:
    """How far the clocks of nodes are from the client's."""
    close = {}
    for host, measured in offsets.items():
        if measured is None:
            yield change(f"The clock of {host} cannot be read: its worker does not answer in time.")
            continue
        apart, direction = abs(measured[0]), "ahead of" if measured[0] > 0 else "behind"
        surely = apart - measured[1]
        text = f"The clock of {host} is {apart:.1f} s {direction} the client's"
        if surely > _CLOCKS_ARE_WRONG_S:
            yield change(
                f"{text}: the lock of a living run looks older or younger than it is there, and one that looks "
                f"{STALE_AFTER_S:.0f} s old is taken over. Synchronise it (`chronyc makestep`, or ntpd)."
            )
        elif surely > _CLOCKS_DIFFER_S:
            yield note(f"{text}. Synchronise it (`chronyc makestep`, or ntpd) before it grows.")
        else:
            close[host] = (apart, measured[1])
    if close:
        apart, error = (max(column) * 1e3 for column in zip(*close.values(), strict=True))
        yield ok(f"{on_nodes(list(close))}: {apart:.0f} ms from the client's at most, measured to {error:.0f} ms")
