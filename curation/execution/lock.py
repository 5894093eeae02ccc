"""lock.json: who writes to a run directory. A second run is refused; a dead holder's lock is taken over."""

import json
import os
import signal
import socket
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

HEARTBEAT_S = 15.0
STALE_AFTER_S = 60.0


@contextmanager
def hold(url: str) -> Iterator[None]:
    """Hold the lock at `url` while the block runs, with a heartbeat.

    Raises ClusterError with the holder's host, process and last sign of life when another run holds it. A lock is
    taken over when its holder is a dead process of this host, or has not beaten for `STALE_AFTER_S`; a holder that
    wakes up and finds it taken over stops itself as SIGTERM would. Object stores have no exclusive creation; there two
    runs that start in the same second may both believe to hold it, until the first beat.
    """
    pid = os.getpid()
    mine = {"host": socket.gethostname(), "pid": pid, "process_start": _start(pid), "token": uuid.uuid4().hex}
    while not _create(url, _beat(mine)):
        _take_over_or_refuse(url)
    stop = threading.Event()
    heart = threading.Thread(target=_keep_beating, args=(url, mine, stop), name="lock-heartbeat", daemon=True)
    heart.start()
    try:
        yield
    finally:
        stop.set()
        heart.join()
        if (holder := _read(url)) and holder["token"] == mine["token"]:
            storage.remove(url)


def _create(url: str, data: bytes) -> bool:
    """Write a file that must not exist yet, whole; False when it does."""
    if not storage.is_local(url):
        if storage.exists(url):
            return False
        storage.write_bytes(url, data)
        return True
    path = Path(storage.filesystem(url)[1])
    own = path.with_name(f".lock-{uuid.uuid4().hex}{storage.SCRATCH}")
    with storage.explaining(url, "written"):
        path.parent.mkdir(parents=True, exist_ok=True)
        own.write_bytes(data)
        try:
            path.hardlink_to(own)
        except FileExistsError:
            return False
        finally:
            own.unlink()
    return True


def _take_over_or_refuse(url: str) -> None:
    if (holder := _read(url)) is None:
        return
    silent_s = time.time() - holder["beat"]
    if not _is_dead(holder) and silent_s <= STALE_AFTER_S:
        raise ClusterError(
            f"{url}: process {holder['pid']} on {holder['host']} is writing to this run (last sign of life "
            f"{silent_s:.0f} s ago). Wait for it, stop it, or choose another output."
        )
    _take_away(url, holder)


def _take_away(url: str, holder: dict[str, Any]) -> None:
    """Remove a lock if it is still this one: another run may have taken it over since it was read."""
    if not storage.is_local(url):
        storage.remove(url)
        return
    path = Path(storage.filesystem(url)[1])
    aside = path.with_name(f".lock-{uuid.uuid4().hex}{storage.SCRATCH}")
    with storage.explaining(url, "taken over"), suppress(FileNotFoundError):
        path.rename(aside)
        if _read(str(aside)) != holder:
            with suppress(FileExistsError):
                path.hardlink_to(aside)
        aside.unlink()


def _keep_beating(url: str, mine: dict[str, Any], stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT_S):
        with suppress(ShardError):  # a full disk must not kill the heart: the run itself will say it
            holder = _read(url)
            if holder is None or holder["token"] != mine["token"]:
                os.kill(os.getpid(), signal.SIGTERM)
                return
            storage.write_bytes(url, _beat(mine))


def _beat(mine: dict[str, Any]) -> bytes:
    return canonical_json(mine | {"beat": time.time()})


def _read(url: str) -> dict[str, Any] | None:
    """The holder; None when there is none. A file without sense (its writer was killed) is as old as it looks."""
    if not storage.exists(url):
        return None
    try:
        return dict(json.loads(storage.read_bytes(url)))
    except ShardError:
        if storage.exists(url):
            raise
        return None
    except ValueError:
        return {"host": "", "pid": 0, "process_start": None, "token": "", "beat": 0.0}


def _is_dead(holder: dict[str, Any]) -> bool:
    """Whether it is a process of this host that is gone, or whose number another process has by now."""
    return bool(holder["host"] == socket.gethostname()) and _start(holder["pid"]) != holder["process_start"]


def _start(pid: int) -> float | None:
    """When a process of this host was started; None when it is gone."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None
