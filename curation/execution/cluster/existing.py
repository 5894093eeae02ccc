"""A client of a scheduler that somebody else started."""

import asyncio
import json
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curation.core.errors import ClusterError
from curation.execution.cluster.spec import ClusterSpec

if TYPE_CHECKING:
    from distributed import Client

SOON_S, REACH_S = 5, 60
"""How long a scheduler that is there takes to answer; how long one is tried that does not, in steps of the former."""

_CONNECT_SHARE = 0.8  # of a step; the rest is for the greeting
_NO_ANSWER = "no answer"
_HOW = (
    "Write it as tcp://host:port, or as tls://host:port with the certificates named in Dask's configuration "
    "(distributed.comm.tls)."
)


@contextmanager
def existing(
    spec: ClusterSpec, stopping: Callable[[], bool] = lambda: False, reach_s: float = REACH_S
) -> "Iterator[Client]":
    """A client of the scheduler that a spec names, which is left running.

    Raises ClusterError when it is not reached within `reach_s`, or when `stopping()` turns true before it is.
    """
    from distributed.utils import silence_logging_cmgr

    client = _reached(spec, stopping, reach_s)
    try:
        yield client
    finally:
        with silence_logging_cmgr("CRITICAL"):  # what is logged here is a client that still calls a lost scheduler
            client.close()


def _reached(spec: ClusterSpec, stopping: Callable[[], bool], reach_s: float) -> "Client":
    """A client of the scheduler that a spec names; an address that nothing can have is told without a wait."""
    from distributed import Security
    from distributed.comm import resolve_address

    address = spec.address or _address_in(spec.scheduler_file)
    where = spec.address or f"{address}, which {spec.scheduler_file} names"
    key = "cluster.address" if spec.address else "cluster.scheduler_file"
    try:
        resolve_address(address)
    except socket.gaierror as error:
        if error.errno == socket.EAI_NONAME:  # another failure is of the resolver, not of the name, and may pass
            raise ClusterError(f"{key}: {where}: no such host ({error.strerror}). Correct the name.") from None
    except ValueError as error:
        raise ClusterError(f"{key}: {where}: {error}. {_HOW}") from None
    try:
        settings = Security().get_connection_args("client")
        why = ""
        until = time.monotonic()
        for _ in range(max(1, round(reach_s / SOON_S))):
            time.sleep(max(0.0, until - time.monotonic()))
            until = time.monotonic() + SOON_S
            client = _tried(address, settings)
            if not isinstance(client, str):
                return client
            if stopping():
                raise ClusterError(f"Stopped before a scheduler was reached at {where} ({client}).")
            if not why and reach_s > SOON_S:
                sys.stderr.write(f"{where}: {client}; trying for {reach_s:.0f} s.\n")
            why = why if client == _NO_ANSWER and why else client
    except (TypeError, ValueError, ImportError, RuntimeError, OSError) as error:  # none that passes by itself
        raise ClusterError(f"{key}: {where}: {error}. {_HOW}") from None
    raise ClusterError(f"No scheduler answers at {where} ({why}; tried for {reach_s:.0f} s). {_advice(spec)}")


def _tried(address: str, settings: Mapping[str, Any]) -> "Client | str":
    """A client of the scheduler there, or why there is none yet."""
    from distributed import Client
    from distributed.comm import connect

    async def greet() -> None:
        greeting = connect(address, timeout=_CONNECT_SHARE * SOON_S, **settings)
        comm = await asyncio.wait_for(greeting, SOON_S)
        await comm.close()

    try:
        with ThreadPoolExecutor(1) as pool:  # a notebook has a running loop in this thread
            pool.submit(asyncio.run, greet()).result()  # a client would wait for ever for what says nothing
        return Client(address=address, timeout=REACH_S)  # also how long it tries to reach a scheduler that is lost
    except TimeoutError:
        return (
            "it accepts connections and says nothing: busy, hung, or no scheduler of Dask (its dashboard has another "
            "port)"
        )
    except OSError as error:
        return str(_root(error)) or _NO_ANSWER


def _address_in(file: str) -> str:
    """The address in a scheduler file."""
    try:
        return str(json.loads(Path(file).read_bytes())["address"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ClusterError(
            f"cluster.scheduler_file: {file} is no file of a scheduler ({type(error).__name__}: {error}). Name the one "
            "that `dask scheduler --scheduler-file` writes."
        ) from None


def _root(error: BaseException) -> BaseException:
    """What an error comes from: Dask's own say that time is over, not why."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _advice(spec: ClusterSpec) -> str:
    if spec.scheduler_file:
        return (
            "A scheduler that was killed leaves its file behind: look whether it still runs, and start it again, which "
            "writes the file anew."
        )
    return (
        "Look whether it runs, at which address its log says that it listens, and whether a firewall lies between; "
        "then start it or correct cluster.address."
    )
