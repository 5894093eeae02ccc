"""Bytes on any fsspec path. A file that exists under its final name is complete.

A local file is written under a scratch name, synced and renamed; a remote one is put in one request. Names last when
their folder is synced: that of a file alone at once, those of the many files of a run once, before its end. Scratch
files lie in the nearest `.scratch` folder above the target (`sweep_scratch` makes one in a run's directory, and empties
it), or beside the target where there is none. What will be put elsewhere waits in a file without a name, which dies
with its process.
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

from curation.core.errors import ConfigError
from curation.core.stopwatch import spent
from curation.data.explaining import explaining, redacted

SCRATCH = ".scratch"
"""The folder that scratch files lie in, and the ending of their names."""

PEEK_BYTES = 1 << 18
"""What is fetched at a time of a remote file of which little is wanted, such as its footer."""

_BLOCK_BYTES = 1 << 22
# Blocks, because a store's own read-ahead fetches tens of megabytes beyond a shard; several, because the columns of a
# Parquet file are read in turns.
_REMOTE_READING = {"cache_type": "blockcache", "cache_options": {"maxblocks": 16}}
_ONE_PUT = {"chunksize": 5 << 29}  # of s3fs: parts from twice that on, 5 GiB, which is the most that one PUT can hold
_S3 = {"s3", "s3a"}
_NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
_EMBEDDED = "embedded:"
_PACKAGE = Path(__file__).parent.parent


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

    What the filesystem knew of listings is forgotten: other processes write too. Raises ConfigError when the URL holds
    credentials, which would be kept and printed with it, or when the protocol is unknown or its package not installed.
    """
    url = resolve(url).removeprefix("file://")
    protocol, separator, _ = url.partition("://")
    if not separator:
        return LocalFileSystem(), str(Path(url).expanduser().absolute())
    if (shown := redacted(url)) != url:
        raise ConfigError(
            f"{shown}: holds credentials, and would be kept in config.json and printed. Leave them out, and give them "
            "through the environment or a profile."
        )
    try:
        fs, path = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        package = "pip install '.[s3]'" if protocol in _S3 else "Install the fsspec package for it"
        raise ConfigError(f"{url}: nothing here can open {protocol}:// paths ({error}). {package}.") from None
    fs.invalidate_cache()
    return fs, path


def is_local(url: str) -> bool:
    """Whether `url` is a path on this machine."""
    return isinstance(filesystem(url)[0], LocalFileSystem)


def url_of(fs: Any, path: str) -> str:
    """The URL that `filesystem` takes apart into `fs` and `path`; a plain path where it is local."""
    return path if isinstance(fs, LocalFileSystem) else str(fs.unstrip_protocol(path))


def from_root(url: str) -> str:
    """A local path with all folders from the root; any other URL, and none, as it is."""
    is_local = bool(url) and "://" not in url.removeprefix("file://")
    return filesystem(url)[1] if is_local else url


def join(url: str, *parts: str) -> str:
    """`url` with relative parts after it."""
    return posixpath.join(url, *(part.lstrip("/") for part in parts))


def exists(url: str) -> bool:
    """Whether there is a file or a folder. Raises ShardError when that cannot be known."""
    fs, path = filesystem(url)
    with explaining(url, "looked for"):
        return bool(fs.exists(path))


@contextlib.contextmanager
def opened(url: str, block_bytes: int = _BLOCK_BYTES) -> Iterator[BinaryIO]:
    """A file to read bytes from, of which a store is asked for `block_bytes` at a time.

    Raises ShardError when it cannot be opened; later errors stay what they are.
    """
    fs, path = filesystem(url)
    options = {} if isinstance(fs, LocalFileSystem) else _REMOTE_READING | {"block_size": block_bytes}
    with explaining(url, "opened"):
        file = fs.open(path, "rb", **options)
    with file:
        yield cast("BinaryIO", _Timed(file))


def read_bytes(url: str) -> bytes:
    """What a file holds. Raises ShardError when it cannot be read."""
    with opened(url) as file, explaining(url, "read"):
        return file.read()


def read_end(url: str, num_bytes: int) -> bytes | None:
    """The last bytes of a file, in one request; all of a shorter one, None when there is none. Raises ShardError."""
    fs, path = filesystem(url)
    with explaining(url, "read"):
        try:
            return cast("bytes", fs.cat_file(path, start=-num_bytes))
        except FileNotFoundError:
            return None


def write_bytes(url: str, data: bytes) -> None:
    """Put `data` under its final name, whole or not at all. Raises ShardError."""
    fs, path = filesystem(url)
    if isinstance(fs, LocalFileSystem):
        with committed(url) as file, explaining(url, "written"):
            file.write(data)
        with explaining(url, "written"):
            _sync_folder(Path(path).parent)
        return
    with explaining(url, "written"):
        fs.pipe_file(path, data, **_put_options(fs))


def create_bytes(url: str, data: bytes) -> bool:
    """Write a file that must not be there yet, whole; False when it is. Raises ShardError.

    Of several who try at once one succeeds: on this machine and on network file systems by a hard link, where there are
    none by exclusive creation; on S3 by a conditional PUT. A store without any of that lets the last one succeed.
    """
    fs, path = filesystem(url)
    with explaining(url, "written"):
        if isinstance(fs, LocalFileSystem):
            return _create_local(fs, path, data)
        if fs.exists(path):  # a store that does not know the condition would replace it
            return False
        try:
            fs.pipe_file(path, data, mode="create")
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno != errno.ENOSYS:
                raise
            fs.pipe_file(path, data)
    return True


