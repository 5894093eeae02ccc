"""The scoring task: a shard is read once, scored by every classifier, and its sidecars are committed.

It runs on a worker, reads and writes files itself and returns a few numbers: rows never travel. It is named in this
importable module, because what Dask ships by value would find the worker's loaded models missing.
"""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass

from curation.core.errors import CurationError, ModelError
from curation.data import storage
from curation.data.layout import QUARANTINE_SCHEMA, Layout, columns_schema, rows_schema
from curation.data.reader import Partition, Reader, read
from curation.data.rows import Quarantined
from curation.data.shards import Shard
from curation.data.sidecar import SidecarWriter
from curation.execution.spec import Pinned, RunSpec
from curation.inference.replica import Replica, replica_for
from curation.inference.tokens import count_tokens
from curation.stages.score import Score


@dataclass(frozen=True)
class ScoreTask:
    """Score a shard with some classifiers, none if only its rows are missing, and write its rows if they are."""

    spec: RunSpec
    shard: Shard
    pinned: tuple[Pinned, ...]
    writes_rows: bool


@dataclass(frozen=True)
class ShardDone:
    """What a task says of the shard that it has committed."""

    num_documents: int
    num_tokens: int
    seconds: float


def warm(spec: RunSpec, pinned: tuple[Pinned, ...]) -> str:
    """Load this worker's replica and let it reproduce its canaries; gives the build of torch. Runs on a worker.

    Raises ModelError.
    """
    try:
        replica = _replica(spec, pinned)
    except CurationError:
        raise
    except Exception as error:  # whatever a library says of a device or of a model that it does not like
        raise ModelError(
            f"The classifiers cannot be loaded on {spec.scoring.device!r}: {type(error).__name__}: {error}"
        ) from error
    replica.check_canaries()
    return replica.build


def score_shard(task: ScoreTask) -> ShardDone:
    """Read a shard once, score it, commit its sidecars. Runs on a worker."""
    start = time.monotonic()
    with ExitStack() as stack:
        sidecars = _Sidecars(task, stack)
        reader = read(task.shard, task.spec.input)
        for partition in reader:
            sidecars.write(partition)
        sidecars.finish(reader)
    return ShardDone(reader.counts.ok if task.pinned else 0, sidecars.num_tokens, time.monotonic() - start)


def _replica(spec: RunSpec, pinned: tuple[Pinned, ...]) -> Replica:
    for each in pinned:
        each.check()
    return replica_for(tuple(each.classifier for each in pinned), spec.scoring)


class _Sidecars:
    """The files of one shard, written side by side, row for row."""

    def __init__(self, task: ScoreTask, stack: ExitStack) -> None:
        self.task = task
        self.num_tokens = 0
        layout, name = Layout(task.spec.output), task.shard.name
        self.quarantine_url = layout.quarantine(name)
        self.score = Score(tuple(each.classifier for each in task.pinned), scoring=task.spec.scoring)
        self.replica = _replica(task.spec, task.pinned)
        self.replica.take_tallies()  # what a failed attempt left behind
        self.rows = None
        if task.writes_rows:
            schema = rows_schema(task.spec.input.carried)
            self.rows = stack.enter_context(SidecarWriter(layout.rows(name), schema))
        self.scores = {
            each: stack.enter_context(
                SidecarWriter(layout.scores(each.folder, name), columns_schema(each.classifier.columns))
            )
            for each in task.pinned
        }
        self.quarantine: SidecarWriter | None = None  # a file only where there is something to put into it
        self.stack = stack

    def write(self, partition: Partition) -> None:
        frame = partition.frame
        ok = frame["state"] == "ok"
        scored = self.score(frame.assign(text=frame["text"].where(ok)))
        for sidecar in self.scores.values():
            sidecar.write(scored)
        if partition.quarantined:
            self._write_quarantine(partition.quarantined)
        num_tokens = count_tokens(self.task.spec.tokens, frame["text"].tolist(), frame["n_bytes"].to_numpy())
        self.num_tokens += int(num_tokens[ok].sum())
        if self.rows is not None:
            self.rows.write(frame.assign(n_tokens=num_tokens))

    def _write_quarantine(self, rows: Sequence[Quarantined]) -> None:
        if self.quarantine is None:
            self.quarantine = self.stack.enter_context(SidecarWriter(self.quarantine_url, QUARANTINE_SCHEMA))
        self.quarantine.write(dict(zip(Quarantined._fields, zip(*rows, strict=True), strict=True)))

    def finish(self, reader: Reader) -> None:
        """Say what was written; the files appear when the stack ends, each complete in itself."""
        spec, counts = self.task.spec, reader.counts
        num_rows = counts.ok + counts.blank + counts.not_selected
        about = {"shard": self.task.shard.name, "input": reader.fingerprint}
        if self.quarantine is not None:
            self.quarantine.finish(about | {"kind": "quarantine", "num_rows": counts.quarantined})
        else:
            storage.remove(self.quarantine_url)  # of a former state of the input
        tallies = self.replica.take_tallies()
        for each, sidecar in self.scores.items():
            facts = {"kind": "scores", "text": spec.text_identity(), "classifier": each.fingerprint}
            sidecar.finish(about | facts | {"num_rows": num_rows} | asdict(tallies[each.name]))
        if self.rows is not None:
            facts = {"kind": "rows", "reading": spec.rows_identity(), "tokens": spec.tokens.how}
            self.rows.finish(about | facts | {"num_rows": num_rows} | asdict(counts))
