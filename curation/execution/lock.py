"""lock.json: who writes to a run directory. A second run is refused; a dead holder's lock is taken over."""

import json
import os
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from curation.core.errors import ClusterError, ShardError
from curation.core.fingerprint import canonical_json
from curation.data import storage
from curation.execution import job

HEARTBEAT_S = 15.0
STALE_AFTER_S = 60.0

_LOOK_EVERY_S = 1.0


@contextmanager
def hold(url: str) -> Iterator[None]:
    """Hold the lock at `url` while the block runs, with a heartbeat.

    Raises ClusterError with the holder's host, process and last sign of life when another run holds it. A lock is
    taken over at once when its holder is a dead process of this machine; of another machine, whose clock may differ,
    when it does not beat while it is watched: for `STALE_AFTER_S`, or for two beats where it looks older than that. A
    job that was killed and starts again on another node so gets its lock back. A holder that wakes up and finds it
    taken over stops itself as SIGTERM would. Until then, at most a beat, both write: files of the same bytes under the
    same names, each whole.

    Of several who come at once one gets it, on disks and on S3; see `storage.create_bytes`. In a store without
    conditional writes several may believe to have it, until the first beat shows all but one that they have not.
    """
    mine = _this_process() | {"token": uuid.uuid4().hex}
    while not _acquire(url, mine):
        pass
    stop = threading.Event()
    heart = threading.Thread(target=_keep_beating, args=(url, mine, stop), name="lock-heartbeat", daemon=True)
    heart.start()
    try:
        yield
    finally:
        stop.set()
        heart.join()
        with suppress(ShardError):  # one that cannot be removed is stale soon
            if (holder := _holder(_read(url))) and holder["token"] == mine["token"]:
                storage.remove(url)


def _acquire(url: str, mine: dict[str, Any]) -> bool:
    """Create the lock, or take it over; False when another was faster. Raises ClusterError when another holds it."""
    if storage.create_bytes(url, _beat(mine)):
        return True
    former = _read(url)
    if former is None or (holder := _holder(former)) is None:
        return False
    silent_s = time.time() - holder["beat"]
    is_stale = abs(silent_s) > STALE_AFTER_S
    if not _is_dead(holder) and ((_is_here(holder) and not is_stale) or _beats(url, former, holder, is_stale=is_stale)):
        stop = f"scancel {holder['job']}" if holder["job"] else "stop it"
        raise ClusterError(
            f"{url}: {_who(holder)} is writing to this run (last sign of life {max(silent_s, 0):.0f} s ago). Wait for "
            f"it, {stop}, or choose another output."
        )
    return storage.replace_bytes(url, former, _beat(mine))


def _beats(url: str, former: bytes, holder: dict[str, Any], *, is_stale: bool) -> bool:
    """Whether a lock changes while it is watched; True too when it goes, for its holder was alive."""
    patience_s = 2 * HEARTBEAT_S if is_stale else STALE_AFTER_S
    sys.stderr.write(f"{url}: seeing for {patience_s:.0f} s whether {_who(holder)} still writes to this run.\n")
    until = time.monotonic() + patience_s
    while time.monotonic() < until:
        time.sleep(min(_LOOK_EVERY_S, patience_s))
        if _read(url) != former:
            return True
    return False


def _keep_beating(url: str, mine: dict[str, Any], stop: threading.Event) -> None:
    was_gone = False
    while not stop.wait(HEARTBEAT_S):
        with suppress(ShardError):  # a full disk must not kill the heart: the run itself will say it
            holder = _holder(_read(url))
            if holder is None and not was_gone:  # another run that looks at it may have put it aside for an instant
                was_gone = True
                continue
            if holder is None or holder["token"] != mine["token"]:
                taken = f"was taken over by {_who(holder)}" if holder else "is gone"
                sys.stderr.write(f"{url}: {taken}; this run has been silent for too long, and stops.\n")
                os.kill(os.getpid(), signal.SIGTERM)
                return
            was_gone = False
            storage.write_bytes(url, _beat(mine))


def _beat(mine: dict[str, Any]) -> bytes:
    return canonical_json(mine | {"beat": time.time()})


def _read(url: str) -> bytes | None:
    return storage.read_end(url, 1 << 16)


def _holder(data: bytes | None) -> dict[str, Any] | None:
    """Who wrote a lock; None when there is none. One without sense (its writer was killed) has not beaten for ever."""
    if data is None:
        return None
    unknown: dict[str, Any] = {
        "host": "unknown",
        "machine": "",
        "pid": 0,
        "process_start": None,
        "job": "",
        "token": "",
        "beat": 0.0,
    }
    try:
        known: dict[str, Any] = json.loads(data)
        return unknown | known
    except (ValueError, TypeError):
        return unknown


def _who(holder: dict[str, Any]) -> str:
    in_job = f", in Slurm's job {holder['job']}," if holder["job"] else ""
    return f"process {holder['pid']} on {holder['host']}{in_job}"


def _this_process() -> dict[str, Any]:
    pid = os.getpid()
    return {
        "host": socket.gethostname(),
        "machine": _machine(),
        "pid": pid,
        "process_start": _start(pid),
        "job": job.number(os.environ),
    }


def _machine() -> str:
    """What two processes share that see the same process numbers: no name, for containers and clones share names."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return f"{uuid.getnode():x}"


def _is_dead(holder: dict[str, Any]) -> bool:
    """Whether it is a process of this machine that is gone, or whose number another process has by now."""
    return _is_here(holder) and _start(holder["pid"]) != holder["process_start"]


def _is_here(holder: dict[str, Any]) -> bool:
    return bool(holder["machine"] == _machine())


def _start(pid: int) -> float | None:
    """When a process of this machine was started, if possible by a clock that nobody sets; None when it is gone."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        stat = Path(f"/proc/{pid}/stat")
        return int(stat.read_text().rpartition(")")[2].split()[19]) if stat.exists() else process.create_time()
    except (psutil.NoSuchProcess, OSError):
        return None
