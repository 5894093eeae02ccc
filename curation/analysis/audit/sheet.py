"""A seeded sample of documents for people to judge, equally many of each tier and deciding classifier.

The sheet does not say what the pipeline thinks of a document; the key beside it does.
"""

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, TypeVar

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
_LAST_LOT = (1 << 64) - 1
_AND = " + "
_ORDER = "\0order"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

Task = TypeVar("Task")
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

    def settings(self) -> dict[str, Any]:
        """What decides which documents stand on the sheet, and how."""
        named = ("tiering", "num_documents", "max_chars", "seed")
        return {name: getattr(self, name) for name in named}

    def url(self, name: str) -> str:
        """A file of the sheet's folder."""
        return storage.join(self.output, name)


@dataclass(frozen=True)
class Part:
    """A stratum: how many documents it has, and how many of them are drawn."""

    tier: str
    by: str
    there: int
    drawn: int

    @property
    def stratum(self) -> Stratum:
        """What it is known by."""
        return self.tier, self.by


@dataclass(frozen=True)
class AuditPlan:
    """Which documents there are, by stratum, and how many of each are drawn; `is_there` says that they were.

    `shards` are those that have tiers, of `num_shards`.
    """

    spec: AuditSpec
    layout: Layout
    reading: InputSpec
    shards: Sequence[Shard]
    num_shards: int
    classifiers: tuple[str, ...]
    parts: tuple[Part, ...]
    about: bytes
    is_there: bool

    def lines(self) -> Iterator[str]:
        """The plan for people."""
        yield f"run: {self.layout.root}, tiering {self.spec.tiering}, {counted(self.num_shards, 'shard')}"
        if missing := self.num_shards - len(self.shards):
            yield f"note: {counted(missing, 'shard')} without tiers, of which nothing is drawn"
        for part in self.parts:
            if part.drawn:
                whose = f", decided by {part.by}" if part.by else ""
                yield f"  {part.tier}{whose}: {part.drawn:,} of {part.there:,}"
        if left := [part for part in self.parts if not part.drawn]:
            number = sum(part.there for part in left)
            yield f"note: num_documents is too small for {len(left):,} strata, which have {number:,} documents"
        there = " is there already, and is not drawn again" if self.is_there else ""
        yield f"sheet: {self.spec.url(SHEET_CSV)}{there}"


def plan(spec: AuditSpec) -> AuditPlan:
    """Check everything that needs no worker. Raises ConfigError with what is wrong."""
    if mistakes := spec.mistakes():
        raise ConfigError(*mistakes)
    layout = Layout(storage.from_root(spec.run))
    if storage.exists(Layout(spec.output).shards):
        raise ConfigError(f"output: {spec.output} is the directory of a run; choose a folder of its own.")
    description = _description(layout, spec.tiering)
    if not storage.exists(layout.config_json):
        raise ConfigError(f"run: {layout.config_json} is missing; it says where the texts are.")
    num_there = _strata(description)
    drawn = evenly(num_there, spec.num_documents)
    parts = tuple(Part(*stratum, there, drawn[stratum]) for stratum, there in num_there.items())
    about = {
        "format": FORMAT,
        "run": layout.root,
        "made_of": description.subject.made_of,
        **spec.settings(),
        "tiers": _ranges(description),
        "strata": [asdict(part) for part in parts],
    }
    is_there = storage.exists(url := spec.url(ABOUT))
    if is_there and storage.read_bytes(url) != canonical_json(about):
        raise ConfigError(
            f"output: {spec.output} holds a sheet of other settings or of another state of the tiering, and people may "
            "have written on it. Choose another folder."
        )
    shards = read_shards(layout.shards)
    tiered = set(storage.list_files(storage.join(layout.tiering(spec.tiering), "tiers")))
    return AuditPlan(
        replace(spec, run=layout.root),
        layout,
        run_spec.read(layout.config_json).input,
        [shard for shard in shards if f"{shard.name}.parquet" in tiered],
        len(shards),
        tuple(each.name for each in description.subject.classifiers),
        parts,
        canonical_json(about),
        is_there,
    )


