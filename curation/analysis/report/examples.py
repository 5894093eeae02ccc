"""Documents to read: some of each tier, and those that almost came into another one. Their text is of the input."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from curation import config
from curation.analysis.report.drawn import Drawn
from curation.analysis.report.facts import Facts
from curation.core.errors import CurationError
from curation.data.inputs import InputSpec
from curation.data.reader import read
from curation.stages.bucket import bucket_column
from curation.stages.tier import REJECTED, UNSCORED

NUM_EACH = 3
CUT_CHARS = 480
_NUM_SHARDS = 4
_MOST_BYTES = 32_000_000
"""Examples are of the first four shards that are drawn, and of so many bytes of text at their beginning."""


@dataclass(frozen=True)
class Example:
    """A document: the row of the frame that it was drawn from, and the beginning of its text."""

    row: Mapping[str, Any]
    text: str
    is_cut: bool


@dataclass(frozen=True)
class Boundary:
    """The documents that lie nearest to the border between two tiers, above and below."""

    upper: str
    lower: str
    above: tuple[Example, ...]
    below: tuple[Example, ...]


@dataclass(frozen=True)
class Examples:
    """Documents of each tier, and on both sides of each border; `problem` says why texts could not be read."""

    by_tier: Mapping[str, tuple[Example, ...]]
    boundaries: tuple[Boundary, ...]
    problem: str = ""


def choose(facts: Facts, drawn: Drawn) -> Examples:
    """The examples of a run, the same ones every time. Reads the beginning of a few shards of the input."""
    frame = drawn.frame
    frame = frame[(drawn.places < _NUM_SHARDS) & (drawn.before_bytes + frame["n_bytes"] <= _MOST_BYTES)]
    picked = {each["name"]: _some(drawn, frame[frame["tier"] == each["name"]]) for each in facts.tiers}
    borders = [(up, low, _nearest(facts, drawn, ranked(frame), up["lowest"])) for up, low in pairwise(facts.ranges)]
    wanted = sorted(
        {*(p for places in picked.values() for p in places), *(p for *_, b in borders for s in b for p in s)}
    )
    try:
        texts = _texts(facts, drawn, frame.loc[wanted])
    except CurationError as error:
        return Examples({}, (), str(error))

    def examples(places: Sequence[int]) -> tuple[Example, ...]:
        return tuple(
            Example({str(name): value for name, value in frame.loc[place].items()}, *texts[place])
            for place in places
            if place in texts
        )

    problem = "" if len(texts) == len(wanted) else "The input has changed since it was scored."
    return Examples(
        {name: examples(places) for name, places in picked.items()},
        tuple(Boundary(up["name"], low["name"], examples(b[0]), examples(b[1])) for up, low, b in borders),
        problem,
    )


def ranked(frame: pd.DataFrame) -> pd.DataFrame:
    """The documents of a frame that are in a tier that is a range: what a rule rejected keeps its quality."""
    return frame[~frame["tier"].isin([REJECTED, UNSCORED])]


def _some(drawn: Drawn, frame: pd.DataFrame) -> list[int]:
    """A few rows of a frame, in an order that follows from what they are."""
    keys = [
        hashlib.sha256(f"{place}#{position}".encode()).digest()
        for place, position in zip(drawn.places[frame.index], frame["position"], strict=True)
    ]
    return [int(frame.index[place]) for place in sorted(range(len(keys)), key=keys.__getitem__)[:NUM_EACH]]


def _nearest(facts: Facts, drawn: Drawn, frame: pd.DataFrame, border: int) -> tuple[list[int], list[int]]:
    """The rows nearest above and below the border at a quality of `border`.

    Near is measured by score, in units of the distance from a classifier's lowest cut to its highest. Where the quality
    is no maximum, or cuts are by group, it is any row of the bucket beside the border.
    """
    above, below = frame[frame["quality"] == border], frame[frame["quality"] == border - 1]
    classifiers = [each for each in facts.described["classifiers"] if len(each["cuts"]) == 19]
    if not (facts.is_maximum and classifiers and len(classifiers) == len(facts.described["classifiers"])):
        return _some(drawn, above)[:1], _some(drawn, below)[:1]
    found = []
    for rows, sign in ((above, 1), (below, -1)):
        distances = []
        for each in classifiers:
            spread = max(each["cuts"][-1] - each["cuts"][0], 1e-12)
            distance = (rows[each["column"]].to_numpy(float) - each["cuts"][border - 1]) / spread
            reaches = rows[bucket_column(each["name"])].to_numpy() >= border
            distances.append(np.where(reaches, distance, -np.inf) if sign > 0 else distance)
        # above: all that reach the border would have to fall below it; below: any one may rise above it
        gaps = sign * np.nanmax(np.asarray(distances), axis=0) if len(rows) else np.zeros(0)
        found.append([int(place) for place in rows.index[np.argsort(gaps, kind="stable")[:1]]])
    return found[0], found[1]


def _texts(facts: Facts, drawn: Drawn, wanted: pd.DataFrame) -> dict[int, tuple[str, bool]]:
    """The beginning of the text of each row, by its label, where the input still holds the document."""
    spec = config.parse(InputSpec, facts.config["input"])
    found = {}
    for shard, rows in wanted.groupby(drawn.places[wanted.index]):
        labels = dict(zip(rows["position"].tolist(), rows.index.tolist(), strict=True))
        last = max(labels)
        for partition in read(drawn.shards[int(str(shard))], spec):
            frame = partition.frame
            for place in np.flatnonzero(frame["position"].isin(list(labels))):
                row = frame.iloc[int(place)]
                label = labels[int(row["position"])]
                if row["id"] == rows.loc[label, "id"] and row["n_bytes"] == rows.loc[label, "n_bytes"]:
                    words = " ".join(str(row["text"])[: 4 * CUT_CHARS].split())
                    found[label] = (words[:CUT_CHARS], len(words) > CUT_CHARS or len(row["text"]) > 4 * CUT_CHARS)
            if len(frame) and frame["position"].iloc[-1] >= last:
                break
    return found
