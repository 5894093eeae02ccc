"""What the tiers of a run hold, counted where they are formed and merged here, whatever the number of rows."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from curation.calibration.description import FORMAT, Counts, Description, Documents, Ranked, Subject, count
from curation.calibration.thresholds import Thresholds
from curation.core.fingerprint import fingerprint_each
from curation.data import storage
from curation.execution.audit import ShardRecords
from curation.execution.spec import Scores
from curation.stages.bucket import bucket_column, group_codes
from curation.stages.tier import REJECTED, UNSCORED
from curation.stages.tiering import TieringSpec

_MOST_BYTES = 64_000_000
"""Of parts that wait to be merged: a merge costs what is there already."""


def subject_of(
    spec: TieringSpec, used: Sequence[Scores], thresholds: Thresholds, made_of: str, *, partial: bool
) -> Subject:
    """The tiering of the scores `used`, to be described."""
    ranges: list[tuple[str, tuple[int, int] | None]] = [*spec.tiers]
    others = [REJECTED, UNSCORED] if spec.keep else [UNSCORED]
    if spec.group:
        cuts = [tuple(thresholds.cuts_by_group(each.name, each.column).items()) for each in used]
    else:
        cuts = [(("", thresholds.cuts(each.name, each.column)),) for each in used]
    return Subject(
        made_of,
        partial,
        spec.weights,
        spec.group,
        (*ranges, *((name, None) for name in others)),
        tuple(Ranked(each.name, each.fingerprint, each.column, own) for each, own in zip(used, cuts, strict=True)),
        spec.ensemble == "max",
    )


def made_of(
    spec: TieringSpec, used: Sequence[Scores], opinion: str, complete: Sequence[ShardRecords], *, partial: bool
) -> str:
    """Equal where the description is: what the tiers of these shards follow from, and how they are counted."""
    how: list[Any] = [opinion, [each.name for each in used], spec.weights, partial]
    shards = ([each.shard.name, each.rows["input"], each.rows["reading"]] for each in complete if each.rows is not None)
    return fingerprint_each([how, *shards])


def is_described(url: str, made_of: str) -> bool:
    """Whether the description of such a tiering lies there."""
    try:
        found = json.loads(storage.read_bytes(url)) if storage.exists(url) else {}
        return (found.get("format"), found.get("made_of")) == (FORMAT, made_of)
    except (AttributeError, ValueError):
        return False


def count_tiers(subject: Subject, frame: pd.DataFrame, tiered: pd.DataFrame) -> Counts:
    """The counts of a shard. `frame` holds scores and groups, `tiered` rows, buckets, quality and tiers."""
    ok = (tiered["state"] == "ok").to_numpy(bool)
    if not ok.all():
        frame, tiered = frame[ok], tiered[ok]
    codes, names = pd.factorize(tiered["tier"])
    place_of = {name: place for place, (name, _) in enumerate(subject.tiers)}
    groups, values = (np.zeros(len(tiered), np.intp), [""])
    if subject.group:
        groups, values = group_codes(frame, subject.group)
    documents = Documents(
        sizes=np.stack([np.ones(len(tiered)), tiered["n_bytes"].to_numpy(float), tiered["n_tokens"].to_numpy(float)]),
        scores={each.name: frame[each.column].to_numpy(np.float32) for each in subject.classifiers},
        buckets={each.name: tiered[bucket_column(each.name)].to_numpy(np.int8) for each in subject.classifiers},
        quality=tiered["quality"].to_numpy(np.int8),
        tiers=np.array([place_of[name] for name in names], np.intp)[codes],
        groups=groups,
        values=values,
    )
    return count(subject, documents)


class Gathered:
    """Counts of shards, merged as they come in: many at once, as far as they fit in a little memory."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._parts: list[Counts] = []
        self._waiting_bytes = 0

    def add(self, counts: Counts) -> None:
        """Take in the counts of one more shard."""
        self._parts.append(counts)
        self._waiting_bytes += counts.num_bytes
        if self._waiting_bytes > _MOST_BYTES:
            self._parts, self._waiting_bytes = [Counts.merged(self._parts)], 0

    def description(self) -> Description:
        """What they are together; of one shard at least."""
        return Description(self._subject, Counts.merged(self._parts))
