"""One tiering of a run directory, from scores to tiers: thresholds, then the tiers of every shard."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pandas as pd
from rich.console import Console

from curation import config
from curation.calibration.thresholds import Thresholds
from curation.core import frames
from curation.core.errors import ConfigError, CurationError
from curation.core.fingerprint import canonical_json, fingerprint_each
from curation.core.frames import Library
from curation.data import storage
from curation.data.layout import Layout
from curation.execution.audit import ShardRecords
from curation.execution.calibrating import calibrate
from curation.execution.describing import Gathered, is_described, made_of, subject_of
from curation.execution.documents import remove_former
from curation.execution.progress import progress
from curation.execution.spec import GroupColumn, RunSpec, Scores
from curation.execution.tiering import SIZES, Opinion, Tiered, TierTask, Totals, tier_shard
from curation.execution.window import run_window
from curation.stages.bucket import bucket_column
from curation.stages.keep import named_in
from curation.stages.tiering import TieringSpec

if TYPE_CHECKING:
    from distributed import Client


_PANDAS = {"string": "str", "int64": "Int64", "float64": "Float64", "bool": "boolean"}
_EXAMPLES = {"string": "a", "str": "a", "int64": 1, "int8": 1, "float32": 0.5, "float64": 0.5, "bool": True}


@dataclass(frozen=True)
class Tiering:
    """Which opinion is formed, of what, under which name. `frozen` thresholds, or None: the scores' own.

    `carried` are the columns of rows/ that the run carries, with their types. With `documents`, the run that they were
    scored in, their text is copied into a folder for each tier.
    """

    layout: Layout
    name: str
    spec: TieringSpec
    scores: tuple[Scores, ...]
    carried: tuple[tuple[str, str], ...]
    frozen: Thresholds | None
    frame: Library = "pandas"
    documents: RunSpec | None = None

    @property
    def used(self) -> tuple[Scores, ...]:
        """The scores that the ensemble is made of."""
        names = self.spec.chosen([each.name for each in self.scores])
        return tuple(each for each in self.scores if each.name in names)

    @property
    def needed(self) -> tuple[Scores, ...]:
        """Those, and what group and rule read."""
        named = {self.spec.group, *named_in(self.spec.keep, [name for each in self.scores for name, _ in each.columns])}
        return tuple(each for each in self.scores if each in self.used or named & {name for name, _ in each.columns})

    @property
    def group(self) -> GroupColumn | None:
        """Where the column of the groups is; None where there are none."""
        if not self.spec.group:
            return None
        folders = [each.folder for each in self.scores if self.spec.group in dict(each.columns)]
        return GroupColumn(self.spec.group, *folders[:1])

    def mistakes(self) -> list[str]:
        """What is wrong with settings that are right by themselves, given what has been scored and carried."""
        return [*self._group_mistakes(), *self._rule_mistakes(), *self._mismatches()]

    def _group_mistakes(self) -> list[str]:
        labels = [name for each in self.scores for name, kind in each.columns if kind == "str"]
        known = [name for name, _ in self.carried] + labels
        if self.spec.group and self.spec.group not in known:
            return [
                f"tiering.group: {self.spec.group!r} is neither carried nor a label of a classifier; there are {known}."
            ]
        if self.frozen is not None and self.frozen.group != self.spec.group:
            found = f"the thresholds in {self.spec.thresholds} were found by {self.frozen.group!r}"
            return [f"tiering.group: is {self.spec.group!r}, and {found}; write that, or calibrate on these scores."]
        return []

    def _rule_mistakes(self) -> list[str]:
        """Why the rule cannot be evaluated, seen on one row of values of the right types."""
        if not self.spec.keep:
            return []
        kinds = {**dict.fromkeys(SIZES, "int64"), **dict(self.carried)}
        kinds |= {name: kind for each in self.scores for name, kind in each.columns}
        kinds |= {"quality": "int8"} | {bucket_column(each.name): "int8" for each in self.used}
        row = pd.DataFrame({name: [_EXAMPLES[kind]] for name, kind in kinds.items()})
        row = row.astype({name: _PANDAS.get(kind, kind) for name, kind in kinds.items()})
        try:
            frames.where(row, self.spec.keep)
        except Exception as error:  # noqa: BLE001 - an expression can fail in any way
            return [f"tiering.keep: {self.spec.keep!r} cannot be evaluated over {', '.join(kinds)}: {error}."]
        return []

    def _mismatches(self) -> list[str]:
        """Why frozen thresholds do not belong to the classifiers that use them."""
        if self.frozen is None:
            return []
        fingerprints = {each.name: each.fingerprint for each in self.used}
        return self.frozen.mismatches(fingerprints, {each.name: each.column for each in self.used})


def spec_json(spec: TieringSpec) -> bytes:
    """What a tiering was asked to do, as spec.json; settings that the first version lacked are there if set."""
    later = {"group", "keep"}
    return canonical_json({key: value for key, value in config.dump(spec).items() if value or key not in later})


def frozen_thresholds(spec: TieringSpec, mistakes: list[str]) -> Thresholds | None:
    """The thresholds of the file that a tiering names; None, and what is wrong, where it cannot be read."""
    if not spec.frozen or not spec.thresholds:
        return None
    try:
        return Thresholds.from_json(storage.read_bytes(spec.thresholds), spec.thresholds)
    except ConfigError as error:
        mistakes += error.mistakes
    except CurationError as error:
        mistakes.append(f"tiering.thresholds: {error}")
    return None


@dataclass
class Formed:
    """What a tiering holds, by tier; how many shards were done, and the error of each that failed."""

    totals: Totals
    num_done: int = 0
    failed: dict[str, str] = field(default_factory=dict)


def form(
    client: "Client",
    tiering: Tiering,
    complete: Sequence[ShardRecords],
    console: Console,
    *,
    partial: bool,
    stopping: Callable[[], bool],
    patience_s: float,
) -> Formed:
    """Find the thresholds over these shards, tier and describe them; what is there and follows from the same stays.

    A description is there where every shard has its tiers: it is removed while that is not so.

    Raises CalibrationError when there is nothing to find thresholds on, ShardError when scores cannot be read.
    """
    layout, name = tiering.layout, tiering.name
    thresholds = _thresholds(client, tiering, complete, partial=partial)
    opinion = Opinion.of(tiering.spec, tiering.scores, thresholds, [name for name, _ in tiering.carried])
    storage.write_bytes(layout.spec(name), spec_json(tiering.spec))
    if tiering.documents:
        remove_former(tiering.documents)
    identity = made_of(tiering.spec, tiering.used, opinion.identity, complete, partial=partial)
    is_there = is_described(layout.description(name), identity)
    subject = subject_of(tiering.spec, tiering.used, thresholds, identity, partial=partial)
    if not is_there:
        storage.remove(layout.description(name))
    tasks = [
        TierTask(
            layout.root,
            name,
            tiering.scores,
            opinion,
            each.shard,
            tiering.frame,
            tiering.documents,
            None if is_there else subject,
        )
        for each in complete
    ]
    totals: dict[str, Counter[str]] = defaultdict(Counter)
    formed, gathered = Formed(totals), Gathered(subject)
    with progress("tiering", sum(each.shard.num_bytes for each in complete), console) as advance:
        for outcome in run_window(client, tier_shard, tasks, stopping, patience_s, join=Tiered.joined):
            formed.num_done += 1
            if outcome.error:
                formed.failed[outcome.item.shard.name] = outcome.error
            if outcome.result:
                for tier, held in outcome.result.totals.items():
                    totals[tier].update(held)
                if outcome.result.counts:
                    gathered.add(outcome.result.counts)
            advance(outcome.item.shard.num_bytes, num_failed=1 if outcome.error else 0)
    if not is_there and formed.num_done == len(tasks) and not formed.failed:
        storage.write_bytes(layout.description(name), gathered.description().to_json())
    return formed


def _thresholds(client: "Client", tiering: Tiering, complete: Sequence[ShardRecords], *, partial: bool) -> Thresholds:
    """The frozen ones, or what the scores give; those that are there and follow from the same scores are kept."""
    url = tiering.layout.thresholds(tiering.name)
    thresholds = tiering.frozen
    if thresholds is None:
        names = [each.name for each in tiering.scores if each in tiering.used or _groups(tiering, each)]
        scores = ([each.shard.name, each.rows, {name: each.scores[name] for name in names}] for each in complete)
        made_of = {"weights": tiering.spec.weights, "scores": fingerprint_each(scores)}
        made_of |= {"group": tiering.spec.group} if tiering.spec.group else {}
        if (kept := _read_thresholds(url)) and kept.run and json.loads(kept.run) == made_of:
            return kept
        shards = [each.shard.name for each in complete]
        root = tiering.layout.root
        cuts = [
            entry
            for each in tiering.used
            for entry in calibrate(client, root, each, shards, tiering=tiering.spec, group=tiering.group)
        ]
        thresholds = Thresholds(tuple(cuts), partial, canonical_json(made_of).decode(), tiering.spec.group)
    storage.write_bytes(url, thresholds.to_json().encode())
    return thresholds


def _groups(tiering: Tiering, scores: Scores) -> bool:
    """Whether the groups are labels that lie in this folder."""
    return tiering.group is not None and tiering.group.folder == scores.folder


def _read_thresholds(url: str) -> Thresholds | None:
    return Thresholds.from_json(storage.read_bytes(url), url) if storage.exists(url) else None
