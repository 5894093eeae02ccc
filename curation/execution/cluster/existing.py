"""A client of a scheduler that somebody else started."""

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from curation.core.errors import ClusterError
from curation.execution.cluster.spec import ClusterSpec

if TYPE_CHECKING:
    from distributed import Client

_SOON_S, _REACH_S = 5, 60
_GREETING_S = 5


@contextmanager
def existing(spec: ClusterSpec) -> "Iterator[Client]":
    """A client of the scheduler that a spec names, which is left running; ClusterError when it cannot be reached."""
    from distributed.utils import silence_logging_cmgr

    client = _reached(spec)
    try:
        yield client
    finally:
        with silence_logging_cmgr("CRITICAL"):  # what is logged here is a client that still calls a lost scheduler
            client.close()


def _reached(spec: ClusterSpec) -> "Client":
    """A client of the scheduler that a spec names; an address that nothing can have is told without a wait."""
    from distributed.comm import resolve_address

    address = spec.address or _address_in(spec.scheduler_file)
    where = spec.address or f"{address}, which {spec.scheduler_file} names"
    key = "cluster.address" if spec.address else "cluster.scheduler_file"
    try:
        resolve_address(address)
    except OSError as error:
        raise ClusterError(f"{key}: {where}: no such host ({error.strerror}). Correct the name.") from None
    except ValueError as error:
        raise ClusterError(f"{key}: {where}: {error}. Write it as tcp://host:port.") from None
    client = _tried(address, _SOON_S)
    if isinstance(client, str):
        why = client
        sys.stderr.write(f"{where}: {why}; trying for {_REACH_S} s.\n")
        client = _tried(address, _REACH_S - _SOON_S)
        if isinstance(client, str):
            raise ClusterError(f"No scheduler answers at {where} ({why}; tried for {_REACH_S} s). {_advice(spec)}")
    return client


def _tried(address: str, timeout_s: float) -> "Client | str":
    """A client of the scheduler there, or why there is none."""
    from distributed import Client, Security
    from distributed.comm import connect

    async def greet() -> None:
        greeting = connect(address, timeout=timeout_s, **Security().get_connection_args("client"))
        comm = await asyncio.wait_for(greeting, timeout_s + _GREETING_S)
        await comm.close()

    try:
        asyncio.run(greet())  # a client would wait for ever for what listens and says nothing
        return Client(address=address, timeout=_REACH_S)  # it is also how long one that was lost is tried again
    except TimeoutError:
        return "what listens there does not speak as Dask does; its dashboard has another port"
    except (OSError, ValueError) as error:
        return str(_root(error)) or "no answer"


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
