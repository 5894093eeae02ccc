"""What a run still has to do, and why: the difference between what the plan needs and what records say."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from curation.data import storage
from curation.data.layout import Layout, classifier_of
from curation.data.shards import Shard
from curation.execution.audit import ShardRecords, read_records
from curation.execution.documents import DOCUMENTS
from curation.execution.resume import Division
from curation.execution.scoring import ScoreTask
from curation.execution.spec import Pinned, RunSpec

_FOLDERS = ("rows", "quarantine", "scores", "tierings/default/tiers")


@dataclass(frozen=True)
class Missing:
    """What is to be done; how many shards for which reason; and files that nothing accounts for.

    Tasks of the same classifiers come together, so that a worker seldom loads another replica; large shards first.
    """

    tasks: tuple[ScoreTask, ...]
    reasons: Mapping[str, int]
    orphans: tuple[str, ...]


def find_missing(spec: RunSpec, division: Division, pinned: tuple[Pinned, ...]) -> Missing:
    """Compare what the shards of a run need with what lies in its directory."""
    layout = Layout(spec.output)
    orphans = tuple(_orphans(spec, division.shards, pinned))
    former = _former_fingerprints(orphans, pinned)
    tasks = []
    reasons: Counter[str] = Counter()
    for each in read_records(layout, division.shards, pinned):
        rows, stale = _stale(spec, each, division, pinned, former)
        if rows or stale:
            reasons.update({reason for reason in (rows, *stale.values()) if reason})
            tasks.append(ScoreTask(spec, each.shard, tuple(stale), writes_rows=bool(rows)))
    tasks.sort(key=lambda task: ([each.name for each in task.pinned], -task.shard.num_bytes, task.shard.name))
    return Missing(tuple(tasks), dict(sorted(reasons.items())), orphans)


def is_complete(spec: RunSpec, records: ShardRecords, division: Division, pinned: tuple[Pinned, ...]) -> bool:
    """Whether nothing of a shard is missing or stale."""
    rows, stale = _stale(spec, records, division, pinned, {})
    return not rows and not stale


def _stale(
    spec: RunSpec,
    records: ShardRecords,
    division: Division,
    pinned: tuple[Pinned, ...],
    former: Mapping[str, str],
) -> tuple[str, dict[Pinned, str]]:
    """Why the rows of a shard must be written, and which classifiers must score it, with the reason."""
    scores = {one: _stale_scores(spec, records, one, division, former) for one in pinned}
    return _stale_rows(spec, records, division), {one: reason for one, reason in scores.items() if reason}


def _stale_rows(spec: RunSpec, records: ShardRecords, division: Division) -> str:
    """Why rows/ of a shard must be written; "" when it is as wanted."""
    rows = records.rows
    if rows is None:
        return "rows are missing"
    if not division.agrees(records.shard, rows["input"]):
        return "input content changed"
    if rows["reading"] != spec.rows_identity():
        return "id_column, text_column, carry, where or tokens changed"
    quarantined = 0 if records.quarantine is None else records.quarantine["num_rows"]
    return "" if quarantined == rows["quarantined"] else "quarantine is missing"


def _stale_scores(
    spec: RunSpec, records: ShardRecords, pinned: Pinned, division: Division, former: Mapping[str, str]
) -> str:
    """Why a classifier must score a shard; "" when its scores are as wanted."""
    name, scores = pinned.name, records.scores[pinned.name]
    if scores is None or scores["classifier"] != pinned.fingerprint:
        if name in former:
            return f"fingerprint of {name} changed from {former[name]} to {pinned.fingerprint[:8]}"
        return f"scores of {name} are missing"
    if not division.agrees(records.shard, scores["input"]):
        return "input content changed"
    return "" if scores["text"] == spec.text_identity() else "text_column or where changed"


def _orphans(spec: RunSpec, shards: Sequence[Shard], pinned: Sequence[Pinned]) -> Iterator[str]:
    """Files that no shard and no classifier of this run accounts for, relative to the run directory."""
    names = {f"{shard.name}.parquet" for shard in shards}
    folders = {each.folder for each in pinned}
    for top in _FOLDERS:
        for name in storage.list_files(storage.join(spec.output, top)):
            folder, _, rest = name.partition("/") if top == "scores" else ("", "", name)
            if rest not in names or (top == "scores" and folder not in folders):
                yield f"{top}/{name}"
    for name in storage.list_files(storage.join(spec.output, DOCUMENTS)):
        if not spec.documents or name.split("/", 3)[-1] not in names:
            yield f"{DOCUMENTS}/{name}"


def _former_fingerprints(orphans: Sequence[str], pinned: Sequence[Pinned]) -> Mapping[str, str]:
    """Classifier → the short fingerprint under which it has scored here before, if it was another one."""
    folders = {orphan.split("/")[1] for orphan in orphans if orphan.startswith("scores/")}
    names, now = {each.name for each in pinned}, {each.folder for each in pinned}
    found = (classifier_of(folder) for folder in sorted(folders - now))
    return {each[0]: each[1] for each in found if each and each[0] in names}
