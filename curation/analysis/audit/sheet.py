"""A seeded sample of documents for people to judge, equally many of each tier and deciding classifier.

The sheet does not say what the pipeline thinks of a document; the key beside it does.
"""

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from curation.calibration.description import Description
from curation.core.errors import ConfigError, ShardError
from curation.core.fingerprint import canonical_json
from curation.core.words import counted
from curation.data import storage
from curation.data.inputs import InputSpec
from curation.data.layout import Layout
from curation.data.lots import lots
from curation.data.reader import documents_at
from curation.data.shards import Shard, read_shards
from curation.data.sidecar import read_columns, read_record
from curation.execution import spec as run_spec
from curation.execution.cluster.connect import connect
from curation.execution.cluster.spec import ClusterSpec
from curation.execution.window import OnWorkers, run_window
from curation.inference.replica import ScoringSpec
from curation.stages.bucket import bucket_column
from curation.statistics import evenly

FORMAT = 1
SHEET_CSV, SHEET_JSONL, KEY, ABOUT = "sheet.csv", "sheet.jsonl", "key.csv", "audit.json"

_SHARDS_AT_ONCE = 64
_ALL_LOTS = 1 << 64
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

Stratum = tuple[str, str]
"""A tier, and the classifiers whose bucket is the quality, as "dclm" or "dclm + mixtral-edu"; "" where none decides."""


@dataclass(frozen=True)
class AuditSpec:
    """A sheet of about `num_documents` documents of a tiering of the run directory `run`, and what was written on it.

    output : the folder of sheet and key.
    max_chars : a longer text is cut on the sheet.
    labels : the filled sheets, one for each person; empty means sheet.csv in `output`.
    """

    run: str
    output: str
    tiering: str = "default"
    num_documents: int = 300
    max_chars: int = 4_000
    seed: int = 0
    labels: tuple[str, ...] = ()
    cluster: ClusterSpec = ClusterSpec(kind="cpu")

    def mistakes(self) -> list[str]:
        """Everything that is wrong with the settings themselves."""
        found = [f"{name}: is empty; name a directory." for name in ("run", "output") if not getattr(self, name)]
        found += [
            f"{name}: {getattr(self, name)} is below 1."
            for name in ("num_documents", "max_chars")
            if getattr(self, name) < 1
        ]
        return [*found, *self.cluster.mistakes("cpu")]

    def identity(self) -> dict[str, Any]:
        """What decides which documents stand on the sheet, and how."""
        named = ("tiering", "num_documents", "max_chars", "seed")
        return {name: getattr(self, name) for name in named}


@dataclass(frozen=True)
class AuditPlan:
    """Which documents there are, by stratum, and how many of each are drawn; `is_there` says that they were."""

    spec: AuditSpec
    layout: Layout
    reading: InputSpec
    shards: Sequence[Shard]
    classifiers: tuple[str, ...]
    num_there: Mapping[Stratum, int]
    num_drawn: Mapping[Stratum, int]
    about: bytes
    is_there: bool

    def lines(self) -> Iterator[str]:
        """The plan for people."""
        yield f"run: {self.layout.root}, tiering {self.spec.tiering}, {counted(len(self.shards), 'shard')}"
        for (tier, by), number in self.num_drawn.items():
            whose = f", decided by {by}" if by else ""
            yield f"  {tier}{whose}: {number:,} of {self.num_there[tier, by]:,}"
        there = " is there already, and is not drawn again" if self.is_there else ""
        yield f"sheet: {self.url(SHEET_CSV)}{there}"

    def url(self, name: str) -> str:
        """A file of the sheet's folder."""
        return storage.join(self.spec.output, name)


def plan(spec: AuditSpec) -> AuditPlan:
    """Check everything that needs no worker. Raises ConfigError with what is wrong."""
    if mistakes := spec.mistakes():
        raise ConfigError(*mistakes)
    layout = Layout(storage.from_root(spec.run))
    description = _description(layout, spec.tiering)
    if not storage.exists(layout.config_json):
        raise ConfigError(f"run: {layout.config_json} is missing; it says where the texts are.")
    num_there = _strata(description)
    drawn = evenly(num_there, spec.num_documents)
    num_drawn = {stratum: drawn[stratum] for stratum in num_there if drawn[stratum]}
    about = canonical_json({"format": FORMAT, "made_of": description.subject.made_of, **spec.identity()})
    url = storage.join(spec.output, ABOUT)
    is_there = storage.exists(url)
    if is_there and storage.read_bytes(url) != about:
        raise ConfigError(
            f"output: {spec.output} holds a sheet of other settings or of another state of the tiering, and people may "
            "have written on it. Choose another folder."
        )
    return AuditPlan(
        replace(spec, run=layout.root),
        layout,
        run_spec.read(layout.config_json).input,
        read_shards(layout.shards),
        tuple(each.name for each in description.subject.classifiers),
        num_there,
        num_drawn,
        about,
        is_there,
    )


