"""The copying task: what is drawn of one shard, into a file for each phase and epoch."""

import heapq
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from curation.core.errors import ShardError
from curation.data import storage
from curation.data.inputs import InputSpec
from curation.data.reader import read
from curation.data.shards import Shard
from curation.data.sidecar import Record, SidecarWriter, iter_columns, read_columns, read_record
from curation.mixing import drawing
from curation.mixing.cuts import Documents, documents_of
from curation.mixing.drawing import Cut
from curation.mixing.folder import MixFolder
from curation.mixing.spec import QUALITY
from curation.mixing.supply import Key, Sidecars, planned_records

SCHEMA = pa.schema(
    [
        *(pa.field(name, pa.string(), nullable=False) for name in ("id", "text")),
        pa.field("n_tokens", pa.int64(), nullable=False),
        *(pa.field(name, pa.string(), nullable=False) for name in ("source", "tier")),
        pa.field(QUALITY, pa.int8(), nullable=False),
        *(pa.field(name, pa.string(), nullable=False) for name in ("run", "shard")),
        pa.field("position", pa.int64(), nullable=False),
        pa.field("epoch", pa.int32(), nullable=False),
    ]
)
"""A row is a document drawn once; run, shard and position say where it comes from, epoch how often it was before."""


@dataclass(frozen=True)
class CopyTask:
    """Copy what is drawn of a shard to the mix at `root`; `mix` is what all documents there follow from.

    `made_of` is what the shard's tiers have to follow from. Text is read as `reading` says, or with `copies` from the
    run's own documents/, where they follow from its tiers. What is drawn stands in the mix's draw.json, which workers
    read once: tasks are many, and sources may be.
    """

    root: str
    mix: str
    sidecars: Sidecars
    shard: Shard
    made_of: str
    reading: InputSpec
    copies: bool


class Draw(NamedTuple):
    """What all tasks of a run share: the phases, and the run's sources in the order of the plan, each with its cuts."""

    seed: int
    phases: tuple[str, ...]
    sources: tuple[tuple[Key, str, tuple[Cut, ...]], ...]


class Copied(NamedTuple):
    """A file: its path below the mix, and what it holds."""

    path: str
    phase: str
    epoch: int
    documents: int
    tokens: int


@dataclass(frozen=True)
class ShardCopied:
    """The files of a shard; and what each phase drew of each source: (phase, source, documents, tokens)."""

    files: tuple[Copied, ...]
    drawn: tuple[tuple[int, int, int, int], ...]


def copy_shard(task: CopyTask) -> ShardCopied:
    """Write what is drawn of a shard. Runs on a worker.

    What is there already and follows from the same stays as it is; the text is read only if anything is missing. Raises
    ShardError when the input is not what was scored, or its tiers are not those that were planned with.
    """
    draw = _draws(task.root, task.mix)[task.sidecars.supply.name]
    places = tuple((key, row) for row, (key, *_) in enumerate(draw.sources))
    found = documents_of(task.sidecars, draw.seed, task.shard.name, task.made_of, places)
    before = drawing.times_before([cuts for *_, cuts in draw.sources], found.sources, found.keys)
    wanted = dict(_files(task, draw.phases, found, before))
    if not all(_follows(task, file) for file in wanted):
        _copy(task, [name for _, name, _ in draw.sources], found, wanted)
    times = np.diff(before, axis=1)
    drawn = (
        (phase, int(row), int(here.sum()), int((here * found.num_tokens[found.sources == row]).sum()))
        for row in np.unique(found.sources)
        for phase, here in enumerate(times[found.sources == row].T)
    )
    return ShardCopied(tuple(wanted), tuple(drawn))


@lru_cache(maxsize=2)
def _draws(root: str, mix: str) -> dict[str, Draw]:
    """What a mix draws, by run."""
    url = MixFolder(root).draw_json
    known = json.loads(storage.read_bytes(url))
    if known["made_of"] != mix:
        raise ShardError(f"{url}: is of another plan by now; start the same command again.")
    sources = defaultdict(list)
    for each in known["sources"]:
        sources[each["run"]].append((tuple(each["key"]), each["name"], tuple(Cut(*cut) for cut in each["cuts"])))
    return {run: Draw(known["seed"], tuple(known["phases"]), tuple(drawn)) for run, drawn in sources.items()}


def _files(
    task: CopyTask, phases: Sequence[str], found: Documents, before: NDArray[np.int64]
) -> Iterator[tuple[Copied, NDArray[np.bool_]]]:
    """The files of a shard, and which of its documents are in each."""
    folder = MixFolder("")
    for place, phase in enumerate(phases):
        begin, end = before[:, place], before[:, place + 1]
        for epoch in range(int(begin.min(initial=0)), int(end.max(initial=0))):
            here = (begin <= epoch) & (epoch < end)
            if here.any():
                path = folder.documents(phase, epoch + 1, task.sidecars.supply.name, task.shard.name)
                yield Copied(path, phase, epoch + 1, int(here.sum()), int(found.num_tokens[here].sum())), here


