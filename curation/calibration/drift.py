"""Drift: what differs between two tierings, or two sets of thresholds, and what of it is past a limit.

Two things are held against each other, *before* and *after*. Whatever is counted is compared exactly; where only bins
of scores are known, the figure comes with the bounds that they leave. Shares are of weight: what the tiering before
weighs documents by.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.calibration.agreement import KEPT_PERCENTS, overlap, rank_correlation
from curation.calibration.description import MEASURES, Description, Ranked
from curation.calibration.distance import cumulative, ks, psi, shares
from curation.calibration.flagging import Limits, findings, too_few
from curation.calibration.histogram import PERCENTS, order_keys
from curation.calibration.thresholds import ClassifierThresholds, Thresholds
from curation.core.errors import ConfigError

FORMAT = 1
_MOST_POINTS = 200
_KS_CHANCE = 1.358
"""Times √(1/n + 1/m): the distance that two samples of one distribution stay below 95 times in 100 (Smirnov 1939)."""


@dataclass(frozen=True)
class Side:
    """One of the two: its name for people, its thresholds, and its description unless they stand alone."""

    name: str
    thresholds: Thresholds
    description: Description | None = None

    @property
    def classifiers(self) -> tuple[Ranked, ...]:
        """Those of the ensemble; where there are thresholds alone, those that have some."""
        if self.description:
            return self.description.subject.classifiers
        entries = {each.name: each for each in self.thresholds.classifiers}
        return tuple(Ranked(each.name, each.fingerprint, "", ()) for each in entries.values())

    @property
    def weights(self) -> str:
        """What its documents weigh, "" where nothing says it."""
        if self.description:
            return self.description.subject.weights
        return next((each.weights for each in self.thresholds.classifiers), "")

    def about(self) -> dict[str, Any]:
        """What it is, as JSON."""
        about: dict[str, Any] = {
            "name": self.name,
            "thresholds": self.thresholds.fingerprint(),
            "group": self.thresholds.group,
            "partial": self.thresholds.partial,
            "weights": self.weights,
            "described": self.description is not None,
        }
        if self.description:
            about |= dict(zip(MEASURES, self.description.tiers.sum(axis=1).tolist(), strict=True))
        return about


def drift(before: Side, after: Side, limits: Limits) -> dict[str, Any]:
    """Everything there is to say of two sides, as JSON.

    Raises ConfigError when they have nothing in common that could be compared.
    """
    notes: list[str] = []
    pairs = list(_paired(before, after, notes))
    if not pairs and not (before.description and after.description):
        raise ConfigError(
            f"drift: no classifier of {before.name} can be compared with one of {after.name}. " + " ".join(notes)
        )
    notes += _notes(before, after)
    weights = before.weights or after.weights or MEASURES[1]
    measure = MEASURES.index(weights)
    found: dict[str, Any] = {
        "format": FORMAT,
        "before": before.about(),
        "after": after.about(),
        "weights": weights,
        "limits": asdict(limits),
        "classifiers": [_classifier(first, second, before, after, measure) for first, second in pairs],
    }
    if before.description and after.description:
        both = before.description, after.description
        found["tiers"] = _tiers(*both, measure, notes)
        quality = _both(shares(each.quality[measure]) for each in both)
        found["quality"] = {"values": list(range(-1, len(PERCENTS) + 1)), **quality}
        found["decides"] = _decides(*both, measure, notes)
        names = [first.name for first, second in pairs if first.name == second.name]
        found["agreement"] = _agreement(*both, measure, names)
    found["notes"] = [*notes, *too_few(found, limits)]
    found["findings"] = list(findings(found, limits))
    return found


def _paired(before: Side, after: Side, notes: list[str]) -> Iterator[tuple[Ranked, Ranked]]:
    """The classifiers that can be compared; of the others, a note says why not."""
    rest = {each.name: each for each in after.classifiers}
    for first in before.classifiers:
        names = {first.name, first.column} - {""}
        second = next((each for each in rest.values() if names & {each.name, each.column}), None)
        if second is None:
            notes.append(f"{first.name} is a classifier of {before.name} alone.")
            continue
        del rest[second.name]
        if first.fingerprint and second.fingerprint and first.fingerprint != second.fingerprint:
            notes.append(
                f"{first.name} is another model after ({second.fingerprint[:8]}) than before "
                f"({first.fingerprint[:8]}): their scores are not compared."
            )
            continue
        if not (first.fingerprint and second.fingerprint):
            notes.append(f"{first.name}: nothing shows that both sides had the same model.")
        yield first, second
    notes += [f"{name} is a classifier of {after.name} alone." for name in rest]


def _notes(before: Side, after: Side) -> Iterator[str]:
    for side in (before, after):
        if side.thresholds.partial:
            yield f"{side.name}: its thresholds were found on a part of its data."
        if side.description and side.description.subject.partial and not side.thresholds.partial:
            yield f"{side.name}: shards were missing when it was tiered."
        if side.description is None:
            yield f"{side.name}: thresholds alone, so that only cuts are compared."
    if before.thresholds.group != after.thresholds.group:
        groups = [f"by {side.thresholds.group}" if side.thresholds.group else "for all" for side in (before, after)]
        yield f"Thresholds are {groups[0]} before and {groups[1]} after: cuts are not compared."
    if before.weights and after.weights and before.weights != after.weights:
        yield (
            f"Documents weighed their {before.weights} before and their {after.weights} after; here both are counted "
            f"by their {before.weights}."
        )


def _classifier(first: Ranked, second: Ranked, before: Side, after: Side, measure: int) -> dict[str, Any]:
    """What differs between the scores and cuts of a classifier."""
    cuts = _cuts(first, second, before, after, measure)
    found = {"name": first.name, "fingerprint": first.fingerprint or second.fingerprint, "cuts": cuts}
    if not (before.description and after.description):
        return {**found, "ks": _ks_of_cuts(cuts)}
    counted = [_Counted(before.description, first, measure), _Counted(after.description, second, measure)]
    bins = np.union1d(counted[0].bins, counted[1].bins)
    weights = [each.on(bins) for each in counted]
    buckets = _buckets(counted, bins, weights)
    least, most = ks(*weights)
    if buckets["exact"]:
        least = max(least, ks(buckets["before"], buckets["after"])[0])
    one_in = sum(1 / max(each.num_scored, 1) for each in counted)
    stability = {
        "value": psi(buckets["before"], buckets["after"]),
        "chance": (len(buckets["before"]) - 1) * one_in,
        "exact": buckets["exact"],
        **_both(shares(buckets[side]) for side in ("before", "after")),
    }
    return {
        **found,
        "num_scored": _both(each.num_scored for each in counted),
        "missing_share": _both(each.missing_share for each in counted),
        "psi": stability,
        "ks": {"least": least, "most": max(least, most), "chance": _KS_CHANCE * math.sqrt(one_in)},
        "moved": _moved(*weights),
        "near_cuts": _near_cuts(counted),
    }


@dataclass(frozen=True)
class _Counted:
    """A classifier of a description, counted by one measure."""

    description: Description
    ranked: Ranked
    measure: int

    @property
    def bins(self) -> NDArray[np.int64]:
        """The bins that hold scores."""
        return self.description.histogram(self.ranked.name)[0]

    @property
    def weight(self) -> NDArray[np.int64]:
        """The weight in each of them."""
        return np.asarray(self.description.histogram(self.ranked.name)[1][self.measure])

    def on(self, bins: NDArray[np.int64]) -> NDArray[np.int64]:
        """The weight in each of more bins."""
        weight = np.zeros(len(bins), np.int64)
        weight[np.searchsorted(bins, self.bins)] = self.weight
        return weight

    @property
    def buckets(self) -> NDArray[np.int64]:
        """The weight in each bucket, from 0 to 19; of a single classifier the quality is the bucket."""
        for first, second in self.description.subject.pairs:
            if self.ranked.name in {first, second}:
                joint = self.description.pair(first, second)[self.measure]
                return np.asarray(joint.sum(axis=int(self.ranked.name == first))[1:])
        return np.asarray(self.description.quality[self.measure, 1:])

    @property
    def num_scored(self) -> int:
        """Documents with a score."""
        return int(self.description.histogram(self.ranked.name)[1][0].sum())

    @property
    def missing_share(self) -> float:
        """The share of documents without one."""
        num_missing = self.description.num_missing(self.ranked.name)
        return num_missing / max(1, num_missing + self.num_scored)


def _buckets(
    counted: Sequence[_Counted], bins: NDArray[np.int64], weights: Sequence[NDArray[np.int64]]
) -> dict[str, Any]:
    """The weights of both in the buckets of the cuts before.

    Where both have these cuts, the buckets are counted. Elsewhere a cut is moved down to the edge of its bin, so that
    both are still counted, in buckets that differ a little; cuts in one bin become one.
    """
    first, second = (each.ranked.cuts for each in counted)
    if first and first == second:
        return {"exact": True, **_both(each.buckets for each in counted)}
    if first:
        edges = order_keys(np.asarray(dict(first)[""], np.float32)) >> 16
    else:
        edges = bins[np.searchsorted(cumulative(weights[0])[1:-1], np.asarray(PERCENTS) / 100)]
    places = np.searchsorted(bins, np.unique(edges))
    return {"exact": False, **_both(_sums_between(each, places) for each in weights)}


def _cuts(first: Ranked, second: Ranked, before: Side, after: Side, measure: int) -> list[dict[str, Any]]:
    """For every value of the group the cuts of both, and where those before lie in the distribution after."""
    if before.thresholds.group != after.thresholds.group:
        return []
    known = _entries(after.thresholds, second)
    found = []
    for value, entry in _entries(before.thresholds, first).items():
        if value in known:
            cuts, others = (np.asarray(each.cuts, np.float32) for each in (entry, known[value]))
            is_counted = after.description is not None and not after.thresholds.group
            counted = _Counted(after.description, second, measure) if after.description and is_counted else None
            low, high = _below(cuts, others, counted)
            found.append(
                {
                    "group": value,
                    "percents": list(PERCENTS),
                    "before": cuts.astype(float).tolist(),
                    "after": others.astype(float).tolist(),
                    "below_after": {"least": low.tolist(), "most": high.tolist()},
                }
            )
    return found


def _entries(thresholds: Thresholds, ranked: Ranked) -> dict[str, ClassifierThresholds]:
    return {each.group: each for each in thresholds.classifiers if each.name in {ranked.name, ranked.column}}


def _below(
    cuts: NDArray[np.float32], others: NDArray[np.float32], counted: _Counted | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The least share of the weight after that lies below each of these cuts, and the most that lies below or on it.

    It is known at the cuts after: as the buckets are counted, or where thresholds stand alone, 5, 10 … 95 %, which is
    what they were found for; and at the edges of the bins.
    """
    if counted is None:
        below = np.asarray(PERCENTS) / 100  # the most that lies below a cut, and the least that lies below or on it
        low = np.append(0.0, below)[np.searchsorted(others, cuts, "left")]
        return low, np.append(below, 1.0)[np.searchsorted(others, cuts, "right")]
    below = cumulative(counted.buckets)[1:-1]
    by_bin, places = cumulative(counted.weight), order_keys(cuts) >> 16
    low = np.maximum(
        np.append(0.0, below)[np.searchsorted(others, cuts, "right")],
        by_bin[np.searchsorted(counted.bins, places, "left")],
    )
    high = np.minimum(
        np.append(below, 1.0)[np.searchsorted(others, cuts, "right")],
        by_bin[np.searchsorted(counted.bins, places, "right")],
    )
    return low, high


