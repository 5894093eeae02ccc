"""The files that the `[input]` table names. Nothing is left aside silently."""

import os
import posixpath
import stat
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from fsspec.implementations.local import LocalFileSystem

from curation.core.errors import ConfigError
from curation.data import storage
from curation.data.inputs import InputSpec

Format = Literal["parquet", "jsonl"]
Compression = Literal["", "gzip", "zstd"]

_FORMATS: Mapping[str, Format] = {".parquet": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl"}
_COMPRESSIONS: Mapping[str, Compression] = {".gz": "gzip", ".zst": "zstd", ".zstd": "zstd"}
_STAMPS = ("ETag", "etag", "md5Hash", "generation", "LastModified", "last_modified", "updated", "mtime", "created")


@dataclass(frozen=True)
class InputFile:
    """One file to read. `stamp` changes when the file is written anew; "" when the file system tells none."""

    url: str
    relative: str
    format: Format
    compression: Compression
    num_bytes: int
    stamp: str


@dataclass(frozen=True)
class Found:
    """The files to read, in order; what was left aside, with the reason; and all mistakes."""

    files: tuple[InputFile, ...]
    ignored: tuple[str, ...]
    mistakes: tuple[str, ...]


@dataclass(frozen=True)
class _Entry:
    """A name that a path leads to. `aside` says why it is no input, `problem` why it cannot be one."""

    url: str
    relative: str
    num_bytes: int = 0
    stamp: str = ""
    aside: str = ""
    problem: str = ""


def find(spec: InputSpec) -> Found:
    """The Parquet and JSON Lines files (plain, .gz, .zst) that `spec.path` names, sorted by relative path.

    The relative path begins below the folder, below the fixed part of the glob, or is the file's own name. In folders
    and globs, other kinds of files, links to folders, and names that are hidden or start with an underscore are
    ignored, and listed. A .jsonl file of no bytes has no rows. Mistakes: nothing found, a file that cannot be read or
    is found twice, outputs that would collide.
    """
    files: list[InputFile] = []
    ignored: list[str] = []
    mistakes: list[str] = []
    for place in spec.path:
        try:
            entries, named = _entries(place)
        except (ConfigError, OSError, ValueError) as error:
            mistakes.append(f"[input] path: {place!r} cannot be listed: {_reason(error)}.")
            continue
        so_far = len(files) + len(mistakes)
        for entry in entries:
            kind = _kind(entry.relative)
            if entry.problem and kind:
                mistakes.append(f"[input] path: {entry.url} {entry.problem}.")
            elif kind and not entry.aside:
                files.append(InputFile(entry.url, entry.relative, *kind, entry.num_bytes, entry.stamp))
            else:
                reason = entry.aside or "is neither Parquet nor JSON Lines by its name"
                (mistakes if named else ignored).append(f"{entry.url} {reason}")
        if len(files) + len(mistakes) == so_far:
            kinds = ".parquet, .jsonl, .ndjson, .json, and the last three with .gz or .zst"
            mistakes.append(f"[input] path: {place!r} holds no file to read; the kinds are {kinds}.")
    files.sort(key=lambda file: (file.relative, file.url))
    return Found(tuple(files), tuple(sorted(ignored)), (*mistakes, *_collisions(files)))


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).rstrip(".")


def _entries(place: str) -> tuple[list[_Entry], bool]:
    """What a path leads to, and whether it names one file exactly."""
    fs, path = storage.filesystem(place)
    try:
        info = fs.info(path)
    except FileNotFoundError:
        if not _is_magic(path):
            raise FileNotFoundError("there is no such file or folder") from None
        return list(_globbed(fs, path)), False
    if _is_folder(fs, path, info):
        return list(_tree(fs, path, path)), False
    return [_entry(fs, path, posixpath.basename(path), info)], True


def _is_magic(path: str) -> bool:
    return any(character in path for character in "*?[")


def _is_folder(fs: Any, path: str, info: Mapping[str, Any]) -> bool:
    """Whether something is a folder, or on this machine a link to one."""
    return Path(path).is_dir() if isinstance(fs, LocalFileSystem) else info["type"] == "directory"