def draw(planned: AuditPlan) -> int:
    """Draw the documents, read their texts and write sheet and key; gives how many there are.

    Raises ShardError when the input is not what was scored.
    """
    with connect(planned.spec.cluster, ScoringSpec(device="cpu"), lambda: False) as client:
        drawn = _drawn(partial(run_window, client, patience_s=planned.spec.cluster.patience_s), planned)
    weights = {stratum: planned.num_there[stratum] / number for stratum, number in planned.num_drawn.items()}
    drawn["weight"] = [weights[each] for each in zip(drawn["tier"], drawn["by"], strict=True)]
    drawn = drawn.sort_values("lot", ignore_index=True)  # tiers in no order
    drawn["number"] = np.arange(1, len(drawn) + 1)
    drawn = drawn.merge(_texts(planned, drawn), how="left", on=["shard", "position"], validate="1:1")
    for name, content in _files(drawn, planned.spec.max_chars).items():
        storage.write_bytes(planned.url(name), content)
    storage.write_bytes(planned.url(ABOUT), planned.about)  # last: without it there is no sheet
    return len(drawn)


@dataclass(frozen=True)
class DrawTask:
    """Of some shards, the documents whose lot is below that of their stratum."""

    root: str
    tiering: str
    shards: tuple[str, ...]
    classifiers: tuple[str, ...]
    lots: tuple[tuple[Stratum, int], ...]
    seed: int


def draw_from(task: DrawTask) -> pd.DataFrame:
    """The documents that are drawn: shard, position, tier, by, quality, lot. Runs on a worker."""
    parts = [_draw_from_shard(task, shard) for shard in task.shards]
    return pd.concat(parts, ignore_index=True)


def _draw_from_shard(task: DrawTask, shard: str) -> pd.DataFrame:
    layout = Layout(task.root)
    buckets = [bucket_column(name) for name in task.classifiers]
    by_maximum = any(by for (_, by), _ in task.lots)
    names = ["position", "quality", "tier", *(buckets if by_maximum else [])]
    frame = read_columns(layout.tiers(task.tiering, shard), names).to_pandas(use_threads=False)
    states = read_columns(layout.rows(shard), ["state"])["state"].to_pandas()
    frame["lot"] = lots(task.seed, shard, frame["position"].to_numpy())
    frame["by"] = ""
    limits = dict(task.lots)
    frame = frame[(states == "ok").to_numpy() & (frame["lot"] < np.uint64(min(max(limits.values()), _ALL_LOTS - 1)))]
    if by_maximum:
        frame = frame.assign(by=_deciders(frame, task.classifiers))
    drawn = [
        lot < limits.get((tier, by), 0)
        for tier, by, lot in zip(frame["tier"], frame["by"], frame["lot"].tolist(), strict=True)
    ]
    kept: pd.DataFrame = frame.loc[drawn, ["position", "tier", "by", "quality", "lot"]].assign(shard=shard)
    return kept


def _deciders(frame: pd.DataFrame, classifiers: Sequence[str]) -> list[str]:
    """For every row the classifiers whose bucket is its quality."""
    decides = np.stack([(frame[bucket_column(name)] == frame["quality"]).to_numpy() for name in classifiers], axis=1)
    return [_names(np.asarray(classifiers)[row]) for row in decides]


def _names(classifiers: Sequence[str]) -> str:
    return " + ".join(classifiers)


def _description(layout: Layout, tiering: str) -> Description:
    if not storage.exists(url := layout.description(tiering)):
        raise ConfigError(
            f"tiering: {url} is missing, so that nobody knows how many documents each tier has. Run run_ensemble.py "
            "or retier.py again: tierings are described when they are formed."
        )
    return Description.from_json(storage.read_bytes(url), url)


def _strata(description: Description) -> dict[Stratum, int]:
    """Documents by stratum, of the tiers that are ranges of quality, from the highest tier."""
    found: Counter[Stratum] = Counter()
    subject = description.subject
    if subject.by_maximum:
        for each in description.decides():
            found[each["tier"], _names(each["by"])] += each["documents"]
    else:
        for (tier, _), number in zip(subject.tiers, description.tiers[0].tolist(), strict=True):
            found[tier, ""] += number
    ranges = sorted(((low, tier) for tier, buckets in subject.tiers if buckets for low in buckets[:1]), reverse=True)
    places = {tier: place for place, (_, tier) in enumerate(ranges)}
    strata = {stratum: number for stratum, number in found.items() if number and stratum[0] in places}
    if not strata:
        raise ConfigError("tiering: no document has a tier, so there is nothing to judge.")
    return dict(sorted(strata.items(), key=lambda each: (places[each[0][0]], each[0][1])))


