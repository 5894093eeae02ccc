"""Bytes on any fsspec path. A file that exists under its final name is complete.

A local file is written under a scratch name, synced and renamed; a remote one is put in one request. Scratch files lie
in the nearest `.scratch` folder above the target (`sweep_scratch` makes one in a run's directory, and empties it), or
beside the target where there is none.
"""

import contextlib
import errno
import os
import posixpath
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Self, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

from curation.core.errors import ConfigError, ShardError
from curation.core.stopwatch import spent

SCRATCH = ".scratch"
"""The folder that scratch files lie in, and the ending of their names."""

_EMBEDDED = "embedded:"
_PACKAGE = Path(__file__).parent.parent
_ADVICE = {
    errno.ENOSPC: "Free some space or choose another output",
    errno.EDQUOT: "Free some of your quota or choose another output",
    errno.EFBIG: "Raise the limit on the size of files",
    errno.EIO: "Check the disk or the mount",
    errno.EACCES: "Check the permissions",
    errno.EPERM: "Check the permissions",
    errno.EROFS: "Choose an output that can be written",
    errno.ENAMETOOLONG: "Shorten the names of the input's folders and files",
}


def local_path(text: str) -> Path:
    """A path on this machine; ``embedded:NAME`` is the folder or file NAME that comes with the package."""
    if text.startswith(_EMBEDDED):
        return _PACKAGE / "embedded" / text.removeprefix(_EMBEDDED)
    return Path(text)


def resolve(url: str) -> str:
    """`url` with ``embedded:NAME`` replaced by the place in the package; anything else as it is."""
    return str(local_path(url)) if url.startswith(_EMBEDDED) else url


def filesystem(url: str) -> tuple[Any, str]:
    """The fsspec filesystem of a URL, and the path on it. What names no protocol is local, whatever its characters.

    What the filesystem knew of listings is forgotten: other processes write too. Raises ConfigError when the protocol
    is unknown or its package is not installed.
    """
    url = resolve(url).removeprefix("file://")
    protocol, separator, _ = url.partition("://")
    if not separator:
        return LocalFileSystem(), str(Path(url).expanduser().absolute())
    try:
        fs, path = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise ConfigError(
            f"{url}: nothing here can open {protocol}:// paths ({error}). Install the fsspec package for it."
        ) from None
    fs.invalidate_cache()
    return fs, path


def is_local(url: str) -> bool:
    """Whether `url` is a path on this machine."""
    return isinstance(filesystem(url)[0], LocalFileSystem)


def url_of(fs: Any, path: str) -> str:
    """The URL that `filesystem` takes apart into `fs` and `path`; a plain path where it is local."""
    return path if isinstance(fs, LocalFileSystem) else str(fs.unstrip_protocol(path))


def join(url: str, *parts: str) -> str:
    """`url` with relative parts after it."""
    return posixpath.join(url, *(part.lstrip("/") for part in parts))


def exists(url: str) -> bool:
    """Whether there is a file or a folder."""
    fs, path = filesystem(url)
    return bool(fs.exists(path))


@contextlib.contextmanager
def opened(url: str) -> Iterator[BinaryIO]:
    """A file to read bytes from. Raises ShardError when it cannot be opened; later errors stay what they are."""
    fs, path = filesystem(url)
    with explaining(url, "opened"):
        file = fs.open(path, "rb")
    with file:
        yield cast("BinaryIO", _Timed(file))


def read_bytes(url: str) -> bytes:
    """What a file holds. Raises ShardError when it cannot be read."""
    with opened(url) as file, explaining(url, "read"):
        return file.read()


def write_bytes(url: str, data: bytes) -> None:
    """Put `data` under its final name, whole or not at all. Raises ShardError."""
    fs, path = filesystem(url)
    if isinstance(fs, LocalFileSystem):
        with committed(url) as file, explaining(url, "written"):
            file.write(data)
        return
    with explaining(url, "written"):
        fs.pipe_file(path, data)


def append_bytes(url: str, data: bytes) -> None:
    """Add `data` to the end of a file on this machine that one process alone writes. Raises ShardError."""
    path = Path(filesystem(url)[1])
    with explaining(url, "written"):
        _make_folder(path.parent)
        with path.open("ab") as file:
            file.write(data)