def _globbed(fs: Any, pattern: str) -> Iterator[_Entry]:
    """Files that match, and files below folders that match, each once."""
    parts = pattern.split("/")
    root = "/".join(parts[: next(place for place, part in enumerate(parts) if _is_magic(part))]) or "/"
    entries = {}
    for path, info in sorted(fs.glob(pattern, detail=True).items()):
        for entry in (
            _tree(fs, path, root) if _is_folder(fs, path, info) else [_entry(fs, path, _below(path, root), info)]
        ):
            entries[entry.url] = entry
    yield from (_without_hidden(entry) for entry in entries.values())


def _tree(fs: Any, folder: str, root: str) -> Iterator[_Entry]:
    """Every name below a folder. Raises OSError for a folder that cannot be listed."""
    if isinstance(fs, LocalFileSystem):
        paths: Mapping[str, Mapping[str, Any]] = {path: {} for path in _walk(folder)}
    else:
        paths = fs.find(folder, detail=True)
    for path, info in paths.items():
        yield _without_hidden(_entry(fs, path, _below(path, root), info))


def _walk(folder: str) -> Iterator[str]:
    """Files below a folder on this machine, and links to folders, which are not followed."""

    def stop(error: OSError) -> None:
        raise error

    for place, folders, names in os.walk(folder, onerror=stop):
        for name in (*names, *(name for name in folders if Path(place, name).is_symlink())):
            yield posixpath.join(place, name)


def _below(path: str, root: str) -> str:
    return posixpath.relpath(path, root)


def _without_hidden(entry: _Entry) -> _Entry:
    """Aside if some part of its relative path is hidden or starts with an underscore, as marker files do."""
    if any(part.startswith((".", "_")) for part in entry.relative.split("/")):
        return _Entry(entry.url, entry.relative, aside="is hidden, or starts with an underscore")
    return entry


def _entry(fs: Any, path: str, relative: str, info: Mapping[str, Any]) -> _Entry:
    """Size and stamp of a file. On this machine a link stands for what it points to, so that an edit there is seen."""
    if isinstance(fs, LocalFileSystem):
        return _local_entry(Path(path), relative)
    url, size = storage.url_of(fs, path), info.get("size")
    if size is None:
        return _Entry(url, relative, problem="does not tell its size")
    return _Entry(url, relative, int(size), next((str(info[key]) for key in _STAMPS if info.get(key) is not None), ""))


def _local_entry(path: Path, relative: str) -> _Entry:
    try:
        status = path.stat()
    except OSError as error:
        return _Entry(str(path), relative, problem=f"cannot be read: {_reason(error)}")
    if stat.S_ISDIR(status.st_mode):
        return _Entry(
            str(path), relative, aside="is a link to a folder, which is not followed; name it as another path"
        )
    if not stat.S_ISREG(status.st_mode):
        return _Entry(str(path), relative, problem="is not a regular file")
    return _Entry(str(path), relative, status.st_size, str(status.st_mtime_ns))


def _kind(name: str) -> tuple[Format, Compression] | None:
    """Format and compression by a file's name; None when it is of no kind that is read."""
    stem, extension = posixpath.splitext(name.lower())
    compression = _COMPRESSIONS.get(extension, "")
    form = _FORMATS.get(posixpath.splitext(stem)[1] if compression else extension)
    return None if form is None or (form == "parquet" and compression) else (form, compression)


def _collisions(files: Sequence[InputFile]) -> Iterator[str]:
    """Files that are found twice, and files whose outputs would overwrite each other."""
    by_url, by_relative = defaultdict(list), defaultdict(set)
    for file in files:
        by_url[file.url].append(file.relative)
        by_relative[file.relative].add(file.url)
    for url, names in by_url.items():
        if len(names) > 1:
            yield f"[input] path: {url} is found {len(names)} times; name each file or folder once."
    for relative, urls in by_relative.items():
        if len(urls) > 1:
            yield (
                f"[input] path: {', '.join(sorted(urls))} would all be written as {relative!r}; "
                "name the folder above them as one path, or rename them."
            )
    outputs = {f"{relative}.parquet" for relative in by_relative}
    for folder in sorted(
        {str(parent) for relative in by_relative for parent in PurePosixPath(relative).parents} & outputs
    ):
        yield f"[input] path: the folder {folder!r} would be written where an output of that name goes; rename it."