def _drawn(on_workers: OnWorkers, planned: AuditPlan) -> pd.DataFrame:
    """As many documents of each stratum as are wanted: those of the lowest lots."""
    excess = 4.0  # standard deviations: so many more are asked for that enough are found, but once in 30,000 times
    while True:
        limits = {
            stratum: _limit(number, planned.num_there[stratum], excess) for stratum, number in planned.num_drawn.items()
        }
        found = _below(on_workers, planned, limits)
        here = Counter(zip(found["tier"], found["by"], strict=True))
        if all(here[stratum] >= number for stratum, number in planned.num_drawn.items()):
            break
        if all(limit >= _ALL_LOTS for limit in limits.values()):
            raise ShardError(
                f"{planned.layout.tiering(planned.spec.tiering)}: its tiers hold fewer documents than its description "
                "says. Remove description.json, and run run_ensemble.py or retier.py again."
            )
        excess *= 8
    found["wanted"] = [planned.num_drawn[each] for each in zip(found["tier"], found["by"], strict=True)]
    found = found.sort_values("lot", ignore_index=True)
    return found[found.groupby(["tier", "by"]).cumcount() < found["wanted"]].drop(columns="wanted")


def _limit(number: int, there: int, excess: float) -> int:
    """The lot below which about `number` of the documents that are there lie, and some more."""
    share = (number + excess * math.sqrt(number) + 2 * excess) / there
    return _ALL_LOTS if share >= 1 else int(share * _ALL_LOTS)


def _below(on_workers: OnWorkers, planned: AuditPlan, limits: Mapping[Stratum, int]) -> pd.DataFrame:
    """All documents whose lot is below the limit of their stratum, in the order of shards."""
    spec, names = planned.spec, [shard.name for shard in planned.shards]
    names = [name for name in names if storage.exists(planned.layout.tiers(spec.tiering, name))]
    tasks = [
        DrawTask(
            spec.run,
            spec.tiering,
            tuple(names[start : start + _SHARDS_AT_ONCE]),
            planned.classifiers,
            tuple(limits.items()),
            spec.seed,
        )
        for start in range(0, len(names), _SHARDS_AT_ONCE)
    ]
    found = {}
    for outcome in on_workers(draw_from, tasks):
        if outcome.result is None:
            raise ShardError(f"The tiers cannot be read: {outcome.error}")
        found[outcome.item.shards] = outcome.result
    drawn: pd.DataFrame = pd.concat([found[task.shards] for task in tasks], ignore_index=True)
    return drawn


def _texts(planned: AuditPlan, drawn: pd.DataFrame) -> pd.DataFrame:
    """shard, position, id and text of the documents."""
    shards = {shard.name: shard for shard in planned.shards}
    parts = []
    for name in drawn["shard"].unique():
        positions = drawn.loc[drawn["shard"] == name, "position"]
        record = read_record(planned.layout.rows(name))
        fingerprint = record["input"] if record else ""
        found = documents_at(shards[name], planned.reading, positions.to_numpy(), fingerprint)
        parts.append(found.assign(shard=name))
    return pd.concat(parts, ignore_index=True)[["shard", "position", "id", "text"]]


def _files(drawn: pd.DataFrame, max_chars: int) -> Mapping[str, bytes]:
    """Sheets and key. What a spreadsheet would take for a formula has an apostrophe before it on the CSV sheet."""
    texts = [text if len(text) <= max_chars else f"{text[:max_chars]} …" for text in drawn["text"]]
    rows = list(zip(drawn["number"].tolist(), drawn["id"], texts, strict=True))
    lines = (
        json.dumps({"number": number, "id": of, "label": None, "remark": None, "text": text}, ensure_ascii=False)
        for number, of, text in rows
    )
    key = drawn.rename(columns={"by": "decided_by"})
    columns = ["number", "id", "shard", "position", "tier", "decided_by", "quality", "weight"]
    return {
        SHEET_CSV: _csv(
            ["number", "label", "remark", "id", "text"],
            ([number, "", "", _inert(of), _inert(text)] for number, of, text in rows),
        ),
        SHEET_JSONL: "".join(f"{line}\n" for line in lines).encode(),
        KEY: _csv(columns, key[columns].itertuples(index=False)),
    }


def _csv(columns: Sequence[str], rows: Iterator[Any]) -> bytes:
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(columns)
    writer.writerows(rows)
    return file.getvalue().encode()


def _inert(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text
