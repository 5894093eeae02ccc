"""What a mix is asked to be: supply, phases, limits; and how its documents are drawn."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from scipy.integrate import quad

from curation.core.words import can_name_folder
from curation.execution.cluster.spec import ClusterSpec

NUM_BUCKETS = 20
STEEPEST = 100.0
"""Of a curve: its p, and its λ either way; above it e^λ leaves next to nothing to all buckets but one."""
QUALITY = "quality"
"""The label that holds a quality bucket; sources of a run have it where `by` names it."""

Labels = tuple[tuple[str, str], ...]
"""What is known of a source: ``tier = "high"``, ``kind = "actual"``, a domain, …"""
Where = tuple[tuple[str, tuple[str, ...]], ...]
"""Labels that a source must have: one of the values of each; none means all sources."""


@dataclass(frozen=True)
class RunSupply:
    """The tokens of a tiering in the directory of a run, a source for every tier and value of the columns `by`.

    `by` may name "quality", the bucket, carried columns and labels of classifiers. `tiers` are those that are supply,
    by default all but `unscored` and `rejected`. `labels` are given to all of them. With `allow_partial` shards without
    tiers are left out.
    """

    path: str
    name: str
    tiering: str = "default"
    by: tuple[str, ...] = ()
    tiers: tuple[str, ...] = ()
    labels: Labels = ()
    allow_partial: bool = False


@dataclass(frozen=True)
class CountedSupply:
    """A source that is known by its number of tokens alone, from elsewhere; `path` is only said again in exports."""

    name: str
    tokens: float
    labels: Labels = ()
    path: str = ""


@dataclass(frozen=True)
class Phase:
    """A stretch of training, and the tokens that it draws."""

    name: str
    tokens: float


@dataclass(frozen=True)
class Limit:
    """Of a source that is as `where` says, no token is drawn more than `max_epochs` times in all phases together."""

    max_epochs: float
    where: Where = ()


@dataclass(frozen=True)
class Share:
    """Of the tokens of a phase ("" is each of them), the share from sources that are as `where` says."""

    where: Where
    least: float = 0.0
    most: float = 1.0
    phase: str = ""


@dataclass(frozen=True)
class Upsampling:
    """OLMo 3's curve (arXiv 2512.13961): epochs in proportion to y^p · e^(λy) with y = x - a, and none where y ≤ 0.

    x is the place among the buckets, from 0 to 1; sources need the label "quality". `lambda_` is λ. The factor before
    the curve, C, follows from the tokens that are wanted.
    """

    a: float = 0.4
    p: float = 1.0
    lambda_: float = 1.0

    def __call__(self, bucket: int) -> float:
        """The mean of the curve, without its factor, over a bucket: from bucket / 20 to (bucket + 1) / 20."""
        low, high = (max(0.0, place / NUM_BUCKETS - self.a) for place in (bucket, bucket + 1))
        area, _ = (
            quad(lambda y: y**self.p * math.exp(self.lambda_ * y), low, high, epsabs=0.0) if high > low else (0.0, 0.0)
        )
        return float(area) * NUM_BUCKETS


@dataclass(frozen=True)
class MixSpec:
    """A mix: from which supply, in which phases, within which limits; where the plan and its documents go.

    Within its limits a plan draws from all sources equally often, or as often as `upsampling` says of their quality.
    `seed` decides which documents a part of a source is, `cluster` where they are written.
    """

    output: str
    phase: tuple[Phase, ...]
    run: tuple[RunSupply, ...] = ()
    source: tuple[CountedSupply, ...] = ()
    limit: tuple[Limit, ...] = (Limit(4.0),)
    share: tuple[Share, ...] = ()
    upsampling: Upsampling | None = None
    seed: int = 0
    cluster: ClusterSpec = ClusterSpec(kind="cpu")

    def mistakes(self) -> list[str]:
        """Everything that is wrong with the settings themselves."""
        return [
            *([] if self.output else ["output: is empty; name the directory of the mix."]),
            *self._supply_mistakes(),
            *self._phase_mistakes(),
            *self._bound_mistakes(),
        ]

    def idle(self, labels: list[Mapping[str, str]]) -> Iterator[str]:
        """Bounds that are of no effect, because no source has the labels that they name."""
        for what, where in (
            *(("limit", each.where) for each in self.limit),
            *(("share", each.where) for each in self.share),
        ):
            if not any(matches(each, where) for each in labels):
                yield f"{what} of {words(where)}: no source is like that; there are {_listed(labels, where)}."
        if self.upsampling and not any(QUALITY in each for each in labels):
            yield f'upsampling: no source has the label {QUALITY!r}; write by = ["{QUALITY}"] in a [[run]] table.'

    def _supply_mistakes(self) -> Iterator[str]:
        if not self.run and not self.source:
            yield "source: there is no supply; write a [[run]] or a [[source]] table."
        names = [*(each.name for each in self.run), *(each.name for each in self.source)]
        yield from (f"{name}: two supplies have this name." for name in dict.fromkeys(names) if names.count(name) > 1)
        for each in self.run:
            if not can_name_folder(each.name):
                yield _no_folder(f"run.{each.name}", each.name)
            if len({"tier", *each.by}) < 1 + len(each.by):
                yield f"run.{each.name}.by: {list(each.by)} names a column twice, or the tier, by which is told anyway."
            if told := sorted({"tier", *each.by} & {*dict(each.labels)}):
                yield f"run.{each.name}.labels: {' and '.join(told)} is what its documents say; leave it out."
            yield from _bucket_mistakes(f"run.{each.name}", each.labels)
        for source in self.source:
            if not 1 <= source.tokens < math.inf:
                yield f"source.{source.name}: tokens is {source.tokens:g}; write a number from 1 on."
            if len(source.path.split()) > 1:
                yield f"source.{source.name}.path: {source.path!r} has a blank, which Megatron's blends cannot hold."
            yield from _bucket_mistakes(f"source.{source.name}", source.labels)

    def _phase_mistakes(self) -> Iterator[str]:
        if not self.phase:
            yield "phase: there is none; write a [[phase]] table with name and tokens."
        names = [each.name for each in self.phase]
        yield from (f"phase: two have the name {name!r}." for name in dict.fromkeys(names) if names.count(name) > 1)
        for each in self.phase:
            if not can_name_folder(each.name):
                yield _no_folder(f"phase.{each.name}", each.name)
            if not 1 <= each.tokens < math.inf:
                yield f"phase.{each.name}: tokens is {each.tokens:g}; write a number from 1 on."

    def _bound_mistakes(self) -> Iterator[str]:
        phases = ["", *(each.name for each in self.phase)]
        for each in self.share:
            if not 0 <= each.least <= each.most <= 1:
                yield f"share of {words(each.where)}: {each.least:g} to {each.most:g} is no range within 0 to 1."
            if each.phase not in phases:
                yield f"share of {words(each.where)}: there is no phase {each.phase!r}; there are {phases[1:]}."
        for limit in self.limit:
            if not 0 <= limit.max_epochs < math.inf:
                yield f"limit of {words(limit.where)}: max_epochs is {limit.max_epochs:g}; write a number from 0 on."
        if curve := self.upsampling:
            if not (0 <= curve.a < 1 and 0 <= curve.p <= STEEPEST):
                said = f"a is {curve.a:g} and p {curve.p:g}"
                yield f"upsampling: {said}; a is from 0 to below 1, p from 0 to {STEEPEST:g}."
            if not abs(curve.lambda_) <= STEEPEST:
                yield f"upsampling: lambda_ is {curve.lambda_:g}; it is from -{STEEPEST:g} to {STEEPEST:g}."


def matches(labels: Mapping[str, str], where: Where) -> bool:
    """Whether a source's labels are as `where` says."""
    return all(labels.get(key) in values for key, values in where)


def words(where: Where) -> str:
    """A condition, in words."""
    return " and ".join(f"{key} {' or '.join(values)}" for key, values in where) or "everything"


def _bucket_mistakes(what: str, labels: Labels) -> Iterator[str]:
    quality = dict(labels).get(QUALITY, "0")
    if not (quality.isdecimal() and int(quality) < NUM_BUCKETS):
        yield f"{what}.labels: {QUALITY} is {quality!r}; it is a bucket, from 0 to {NUM_BUCKETS - 1}."


def _no_folder(what: str, name: str) -> str:
    return f"{what}: {name!r} names a folder: letters, digits, dots, hyphens and underscores only."


def _listed(labels: list[Mapping[str, str]], where: Where) -> str:
    """The values of the labels that a condition names."""
    keys = [key for key, _ in where]
    known = {key: sorted({each[key] for each in labels if key in each})[:20] for key in keys}
    return ", ".join(f"{key} {' or '.join(values) or '(on no source)'}" for key, values in known.items())
