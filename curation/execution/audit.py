"""The audit: every row of every file is accounted for, or the run says where not. Reads footers only."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from curation.data import storage
from curation.data.layout import Layout
from curation.data.shards import Shard
from curation.data.sidecar import read_record
from curation.execution.spec import Pinned, Scores

READ_THREADS = 16
ROW_STATES = ("ok", "blank", "not_selected", "quarantined")
_RUNS_PER_THREAD = 8
_COUNTED = ("read", *ROW_STATES, "made_ids", "carry_nulls")


@dataclass(frozen=True)
class ShardRecords:
    """The records of one shard's sidecars; None where there is no file."""

    shard: Shard
    rows: Mapping[str, Any] | None
    quarantine: Mapping[str, Any] | None
    scores: Mapping[str, Mapping[str, Any] | None]


@dataclass
class Audit:
    """What a run has read and scored, file by file, and what does not add up.

    `reasons` counts the rows in quarantine by what is wrong with them, as far as records say it.
    """

    files: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    scores: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    reasons: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    @property
    def totals(self) -> Counter[str]:
        """The counts of all files."""
        return sum(self.files.values(), Counter())


def read_records(layout: Layout, shards: Sequence[Shard], scores: Sequence[Pinned | Scores]) -> list[ShardRecords]:
    """The records that lie in a run directory for these shards and scores, in the order of the shards.

    Folders are listed first: an object store would be asked for every file that is not there.
    """
    folders = ["rows", "quarantine", *(f"scores/{each.folder}" for each in scores)]
    urls = [storage.join(layout.root, folder) for folder in folders]
    there = {storage.join(url, name) for url in urls for name in storage.list_files(url)}

    def record(url: str) -> Mapping[str, Any] | None:
        return read_record(url) if url in there else None

    def records(shard: Shard) -> ShardRecords:
        return ShardRecords(
            shard,
            record(layout.rows(shard.name)),
            record(layout.quarantine(shard.name)),
            {each.name: record(layout.scores(each.folder, shard.name)) for each in scores},
        )

    size = 1 + len(shards) // (_RUNS_PER_THREAD * READ_THREADS)
    runs = [shards[start : start + size] for start in range(0, len(shards), size)]
    with ThreadPoolExecutor(READ_THREADS) as threads:
        return list(chain.from_iterable(threads.map(lambda run: [records(shard) for shard in run], runs)))


def audit(complete: Iterable[ShardRecords], waiting: Iterable[ShardRecords] = ()) -> Audit:
    """Add up the records of the shards that are complete; of `waiting` ones, which may be stale, only the number."""
    result = Audit()
    for each in waiting:
        result.files[each.shard.relative]["waiting_shards"] += 1
    for each in complete:
        result.problems += [f"{each.shard.relative}: {problem}" for problem in problems(each)]
        if each.rows is not None:
            result.files[each.shard.relative].update({key: each.rows[key] for key in _COUNTED})
        result.reasons.update((each.quarantine or {}).get("reasons", {}))
        for name, record in each.scores.items():
            if record is not None:
                result.scores[name].update({key: value for key, value in record.items() if key.startswith("num_")})
    return result


def problems(records: ShardRecords) -> list[str]:
    """Why the sidecars of a shard do not account for every row of it."""
    rows, name = records.rows, records.shard.name
    if rows is None:
        return [f"the rows of shard {name} are missing"]
    found = []
    if rows["read"] != sum(rows[state] for state in ROW_STATES):
        states = " + ".join(f"{rows[state]:,} {state}" for state in ROW_STATES)
        found.append(f"shard {name} has {rows['read']:,} rows read, but {states}")
    if records.shard.num_rows not in {-1, rows["read"]}:
        found.append(f"shard {name} holds {records.shard.num_rows:,} rows, and {rows['read']:,} were read")
    quarantined = 0 if records.quarantine is None else records.quarantine["num_rows"]
    if quarantined != rows["quarantined"]:
        found.append(f"shard {name} quarantined {rows['quarantined']:,} rows, and its quarantine holds {quarantined:,}")
    for classifier, record in records.scores.items():
        if record is None:
            found.append(f"shard {name} has no scores of {classifier}")
        elif record["num_rows"] != rows["num_rows"] or record["input"] != rows["input"]:
            found.append(f"the scores of {classifier} for shard {name} do not belong to its rows")
        elif record["num_scored"] != rows["ok"]:
            found.append(f"{classifier} scored {record['num_scored']:,} of {rows['ok']:,} documents of shard {name}")
    return found
