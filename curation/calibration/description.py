"""The description of a tiering: counts of its documents, of one size whatever the size of the run.

Everything is a whole number summed over documents, so that no split of the data, no order and no retry can change it:
the tiers, the scores of each classifier in 65,536 bins, the buckets of every two classifiers together, which classifier
decides, and how long the documents of a tier are. A report and a comparison need nothing else of a tiering.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.calibration.histogram import PERCENTS, order_keys, score_of
from curation.core.errors import ConfigError
from curation.core.fingerprint import canonical_json

FORMAT = 1
MEASURES = ("documents", "bytes", "tokens")
NEAR_SHARE = 0.005
"""A score is near a cut when less than this share of the weight lies between the two, as far as the cuts tell it.

Between two cuts lie 5 % of the weight, taken to lie evenly: so it is a tenth of the way to the next cut.
"""
MOST_CLASSIFIERS = 10
"""In an ensemble that can be described: each set of them that decides is counted, of which there are up to 1,023."""

_NUM_CUTS = len(PERCENTS)
NUM_BUCKETS = _NUM_CUTS + 1
_NUM_RANKS = NUM_BUCKETS + 1  # and a missing bucket
_NUM_LENGTHS = 64
_MISSING = 1 << 16  # the bin of documents without a score
_FEW = 4  # cells for each document, above which only those that are there are looked at
_LARGEST_SMALL = (1 << 32) - 1

Key = tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Tally:
    """Sums by cell: `cells`, in order, are those that hold documents; `sums` has shape (measures, cells).

    Both take 32 bits where that is enough: a tally of a shard travels.
    """

    cells: NDArray[Any]
    sums: NDArray[Any]

    @classmethod
    def of(cls, cells: NDArray[Any], sizes: NDArray[np.float64]) -> "Tally":
        """The tally of documents, each in one cell; `sizes` has shape (measures, documents), whole numbers.

        Exact while a sum stays below 2**53.
        """
        first = cells.min() if len(cells) else 0
        places = cells - first
        if len(cells) and places.max() > _FEW * len(cells):
            found, places = np.unique(cells, return_inverse=True)
            sums = np.stack([np.bincount(places, size) for size in sizes])
        else:
            held = np.flatnonzero(np.bincount(places))
            found, sums = held + first, np.stack([np.bincount(places, size)[held] for size in sizes])
        return cls(_small(found), _small(sums.astype(np.int64)))

    @classmethod
    def merged(cls, tallies: Sequence["Tally"]) -> "Tally":
        """The tally of the documents of all."""
        cells = np.concatenate([each.cells.astype(np.int64) for each in tallies])
        found, places = np.unique(cells, return_inverse=True)
        sums = np.zeros((len(tallies[0].sums), len(found)), np.int64)
        for total, parts in zip(sums, np.concatenate([each.sums.astype(np.int64) for each in tallies], 1), strict=True):
            np.add.at(total, places, parts)
        return cls(_small(found), _small(sums))

    def dense(self, num_cells: int) -> NDArray[np.int64]:
        """The sums of the first `num_cells` cells, of shape (measures, num_cells)."""
        sums = np.zeros((len(self.sums), num_cells), np.int64)
        here = self.cells < num_cells
        sums[:, self.cells[here]] = self.sums[:, here]
        return sums


@dataclass(frozen=True, eq=False)
class Counts:
    """The tallies of some documents, by what they count. Merge with ``+``, or many at once with `merged`."""

    tallies: Mapping[Key, Tally]

    @classmethod
    def merged(cls, parts: Sequence["Counts"]) -> "Counts":
        """The counts of the documents of all parts, of which there is one at least."""
        return cls({key: Tally.merged([each.tallies[key] for each in parts]) for key in parts[0].tallies})

    @property
    def num_bytes(self) -> int:
        """What the sums take in memory."""
        return sum(each.cells.nbytes + each.sums.nbytes for each in self.tallies.values())

    def __add__(self, other: "Counts") -> "Counts":
        return Counts.merged([self, other])


@dataclass(frozen=True)
class Ranked:
    """A classifier of an ensemble, with (value of the group, 19 cuts): one, of "", where there are no groups."""

    name: str
    fingerprint: str
    column: str
    cuts: tuple[tuple[str, tuple[float, ...]], ...]


@dataclass(frozen=True)
class Subject:
    """The tiering that is described.

    `made_of` is equal where the description is. `tiers` are (name, (lowest, highest quality)), None where a tier is no
    range. `by_maximum` says that the highest bucket is the quality, so that there is a classifier that decides.
    """

    made_of: str
    partial: bool
    weights: str
    group: str
    tiers: tuple[tuple[str, tuple[int, int] | None], ...]
    classifiers: tuple[Ranked, ...]
    by_maximum: bool

    @property
    def pairs(self) -> Iterable[tuple[str, str]]:
        """Every two classifiers."""
        return combinations([each.name for each in self.classifiers], 2)


@dataclass(frozen=True, eq=False)
class Documents:
    """Documents of a tiering, as arrays: what they measure [3, N], scores and buckets by classifier, quality.

    `tiers` are places among the tiers of the subject; `groups` are places among `values`.
    """

    sizes: NDArray[np.float64]
    scores: Mapping[str, NDArray[np.float32]]
    buckets: Mapping[str, NDArray[np.int8]]
    quality: NDArray[np.int8]
    tiers: NDArray[np.intp]
    groups: NDArray[np.intp]
    values: Sequence[str] = ("",)


def count(subject: Subject, documents: Documents) -> Counts:
    """The counts of some documents."""
    sizes, tiers = documents.sizes, documents.tiers
    of_tokens = sizes[[0, 2]]
    tallies: dict[Key, Tally] = {
        ("tiers",): Tally.of(tiers, sizes),
        ("quality",): Tally.of(documents.quality.astype(np.intp) + 1, sizes),
        ("lengths",): Tally.of(tiers * _NUM_LENGTHS + np.frexp(sizes[2])[1], of_tokens),
        ("decides",): _decides(subject, documents),
    }
    for each in subject.classifiers:
        scores = documents.scores[each.name]
        bins = (order_keys(scores) >> 16).astype(np.intp)
        bins[~np.isfinite(scores)] = _MISSING
        tallies["scores", each.name] = Tally.of(bins, sizes)
        tallies["near", each.name] = _near(subject, each, documents)
    ranks = {each.name: documents.buckets[each.name].astype(np.intp) + 1 for each in subject.classifiers}
    for first, second in subject.pairs:
        tallies["pair", first, second] = Tally.of(ranks[first] * _NUM_RANKS + ranks[second], sizes)
    return Counts(tallies)


@dataclass(frozen=True, eq=False)
class Description:
    """A tiering and the counts of all its documents."""

    subject: Subject
    counts: Counts

    @property
    def tiers(self) -> NDArray[np.int64]:
        """Documents, bytes and tokens [3, T] of each tier."""
        return self.counts.tallies["tiers",].dense(len(self.subject.tiers))

    @property
    def quality(self) -> NDArray[np.int64]:
        """Documents, bytes and tokens [3, 21] by quality from -1 to 19."""
        return self.counts.tallies["quality",].dense(_NUM_RANKS)

    def pair(self, first: str, second: str) -> NDArray[np.int64]:
        """Documents, bytes and tokens [3, 21, 21] by the buckets of two classifiers, of the first in rows, from -1."""
        sums = self.counts.tallies["pair", first, second].dense(_NUM_RANKS**2)
        return sums.reshape(-1, _NUM_RANKS, _NUM_RANKS)

    def near_cuts(self, name: str) -> NDArray[np.int64]:
        """Documents and weight [2, 19] near each cut of a classifier."""
        return self.counts.tallies["near", name].dense(_NUM_CUTS)

    def num_missing(self, name: str) -> int:
        """Documents without a score of a classifier."""
        tally = self.counts.tallies["scores", name]
        return int(tally.sums[0, tally.cells == _MISSING].sum())

    def histogram(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The bins that hold scores of a classifier, in order, and documents, bytes and tokens [3, bins] in them."""
        tally = self.counts.tallies["scores", name]
        here = tally.cells != _MISSING
        return tally.cells[here].astype(np.int64), tally.sums[:, here].astype(np.int64)

    def decides(self) -> list[dict[str, Any]]:
        """What each set of classifiers, whose buckets are the quality, decides of each tier; empty for other means."""
        tally, subject = self.counts.tallies["decides",], self.subject
        found = []
        for cell, sums in zip(tally.cells.tolist(), tally.sums.T.tolist(), strict=True):
            names, tier = divmod(cell, len(subject.tiers))
            by = [each.name for place, each in enumerate(subject.classifiers) if names >> place & 1]
            found.append({"by": by, "tier": subject.tiers[tier][0], **dict(zip(MEASURES, sums, strict=True))})
        return found

    def to_json(self) -> bytes:
        """The file of a description: canonical JSON, whose form docs/tierings.md gives."""
        subject = self.subject
        quality = {"values": list(range(-1, _NUM_CUTS + 1)), **_measured(self.quality)}
        pairs = [
            {"first": first, "second": second, **_measured(self.pair(first, second))} for first, second in subject.pairs
        ]
        document = {
            "format": FORMAT,
            "made_of": subject.made_of,
            "partial": subject.partial,
            "weights": subject.weights,
            "tiers": self._tiers(),
            "quality": quality,
            "classifiers": [self._classifier(each) for each in subject.classifiers],
            "pairs": pairs,
            "decides": self.decides(),
            "lengths": self._lengths(),
        }
        return canonical_json(document) + b"\n"

    def _tiers(self) -> list[dict[str, Any]]:
        return [
            {"name": name, "lowest": low, "highest": high, **dict(zip(MEASURES, sums, strict=True))}
            for (name, buckets), sums in zip(self.subject.tiers, self.tiers.T.tolist(), strict=True)
            for low, high in [buckets or (None, None)]
        ]

    def _classifier(self, ranked: Ranked) -> dict[str, Any]:
        bins, sums = self.histogram(ranked.name)
        near = self.near_cuts(ranked.name).tolist()
        return {
            "name": ranked.name,
            "fingerprint": ranked.fingerprint,
            "column": ranked.column,
            "group": self.subject.group,
            "cuts": [] if self.subject.group else list(dict(ranked.cuts)[""]),
            "num_missing": self.num_missing(ranked.name),
            "near_cuts": {"epsilon": NEAR_SHARE, "documents": near[0], "weight": near[1]},
            "histogram": {"scores": [score_of(each << 16) for each in bins.tolist()], **_measured(sums)},
        }

    def _lengths(self) -> dict[str, Any]:
        num_tiers = len(self.subject.tiers)
        sums = self.counts.tallies["lengths",].dense(num_tiers * _NUM_LENGTHS).reshape(2, num_tiers, _NUM_LENGTHS)
        num_edges = 1 + int(np.flatnonzero(sums.any(axis=(0, 1))).max(initial=0))
        by_tier = {
            name: {"documents": sums[0, place, :num_edges].tolist(), "tokens": sums[1, place, :num_edges].tolist()}
            for place, (name, _) in enumerate(self.subject.tiers)
        }
        return {"tokens": [0, *(1 << place for place in range(num_edges - 1))], "by_tier": by_tier}

    @classmethod
    def from_json(cls, text: str | bytes, where: str = "description") -> "Description":
        """The description in a file that `to_json` wrote; of a tiering by groups without the cuts.

        `where` names the file in messages. Raises ConfigError when it is no such file, or of a newer format.
        """
        try:
            document = json.loads(text)
            if document["format"] > FORMAT:
                raise ConfigError(
                    f"{where}: has format {document['format']} and this version reads up to {FORMAT}; install a newer "
                    "version."
                )
            subject = _subject(document)
            return cls(subject, Counts(_tallies(document, subject)))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"{where}: is no description of a tiering: {error!r}.") from None