def draw(planned: AuditPlan) -> int:
    """Draw the documents, read their texts and write sheet and key; gives how many there are.

    Raises ShardError when the input is not what was scored, ConfigError when another sheet is there.
    """
    spec = planned.spec
    with connect(spec.cluster, ScoringSpec(device="cpu"), lambda: False) as client:
        on_workers = partial(run_window, client, patience_s=spec.cluster.patience_s)
        drawn = _drawn(on_workers, planned)
        texts = _texts(on_workers, planned, drawn)
    drawn = drawn.sort_values("order", ignore_index=True)
    drawn["number"] = np.arange(1, len(drawn) + 1)
    contents = _files(drawn.merge(texts, on=["shard", "position"], validate="1:1"), spec.max_chars)
    for name in (SHEET_CSV, SHEET_JSONL):
        if storage.exists(url := spec.url(name)) and storage.read_bytes(url) != contents[name]:
            raise ConfigError(f"output: {url} is there, and no {ABOUT} says of what; choose another folder.")
    for name, content in contents.items():
        storage.write_bytes(spec.url(name), content)
    storage.write_bytes(spec.url(ABOUT), planned.about)  # last: without it there is no sheet
    return len(drawn)


@dataclass(frozen=True)
class DrawTask:
    """Of some shards, the documents whose lot is not above that of their stratum."""

    root: str
    tiering: str
    shards: tuple[str, ...]
    classifiers: tuple[str, ...]
    limits: tuple[tuple[Stratum, int], ...]
    seed: int


def draw_from(task: DrawTask) -> pd.DataFrame:
    """The documents that are drawn: shard, position, tier, by, quality, lot, order. Runs on a worker."""
    return pd.concat([_draw_from_shard(task, shard) for shard in task.shards], ignore_index=True)


def _draw_from_shard(task: DrawTask, shard: str) -> pd.DataFrame:
    layout = Layout(task.root)
    names = task.classifiers if any(by for (_, by), _ in task.limits) else ()
    columns = ["position", "quality", "tier", *(bucket_column(name) for name in names)]
    frame = read_columns(layout.tiers(task.tiering, shard), columns).to_pandas(use_threads=False)
    is_ok = read_columns(layout.rows(shard), ["state"])["state"].to_numpy() == "ok"
    frame["lot"] = lots(task.seed, shard, frame["position"].to_numpy())
    decides = np.zeros(len(frame), np.int64)  # which classifiers do, as bits
    for place, name in enumerate(names):
        decides |= (frame[bucket_column(name)] == frame["quality"]).to_numpy().astype(np.int64) << place
    is_drawn = np.zeros(len(frame), bool)
    by = np.full(len(frame), "", object)
    for (tier, deciders), limit in task.limits:
        bits = sum(1 << place for place, name in enumerate(names) if name in deciders.split(_AND))
        here = (frame["tier"] == tier).to_numpy() & (decides == bits) & is_ok
        is_drawn |= here & (frame["lot"].to_numpy() <= np.uint64(limit))
        by[here] = deciders
    drawn = frame.assign(by=by, shard=shard)[is_drawn]
    order = lots(task.seed, f"{shard}{_ORDER}", drawn["position"].to_numpy())  # lots are lower in larger strata
    kept: pd.DataFrame = drawn[["shard", "position", "tier", "by", "quality", "lot"]].assign(order=order)
    return kept


@dataclass(frozen=True)
class TextTask:
    """The documents of a shard that are drawn, and the fingerprint of the shard that was scored."""

    shard: Shard
    reading: InputSpec
    positions: tuple[int, ...]
    fingerprint: str


def read_texts(task: TextTask) -> pd.DataFrame:
    """shard, position, id and text of the documents. Runs on a worker."""
    found = documents_at(task.shard, task.reading, np.asarray(task.positions), task.fingerprint)
    return found[["position", "id", "text"]].assign(shard=task.shard.name)


def _description(layout: Layout, tiering: str) -> Description:
    if not storage.exists(url := layout.description(tiering)):
        raise ConfigError(
            f"tiering: {url} is missing, so that nobody knows how many documents each tier has. Run run_ensemble.py "
            "or retier.py again: tierings are described when they are formed."
        )
    return Description.from_json(storage.read_bytes(url), url)


def _ranges(description: Description) -> list[str]:
    """The tiers that are ranges of quality, from the best."""
    ranges = [(buckets[0], tier) for tier, buckets in description.subject.tiers if buckets]
    return [tier for _, tier in sorted(ranges, reverse=True)]


def _strata(description: Description) -> dict[Stratum, int]:
    """Documents by stratum, of the tiers that are ranges of quality, from the best tier."""
    found: Counter[Stratum] = Counter()
    subject = description.subject
    if subject.by_maximum:
        for each in description.decides():
            found[each["tier"], _AND.join(each["by"])] += each["documents"]
    else:
        for (tier, _), number in zip(subject.tiers, description.tiers[0].tolist(), strict=True):
            found[tier, ""] += number
    tiers = _ranges(description)
    strata = {stratum: number for stratum, number in found.items() if number and stratum[0] in tiers}
    if not strata:
        raise ConfigError("tiering: no document has a tier, so there is nothing to judge.")
    return dict(sorted(strata.items(), key=lambda each: (tiers.index(each[0][0]), each[0][1])))


