"""The scoring task: a shard is read once, scored by every classifier, and its sidecars are committed.

It runs on a worker, reads and writes files itself and returns a few numbers: rows never travel. It is named in this
importable module, because what Dask ships by value would find the worker's loaded models missing.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, NamedTuple

import pandas as pd
from numpy.typing import NDArray

from curation.core import frames
from curation.core.errors import CurationError, ModelError
from curation.core.stopwatch import Stopwatch, spent, timed
from curation.data import storage
from curation.data.layout import QUARANTINE_SCHEMA, Layout, columns_schema, rows_schema
from curation.data.reader import Reader, read
from curation.data.rows import Quarantined
from curation.data.shards import Shard
from curation.data.sidecar import SidecarWriter
from curation.execution.overlap import Behind, ahead
from curation.execution.spec import Pinned, RunSpec
from curation.inference.replica import Prepared, Replica, Tally, replica_for
from curation.inference.tokens import count_tokens


@dataclass(frozen=True)
class ScoreTask:
    """Score a shard with some classifiers, none if only its rows are missing, and write its rows if they are."""

    spec: RunSpec
    shard: Shard
    pinned: tuple[Pinned, ...]
    writes_rows: bool


@dataclass(frozen=True)
class ShardDone:
    """What a task says of the shard that it has committed.

    `seconds` are those of the task by what they were spent on; reading, tokenising and writing count as far as the
    models waited for them.
    """

    num_documents: int
    num_tokens: int
    seconds: Mapping[str, float]


def warm(spec: RunSpec, pinned: tuple[Pinned, ...]) -> str:
    """Load this worker's replica and let it reproduce its canaries; gives the build of torch. Runs on a worker.

    Raises ModelError, and ConfigError where frames cannot be what the spec wants.
    """
    frames.of(spec.input.frame, pd.DataFrame({"text": ["a"]}))  # so that a GPU that cuDF cannot use costs no shard
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
    """Read a shard once, score it, commit its sidecars. Runs on a worker.

    While the models score a partition, the next one is read and tokenised, and the one before is written.
    """
    stopwatch = Stopwatch()
    with stopwatch.running(), ExitStack() as stack:
        with spent("load"):
            replica = _replica(task.spec, task.pinned)
        replica.take_tallies()  # what a failed attempt left behind
        with spent("write"):
            sidecars = _Sidecars(task, stack)
        reader = read(task.shard, task.spec.input)
        with Behind() as behind, closing(ahead(_prepared(task, replica, reader))) as partitions:
            for partition in partitions:
                columns = replica.score(partition.texts)
                behind.call(partial(sidecars.write, partition, columns))
        with spent("write"):
            sidecars.finish(reader, replica.take_tallies())
            stack.close()
    num_documents = reader.counts.ok if task.pinned else 0
    return ShardDone(num_documents, sidecars.num_tokens, dict(stopwatch.seconds()))


class _Prepared(NamedTuple):
    """A partition without its text: rows as rows/ wants them, and what the models need of the texts."""

    rows: pd.DataFrame
    texts: Prepared
    quarantined: Sequence[Quarantined]


def _prepared(task: ScoreTask, replica: Replica, reader: Reader) -> Iterator[_Prepared]:
    for host, quarantined in ((each.frame, each.quarantined) for each in timed("parse", reader)):
        with spent("tokenise"):
            host["n_tokens"] = count_tokens(task.spec.tokens, host["text"].tolist(), host["n_bytes"].to_numpy())
            ok = host["text"].where(host["state"] == "ok").to_frame()
            del host["text"]
            texts = replica.prepare(frames.texts(frames.of(task.spec.input.frame, ok), "text"))
        yield _Prepared(host, texts, quarantined)


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
        self.reasons: Counter[str] = Counter()
        self.stack = stack

    def write(self, partition: _Prepared, columns: Mapping[str, NDArray[Any]]) -> None:
        with spent("write"):
            for sidecar in self.scores.values():
                sidecar.write({"position": partition.rows["position"], **columns})
            if partition.quarantined:
                self._write_quarantine(partition.quarantined)
            if self.rows is not None:
                self.rows.write(partition.rows)
        self.num_tokens += int(partition.rows["n_tokens"][partition.rows["state"] == "ok"].sum())

    def _write_quarantine(self, rows: Sequence[Quarantined]) -> None:
        if self.quarantine is None:
            self.quarantine = self.stack.enter_context(SidecarWriter(self.quarantine_url, QUARANTINE_SCHEMA))
        self.reasons.update(row.reason.partition(":")[0] for row in rows)
        self.quarantine.write(dict(zip(Quarantined._fields, zip(*rows, strict=True), strict=True)))

    def finish(self, reader: Reader, tallies: Mapping[str, Tally]) -> None:
        """Say what was written; the files appear when the stack ends, each complete in itself."""
        spec, counts = self.task.spec, reader.counts
        num_rows = counts.ok + counts.blank + counts.not_selected
        about = {"shard": self.task.shard.name, "input": reader.fingerprint}
        if self.quarantine is not None:
            facts = {
                "kind": "quarantine",
                "num_rows": counts.quarantined,
                "reasons": dict(sorted(self.reasons.items())),
            }
            self.quarantine.finish(about | facts)
        else:
            storage.remove(self.quarantine_url)  # of a former state of the input
        for each, sidecar in self.scores.items():
            facts = {"kind": "scores", "text": spec.text_identity(), "classifier": each.fingerprint}
            sidecar.finish(about | facts | {"num_rows": num_rows} | asdict(tallies[each.name]))
        if self.rows is not None:
            facts = {"kind": "rows", "reading": spec.rows_identity(), "tokens": spec.tokens.how}
            self.rows.finish(about | facts | {"num_rows": num_rows} | asdict(counts))
