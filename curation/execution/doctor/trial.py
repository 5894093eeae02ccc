"""The output tried: every node and this process write, read and replace files there, in a folder of ours."""

import secrets
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from curation.core.errors import CurationError
from curation.data import storage
from curation.data.explaining import explaining
from curation.execution.doctor import between, files
from curation.execution.doctor.asking import Ask, Failed, Patience, ask
from curation.execution.doctor.findings import Finding, Workers, change, first_of_host, ok
from curation.execution.doctor.network import Offsets
from curation.execution.window import describe

if TYPE_CHECKING:
    from distributed import Client

_EXCHANGE_S = 6.0
_REREAD_S = 1.0


def tried(
    output: str, client: "Client | None", workers: Workers, offsets: Offsets, patience: Patience
) -> Iterator[Finding]:
    """Whether files can be written, seen and replaced in the output, or in the nearest folder above that is there.

    Without a client this process tries alone.
    """
    try:
        with _own_folder(output) as folder:
            if not storage.exists(output):
                yield ok(f"{output} is not there yet; tried in {_parent(folder)}")
            yield from _exchanged(folder, client, workers, offsets, patience)
    except CurationError as error:
        yield change(str(error))
    except Exception as error:  # noqa: BLE001 - a remote file system fails in its own ways
        yield change(f"{output}: {describe(error)}")


def _exchanged(
    folder: str, client: "Client | None", workers: Workers, offsets: Offsets, patience: Patience
) -> Iterator[Finding]:
    """Every node and this process write into one folder and read what the others wrote."""
    first = first_of_host(workers)
    names = {f"from-{number}": host for number, host in enumerate(first)}
    every = ("from-client", *names)
    timeout_s = patience.left_s(_EXCHANGE_S)
    sent: dict[str, between.Exchange] = {}

    def join_in() -> None:
        sent["from-client"] = between.exchange(folder, "from-client", every, timeout_s)

    asks = {name: Ask(first[host], between.exchange, (folder, name, every, timeout_s)) for name, host in names.items()}
    answers = ask(client, asks, timeout_s + 2, join_in)
    for name, answer in answers.items():
        if isinstance(answer, Failed):
            yield change(f"{names[name]} did not write to {folder}: {answer.reason}")
        else:
            sent[name] = answer
    hosts = {"from-client": socket.gethostname(), **names}
    shifts = {"from-client": 0.0} | {name: each[0] for name, host in names.items() if (each := offsets[host])}
    sent = {name: each for name, each in sent.items() if name in shifts}
    yield from files.exchanged(_parent(folder), sent, hosts, shifts)
    if storage.is_local(folder) and all(len(each.seen_at) == len(every) for each in sent.values()):
        yield from _replaced(folder, client, first, patience)


def _replaced(folder: str, client: "Client | None", first: Mapping[str, str], patience: Patience) -> Iterator[Finding]:
    """One process replaces a file while others read it."""
    path = Path(folder, "replaced")
    num_replaced = between.replaced(path, 0.01)

    def replace() -> None:
        nonlocal num_replaced
        num_replaced += between.replaced(path, 1.5 * _REREAD_S)

    asks = {host: Ask(worker, between.reread, (path, _REREAD_S)) for host, worker in first.items()}
    answers = ask(client, asks, patience.left_s(4 * _REREAD_S), replace)
    read = {host: each.reason if isinstance(each, Failed) else each for host, each in answers.items()}
    yield from files.reread(_parent(folder), read, num_replaced)


@contextmanager
def _own_folder(output: str) -> Iterator[str]:
    """A folder for files of ours, on the file system of the output, and gone after the block."""
    fs, path = storage.filesystem(output)
    name = f".doctor-{socket.gethostname()}-{secrets.token_hex(4)}{storage.SCRATCH}"
    if not storage.is_local(output):
        folder = storage.join(output, name)
        try:
            yield folder
        finally:
            with suppress(FileNotFoundError):
                fs.rm(storage.filesystem(folder)[1], recursive=True)
        return
    local = storage.nearest(path) / name
    with explaining(str(local), "made"):
        local.mkdir()
    try:
        yield str(local)
    finally:
        shutil.rmtree(local, ignore_errors=True)


def _parent(folder: str) -> str:
    return folder.rpartition("/")[0]
