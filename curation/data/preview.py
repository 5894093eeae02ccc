"""A look at the first rows of some files, so that a plan finds a misspelt column before any work starts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from curation.core.errors import CurationError
from curation.data.inputs import InputSpec
from curation.data.reader import Partition, read
from curation.data.shards import Shard

_NUM_SHARDS = 4
_NUM_BYTES = 1 << 16


@dataclass(frozen=True)
class Preview:
    """What the first rows say of the settings: mistakes, and what may be one."""

    mistakes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def preview(shards: Sequence[Shard], spec: InputSpec) -> Preview:
    """Read the beginning of a few shards, spread over all of them.

    No text in any of their rows is a mistake; no id, or no value of a carried column, is worth a note. What cannot be
    read is left to the run.
    """
    step = max(1, -(-len(shards) // _NUM_SHARDS))
    partitions = list(_beginnings(shards[::step], replace(spec, where="", partition_bytes=_NUM_BYTES)))
    frames = [partition.frame for partition in partitions]
    bad = [row for partition in partitions for row in partition.quarantined]
    num_rows = sum(map(len, frames))
    if bad and not num_rows and all(row.reason.startswith("text is ") for row in bad):
        where = f"the first {len(bad)} rows have no text there, but {bad[0].reason.removeprefix('text is ')}"
        return Preview((f"[input] text_column: {spec.text_column!r} is not the text: {where}.",))
    if not num_rows:
        return Preview()
    notes = []
    if spec.id_column and all(frame["id"].str.contains(r"#\d+$").all() for frame in frames):
        notes.append(
            f"none of the first {num_rows} rows has an id in {spec.id_column!r}; ids are made, <file>#<position>. "
            'Is input.id_column right? (input.id_column = "" says that there are none.)'
        )
    notes += [
        f"none of the first {num_rows} rows has a {kind} in the carried column {name!r}, so it will be null there. "
        f'Are its name and its type right? (input.carry takes "{name}:int64" and so on.)'
        for name, kind in spec.carried.items()
        if all(frame[name].isna().all() for frame in frames)
    ]
    return Preview(notes=tuple(notes))


def _beginnings(shards: Sequence[Shard], spec: InputSpec) -> Iterator[Partition]:
    for shard in shards:
        try:
            partition = next(iter(read(shard, spec)), None)
        except CurationError:
            continue
        if partition is not None:
            yield partition
