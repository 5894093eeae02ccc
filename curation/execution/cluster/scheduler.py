"""What a client asks of its scheduler again and again, and the one error of a scheduler that is lost meanwhile."""

import asyncio
import concurrent.futures
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from curation.core.errors import ClusterError, CurationError

if TYPE_CHECKING:
    from distributed import Client

_LOST = "The scheduler was lost, and with it what was running. Start one, then run the same command again to go on."
_WHEN_LOST = (OSError, asyncio.CancelledError, concurrent.futures.CancelledError)  # CommClosedError is an OSError


def workers_of(client: "Client") -> Mapping[str, Mapping[str, Any]]:
    """What the scheduler knows of each worker, by address; ClusterError when the scheduler is lost."""
    with lost_is_one_error(client):
        _check(client)  # one that has begun to reconnect would wait, and then tell what it knew before
        workers: Mapping[str, Mapping[str, Any]] = client.scheduler_info(n_workers=-1)["workers"]
        _check(client)
        return workers


@contextmanager
def lost_is_one_error(client: "Client") -> Iterator[None]:
    """What Dask raises in various ways when the scheduler is gone, as one ClusterError."""
    try:
        yield
    except CurationError:
        raise
    except _WHEN_LOST as error:
        raise ClusterError(_LOST) from error
    except Exception as error:
        if _is_lost(client):  # a client that has closed raises KeyError, ValueError, AttributeError, as it happens
            raise ClusterError(_LOST) from error
        raise


def _check(client: "Client") -> None:
    if _is_lost(client):
        raise ClusterError(_LOST)


def _is_lost(client: "Client") -> bool:
    """A client that connects anew has lost its futures too."""
    return bool(client.status != "running")
