"""What shows only between processes of several nodes: connections, clocks, files that one writes and others read."""

import asyncio
import errno
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from curation.core.errors import CurationError, ShardError
from curation.data import storage
from curation.execution.doctor.facts import host_and_port

SHARE_IT = "Choose an output on a file system that all nodes mount at this path, or an object store."
CONNECT_TIMEOUT_S = 3.0
_POLL_S = 0.02
_LEAD_S = 0.3  # so that others look for a file before it is there, as their system may then remember that it is not
_CONTENTS = (b"short\n" * 100, b"the longer one\n" * 5000)


@dataclass(frozen=True)
class Exchange:
    """What one process saw of the files that all of them wrote into one folder, by its own clock.

    `written_at` is None when it could not write, `problem` then says why, or what else went wrong. `seen_at` has the
    files that it read, `wrong` those that held something else. `won` tells whether it was the one that could link a
    name that all of them wanted; None where there are no links. `is_listed` and `is_removed` are of a file of its own.
    """

    looked_at: float
    written_at: float | None = None
    seen_at: Mapping[str, float] = field(default_factory=dict)
    wrong: tuple[str, ...] = ()
    won: bool | None = None
    is_listed: bool = False
    is_removed: bool = False
    problem: str = ""


@dataclass(frozen=True)
class Rereading:
    """How often a file was read while another process replaced it, and what was not one of its two contents."""

    num_reads: int = 0
    num_changes: int = 0
    num_missing: int = 0
    num_torn: int = 0
    num_stale: int = 0
    problem: str = ""


def clock() -> float:
    """The time that the clock of this machine shows."""
    return time.time()


async def connect_to(addresses: Sequence[str]) -> dict[str, float | str]:
    """Address → the seconds that a connection takes from here, or why there is none."""
    return dict(zip(addresses, await asyncio.gather(*map(_connect, addresses)), strict=True))


def connect_from_here(addresses: Sequence[str]) -> dict[str, float | str]:
    """The same, for a thread without an event loop."""
    return asyncio.run(connect_to(addresses))


async def _connect(address: str) -> float | str:
    host, port = host_and_port(address)
    start = time.perf_counter()
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), CONNECT_TIMEOUT_S)
    except TimeoutError:
        return f"no answer within {CONNECT_TIMEOUT_S:.0f} s"
    except OSError as error:
        return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
    seconds = time.perf_counter() - start
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return seconds


def exchange(folder: str, name: str, names: Sequence[str], timeout_s: float) -> Exchange:
    """Write `name` into a folder, then look for all `names`, which other processes write there meanwhile.

    A folder of a disk must be there: who does not see it does not share that disk, and shall leave nothing on its own.
    """
    looked_at = time.time()
    seen_at: dict[str, float] = {}
    wrong: set[str] = set()
    _look_for(folder, names, seen_at, wrong)
    time.sleep(_LEAD_S)
    if storage.is_local(folder) and not _appears(Path(folder), timeout_s):
        return Exchange(looked_at, problem=f"{folder}, which the client has just made, is not there. {SHARE_IT}")
    try:
        storage.write_bytes(storage.join(folder, name), _content(name))
        written_at = time.time()
        won = _link(folder, name)
        is_listed, is_removed = _list_and_remove(folder, f"{name}-removed")
    except Exception as error:  # noqa: BLE001 - a remote file system fails in its own ways
        return Exchange(looked_at, problem=str(error) if isinstance(error, CurationError) else repr(error))
    until = time.monotonic() + timeout_s
    while len(seen_at) < len(names) and time.monotonic() < until:
        _look_for(folder, names, seen_at, wrong)
        time.sleep(_POLL_S)
    return Exchange(looked_at, written_at, seen_at, tuple(sorted(wrong)), won, is_listed, is_removed)


def _appears(folder: Path, timeout_s: float) -> bool:
    until = time.monotonic() + timeout_s
    while not (there := folder.is_dir()) and time.monotonic() < until:
        time.sleep(_POLL_S)
    return there


def _content(name: str) -> bytes:
    return f"{name}\n".encode() * 500


def _look_for(folder: str, names: Sequence[str], seen_at: dict[str, float], wrong: set[str]) -> None:
    for name in names:
        if name in seen_at:
            continue
        with suppress(OSError, ShardError):
            if storage.read_bytes(storage.join(folder, name)) == _content(name):
                seen_at[name] = time.time()
            else:
                wrong.add(name)


def _link(folder: str, name: str) -> bool | None:
    """Whether the name that all want, as runs want the name of their lock, could be linked to our file."""
    if not storage.is_local(folder):
        return None
    try:
        Path(folder, "wanted").hardlink_to(Path(folder, name))
    except FileExistsError:
        return False
    except OSError as error:
        raise ShardError(f"{folder}: a hard link cannot be made: {error.strerror}") from None
    return True


def _list_and_remove(folder: str, name: str) -> tuple[bool, bool]:
    url = storage.join(folder, name)
    storage.write_bytes(url, b"")
    is_listed = name in storage.list_files(folder)
    storage.remove(url)
    return is_listed, not storage.exists(url)


def replaced(path: Path, seconds: float) -> int:
    """Replace a file for a while by its other content, as fast as it goes; how often."""
    until = time.monotonic() + seconds
    count = 0
    while time.monotonic() < until:
        new = path.with_name(f"{path.name}{storage.SCRATCH}")
        new.write_bytes(_CONTENTS[count % 2])
        new.replace(path)
        count += 1
    return count


def reread(path: Path, seconds: float) -> Rereading:
    """Read a file for a while that another process replaces: each time it must be there, and whole."""
    until = time.monotonic() + seconds
    num_reads = num_changes = num_missing = num_torn = num_stale = 0
    before = None
    while time.monotonic() < until:
        num_reads += 1
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            num_missing += 1
        except OSError as error:
            if error.errno != errno.ESTALE:
                return Rereading(problem=f"{path.name}: {error.strerror}")
            num_stale += 1
        else:
            num_torn += content not in _CONTENTS
            num_changes += before is not None and content != before
            before = content
    return Rereading(num_reads, num_changes, num_missing, num_torn, num_stale)
