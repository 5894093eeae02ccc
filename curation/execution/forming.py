"""One tiering of a run directory, from scores to tiers: thresholds, then the tiers of every shard."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.console import Console

from curation import config
from curation.calibration.thresholds import Thresholds
from curation.core.errors import ConfigError, CurationError
from curation.core.fingerprint import canonical_json, fingerprint_each
from curation.core.frames import Library
from curation.data import storage
from curation.data.layout import Layout
from curation.execution.audit import ShardRecords
from curation.execution.calibrating import calibrate
from curation.execution.documents import remove_former
from curation.execution.progress import progress
from curation.execution.spec import RunSpec, Scores
from curation.execution.tiering import Opinion, TierTask, Totals, tier_shard
from curation.execution.window import run_window
from curation.stages.tiering import TieringSpec

if TYPE_CHECKING:
    from distributed import Client


@dataclass(frozen=True)
class Tiering:
    """Which opinion is formed, of what, under which name. `frozen` thresholds, or None: the scores' own.

    With `documents`, the run that they were scored in, their text is copied into a folder for each tier.
    """

    layout: Layout
    name: str
    spec: TieringSpec
    scores: tuple[Scores, ...]
    frozen: Thresholds | None
    frame: Library = "pandas"
    documents: RunSpec | None = None

    @property
    def used(self) -> tuple[Scores, ...]:
        """The scores that the ensemble is made of."""
        names = self.spec.chosen([each.name for each in self.scores])
        return tuple(each for each in self.scores if each.name in names)


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
    """Find the thresholds over these shards and tier them; what is there already and follows from the same stays.

    Raises CalibrationError when there is nothing to find thresholds on, ShardError when scores cannot be read.
    """
    layout, name = tiering.layout, tiering.name
    opinion = Opinion.of(tiering.spec, tiering.scores, _thresholds(client, tiering, complete, partial=partial))
    storage.write_bytes(layout.spec(name), canonical_json(config.dump(tiering.spec)))
    if tiering.documents:
        remove_former(tiering.documents)
    tasks = [
        TierTask(layout.root, name, tiering.scores, opinion, each.shard, tiering.frame, tiering.documents)
        for each in complete
    ]
    totals: dict[str, Counter[str]] = defaultdict(Counter)
    formed = Formed(totals)
    with progress("tiering", sum(each.shard.num_bytes for each in complete), console) as advance:
        for outcome in run_window(client, tier_shard, tasks, stopping, patience_s):
            formed.num_done += 1
            if outcome.error:
                formed.failed[outcome.item.shard.name] = outcome.error
            for tier, held in (outcome.result or {}).items():
                totals[tier].update(held)
            advance(outcome.item.shard.num_bytes, num_failed=1 if outcome.error else 0)
    return formed


def _thresholds(client: "Client", tiering: Tiering, complete: Sequence[ShardRecords], *, partial: bool) -> Thresholds:
    """The frozen ones, or what the scores give; those that are there and follow from the same scores are kept."""
    url = tiering.layout.thresholds(tiering.name)
    thresholds = tiering.frozen
    if thresholds is None:
        names = [each.name for each in tiering.used]
        scores = ([each.shard.name, each.rows, {name: each.scores[name] for name in names}] for each in complete)
        made_of = {"weights": tiering.spec.weights, "scores": fingerprint_each(scores)}
        if (kept := _read_thresholds(url)) and kept.run and json.loads(kept.run) == made_of:
            return kept
        shards = [each.shard.name for each in complete]
        root = tiering.layout.root
        cuts = tuple(calibrate(client, root, tiering.spec, each, shards) for each in tiering.used)
        thresholds = Thresholds(cuts, partial=partial, run=canonical_json(made_of).decode())
    storage.write_bytes(url, thresholds.to_json().encode())
    return thresholds


def _read_thresholds(url: str) -> Thresholds | None:
    return Thresholds.from_json(storage.read_bytes(url), url) if storage.exists(url) else None