def replace_bytes(url: str, former: bytes, data: bytes) -> bool:
    """Write a file in the place of one that holds `former`; False when it holds that no more. Raises ShardError.

    Of several who try at once one succeeds, as in `create_bytes`.
    """
    fs, path = filesystem(url)
    with explaining(url, "replaced"):
        if isinstance(fs, LocalFileSystem):
            return _replace_local(fs, path, former, data)
        try:
            tag = fs.info(path).get("ETag")
            if fs.cat_file(path) != former:
                return False
            if not (tag and _is_s3(fs)):
                fs.rm_file(path)
                return create_bytes(url, data)
            fs.pipe_file(path, data, IfMatch=tag)
        except FileNotFoundError:
            return False
        except OSError:
            if not fs.exists(path) or fs.cat_file(path) != former:
                return False
            raise
    return True


def append_bytes(url: str, data: bytes) -> None:
    """Add `data`, all or nothing, to the end of a file on this machine that one process writes. Raises ShardError."""
    path = Path(filesystem(url)[1])
    with explaining(url, "written"):
        _make_folder(path.parent)
        with path.open("ab", buffering=0) as file:
            size = file.tell()
            try:
                while data:
                    data = data[file.write(data) :]
            except OSError:
                file.truncate(size)
                raise


@contextlib.contextmanager
def committed(url: str) -> Iterator[BinaryIO]:
    """A file to write bytes to, which appears under its final name when the block ends.

    When the block raises, nothing appears and an older file of that name stays. A power cut may take the name back, and
    the file with it, until `sync_folders`; never a part of it. Raises ShardError when the file cannot be made or
    committed; what the block itself raises stays what it is.
    """
    fs, path = filesystem(url)
    with contextlib.ExitStack() as stack:
        with explaining(url, "written"):
            file = stack.enter_context(_scratch_file(fs, path))
        yield file
        with explaining(url, "written"):
            file.flush()
            _commit(fs, file, path)


def sync_folders(url: str) -> None:
    """Make the names of all files below a folder of this machine survive a power cut. Raises ShardError."""
    fs, path = filesystem(url)
    if isinstance(fs, LocalFileSystem):
        with explaining(url, "synced"):
            for folder, _, _ in os.walk(path):
                _sync_folder(Path(folder))


def rename_folder(folder: Path, name: Path) -> None:
    """Give a folder of this machine its final name, when its files have reached the disk. Raises ShardError."""
    with explaining(str(name), "written"):
        for path in folder.rglob("*"):
            if path.is_file():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
        sync_folders(str(folder))
        folder.rename(name)
        _sync_folder(name.parent)


def remove(url: str) -> None:
    """Remove a file; one that is not there is fine."""
    fs, path = filesystem(url)
    with explaining(url, "removed"), contextlib.suppress(FileNotFoundError):
        fs.rm_file(path)


def list_files(url: str) -> list[str]:
    """The files anywhere below a folder, relative to it and sorted, but for scratch files; none without a folder.

    Raises ShardError when the folder cannot be listed.
    """
    fs, path = filesystem(url)
    with explaining(url, "listed"):
        names = [posixpath.relpath(name, path) for name in fs.find(path)]
    return sorted(name for name in names if not name.endswith(SCRATCH))


def sweep_scratch(root: str) -> int:
    """Empty the folder of scratch files in a run's directory, making it if need be; how many were left over."""
    fs, path = filesystem(root)
    if not isinstance(fs, LocalFileSystem):
        return 0
    folder = Path(path, SCRATCH)
    with explaining(str(folder), "emptied"):
        _make_folder(folder)
        leftovers = [*folder.glob(f"*{SCRATCH}"), *folder.parent.glob(f".*{SCRATCH}")]
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
def _scratch_file(fs: Any, path: str) -> Iterator[BinaryIO]:
    """A file for what will lie at `path`: on the same disk, or nameless if that is remote; gone after the block."""
    if not isinstance(fs, LocalFileSystem):
        with tempfile.TemporaryFile() as nameless:
            yield cast("BinaryIO", nameless)
        return
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
        file.seek(0)  # where /dev/fd opens the same file description once more, it begins where this one stands
        fs.put_file(f"/dev/fd/{file.fileno()}", path, **_put_options(fs))
        return
    os.fsync(file.fileno())
    Path(file.name).replace(path)


def _is_s3(fs: Any) -> bool:
    return not _S3.isdisjoint([fs.protocol] if isinstance(fs.protocol, str) else fs.protocol)


def _put_options(fs: Any) -> dict[str, int]:
    return _ONE_PUT if _is_s3(fs) else {}


def _create_local(fs: Any, path: str, data: bytes) -> bool:
    with _scratch_file(fs, path) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
        try:
            os.link(file.name, path)
        except FileExistsError:
            return (
                os.fstat(file.fileno()).st_nlink > 1
            )  # NFS may lose the answer to a link that was made, and ask again
        except FileNotFoundError:
            return False  # who holds the file has swept the scratch files
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            try:
                with Path(path).open("xb") as exclusive:
                    exclusive.write(data)
            except FileExistsError:
                return False
    return True


def _replace_local(fs: Any, path: str, former: bytes, data: bytes) -> bool:
    aside = Path(path).with_name(f".{os.getpid()}-{secrets.token_hex(8)}{SCRATCH}")
    try:
        Path(path).rename(aside)
    except FileNotFoundError:
        return False
    try:
        found = aside.read_bytes()
        if found != former:
            _create_local(fs, path, found)
            return False
    finally:
        aside.unlink()
    return _create_local(fs, path, data)


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
    if folder.is_dir():
        return
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
