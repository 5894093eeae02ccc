"""What the facts mean for what is installed: packages, GPUs with their driver, models."""

from collections.abc import Iterator, Mapping, Sequence

from curation.core.words import counted
from curation.execution.doctor.facts import Facts, Gpu, Torch
from curation.execution.doctor.findings import (
    Finding,
    Workers,
    by_host,
    change,
    grouped,
    named,
    note,
    ok,
    on_nodes,
)

_OTHERS_SHARE = 0.05
_MUST_AGREE = {"python", "curation", "dask", "distributed", "pandas", "torch", "transformers"}
_SCHEDULER_NEEDS = {"python", "dask", "distributed"}


def versions(client: Facts, scheduler: Facts | None, workers: Workers) -> Iterator[Finding]:
    """Whether all processes have the same Python and packages: a line for each difference."""
    absent = [name for name in client.versions if not any(each.versions[name] for each in (client, *workers.values()))]
    agreeing = []
    for name, mine in client.versions.items():
        others = grouped({address: facts.versions[name] for address, facts in workers.items()})
        others.pop(mine, None)
        for theirs, addresses in others.items():
            where = named(f"{address} ({workers[address].host})" for address in addresses)
            yield _difference(name, mine, theirs, where)
        if scheduler and name in _SCHEDULER_NEEDS and scheduler.versions[name] != mine:
            yield _difference(name, mine, scheduler.versions[name], f"the scheduler ({scheduler.host})")
        elif not others and name not in absent:
            agreeing.append(f"{name} {mine}")
    if agreeing:
        yield ok(f"the same everywhere: {', '.join(agreeing)}")
    if absent:
        yield ok(f"nowhere: {', '.join(absent)}")


def _difference(name: str, mine: str, theirs: str, where: str) -> Finding:
    text = f"{name} is {mine or 'missing'} here and {theirs or 'missing'} on {where}"
    if name == "python" and mine.split(".")[:2] == theirs.split(".")[:2]:
        return note(f"{text}.")
    if name == "torch" and mine and theirs and mine.partition("+")[0] == theirs.partition("+")[0]:
        return note(f"{text}: another build; scores may differ in their last bits.")
    if name not in _MUST_AGREE:
        return note(f"{text}.")
    return change(f"{text}. Start all of them from one environment.")


def gpus(workers: Workers, torches: Mapping[str, Torch | str], device: str) -> Iterator[Finding]:
    """Whether there is a GPU for each worker that shall use one, and torch can: `torches` by host."""
    wants = device.startswith("cuda")
    for host, said in torches.items():
        if isinstance(said, str) or not said.version:
            reason = said if isinstance(said, str) else said.reason
            yield change(f"{host}: torch cannot be asked: {reason}. Install what constraints.txt pins there.")
    nodes = {host: next(iter(here.values())) for host, here in by_host(workers).items()}
    seeing = {host: facts for host, facts in nodes.items() if facts.gpus}
    dim = [host for host in nodes if host not in seeing and _torch_sees(torches.get(host))]
    blind = [host for host in nodes if host not in seeing and host not in dim]
    if wants and blind:
        reasons = {nodes[host].gpu_problem or "none is visible" for host in blind}
        yield change(
            f"scoring.device is {device!r}, and {named(blind)} shows no GPU ({named(reasons)}). Run workers on "
            "nodes that have one, or write scoring.device=cpu."
        )
    if dim:
        yield note(f"{named(dim)}: torch sees a GPU, and nothing else is known of it: `pip install nvidia-ml-py`.")
    if not seeing and not dim:
        yield ok("no GPU")
    for host, facts in seeing.items():
        yield from _of_node(host, facts, torches.get(host), wants=wants)
    drivers = grouped({host: facts.driver for host, facts in seeing.items()})
    if len(drivers) > 1:
        yield note(
            "drivers differ: " + "; ".join(f"{version} on {named(hosts)}" for version, hosts in drivers.items()) + "."
        )
    builds = grouped({host: said.cuda for host, said in torches.items() if isinstance(said, Torch) and host in seeing})
    if len(builds) > 1:
        yield change(
            "torch is built for different CUDA versions: "
            + "; ".join(f"{version or 'none'} on {named(hosts)}" for version, hosts in builds.items())
            + ". Start all workers from one environment."
        )
    if wants:
        yield from _shared_gpus(workers)