def _subject(document: Mapping[str, Any]) -> Subject:
    classifiers = tuple(
        Ranked(each["name"], each["fingerprint"], each["column"], (("", tuple(each["cuts"])),) if each["cuts"] else ())
        for each in document["classifiers"]
    )
    tiers = tuple(
        (each["name"], None if each["lowest"] is None else (each["lowest"], each["highest"]))
        for each in document["tiers"]
    )
    (group,) = {each["group"] for each in document["classifiers"]}
    return Subject(
        document["made_of"],
        document["partial"],
        document["weights"],
        group,
        tiers,
        classifiers,
        bool(document["decides"]),
    )


def _tallies(document: Mapping[str, Any], subject: Subject) -> dict[Key, Tally]:
    names = [name for name, _ in subject.tiers]
    lengths = [document["lengths"]["by_tier"][name] for name in names]
    lengths_of_tiers = np.zeros((2, len(names), _NUM_LENGTHS), np.int64)
    for place, each in enumerate(lengths):
        lengths_of_tiers[:, place, : len(each["tokens"])] = [each["documents"], each["tokens"]]
    bit_of = {each.name: 1 << place for place, each in enumerate(subject.classifiers)}
    decides = [
        sum(bit_of[name] for name in each["by"]) * len(names) + names.index(each["tier"])
        for each in document["decides"]
    ]
    tallies: dict[Key, Tally] = {
        ("tiers",): _sparse([[each[measure] for each in document["tiers"]] for measure in MEASURES]),
        ("quality",): _sparse([document["quality"][measure] for measure in MEASURES]),
        ("lengths",): _sparse(lengths_of_tiers),
        ("decides",): Tally(
            np.asarray(decides, np.int64),
            np.asarray([[each[measure] for each in document["decides"]] for measure in MEASURES], np.int64),
        ),
    }
    for each in document["classifiers"]:
        name, held, near = each["name"], each["histogram"], each["near_cuts"]
        bins = order_keys(np.asarray(held["scores"], np.float32)) >> 16
        sums = np.zeros((len(MEASURES), _MISSING + 1), np.int64)
        sums[:, bins] = [held[measure] for measure in MEASURES]
        sums[0, _MISSING] = each["num_missing"]
        tallies["scores", name] = _sparse(sums)
        tallies["near", name] = _sparse([near["documents"], near["weight"]])
    for each in document["pairs"]:
        tallies["pair", each["first"], each["second"]] = _sparse([each[measure] for measure in MEASURES])
    return tallies