def _ks_of_cuts(cuts: Sequence[Mapping[str, Any]]) -> dict[str, float | None] | None:
    """What cuts alone tell of the Kolmogorov-Smirnov distance: it is at least so much; of groups, the greatest."""
    if not cuts:
        return None
    least = 0.0
    for each in cuts:
        share = np.asarray(each["percents"]) / 100
        below = each["below_after"]
        apart = np.maximum(np.asarray(below["least"]) - share, share - np.asarray(below["most"]))
        least = max(least, float(apart.max()))
    return {"least": least, "most": None, "chance": None}


def _moved(before: NDArray[np.int64], after: NDArray[np.int64]) -> dict[str, list[float]]:
    """A few points of the two distributions: what lies below a score before, and after."""
    first, second = cumulative(before), cumulative(after)
    apart = np.abs(first - second)
    grid = np.linspace(0, 1, _MOST_POINTS // 2)
    places = np.unique(
        np.concatenate(
            [np.searchsorted(each, grid).clip(0, len(each) - 1) for each in (first, second)] + [[apart.argmax()]]
        )
    )
    return _both([first[places].tolist(), second[places].tolist()])


def _near_cuts(counted: Sequence[_Counted]) -> list[dict[str, Any]]:
    """The share of what is near each cut at which a tier of before begins; of documents where the weights differ."""
    by_weight = len({each.description.subject.weights for each in counted}) == 1
    found = []
    for name, buckets in counted[0].description.subject.tiers:
        if buckets and buckets[0]:
            near = (
                int(each.description.near_cuts(each.ranked.name)[int(by_weight), buckets[0] - 1])
                / max(1, int(each.weight.sum()) if by_weight else each.num_scored)
                for each in counted
            )
            found.append({"tier": name, "percent": PERCENTS[buckets[0] - 1], **_both(near)})
    return found


def _tiers(before: Description, after: Description, measure: int, notes: list[str]) -> list[dict[str, Any]]:
    """The share of each tier on both sides; of other ranges, by the quality and the ranges before."""
    mine, others = (dict(each.subject.tiers) for each in (before, after))
    held = [shares(each.tiers[measure]).tolist() for each in (before, after)]
    if mine == others:
        second = dict(zip(others, held[1], strict=True))
    elif "rejected" in mine or "rejected" in others:
        notes.append("The tiers are others after, and a rule rejects documents: tiers are not compared.")
        return []
    else:
        notes.append("The tiers are others after: what would be in those before is compared.")
        quality = shares(after.quality[measure])
        second = {
            name: float(quality[buckets[0] + 1 : buckets[1] + 2].sum()) if buckets else float(quality[0])
            for name, buckets in mine.items()
        }
    return [
        {"name": name, "quality": list(buckets) if buckets else None, **_both([first, second[name]])}
        for (name, buckets), first in zip(mine.items(), held[0], strict=True)
    ]


def _decides(before: Description, after: Description, measure: int, notes: list[str]) -> dict[str, Any] | None:
    """How often each classifier decides the quality, alone or beside others, as shares of what has a quality."""
    names = [each.name for each in before.subject.classifiers]
    told = [each.decides() for each in (before, after)]
    if not all(told) or {*names} != {each.name for each in after.subject.classifiers}:
        notes.append(
            "Who decides is not compared: it takes the same classifiers, and the highest bucket, on both sides."
        )
        return None
    sets: dict[tuple[str, ...], list[int]] = {}
    for place, rows in enumerate(told):
        for row in rows:
            key = tuple(name for name in names if name in row["by"])
            sets.setdefault(key, [0, 0])[place] += row[MEASURES[measure]]
    totals = np.maximum(np.sum([*sets.values()], axis=0), 1)

    def share(wanted: Mapping[tuple[str, ...], list[int]]) -> dict[str, Any]:
        return _both((np.sum([[0, 0], *wanted.values()], axis=0) / totals).tolist())

    return {
        "sets": [{"by": list(key), **share({key: sets[key]})} for key in sorted(sets, key=lambda key: (len(key), key))],
        "classifiers": [
            {
                "name": name,
                "alone": share({key: sums for key, sums in sets.items() if key == (name,)}),
                "among": share({key: sums for key, sums in sets.items() if name in key}),
            }
            for name in names
        ],
    }


def _agreement(before: Description, after: Description, measure: int, names: Sequence[str]) -> list[dict[str, Any]]:
    """How alike every two classifiers rank, and what they keep of their best, on both sides."""
    found = []
    for first, second in before.subject.pairs:
        if first not in names or second not in names:
            continue
        joint = [_pair(each, first, second) for each in (before, after)]
        overlaps = [
            {
                "percent": percent,
                **_both(
                    {
                        part: dict(zip(MEASURES, sums.tolist(), strict=True))
                        for part, sums in overlap(each, percent).items()
                    }
                    for each in joint
                ),
            }
            for percent in KEPT_PERCENTS
        ]
        ranks = [rank_correlation(each[measure]) for each in joint]
        found.append(
            {
                "first": first,
                "second": second,
                "rank_correlation": _both(None if math.isnan(rank) else rank for rank in ranks),
                "overlap": overlaps,
            }
        )
    return found


def _pair(description: Description, first: str, second: str) -> NDArray[np.int64]:
    """The joint counts of two classifiers, whichever comes first in the file."""
    if (first, second) in description.subject.pairs:
        return description.pair(first, second)
    return description.pair(second, first).transpose(0, 2, 1)


def _sums_between(weight: NDArray[np.int64], places: NDArray[np.intp]) -> NDArray[np.int64]:
    """The weight before the first place, between each two, and from the last on."""
    below = np.concatenate([[0], np.cumsum(weight)])
    return np.diff(np.concatenate([[0], below[places], below[-1:]]))


def _both(values: Any) -> dict[str, Any]:
    """Two values by their sides."""
    first, second = (each.tolist() if isinstance(each, np.ndarray) else each for each in values)
    return {"before": first, "after": second}