@contextlib.contextmanager
def committed(url: str) -> Iterator[BinaryIO]:
    """A file to write bytes to, which appears under its final name when the block ends.

    When the block raises, nothing appears and an older file of that name stays. Raises ShardError when the file cannot
    be made or committed; what the block itself raises stays what it is.
    """
    fs, path = filesystem(url)
    with contextlib.ExitStack() as stack:
        with explaining(url, "written"):
            file = stack.enter_context(_scratch_file(fs, path))
        yield file
        with explaining(url, "written"):
            file.flush()
            _commit(fs, file, path)


def remove(url: str) -> None:
    """Remove a file; one that is not there is fine."""
    fs, path = filesystem(url)
    with explaining(url, "removed"), contextlib.suppress(FileNotFoundError):
        fs.rm_file(path)


def list_files(url: str) -> list[str]:
    """The files anywhere below a folder, relative to it and sorted, but for scratch files; none without a folder."""
    fs, path = filesystem(url)
    names = (posixpath.relpath(name, path) for name in fs.find(path))
    return sorted(name for name in names if not name.endswith(SCRATCH))


def sweep_scratch(root: str) -> int:
    """Empty the folder of scratch files in a run's directory, making it if need be; how many were left over."""
    fs, path = filesystem(root)
    if not isinstance(fs, LocalFileSystem):
        return 0
    folder = Path(path, SCRATCH)
    with explaining(str(folder), "emptied"):
        _make_folder(folder)
        leftovers = list(folder.glob(f"*{SCRATCH}"))
        for leftover in leftovers:
            leftover.unlink(missing_ok=True)
    return len(leftovers)


def why_not_writable(url: str) -> str | None:
    """Why no folder can be made at a path of this machine; None when one can, or when it is remote."""
    fs, path = filesystem(url)
    if not isinstance(fs, LocalFileSystem):
        return None
    place = nearest(path)
    if not place.is_dir():
        return f"{place} is a file"
    return None if os.access(place, os.W_OK | os.X_OK) else f"{place} may not be written"


def free_bytes(url: str) -> int | None:
    """What is free on the disk that a path lies on or would lie on; None when it is not local."""
    fs, path = filesystem(url)
    if not isinstance(fs, LocalFileSystem):
        return None
    return shutil.disk_usage(nearest(path)).free


def nearest(path: str) -> Path:
    """A path of this machine, or the first above it that is there."""
    whole = Path(path).expanduser().absolute()
    return next(each for each in (whole, *whole.parents) if each.exists())


@contextlib.contextmanager
def explaining(url: str, verb: str) -> Iterator[None]:
    """Turn an OSError of the block into a ShardError that names the file and says what to do."""
    try:
        yield
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, "Check the path")
        reason = error.strerror or str(error) or type(error).__name__
        raise ShardError(f"{url}: cannot be {verb}: {reason}. {advice}, then start the same command again.") from error


@contextlib.contextmanager
def _scratch_file(fs: Any, path: str) -> Iterator[BinaryIO]:
    """A file for what will lie at `path`: on the same disk, or on any if that is remote. It is gone after the block."""
    folder = Path(tempfile.gettempdir())
    if isinstance(fs, LocalFileSystem):
        _make_folder(Path(path).parent)
        folder = _scratch_folder(Path(path).parent)
    scratch = folder / f".{os.getpid()}-{secrets.token_hex(8)}{SCRATCH}"
    file = scratch.open("xb")
    try:
        yield file
    finally:
        with contextlib.suppress(OSError):  # a full disk, once more: it was told when the block or the commit met it
            file.close()
        scratch.unlink(missing_ok=True)


def _commit(fs: Any, file: BinaryIO, path: str) -> None:
    if not isinstance(fs, LocalFileSystem):
        fs.put_file(file.name, path)
        return
    os.fsync(file.fileno())
    Path(file.name).replace(path)
    _sync_folder(Path(path).parent)


class _Timed:
    """A file whose reading counts as "io"."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, *size: int) -> bytes:
        with spent("io"):
            return self._file.read(*size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._file)


def _scratch_folder(folder: Path) -> Path:
    """The nearest `.scratch` folder above; `folder` itself if there is none, or only on another file system."""
    for place in (folder, *folder.parents):
        scratch = place / SCRATCH
        if scratch.is_dir():
            return scratch if scratch.stat().st_dev == folder.stat().st_dev else folder
    return folder


def _make_folder(folder: Path) -> None:
    """Make a folder and those above it, durably: a name survives a power cut only when its folder was synced."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for place in reversed(missing):
        _sync_folder(place.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:  # some network file systems cannot sync a folder
            raise
    finally:
        os.close(descriptor)
