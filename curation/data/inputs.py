"""What a run reads: the `[input]` table of a config, and the files that it names. Nothing is left aside silently."""

import os
import posixpath
import re
import stat
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from fsspec.implementations.local import LocalFileSystem

from curation.core import frames
from curation.core.errors import CurationError
from curation.data import storage
from curation.data.explaining import redacted, why

Format = Literal["parquet", "jsonl"]
Compression = Literal["", "gzip", "zstd"]

CARRY_TYPES = ("string", "int64", "float64", "bool")
RESERVED = ("position", "id", "text", "n_bytes", "n_chars", "n_tokens", "state")
"""The columns that every frame or rows/ file has; none can be carried under such a name."""

_UNSPEAKABLE = re.compile(r'["\\\x00-\x1f]')
_FORMATS: Mapping[str, Format] = {".parquet": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl"}
_COMPRESSIONS: Mapping[str, Compression] = {".gz": "gzip", ".zst": "zstd", ".zstd": "zstd"}
_STAMPS = ("ETag", "etag", "md5Hash", "generation", "LastModified", "last_modified", "updated", "mtime", "created")


@dataclass(frozen=True)
class InputSpec:
    """The `[input]` table.

    `path`: files, folders or globs, on any fsspec path. `id_column`: "" where there is none; then ids are made.
    `carry`: columns kept beside the scores, each "name" (a string) or "name:int64", "name:float64", "name:bool",
    "name:string". `where`: a pandas expression over carried columns; rows for which it is false or null are not
    selected. (As in pandas, a missing string equals nothing, so ``lang != 'en'`` is true where `lang` is missing.)
    `partition_bytes`: of decoded text in one frame, unless one document alone is longer. `frame`: whose frames the
    stages get; no file depends on it.
    """

    path: tuple[str, ...]
    id_column: str = "id"
    text_column: str = "text"
    carry: tuple[str, ...] = ()
    where: str = ""
    shard_bytes: int = 134_217_728
    partition_bytes: int = 16_777_216
    frame: frames.Library = "pandas"

    @property
    def carried(self) -> dict[str, str]:
        """Carried column → one of `CARRY_TYPES`, in order."""
        return dict(_named_type(each) for each in self.carry)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read, each once."""
        names = (self.id_column, self.text_column, *self.carried)
        return tuple(dict.fromkeys(name for name in names if name))

    def mistakes(self) -> list[str]:
        """What is wrong with the settings themselves; nothing is opened."""
        found = []
        if not self.path or not all(self.path):
            found.append("[input] path: is empty; name a file, a folder or a glob.")
        if not self.text_column:
            found.append("[input] text_column: is empty; name the column that holds the text.")
        elif self.id_column == self.text_column:
            found.append(f'[input] id_column: {self.id_column!r} is the text column; name another one, or "" for none.')
        found.extend(
            f"[input] {setting}: {value} bytes; it must be at least 1."
            for setting, value in (("shard_bytes", self.shard_bytes), ("partition_bytes", self.partition_bytes))
            if value < 1
        )
        if self.frame == "cudf" and self.partition_bytes > frames.MAX_STRING_BYTES:
            found.append(
                f"[input] partition_bytes: {self.partition_bytes} bytes of text are more than a string column of cuDF "
                f'holds; with frame = "cudf" it may be at most {frames.MAX_STRING_BYTES}, and far less is as fast.'
            )
        found.extend(
            f"[input]: the column name {name!r} holds a quote, a backslash or a control character; rename the column."
            for name in self.columns
            if _UNSPEAKABLE.search(name)
        )
        if self.where and not self.carry:
            found.append("[input] where: selects on carried columns, but carry is empty; add the columns it needs.")
        return found + self._carry_mistakes()

    def _carry_mistakes(self) -> list[str]:
        found, seen = [], set()
        for each in self.carry:
            name, kind = _named_type(each)
            if not name:
                found.append(f"[input] carry: {each!r} names no column.")
            if kind not in CARRY_TYPES:
                types = ", ".join(CARRY_TYPES)
                found.append(f"[input] carry: {each!r} asks for the type {kind!r}; the types are {types}.")
            if name == self.text_column:
                found.append(f"[input] carry: {name!r} is the text, which stays in the documents; leave it out.")
            elif name in RESERVED:
                found.append(f"[input] carry: {name!r} is a column that every row has already; rename or leave it out.")
            if name in seen:
                found.append(f"[input] carry: {name!r} is named twice.")
            seen.add(name)
        return found


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

    @property
    def num_bytes(self) -> int:
        """The size of all files."""
        return sum(file.num_bytes for file in self.files)


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
        except Exception as error:  # noqa: BLE001 - a remote file system fails in its own ways
            mistakes.append(f"[input] path: {redacted(place)!r} cannot be listed: {_why(place, error)}.")
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


def _why(place: str, error: Exception) -> str:
    says_all = isinstance(error, FileNotFoundError | CurationError)
    return _reason(error) if says_all else why(place, error)


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
    entries: dict[str, _Entry] = {}
    for path, info in sorted(fs.glob(pattern, detail=True).items()):
        if _is_folder(fs, path, info):
            entries.update((entry.url, entry) for entry in _tree(fs, path, root))
        else:
            entry = _without_hidden(_entry(fs, path, posixpath.relpath(path, root), info))
            entries[entry.url] = entry
    yield from entries.values()


def _tree(fs: Any, folder: str, root: str) -> Iterator[_Entry]:
    """Every name below a folder. Raises OSError for a folder that cannot be listed."""
    if isinstance(fs, LocalFileSystem):
        paths: Mapping[str, Mapping[str, Any]] = {path: {} for path in _walk(folder)}
    else:
        paths = fs.find(folder, detail=True)
    for path, info in paths.items():
        yield _without_hidden(_entry(fs, path, posixpath.relpath(path, root), info))


def _walk(folder: str) -> Iterator[str]:
    """Files below a folder on this machine, and links to folders, which are not followed."""

    def stop(error: OSError) -> None:
        raise error

    for place, folders, names in os.walk(folder, onerror=stop):
        for name in (*names, *(name for name in folders if Path(place, name).is_symlink())):
            yield posixpath.join(place, name)


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


def _named_type(carried: str) -> tuple[str, str]:
    name, separator, kind = carried.rpartition(":")
    return (name, kind) if separator else (carried, "string")