def _about(task: CopyTask, file: Copied) -> dict[str, Any]:
    where = {"kind": "mix", "mix": task.mix, "run": task.sidecars.supply.name, "shard": task.shard.name}
    return where | {"phase": file.phase, "epoch": file.epoch, "num_rows": file.documents, "tokens": file.tokens}


def _follows(task: CopyTask, file: Copied) -> bool:
    record = read_record(storage.join(task.root, file.path))
    return record is not None and _about(task, file).items() <= record.items()


def _copy(
    task: CopyTask, sources: Sequence[str], documents: Documents, wanted: Mapping[Copied, NDArray[np.bool_]]
) -> None:
    is_drawn = np.logical_or.reduce([*wanted.values()])
    found = Documents(*(each[is_drawn] for each in documents))
    wanted = {file: here[is_drawn] for file, here in wanted.items()}
    rows = _rows(task, sources, found)
    records = planned_records(task.sidecars, task.shard.name, task.made_of)
    with ExitStack() as stack:
        writers = {
            file: stack.enter_context(SidecarWriter(storage.join(task.root, file.path), SCHEMA)) for file in wanted
        }
        num_found = 0
        for positions, texts in _texts(task, *records, tuple(rows["tier"].unique())):
            begin, end = np.searchsorted(found.positions, positions[[0, -1]] + [0, 1])
            places = np.searchsorted(positions, found.positions[begin:end])
            num_found += int((positions[places] == found.positions[begin:end]).sum())
            here = rows.iloc[begin:end].assign(text=texts.iloc[places].to_numpy())
            for file, writer in writers.items():
                writer.write(here[wanted[file][begin:end]].assign(epoch=file.epoch))
        if num_found < len(rows):
            raise ShardError(f"{task.shard.url}: {len(rows) - num_found:,} documents that were scored are not there.")
        for file, writer in writers.items():
            writer.finish(_about(task, file))


def _rows(task: CopyTask, sources: Sequence[str], found: Documents) -> pd.DataFrame:
    """What is said of every document, but for its text and the epoch."""
    layout, name = task.sidecars.layout, task.shard.name
    tiers = read_columns(layout.tiers(task.sidecars.supply.tiering, name), ["tier", QUALITY]).take(found.places)
    return pd.DataFrame(
        {
            "id": read_columns(layout.rows(name), ["id"])["id"].take(found.places).to_pandas(),
            "n_tokens": found.num_tokens,
            "source": np.asarray(sources, object)[found.sources],
            "tier": tiers["tier"].to_pandas(),
            QUALITY: tiers[QUALITY].to_numpy(),
            "run": task.sidecars.supply.name,
            "shard": name,
            "position": found.positions,
        }
    )


def _texts(
    task: CopyTask, rows: Record, tiers: Record, drawn: Sequence[str]
) -> Iterator[tuple[NDArray[np.int64], "pd.Series[str]"]]:
    """Positions and texts of a shard in order, some at a time; from its copies if all `drawn` tiers have them."""
    layout, name = task.sidecars.layout, task.shard.name
    copies = [layout.documents(tier, name) for tier in drawn] if task.copies else []
    about = {key: tiers[key] for key in ("input", "reading", "opinion")}
    if copies and all(about.items() <= (read_record(url) or {}).items() for url in copies):
        yield from _merged(copies, task.reading.partition_bytes)
        return
    reader = read(task.shard, task.reading)
    for partition in reader:
        if len(partition.frame):
            yield partition.frame["position"].to_numpy(), partition.frame["text"]
    if reader.fingerprint != rows["input"]:
        raise ShardError(
            f"{task.shard.url}: has changed since it was scored, so its tiers are those of other documents; run "
            "run_ensemble.py there again, then plan_mix.py."
        )


def _merged(urls: list[str], most_bytes: int) -> Iterator[tuple[NDArray[np.int64], "pd.Series[str]"]]:
    """The documents of several files by position, some `most_bytes` of text at a time."""
    positions: list[int] = []
    texts: list[str] = []
    num_bytes = 0
    for position, text in heapq.merge(*map(_each, urls)):
        positions.append(position)
        texts.append(text)
        num_bytes += len(text.encode())
        if num_bytes >= most_bytes:
            yield np.asarray(positions), pd.Series(texts, dtype="str")
            positions, texts, num_bytes = [], [], 0
    if positions:
        yield np.asarray(positions), pd.Series(texts, dtype="str")


def _each(url: str) -> Iterator[tuple[int, str]]:
    for table in iter_columns(url, ["position", "text"]):
        yield from zip(table["position"].to_pylist(), table["text"].to_pylist(), strict=True)
