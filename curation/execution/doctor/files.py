"""What the facts mean for files: those of the output, which many write and read, and those of the input."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from curation.core.errors import CurationError
from curation.core.words import counted
from curation.data import storage
from curation.execution.doctor.between import SHARE_IT, Exchange, Rereading
from curation.execution.doctor.facts import Facts
from curation.execution.doctor.findings import (
    Finding,
    Workers,
    change,
    grouped,
    named,
    nodes_of,
    note,
    ok,
    on_nodes,
)

_SLOW_TO_BE_SEEN_S = 2.0


def exchanged(
    folder: str, sent: Mapping[str, Exchange], hosts: Mapping[str, str], offsets: Mapping[str, float]
) -> Iterator[Finding]:
    """Whether files that each wrote were seen by all: by the name of the file that a process wrote.

    `hosts` says where each ran, `offsets` how far its clock is from the client's.
    """
    for problem, names in grouped({name: each.problem for name, each in sent.items() if each.problem}).items():
        yield change(f"{named(hosts[name] for name in names)}: {problem}")
    written = {name: each for name, each in sent.items() if each.written_at is not None}
    delays: dict[str, float] = {}
    unseen: dict[str, set[str]] = defaultdict(set)
    for reader, each in written.items():
        for writer, other in written.items():
            if writer not in each.seen_at:
                unseen[hosts[reader]].add(hosts[writer])
                continue
            possible_at = max((other.written_at or 0.0) - offsets[writer], each.looked_at - offsets[reader])
            delay = each.seen_at[writer] - offsets[reader] - possible_at
            delays[reader] = max(delays.get(reader, 0.0), delay)
    for host, writers in unseen.items():
        yield change(f"{host} does not see what {named(writers)} wrote to {folder} seconds before. {SHARE_IT}")
    for name in (name for name, each in written.items() if each.wrong):
        yield change(f"{hosts[name]} read something else than was written to {folder}: choose another file system.")
    if delays and not unseen:
        slowest = max(delays, key=lambda name: delays[name])
        where = on_nodes(sorted({hosts[name] for name in written}))
        all_see = f"{len(written):,} processes on {where} see each other's files"
        text = f"{all_see if len(written) > 1 else f'one process on {where} sees its file'} in {folder}"
        if delays[slowest] > _SLOW_TO_BE_SEEN_S:
            yield note(
                f"{text} only after {delays[slowest]:.1f} s ({hosts[slowest]}): the mount remembers that names are "
                "not there. On NFS the option lookupcache=positive ends that."
            )
        else:
            yield ok(f"{text}, after {max(0.0, delays[slowest]) * 1e3:.0f} ms at most")
    yield from _lists_and_removes(folder, written, hosts)
    if not unseen:
        yield from _links(folder, written)


def _lists_and_removes(folder: str, written: Mapping[str, Exchange], hosts: Mapping[str, str]) -> Iterator[Finding]:
    """Where a process cannot do with its own file what a run does."""
    unlisted = [hosts[name] for name, each in written.items() if not each.is_listed]
    kept = [hosts[name] for name, each in written.items() if not each.is_removed]
    if unlisted:
        yield change(f"A new file is not in the list of its folder {folder} on {named(unlisted)}: allow listing there.")
    if kept:
        yield change(f"A file in {folder} is still there after {named(kept)} removed it: allow deletion there.")


def _links(folder: str, written: Mapping[str, Exchange]) -> Iterator[Finding]:
    """Whether one alone got a name that all wanted, as one alone may hold lock.json."""
    if all(each.won is None for each in written.values()):
        return
    num_winners = sum(bool(each.won) for each in written.values())
    if num_winners == 1:
        yield ok("a name that all wanted at once was given to one, as lock.json must be; writing is synced to disk")
    else:
        yield change(
            f"{num_winners} processes got the name in {folder} that one alone can have: hard links do not work there, "
            "and two runs could write to one output. Choose another file system."
        )


def reread(folder: str, found: Mapping[str, Rereading | str], num_replaced: int) -> Iterator[Finding]:
    """Whether a file that is replaced over and over is always there and whole: host → what it read, or why not."""
    readings = {host: each for host, each in found.items() if isinstance(each, Rereading)}
    for host, each in found.items():
        if isinstance(each, str) or each.problem:
            yield change(
                f"{host} cannot read what is replaced in {folder}: {each if isinstance(each, str) else each.problem}."
            )
    broken = [host for host, each in readings.items() if each.num_missing or each.num_torn]
    if broken:
        missing = sum(readings[host].num_missing for host in broken)
        torn = sum(readings[host].num_torn for host in broken)
        yield change(
            f"Renaming over a file in {folder} is not atomic: {named(broken)} found it missing "
            f"{counted(missing, 'time')} and incomplete {counted(torn, 'time')}. Choose another file system for the "
            "output."
        )
    stale = [host for host, each in readings.items() if each.num_stale]
    if stale:
        yield note(f"{named(stale)} met stale handles in {folder} while a file was replaced; reading again helped.")
    if readings and not broken:
        num_reads = sum(each.num_reads for each in readings.values())
        yield ok(
            f"a file that was replaced {counted(num_replaced, 'time')} was whole each of {counted(num_reads, 'time')} "
            "that it was read"
        )


def room(client: Facts, workers: Workers, need_bytes: int, need_files: int) -> Iterator[Finding]:
    """Whether what a run writes fits; bytes that do not are a mistake of the plan."""
    nodes = nodes_of(client, workers)
    space = client.output
    if space is None:
        return
    inodes = "" if space.free_inodes is None else f", room for {space.free_inodes:,} files"
    yield ok(
        f"{space.path}: {space.free_bytes / 1e9:.1f} GB of {space.total_bytes / 1e9:.1f} free{inodes}; a run writes "
        f"about {need_bytes / 1e9:.1f} GB in {counted(need_files, 'file')}"
    )
    short = [
        host
        for host, facts in nodes.items()
        if facts.output and facts.output.free_inodes is not None and facts.output.free_inodes < need_files
    ]
    if short:
        yield change(
            f"{space.path} has room for fewer than the {need_files:,} files of a run on {named(short)}. Raise "
            "input.shard_bytes (fewer shards), or choose another output."
        )


def folders(client: Facts, workers: Workers, relative: Sequence[str]) -> Iterator[Finding]:
    """Whether relative paths of the config mean the same on workers."""
    elsewhere = [facts.host for facts in workers.values() if facts.folder != client.folder]
    if elsewhere and relative:
        yield change(
            f"{named(relative)}: relative to {client.folder} here, and to another folder for workers on "
            f"{named(elsewhere)}. Write absolute paths."
        )


def relative_paths(paths: Iterable[str]) -> list[str]:
    """Those that depend on the folder that a process was started in."""
    found = []
    for path in paths:
        try:
            is_local = storage.is_local(path)
        except CurationError:
            continue
        if is_local and not path.startswith(("/", "~", "embedded:", "package:", "file://")):
            found.append(path)
    return found


def inputs(urls: Sequence[str], found: Mapping[str, Mapping[str, str] | str]) -> Iterator[Finding]:
    """Whether every node can read some files of the input: host → those that it cannot, with the reason."""
    problems: dict[str, str] = {}
    for host, each in found.items():
        if isinstance(each, str):
            yield change(f"the input cannot be read on {host}: {each}")
        elif each:
            problems[host] = "; ".join(each.values())
    for problem, hosts in grouped(problems).items():
        yield change(f"{named(hosts)}: {problem} Every node must see the input at the same path.")
    well = [host for host, each in found.items() if not each and not isinstance(each, str)]
    if well and urls:
        yield ok(f"{' and '.join(dict.fromkeys(urls))} can be read on {on_nodes(sorted(well))}")
