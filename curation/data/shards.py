"""Shards: runs of consecutive rows of one input file, sized by bytes, fixed before anything is read.

A big Parquet file is cut between row groups, a big plain JSON Lines file between lines; a compressed file is one shard.
"""

import dataclasses
import itertools
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import BinaryIO

import pyarrow as pa

from curation.core.errors import ShardError
from curation.data import parquet, sidecar, storage
from curation.data.inputs import Compression, Format, InputFile, InputSpec

_SPLIT_THREADS = 16
_BLOCK_BYTES = 1 << 16


@dataclass(frozen=True)
class Shard:
    """A unit of work, of commit, of retry.

    `name`: the file's relative path, and `.rows-a-b` or `.bytes-a-b` where it has several shards. `start`, `stop`: rows
    of Parquet, bytes of JSON Lines as they lie in the file. `first_group`, `stop_group`: row groups of Parquet.
    `num_bytes`: how much there is to read, in uncompressed bytes where these are known. `num_rows`: -1 where unknown;
    for Parquet that means that the footer could not be read.
    """

    name: str
    url: str
    relative: str
    format: Format
    compression: Compression
    start: int
    stop: int
    first_group: int
    stop_group: int
    num_bytes: int
    num_rows: int


@dataclass(frozen=True)
class Split:
    """The shards of files in order; all mistakes; and what could not be read yet, which will fail as a shard."""

    shards: tuple[Shard, ...]
    mistakes: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()


def split(file: InputFile, spec: InputSpec) -> Split:
    """The shards of one file. A file that cannot be read now is one shard: it fails later, beside the others' work."""
    try:
        if file.format == "parquet":
            return _split_parquet(file, spec)
        return Split(tuple(_split_lines(file, spec)))
    except Exception as error:  # noqa: BLE001 - a damaged footer can fail in any way
        reason = str(error) if isinstance(error, ShardError) else f"{file.url}: cannot be split into shards: {error}."
        return Split((_whole(file),), unreadable=(reason,))


def split_all(files: Sequence[InputFile], spec: InputSpec) -> Split:
    """The shards of all files, which are looked at in parallel. Equal mistakes are told once, with their number."""
    with ThreadPoolExecutor(_SPLIT_THREADS) as pool:
        parts = list(pool.map(lambda file: split(file, spec), files))
    by_mistake = defaultdict(list)
    for file, part in zip(files, parts, strict=True):
        for mistake in part.mistakes:
            by_mistake[mistake].append(file.url)
    return Split(
        tuple(shard for part in parts for shard in part.shards),
        tuple(f"{urls[0]}{_and_others(len(urls) - 1)}: {mistake}" for mistake, urls in by_mistake.items()),
        tuple(reason for part in parts for reason in part.unreadable),
    )


def write_shards(url: str, shards: Sequence[Shard]) -> None:
    """Keep the plan, in its order."""
    with sidecar.SidecarWriter(url, _SCHEMA) as writer:
        writer.write({name: [getattr(shard, name) for shard in shards] for name in _SCHEMA.names})
        writer.finish({"kind": "shards"})


def read_shards(url: str) -> tuple[Shard, ...]:
    """The plan that was kept. Raises ShardError when it is missing, damaged or of a newer format."""
    return tuple(Shard(**row) for row in sidecar.read_columns(url, _SCHEMA.names).to_pylist())


_SCHEMA = pa.schema(
    [
        pa.field(field.name, pa.int64() if field.type is int else pa.string(), nullable=False)
        for field in dataclasses.fields(Shard)
    ]
)


def _split_parquet(file: InputFile, spec: InputSpec) -> Split:
    with parquet.opened(file.url, block_bytes=storage.PEEK_BYTES) as (opened, _):
        footer = opened.metadata
        mistakes = parquet.mistakes(opened.schema_arrow, spec)
    # The sizes of single columns would be nearer, but pyarrow aborts the process when it meets a damaged one.
    sizes = [footer.row_group(group).total_byte_size for group in range(footer.num_row_groups)]
    runs = _runs(sizes, spec.shard_bytes)
    shards = []
    for groups in runs:
        start, stop = parquet.row_range(footer, groups)
        shard = dataclasses.replace(
            _whole(file),
            start=start,
            stop=stop,
            first_group=groups.start,
            stop_group=groups.stop,
            num_bytes=sum(sizes[groups.start : groups.stop]),
            num_rows=stop - start,
        )
        name = f"{file.relative}.rows-{start}-{stop}" if len(runs) > 1 else file.relative
        shards.append(dataclasses.replace(shard, name=name))
    return Split(tuple(shards), tuple(mistakes))


def _runs(sizes: Sequence[int], target: int) -> list[range]:
    """Consecutive places that together reach `target`, but for the last; one empty run if there are none."""
    runs, start, total = [], 0, 0
    for place, size in enumerate(sizes):
        total += size
        if total >= target:
            runs.append(range(start, place + 1))
            start, total = place + 1, 0
    if start < len(sizes) or not runs:
        runs.append(range(start, len(sizes)))
    return runs


def _split_lines(file: InputFile, spec: InputSpec) -> list[Shard]:
    """Cut at the first line after each multiple of `shard_bytes`: lines added at the end move no cut before them."""
    whole = _whole(file)
    if file.compression or file.num_bytes <= spec.shard_bytes:
        return [whole]
    with storage.opened(file.url, storage.PEEK_BYTES) as opened:
        targets = range(spec.shard_bytes, file.num_bytes, spec.shard_bytes)
        inner = {_line_start(opened, target, file.num_bytes) for target in targets}
    cuts = sorted(inner | {0, file.num_bytes})
    if len(cuts) == 2:
        return [whole]
    return [
        dataclasses.replace(
            whole, name=f"{file.relative}.bytes-{start}-{stop}", start=start, stop=stop, num_bytes=stop - start
        )
        for start, stop in itertools.pairwise(cuts)
    ]


def _line_start(file: BinaryIO, target: int, size: int) -> int:
    """Where the first line begins that starts at `target` or later; `size` if there is none."""
    file.seek(target - 1)
    place = target - 1
    while place < size and (block := file.read(_BLOCK_BYTES)):
        newline = block.find(b"\n")
        if newline >= 0:
            return min(place + newline + 1, size)
        place += len(block)
    return size


def _whole(file: InputFile) -> Shard:
    stop = 0 if file.format == "parquet" else file.num_bytes
    return Shard(
        file.relative, file.url, file.relative, file.format, file.compression, 0, stop, 0, 0, file.num_bytes, -1
    )


def _and_others(count: int) -> str:
    return f" (and {count} other files)" if count > 1 else " (and another file)" if count else ""
