"""A tiering: which opinions about the scores a run forms, and the stages that form them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from curation.calibration.description import MOST_CLASSIFIERS
from curation.calibration.thresholds import Thresholds
from curation.core.stage import Pipeline, Stage
from curation.stages.bucket import Bucket, GroupedBucket
from curation.stages.ensemble import Ensemble, weight_mistakes
from curation.stages.keep import Keep, named_in
from curation.stages.tier import NEMOTRON_CC, Tier, Tiers, tier_mistakes


@dataclass(frozen=True)
class TieringSpec:
    """The `[tiering]` table of a config.

    calibrate : "own" finds the thresholds on this run's scores, "frozen" takes those of the file `thresholds`; ""
        means frozen if such a file is named, else own.
    weights : what a document weighs when its scores are calibrated.
    allow_partial : calibrate and tier although shards are missing; marked in the thresholds.
    classifiers : whose buckets make the ensemble; empty means all.
    ensemble_weights : (classifier, decimal number as a string), for the "weighted" ensemble.
    missing : what a missing score does: "unscored" leaves the document without a tier, "ignore" takes the others.
    tiers : (name, (lowest bucket, highest bucket)); together they cover 0 to 19 once.
    group : a column of documents, each of whose values has thresholds of its own: a carried one, or a label that a
        classifier gives. Documents of a value that had none when frozen thresholds were found are unscored.
    keep : a pandas expression over scores, buckets, `quality` and carried columns, such as "dclm >= 0.018": a document
        for which it is false or null has the tier "rejected", whatever its quality.
    """

    calibrate: Literal["own", "frozen", ""] = ""
    thresholds: str = ""
    weights: Literal["bytes", "tokens", "documents"] = "bytes"
    allow_partial: bool = False
    classifiers: tuple[str, ...] = ()
    ensemble: Literal["max", "mean", "weighted"] = "max"
    ensemble_weights: tuple[tuple[str, str], ...] = ()
    missing: Literal["unscored", "ignore"] = "unscored"
    tiers: Tiers = NEMOTRON_CC
    group: str = ""
    keep: str = ""

    @property
    def frozen(self) -> bool:
        """Whether the thresholds come from a file."""
        return self.calibrate == "frozen" or (self.calibrate == "" and self.thresholds != "")

    @property
    def weight_column(self) -> str:
        """The column of rows/ that says what a document weighs; "" where each weighs 1."""
        return {"bytes": "n_bytes", "tokens": "n_tokens", "documents": ""}[self.weights]

    def identity(self) -> list[Any]:
        """The settings that decide the tiers once classifiers and thresholds are given, as a JSON value."""
        rule = [self.keep] if self.keep else []
        return [(), self.ensemble, self.ensemble_weights, self.missing, self.tiers, *rule]

    def chosen(self, classifiers: Sequence[str]) -> tuple[str, ...]:
        """The classifiers of the ensemble, given those of the config."""
        return self.classifiers or tuple(classifiers)

    def mistakes(self, classifiers: Sequence[str]) -> list[str]:
        """Every mistake in this table, given the names of the config's classifiers; empty if there is none."""
        found = []
        if self.frozen and not self.thresholds:
            found.append('tiering.thresholds: is missing; calibrate = "frozen" needs the path of a thresholds file.')
        for name in dict.fromkeys(self.classifiers):
            if name not in classifiers:
                found.append(f"tiering.classifiers: there is no classifier {name!r}; there are {list(classifiers)}.")
            if self.classifiers.count(name) > 1:
                found.append(f"tiering.classifiers: {name!r} is there more than once; name it once.")
        if (number := len(self.chosen(classifiers))) > MOST_CLASSIFIERS:
            found.append(
                f"tiering.classifiers: the ensemble has {number} classifiers; it may have up to {MOST_CLASSIFIERS}. "
                "Name those it needs."
            )
        weights = weight_mistakes(self.ensemble, self.ensemble_weights, self.chosen(classifiers))
        found += [f"tiering.ensemble_weights: {mistake}" for mistake in weights]
        return found + [f"tiering.tiers: {mistake}" for mistake in tier_mistakes(self.tiers)]

    def notes(self) -> list[str]:
        """The settings that have no effect beside the others; empty if all have."""
        found = []
        if self.thresholds and not self.frozen:
            found.append(f'tiering.thresholds: {self.thresholds!r} has no effect, because calibrate = "own".')
        if self.weights != "bytes" and self.frozen:
            found.append(f'tiering.weights: "{self.weights}" has no effect, because the thresholds are frozen.')
        return found


def stages(
    spec: TieringSpec, thresholds: Thresholds, score_columns: Mapping[str, str], columns: Sequence[str] = ()
) -> Pipeline:
    """Bucket, Ensemble, Keep and Tier as `spec` wants them.

    `score_columns` maps every classifier of the config to its score column; those of the ensemble get buckets.
    `columns` are all that a rule may read. Raises ConfigError when a classifier has no thresholds.
    """
    names = spec.chosen(tuple(score_columns))
    weights = dict(spec.ensemble_weights)
    renamed = tuple((name, score_columns[name]) for name in names if score_columns[name] != name)
    bucket: Stage
    if spec.group:
        by_group = ((name, thresholds.cuts_by_group(name, score_columns[name])) for name in names)
        bucket = GroupedBucket(spec.group, tuple((name, tuple(cuts.items())) for name, cuts in by_group), renamed)
    else:
        bucket = Bucket(tuple((name, thresholds.cuts(name, score_columns[name])) for name in names), renamed)
    ensemble = Ensemble(names, spec.ensemble, tuple(weights[name] for name in names if name in weights), spec.missing)
    if not spec.keep:
        return Pipeline((bucket, ensemble, Tier(spec.tiers)))
    keep = Keep(spec.keep, named_in(spec.keep, (*columns, *bucket.adds, *ensemble.adds)))
    return Pipeline((bucket, ensemble, keep, Tier(spec.tiers, has_rule=True)))
