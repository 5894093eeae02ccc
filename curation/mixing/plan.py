"""A mix, planned: tokens of every source in every phase, and what the limits cost."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from curation import config
from curation.core.errors import ConfigError
from curation.core.extras import missing
from curation.core.words import counted
from curation.data import storage
from curation.data.layout import Layout
from curation.mixing.solving import TOLERANCE, Source, limits, most_tokens, solve
from curation.mixing.spec import MixSpec
from curation.mixing.supply import Tiered, counted_source, sources_of, tiered

FORMAT = 1
FILE = "plan.json"
MOST_EPOCHS = 100
"""Of a source whose documents are written: each epoch of a shard is a file, and all of them are open at once."""

_ROUNDING = 1e-6  # of a token: 0.1 epochs of 10 tokens are one


class Run(NamedTuple):
    """A run that a mix draws from: how its tokens were counted, and the identity of what was planned with.

    `left_out` is how many of its shards have no tiers, and so are none of it.
    """

    name: str
    path: str
    tiering: str
    tokens: str
    identity: str
    left_out: int = 0


class Gain(NamedTuple):
    """What could be drawn beyond what can be now, within all bounds, if sources could be drawn once more."""

    of: str
    supply: int
    more_tokens: float


@dataclass(frozen=True, eq=False)
class MixPlan:
    """`tokens` are whole numbers [sources, phases]; of each source in all phases at most its tokens times its limit."""

    spec: MixSpec
    runs: tuple[Run, ...]
    sources: tuple[Source, ...]
    tokens: NDArray[np.int64]
    gains: tuple[Gain, ...] = ()

    @property
    def epochs(self) -> NDArray[np.float64]:
        """How often each source is drawn in each phase."""
        return np.asarray(self.tokens / np.asarray([[each.num_tokens] for each in self.sources]))

    @property
    def weights(self) -> NDArray[np.float64]:
        """Each source's share of the tokens of each phase."""
        return np.asarray(self.tokens / self.tokens.sum(axis=0))

    @property
    def repetition(self) -> float:
        """How often a drawn token is drawn in all phases together, on average over the draws."""
        total = self.tokens.sum(axis=1)
        return float((total * np.maximum(self.epochs.sum(axis=1), 1)).sum() / total.sum())

    @property
    def unique_tokens(self) -> int:
        """The drawn tokens, each counted once."""
        supply = np.asarray([each.num_tokens for each in self.sources])
        return int(np.minimum(self.tokens.sum(axis=1), supply).sum())

    def to_json(self) -> bytes:
        """The whole plan; `from_json` reads it."""
        phases = [each.name for each in self.spec.phase]
        most, weights, epochs = limits(self.spec, self.sources), self.weights, self.epochs
        found = {
            "format": FORMAT,
            "config": config.dump(self.spec),
            "runs": [each._asdict() for each in self.runs],
            "phases": [{"name": name, "tokens": int(self.tokens[:, at].sum())} for at, name in enumerate(phases)],
            "unique_tokens": self.unique_tokens,
            "repetition": round(self.repetition, 6),
            "sources": [
                {
                    **{field.name: getattr(source, field.name) for field in fields(source)},
                    "max_epochs": _finite(most[row]),
                    "draws": {
                        phase: {
                            "tokens": int(self.tokens[row, at]),
                            "epochs": round(float(epochs[row, at]), 6),
                            "weight": float(weights[row, at]),
                        }
                        for at, phase in enumerate(phases)
                    },
                }
                for row, source in enumerate(self.sources)
            ],
            "one_more_epoch": [{**each._asdict(), "more_tokens": _finite(each.more_tokens)} for each in self.gains],
        }
        return (json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()

    @classmethod
    def from_json(cls, data: bytes, url: str) -> "MixPlan":
        """What `to_json` wrote. Raises ConfigError when it is of a newer format, or damaged."""
        try:
            found = json.loads(data)
            if found["format"] > FORMAT:
                raise ConfigError(f"{url}: is of format {found['format']}; this version reads formats up to {FORMAT}.")
            spec = config.parse(MixSpec, found["config"])
            names = [field.name for field in fields(Source)]
            sources = tuple(
                Source(**{name: each[name] for name in names} | {"key": tuple(each["key"])})
                for each in found["sources"]
            )
            tokens = [[each["draws"][phase.name]["tokens"] for phase in spec.phase] for each in found["sources"]]
            gains = tuple(
                Gain(**{**each, "more_tokens": np.inf if each["more_tokens"] is None else each["more_tokens"]})
                for each in found["one_more_epoch"]
            )
            return cls(spec, tuple(Run(**each) for each in found["runs"]), sources, np.asarray(tokens, np.int64), gains)
        except (ValueError, TypeError, KeyError) as error:
            raise ConfigError(f"{url}: is no plan of a mix ({error}); plan it again with plan_mix.py.") from error

    def lines(self) -> Iterator[str]:
        """The plan for people."""
        for run in self.runs:
            yield f"run {run.name}: tiering {run.tiering} of {run.path}; tokens are {run.tokens}"
            if run.left_out:
                yield f"run {run.name}: {counted(run.left_out, 'shard')} without tiers left out (allow_partial)"
        weights, epochs = self.weights, self.epochs
        width = max(len(each.name) for each in self.sources)
        for at, phase in enumerate(self.spec.phase):
            yield f"phase {phase.name}: {int(self.tokens[:, at].sum()):,} tokens"
            for row, source in enumerate(self.sources):
                if self.tokens[row, at]:
                    drawn = f"{int(self.tokens[row, at]):>22,}  {weights[row, at]:7.2%}"
                    yield f"  {source.name:<{width}}  {drawn}  {epochs[row, at]:6.2f} of {source.num_tokens:,}"
        yield f"{self.unique_tokens:,} tokens are unique; a drawn token is drawn {self.repetition:.2f} times on average"
        for each in self.gains:
            gain = (
                f"{each.more_tokens:,.0f} more tokens" if np.isfinite(each.more_tokens) else "nothing, for none binds"
            )
            yield f"one more epoch of {each.of} ({each.supply:,} tokens) would let be had: {gain}"
        yield from (f"note: {note}" for note in self._notes())

    def _notes(self) -> Iterator[str]:
        for phase, had in zip(self.spec.phase, self.tokens.sum(axis=0).tolist(), strict=True):
            if left := round(phase.tokens) - had:
                yield f"phase {phase.name} lacks {left:,} of its tokens, within what the solver can tell"
        if len({run.tokens for run in self.runs}) > 1:
            yield "the runs count tokens in several ways, so their tokens are not the same unit"
        if self.runs and any(not each.run for each in self.sources):
            yield "tokens of sources that are known by their count are taken to be the same unit as those of runs"


def plan(spec: MixSpec) -> MixPlan:
    """Count the supply and solve. Raises ConfigError with every mistake, or with the bounds that are in the way."""
    if mistakes := [*spec.mistakes(), *missing("mix", "clarabel", "yaml"), *taken(spec.output)]:
        raise ConfigError(*mistakes)
    runs = look(spec)
    found = (
        *(source for each in runs for source in sources_of(each)),
        *(counted_source(each) for each in spec.source),
    )
    names = Counter(each.name for each in found)
    mistakes += [
        f"source.{each.name}: a source of a run has this name; give it another."
        for each in spec.source
        if names[each.name] > 1
    ]
    if mistakes := [*mistakes, *spec.idle([each.labels for each in found])]:
        raise ConfigError(*mistakes)
    tokens = _whole(spec, found, solve(spec, found))
    if mistakes := list(_too_often(found, tokens)):
        raise ConfigError(*mistakes)
    drawn = tuple(
        Run(
            each.supply.name,
            each.sidecars.layout.root,
            each.supply.tiering,
            each.tokens,
            each.identity,
            each.num_left_out,
        )
        for each in runs
    )
    return MixPlan(spec, drawn, found, tokens, tuple(one_more_epoch(spec, found)))


def taken(output: str) -> list[str]:
    """That a folder belongs to a run or to something else with settings of its own, which a mix would overwrite."""
    if not output:
        return []
    layout = Layout(output)
    is_other = storage.exists(layout.config_json) and not storage.exists(storage.join(output, FILE))
    if not is_other and not storage.exists(layout.shards):
        return []
    return [f"output: {output} is the directory of a run or of something else; choose a folder of its own."]


def look(spec: MixSpec) -> tuple[Tiered, ...]:
    """The runs of a mix. Raises ConfigError with what is wrong with all of them."""
    found: list[Tiered] = []
    mistakes: list[str] = []
    for each in spec.run:
        try:
            found.append(tiered(each))
        except ConfigError as error:
            mistakes += error.mistakes
    if mistakes:
        raise ConfigError(*mistakes)
    return tuple(found)


def one_more_epoch(spec: MixSpec, found: Sequence[Source]) -> Iterator[Gain]:
    """For each tier, and the sources without one, what their limits keep from being had: solved with one epoch more."""
    now = most_tokens(spec, found)
    tiers = [each.labels.get("tier") for each in found]
    without = [each.name for each in found if "tier" not in each.labels]
    for tier in dict.fromkeys(tiers):
        more = np.asarray([each == tier for each in tiers], float)
        gain = most_tokens(spec, found, more) - now if np.isfinite(now) else np.inf
        of = f"tier {tier}" if tier else without[0] if len(without) == 1 else "all without a tier"
        supply = sum(each.num_tokens for each, is_more in zip(found, more, strict=True) if is_more)
        yield Gain(of, supply, max(0.0, gain))


def _whole(spec: MixSpec, found: Sequence[Source], epochs: NDArray[np.float64]) -> NDArray[np.int64]:
    """Epochs as whole tokens, those of a phase together as wanted, and never above a source's limit.

    What rounding down leaves over goes to the largest remainders; what the solver leaves over, to the largest draws.
    Raises ConfigError when more than the solver may lack is then still left, and within limits no whole token is.
    """
    supply = np.asarray([each.num_tokens for each in found], np.float64)
    exact = supply[:, None] * epochs
    tokens = np.floor(exact + _ROUNDING).astype(np.int64)
    most = np.floor(limits(spec, found) * supply + _ROUNDING)
    may_lack, mistakes = TOLERANCE * sum(each.tokens for each in spec.phase), []
    for at, phase in enumerate(spec.phase):
        over = np.maximum(tokens.sum(axis=1) - most, 0)
        tokens[:, at] -= np.minimum(over, tokens[:, at]).astype(np.int64)
        left = round(phase.tokens) - int(tokens[:, at].sum())
        drawn = np.flatnonzero(exact[:, at] > 0)
        remainders = drawn[np.argsort(tokens[drawn, at] - exact[drawn, at], kind="stable")]
        for row in remainders[: max(0, left)]:
            left -= _change(tokens, row, at, most[row], 1)
        for row in drawn[np.argsort(-exact[drawn, at], kind="stable")] if left else ():
            left -= _change(tokens, row, at, most[row], left)
        if abs(left) > may_lack:
            mistakes.append(
                f"phase.{phase.name}: {tokens[:, at].sum():,} of {phase.tokens:,.0f} tokens can be had in whole ones: "
                "the sources are so small that their limits end between two. Ask for less, or for larger sources."
            )
    if mistakes:
        raise ConfigError(*mistakes)
    return tokens


def _too_often(found: Sequence[Source], tokens: NDArray[np.int64]) -> Iterator[str]:
    """Sources that could not be written so often."""
    for source, drawn in zip(found, tokens.sum(axis=1).tolist(), strict=True):
        if source.run and drawn > MOST_EPOCHS * source.num_tokens:
            yield (
                f"{source.name}: would be drawn {drawn / source.num_tokens:,.0f} times, and documents are written at "
                f"most {MOST_EPOCHS} times; name a limit, or ask for fewer tokens."
            )


def _change(tokens: NDArray[np.int64], row: int, at: int, most: float, by: int) -> int:
    """Draw so many tokens more or fewer, as far as the limit and zero let; by how many it was."""
    change = int(np.clip(by, -tokens[row, at], max(0.0, most - tokens[row].sum())))
    tokens[row, at] += change
    return change


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def same_mix(one: MixSpec, other: MixSpec) -> bool:
    """Whether two specs ask for the same plan, wherever it goes, and whatever their seeds and clusters."""
    return _asked(one) == _asked(other)


def same_documents(one: MixPlan, other: MixPlan) -> bool:
    """Whether the same documents follow from two plans, on whatever cluster they are written."""
    return (
        same_mix(one.spec, other.spec)
        and one.spec.seed == other.spec.seed
        and [each.identity for each in one.runs] == [each.identity for each in other.runs]
        and [each.name for each in one.sources] == [each.name for each in other.sources]
        and np.array_equal(one.tokens, other.tokens)
    )


def _asked(spec: MixSpec) -> Mapping[str, Any]:
    return {key: value for key, value in config.dump(spec).items() if key not in {"output", "seed", "cluster"}}
