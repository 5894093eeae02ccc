"""Thresholds: 19 cuts per classifier, where they come from, and the file that keeps them."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from curation.calibration.histogram import PERCENTS, Histogram, Refinement, bins_to_refine, coarse, cuts, fine
from curation.core.errors import ConfigError
from curation.core.fingerprint import canonical_json, fingerprint

FORMAT, FORMAT_OF_GROUPS = 1, 2
"""The formats of thresholds files: of one set of cuts for each classifier, and of one for each group of documents."""

_KEYS = tuple(str(percent) for percent in PERCENTS)
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class ClassifierThresholds:
    """The cuts of one classifier, with their provenance.

    `cuts` are 19 float32 values as Python floats, not decreasing. `fingerprint` is the classifier's, `weights` what a
    document weighed ("bytes", "tokens" or "documents"); both are "" in files that do not say it, and the counts are 0.
    `group` is the value of the documents that they are for, "" where it is missing, or where there are no groups.
    """

    name: str
    cuts: tuple[float, ...]
    fingerprint: str = ""
    weights: str = ""
    num_scored: int = 0
    num_missing: int = 0
    total_weight: int = 0
    group: str = ""

    @classmethod
    def of(
        cls, name: str, fingerprint: str, weights: str, histogram: Histogram, refinement: Refinement
    ) -> "ClassifierThresholds":
        """The thresholds that two merged passes over all the documents give. Raises what `histogram.cuts` does."""
        return cls(
            name,
            cuts(name, histogram, refinement),
            fingerprint,
            weights,
            histogram.num_scored,
            histogram.num_missing,
            histogram.total_weight,
        )


@dataclass(frozen=True)
class Thresholds:
    """The thresholds of a run's classifiers.

    `partial` says that shards were missing when they were found; `run` is the spec of the run that found them, as
    canonical JSON, or "". With a `group`, the column of documents, a classifier is there once for each of its values.
    """

    classifiers: tuple[ClassifierThresholds, ...]
    partial: bool = False
    run: str = ""
    group: str = ""

    def cuts_by_group(self, name: str, score_column: str = "") -> dict[str, tuple[float, ...]]:
        """Value of `group` → the cuts of a classifier; ConfigError as `cuts`."""
        self.cuts(name, score_column)
        return {each.group: each.cuts for each in self.classifiers if each.name in {name, score_column}}

    def cuts(self, name: str, score_column: str = "") -> tuple[float, ...]:
        """The cuts of the classifier `name`; files of other projects may list them under its score column instead.

        Raises ConfigError when they are under neither.
        """
        if (found := self._find(name, score_column)) is None:
            raise ConfigError(self._absent(name))
        return found.cuts

    def fingerprint(self) -> str:
        """A hash of the cuts and of the classifiers they belong to: equal when equal scores get equal buckets."""
        if not self.group:
            return fingerprint({each.name: [each.fingerprint, *each.cuts] for each in self.classifiers})
        return fingerprint([self.group, *sorted([e.name, e.group, e.fingerprint, *e.cuts] for e in self.classifiers)])

    def mismatches(self, fingerprints: Mapping[str, str], score_columns: Mapping[str, str] | None = None) -> list[str]:
        """Why these thresholds do not belong to these classifiers (name → fingerprint); empty if they do.

        A classifier has no cuts, or another fingerprint than the one that its cuts were found for.
        """
        mistakes = []
        for name, current in fingerprints.items():
            found = self._find(name, (score_columns or {}).get(name, ""))
            if found is None:
                mistakes.append(self._absent(name))
            elif found.fingerprint not in {"", current}:
                mistakes.append(
                    f"thresholds of {name!r}: were found for the classifier {found.fingerprint[:8]}, but this run "
                    f"scores with {current[:8]}; calibrate again, or configure the classifier that they belong to."
                )
        return mistakes

    def cautions(self) -> list[str]:
        """What nobody can vouch for when these thresholds are used as frozen ones; empty if all is known."""
        unknown = dict.fromkeys(each.name for each in self.classifiers if not each.fingerprint)
        cautions = [
            f"thresholds of {name!r}: name no fingerprint, so nothing shows that they belong to this classifier."
            for name in unknown
        ]
        return [*cautions, "thresholds: were found on a part of their run's data."] if self.partial else cautions

    def to_json(self) -> str:
        """The text of a thresholds file; `from_json` gives back an equal value."""
        tables: dict[str, Any] = {}
        for each in self.classifiers:
            table = asdict(each) | {"cuts": dict(zip(_KEYS, each.cuts, strict=True))}
            del table["name"], table["group"]
            if self.group:
                tables.setdefault(each.name, {})[each.group] = table
            else:
                tables[each.name] = table
        run = json.loads(self.run) if self.run else None
        about = {"format": FORMAT_OF_GROUPS, "group": self.group} if self.group else {"format": FORMAT}
        document = about | {"partial": self.partial, "run": run, "classifiers": tables}
        return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, where: str = "thresholds") -> "Thresholds":
        """The thresholds in a file that `to_json` wrote, or in the form {score column: {"5": cut, …, "95": cut}}.

        A cut between two float32 values becomes the upper one, which separates float32 scores in the same way.
        `where` names the file in messages. Raises ConfigError with every mistake: no JSON, a newer format, a cut that
        is missing, too many, not a finite float32 or smaller than the one before it.
        """
        try:
            document = json.loads(text)
        except ValueError as error:
            raise ConfigError(f"{where}: is not JSON: {error}.") from None
        if not isinstance(document, dict):
            raise ConfigError(f"{where}: holds {document!r}; it must be an object with the cuts of each classifier.")
        if "format" not in document:
            return cls(_entries({name: {"cuts": table} for name, table in document.items()}, where))
        if document["format"] not in {FORMAT, FORMAT_OF_GROUPS}:
            raise ConfigError(
                f"{where}: has format {document['format']!r} and this version reads up to {FORMAT_OF_GROUPS}; install "
                "a newer version."
            )
        try:
            run = "" if document["run"] is None else canonical_json(document["run"]).decode()
            tables, group = document["classifiers"], document.get("group", "")
            if not group:
                return cls(_entries(tables, where), document["partial"], run)
            values = {value for by_group in tables.values() for value in by_group}
            entries = [
                replace(entry, group=value)
                for value in sorted(values)
                for entry in _entries({name: by[value] for name, by in tables.items() if value in by}, where)
            ]
            return cls(
                tuple(sorted(entries, key=lambda each: (each.name, each.group))), document["partial"], run, group
            )
        except (AttributeError, KeyError, TypeError) as error:
            raise ConfigError(f"{where}: is not a thresholds file of format {FORMAT}: {error!r}.") from None

    def _find(self, name: str, score_column: str) -> ClassifierThresholds | None:
        by_name = {each.name: each for each in self.classifiers}
        return by_name.get(name) or by_name.get(score_column)

    def _absent(self, name: str) -> str:
        known = [each.name for each in self.classifiers]
        return (
            f"thresholds: have no cuts for the classifier {name!r}, only for {known}; add them, leave the classifier "
            "out of the tiering, or calibrate on the run's own scores."
        )


def exact_thresholds(
    chunks: Callable[[], Iterable[tuple[ArrayLike, ArrayLike]]],
    name: str,
    fingerprint: str = "",
    weights: str = "bytes",
) -> ClassifierThresholds:
    """The exact thresholds of one score column, on one machine and in bounded memory.

    `chunks` is called twice and gives the same (scores, weights) both times, in any order and split: float32, not
    finite where missing, and integers ≥ 0. Raises CurationError as `histogram.coarse` and `histogram.cuts` do.
    """
    histogram = sum((coarse(*chunk) for chunk in chunks()), Histogram.empty())
    bins = bins_to_refine(name, histogram)
    refinement = Refinement.empty(bins)
    for chunk in chunks():
        refinement += fine(*chunk, bins)
    return ClassifierThresholds.of(name, fingerprint, weights, histogram, refinement)


def cut_mistakes(cuts: Sequence[Any], where: str) -> list[str]:
    """Why `cuts` are not 19 finite float32 numbers that do not decrease; empty if they are."""
    if len(cuts) != len(PERCENTS):
        return [f"{where}: has {len(cuts)} cuts; 20 buckets need {len(PERCENTS)}."]
    if wrong := [cut for cut in cuts if type(cut) not in {int, float} or not abs(cut) <= _LARGEST]:
        return [f"{where}: the cuts {wrong} are not finite float32 numbers."]
    return [
        f"{where}: the cut at {percent} % is {after}, below the one before it, {before}; cuts never decrease."
        for percent, (before, after) in zip(PERCENTS[1:], pairwise(cuts), strict=True)
        if after < before
    ]


def _entries(tables: Mapping[str, Mapping[str, Any]], where: str) -> tuple[ClassifierThresholds, ...]:
    """The classifiers of a file. Raises ConfigError with the mistakes of all of them."""
    entries, mistakes = [], []
    for name, table in tables.items():
        values = table["cuts"]
        if not isinstance(values, dict) or set(values) != set(_KEYS):
            got = list(values) if isinstance(values, dict) else values
            mistakes.append(f"{where}: {name}: has {got}; it needs 19 cuts, under 5, 10, … 95.")
        elif found := cut_mistakes(in_order := [values[key] for key in _KEYS], f"{where}: {name}"):
            mistakes.extend(found)
        else:
            entries.append(ClassifierThresholds(name, **{**table, "cuts": tuple(map(_float32_from, in_order))}))
    if mistakes:
        raise ConfigError(*mistakes)
    return tuple(entries)


def _float32_from(value: float) -> float:
    """The smallest float32 that is not below `value`; -0.0 becomes 0.0."""
    nearest = np.float32(value)
    return float(nearest if float(nearest) >= value else np.nextafter(nearest, np.float32(np.inf))) + 0.0