def _torch_sees(torch: Torch | str | None) -> bool:
    return isinstance(torch, Torch) and torch.is_available


def _of_node(host: str, facts: Facts, torch: Torch | str | None, *, wants: bool) -> Iterator[Finding]:
    for count, about in _counted(facts.gpus):
        yield ok(f"{host}: {count} of {about}, driver {facts.driver}")
    if isinstance(torch, Torch) and torch.version and not torch.is_available:
        text = f"{host}: torch {torch.version} sees no GPU though driver {facts.driver} shows one: {torch.reason}"
        yield change(f"{text}. Install a build of torch for this driver.") if wants else note(f"{text}.")
    for gpu in facts.gpus:
        if gpu.others_bytes > _OTHERS_SHARE * gpu.total_bytes:
            held, total = gpu.others_bytes / 1e9, gpu.total_bytes / 1e9
            yield note(f"{host}: other processes hold {held:.1f} of {total:.1f} GB of GPU {gpu.index}.")


def _counted(found: Sequence[Gpu]) -> list[tuple[int, str]]:
    kinds = grouped(
        {gpu.uuid: f"{gpu.name}, {gpu.total_bytes / 1e9:.0f} GB{', MIG' if gpu.is_mig else ''}" for gpu in found}
    )
    return [(len(uuids), about) for about, uuids in kinds.items()]


def _shared_gpus(workers: Workers) -> Iterator[Finding]:
    """Workers that would use one GPU together."""
    users = grouped({address: found for address, facts in workers.items() if (found := _gpu_of(facts))})
    shared = {gpu: addresses for gpu, addresses in users.items() if len(addresses) > 1}
    for (host, uuid), addresses in shared.items():
        yield change(
            f"{host}: {len(addresses)} workers use the GPU {uuid} ({named(addresses)}). Start one worker for each GPU, "
            "each with its own CUDA_VISIBLE_DEVICES (dask-cuda does)."
        )
    if users and not shared:
        yield ok(f"each of {counted(len(users), 'worker')} has a GPU of its own")


def _gpu_of(facts: Facts) -> tuple[str, str] | None:
    """The host and UUID of the GPU that a worker takes: the first that is visible to it."""
    first = facts.gpus[0].index if facts.visible is None and facts.gpus else (facts.visible or "").split(",")[0].strip()
    for gpu in facts.gpus:
        if str(first) == str(gpu.index) or (str(first).startswith("GPU-") and gpu.uuid.startswith(str(first))):
            return facts.host, gpu.uuid
    return (facts.host, str(first)) if str(first).startswith("MIG-") else None


def models(
    expected: Mapping[str, tuple[str, str]], found: Mapping[str, Mapping[str, tuple[str, str]] | str]
) -> Iterator[Finding]:
    """Whether every node finds the models that the client finds: host → classifier → fingerprint, or why not."""
    for host, each in found.items():
        if isinstance(each, str):
            yield change(f"models cannot be checked on {host}: {each}")
    checked = {host: each for host, each in found.items() if not isinstance(each, str)}
    for name, (mine, why_not) in expected.items():
        if not mine:
            yield change(f"{name}: {why_not}")
        problems = {host: each[name][1] for host, each in checked.items() if each[name][1] and each[name][1] != why_not}
        for problem, hosts in grouped(problems).items():
            yield change(f"{name}, on {named(hosts)}: {problem}")
        others = [host for host, each in checked.items() if mine and each[name][0] and each[name][0] != mine]
        if others:
            yield change(
                f"{name}: {named(others)} finds another model ({checked[others[0]][name][0][:8]}) than the client "
                f"({mine[:8]}). Put the same files on every node."
            )
        same = [host for host, each in checked.items() if mine and each[name][0] == mine]
        if same:
            yield ok(f"{name}: {mine[:8]} on {on_nodes(same)}")


def offline(workers: Workers) -> Iterator[Finding]:
    """Whether libraries are kept from asking a hub; this package never does."""
    online = [facts.host for facts in workers.values() if not facts.is_offline]
    if online:
        yield note(f"HF_HUB_OFFLINE is not set for workers on {named(online)}; start them with HF_HUB_OFFLINE=1.")
    elif workers:
        yield ok("HF_HUB_OFFLINE is set on every worker")