def _decides(subject: Subject, documents: Documents) -> Tally:
    scored = documents.quality >= 0
    if not subject.by_maximum:
        scored = np.zeros_like(scored)
    quality = documents.quality[scored]
    names = np.zeros(len(quality), np.int64)
    for place, each in enumerate(subject.classifiers):
        names |= (documents.buckets[each.name][scored] == quality).astype(np.int64) << place
    return Tally.of(names * len(subject.tiers) + documents.tiers[scored], documents.sizes[:, scored])


def _near(subject: Subject, ranked: Ranked, documents: Documents) -> Tally:
    """Documents and weight near each cut; of equal cuts the first has those below, the last those above and on it."""
    known = dict(ranked.cuts)
    nowhere = np.full(NUM_BUCKETS, np.nan)
    ends = [_surroundings(known[value]) if value in known else (nowhere, nowhere) for value in documents.values]
    low, high = (np.concatenate(each) for each in zip(*ends, strict=True))
    scores, buckets = documents.scores[ranked.name], documents.buckets[ranked.name].astype(np.intp)
    places = documents.groups * NUM_BUCKETS + buckets if subject.group else buckets
    sizes = documents.sizes[[0, MEASURES.index(subject.weights)]]
    sums = np.zeros((2, _NUM_CUTS))
    for cut, here in (
        (buckets, (scores >= low[places]) & (buckets >= 0)),
        (buckets - 1, (scores <= high[places]) & (buckets > 0)),
    ):
        for total, size in zip(sums, sizes, strict=True):
            np.add(total, np.bincount(cut[here], size[here], _NUM_CUTS), out=total)
    return _sparse(sums)


def _surroundings(cuts: Sequence[float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For each bucket where the surroundings of the cut above it begin, and where those of the cut below it end.

    The outer buckets, which have no end, count as wide as their neighbours.
    """
    inner = np.asarray(cuts, np.float64)
    way = NEAR_SHARE * 100 / (PERCENTS[1] - PERCENTS[0])
    widths = np.diff(inner)
    low = inner - way * np.append(widths[0], widths)
    high = inner + way * np.append(widths, widths[-1])
    return np.append(low, np.inf), np.append(-np.inf, high)


def _sparse(dense: Any) -> Tally:
    """The tally of the sums in an array of shape (measures, …)."""
    sums = np.asarray(dense, np.int64)
    sums = sums.reshape(len(sums), -1)
    cells = np.flatnonzero(sums.any(axis=0))
    return Tally(_small(cells), _small(sums[:, cells]))


def _measured(sums: NDArray[np.int64]) -> dict[str, Any]:
    """Documents, bytes and tokens by their names."""
    return dict(zip(MEASURES, sums.tolist(), strict=True))


def _small(values: NDArray[Any]) -> NDArray[Any]:
    return values.astype(np.uint32 if values.max(initial=0) <= _LARGEST_SMALL else np.int64)