def _drawn(on_workers: OnWorkers, planned: AuditPlan) -> pd.DataFrame:
    """As many documents of each stratum as are wanted: those of the lowest lots."""
    wanted = {part.stratum: part for part in planned.parts if part.drawn}
    excess = 4.0  # standard deviations: so many more are asked for that enough are found, but once in 30,000 times
    while True:
        limits = {stratum: _limit(part, excess) for stratum, part in wanted.items()}
        found = _below(on_workers, planned, limits)
        here = Counter(zip(found["tier"], found["by"], strict=True))
        if all(here[stratum] >= part.drawn for stratum, part in wanted.items()):
            break
        if all(limit == _LAST_LOT for limit in limits.values()):
            raise ShardError(
                f"{planned.layout.tiering(planned.spec.tiering)}: its tiers hold fewer documents than its description "
                "says. Remove description.json, and run run_ensemble.py or retier.py again."
            )
        excess *= 8
    found["wanted"] = [wanted[each].drawn for each in zip(found["tier"], found["by"], strict=True)]
    found = found.sort_values("lot", ignore_index=True)
    return found[found.groupby(["tier", "by"]).cumcount() < found["wanted"]].drop(columns="wanted")


def _limit(part: Part, excess: float) -> int:
    """The lot up to which as many documents lie as are wanted, and some more."""
    share = (part.drawn + excess * math.sqrt(part.drawn) + 2 * excess) / part.there
    return _LAST_LOT if share >= 1 else int(share * _LAST_LOT)


def _below(on_workers: OnWorkers, planned: AuditPlan, limits: Mapping[Stratum, int]) -> pd.DataFrame:
    """All documents whose lot is not above the limit of their stratum, in the order of shards."""
    spec, names = planned.spec, [shard.name for shard in planned.shards]
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
    return _together(on_workers, draw_from, tasks)


def _texts(on_workers: OnWorkers, planned: AuditPlan, drawn: pd.DataFrame) -> pd.DataFrame:
    """shard, position, id and text of the documents."""
    positions = {name: tuple(rows["position"].tolist()) for name, rows in drawn.groupby("shard")}
    tasks = [
        TextTask(shard, planned.reading, positions[shard.name], record["input"] if record else "")
        for shard in planned.shards
        if shard.name in positions
        for record in [read_record(planned.layout.rows(shard.name))]
    ]
    return _together(on_workers, read_texts, tasks)


def _together(on_workers: OnWorkers, function: Callable[[Task], pd.DataFrame], tasks: Sequence[Task]) -> pd.DataFrame:
    """What a function gives for all tasks, in their order. Raises ShardError with what one of them says."""
    found = {}
    for outcome in on_workers(function, tasks):
        if outcome.result is None:
            raise ShardError(outcome.error)
        found[outcome.item] = outcome.result
    together: pd.DataFrame = pd.concat([found[task] for task in tasks], ignore_index=True)
    return together


def _files(drawn: pd.DataFrame, max_chars: int) -> Mapping[str, bytes]:
    """Key and sheets. What a spreadsheet would take for a formula has an apostrophe before it on the CSV sheet."""
    texts = [text if len(text) <= max_chars else f"{text[:max_chars]} …" for text in drawn["text"]]
    rows = list(zip(drawn["number"].tolist(), drawn["id"], texts, strict=True))
    lines = (
        json.dumps({"number": number, "id": of, "label": None, "remark": None, "text": text}, ensure_ascii=False)
        for number, of, text in rows
    )
    columns = ["number", "id", "shard", "position", "tier", "decided_by", "quality"]
    key = drawn.rename(columns={"by": "decided_by"})[columns]
    sheet = ([number, "", "", _inert(of), _inert(text)] for number, of, text in rows)
    return {
        KEY: _csv(columns, key.itertuples(index=False)),
        SHEET_JSONL: "".join(f"{line}\n" for line in lines).encode(),
        SHEET_CSV: _csv(["number", "label", "remark", "id", "text"], sheet),
    }


def _csv(columns: Sequence[str], rows: Iterator[Any]) -> bytes:
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(columns)
    writer.writerows(rows)
    return file.getvalue().encode("utf-8-sig")  # with the mark by which spreadsheets know UTF-8


def _inert(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text
