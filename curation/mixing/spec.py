"""What a mix is asked to be: supply, phases, limits."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

Labels = tuple[tuple[str, str], ...]
"""What is known of a source: ``tier = "high"``, ``kind = "actual"``, a domain, …"""
Where = tuple[tuple[str, tuple[str, ...]], ...]
"""Labels that a source must have: one of the values of each; none means all sources."""


@dataclass(frozen=True)
class RunSupply:
    """The tokens of a tiering in the directory of a run, a source for every tier and value of the columns `by`.

    `by` may name "quality", the bucket, carried columns and labels of classifiers. `labels` are given to all of them.
    """

    path: str
    name: str
    tiering: str = "default"
    by: tuple[str, ...] = ()
    labels: Labels = ()


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

    x is the middle of the bucket, from 0 to 1; sources need the label "quality". `lambda_` is λ.
    """

    a: float = 0.4
    p: float = 1.0
    lambda_: float = 1.0

    def __call__(self, x: float) -> float:
        """The curve at x, but for its factor C, which follows from the tokens that are wanted."""
        return (x - self.a) ** self.p * math.exp(self.lambda_ * (x - self.a)) if x > self.a else 0.0


@dataclass(frozen=True)
class MixSpec:
    """A mix: from which supply, in which phases, within which limits; where the plan goes.

    Within its limits a plan draws from all sources equally often, or as often as `upsampling` says of their quality.
    """

    output: str
    phase: tuple[Phase, ...]
    run: tuple[RunSupply, ...] = ()
    source: tuple[CountedSupply, ...] = ()
    limit: tuple[Limit, ...] = (Limit(4.0),)
    share: tuple[Share, ...] = ()
    upsampling: Upsampling | None = None

    def mistakes(self) -> list[str]:
        """Everything that is wrong with the settings themselves."""
        return [*self._supply_mistakes(), *self._phase_mistakes(), *self._bound_mistakes()]

    def _supply_mistakes(self) -> Iterator[str]:
        if not self.run and not self.source:
            yield "source: there is no supply; write a [[run]] or a [[source]] table."
        names = [*(each.name for each in self.run), *(each.name for each in self.source)]
        yield from (f"{name}: two supplies have this name." for name in dict.fromkeys(names) if names.count(name) > 1)
        yield from (
            f"source.{each.name}: tokens is {each.tokens:g}; write a number above 0."
            for each in self.source
            if not 0 < each.tokens < math.inf
        )

    def _phase_mistakes(self) -> Iterator[str]:
        if not self.phase:
            yield "phase: there is none; write a [[phase]] table with name and tokens."
        names = [each.name for each in self.phase]
        yield from (f"phase: two have the name {name!r}." for name in dict.fromkeys(names) if names.count(name) > 1)
        yield from (
            f"phase.{each.name}: tokens is {each.tokens:g}; write a number above 0."
            for each in self.phase
            if not 0 < each.tokens < math.inf
        )

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


def matches(labels: Mapping[str, str], where: Where) -> bool:
    """Whether a source's labels are as `where` says."""
    return all(labels.get(key) in values for key, values in where)


def words(where: Where) -> str:
    """A condition, in words."""
    return " and ".join(f"{key} {' or '.join(values)}" for key, values in where) or "everything"
