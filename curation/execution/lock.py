"""lock.json: who writes to a run directory. A second run is refused; a dead holder's lock is taken over."""

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil

from curation.core.errors import ClusterError
from curation.core.fingerprint import canonical_json
from curation.data import storage

HEARTBEAT_S = 15.0
STALE_AFTER_S = 60.0


@contextmanager
def hold(url: str) -> Iterator[None]:
    """Hold the lock at `url` while the block runs, with a heartbeat.

    Raises ClusterError with the holder's host, process and last sign of life when another run holds it. A lock is
    taken over when its holder is a dead process of this host, or has not beaten for `STALE_AFTER_S`.
    """
    mine = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "process_start": _process_start(os.getpid()),
        "token": uuid.uuid4().hex,
    }
    while not storage.create_exclusively(url, _beat(mine)):
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


def _take_over_or_refuse(url: str) -> None:
    holder = _read(url)
    if holder is None:
        return
    silent_s = time.time() - holder["beat"]
    if _is_dead(holder) or silent_s > STALE_AFTER_S:
        storage.remove(url)
        return
    raise ClusterError(
        f"{url}: process {holder['pid']} on {holder['host']} is writing to this run (last sign of life "
        f"{silent_s:.0f} s ago). Wait for it, stop it, or choose another output."
    )


def _keep_beating(url: str, mine: dict[str, Any], stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT_S):
        storage.write_bytes(url, _beat(mine))


def _beat(mine: dict[str, Any]) -> bytes:
    return canonical_json(mine | {"beat": time.time()})


def _read(url: str) -> dict[str, Any] | None:
    try:
        return dict(json.loads(storage.read_bytes(url)))
    except FileNotFoundError:
        return None


def _is_dead(holder: dict[str, Any]) -> bool:
    """A process of this host that is gone, or whose number another process has by now."""
    here = holder["host"] == socket.gethostname()
    return here and _process_start(holder["pid"]) != holder["process_start"]


def _process_start(pid: int) -> float | None:
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None
