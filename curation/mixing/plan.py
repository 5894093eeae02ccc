"""A mix, planned: tokens of every source in every phase, and what the limits cost."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.core.errors import ConfigError
from curation.mixing.solving import Source, limits, most_tokens, solve
from curation.mixing.spec import MixSpec, words
from curation.mixing.supply import sources

FORMAT = 1
_ROUNDING = 1e-6  # of a token: 0.1 epochs of 10 tokens are one


@dataclass(frozen=True, eq=False)
class MixPlan:
    """`tokens` are whole numbers [sources, phases]; of each source in all phases at most its tokens times its limit."""

    spec: MixSpec
    sources: Sequence[Source]
    tokens: NDArray[np.int64]

    @property
    def epochs(self) -> NDArray[np.float64]:
        """How often each source is drawn in each phase."""
        return np.asarray(self.tokens / np.asarray([[max(1, each.num_tokens)] for each in self.sources]))

    @property
    def weights(self) -> NDArray[np.float64]:
        """Each source's share of the tokens of each phase."""
        return np.asarray(self.tokens / self.tokens.sum(axis=0))

    @property
    def repetition(self) -> float:
        """How often a drawn token is drawn in all phases together, on average over the draws."""
        total = self.tokens.sum(axis=1)
        return float((total * np.maximum(self.epochs.sum(axis=1), 1)).sum() / total.sum())

    def to_json(self) -> dict[str, Any]:
        """The whole plan as JSON values."""
        phases = [each.name for each in self.spec.phase]
        most = limits(self.spec, self.sources)
        return {
            "format": FORMAT,
            "phases": [
                {"name": phase, "tokens": int(self.tokens[:, place].sum())} for place, phase in enumerate(phases)
            ],
            "repetition": round(self.repetition, 6),
            "sources": [
                {
                    "name": source.name,
                    "path": source.path,
                    "labels": dict(source.labels),
                    "supply": source.num_tokens,
                    "max_epochs": float(most[row]) if np.isfinite(most[row]) else None,
                    "draws": {
                        phase: {
                            "tokens": int(self.tokens[row, place]),
                            "epochs": round(float(self.epochs[row, place]), 6),
                            "weight": round(float(self.weights[row, place]), 9),
                        }
                        for place, phase in enumerate(phases)
                    },
                }
                for row, source in enumerate(self.sources)
            ],
            "one_more_epoch": [
                {
                    "of": words(limit.where),
                    "max_epochs": limit.max_epochs,
                    "more_tokens": gain if np.isfinite(gain) else None,
                }
                for limit, gain in zip(self.spec.limit, one_more_epoch(self.spec, self.sources), strict=True)
            ],
        }

    def lines(self) -> Iterator[str]:
        """The plan for people."""
        width = max(len(each.name) for each in self.sources)
        for place, phase in enumerate(self.spec.phase):
            yield f"phase {phase.name}: {int(self.tokens[:, place].sum()):,} tokens"
            for row, source in enumerate(self.sources):
                if self.tokens[row, place]:
                    drawn = f"{int(self.tokens[row, place]):>22,}  {self.weights[row, place]:7.2%}"
                    yield f"  {source.name:<{width}}  {drawn}  {self.epochs[row, place]:6.2f} of {source.num_tokens:,}"
        yield f"a drawn token is drawn {self.repetition:.2f} times on average"
        for limit, gain in zip(self.spec.limit, one_more_epoch(self.spec, self.sources), strict=True):
            about = f"one more epoch than {limit.max_epochs:g} of {words(limit.where)}"
            yield f"{about}: {gain:,.0f} more tokens within all bounds" if np.isfinite(gain) else f"{about}: not bound"


def plan(spec: MixSpec) -> MixPlan:
    """Count the supply and solve. Raises ConfigError with every mistake, or with the bounds that are in the way."""
    if mistakes := spec.mistakes():
        raise ConfigError(*mistakes)
    found = sources(spec)
    epochs = solve(spec, found)
    return MixPlan(spec, found, _whole(spec, found, epochs))


def one_more_epoch(spec: MixSpec, found: Sequence[Source]) -> list[float]:
    """For each limit the tokens that could be had beyond those that can now, if it were one epoch higher."""
    now = most_tokens(spec, found)
    gains = []
    for place, limit in enumerate(spec.limit):
        raised = (*spec.limit[:place], replace(limit, max_epochs=limit.max_epochs + 1), *spec.limit[place + 1 :])
        gains.append(most_tokens(replace(spec, limit=raised), found) - now if np.isfinite(now) else np.inf)
    return gains


def _whole(spec: MixSpec, found: Sequence[Source], epochs: NDArray[np.float64]) -> NDArray[np.int64]:
    """Epochs as whole tokens: never above a source's limit; what rounding leaves over goes to the largest draws."""
    supply = np.asarray([each.num_tokens for each in found], np.float64)
    exact = supply[:, None] * epochs
    tokens = np.rint(exact).astype(np.int64)
    most = np.floor(limits(spec, found) * supply + _ROUNDING)
    for place, phase in enumerate(spec.phase):
        over = np.maximum(tokens.sum(axis=1) - most, 0)
        tokens[:, place] -= np.minimum(over, tokens[:, place]).astype(np.int64)
        left = round(phase.tokens) - int(tokens[:, place].sum())
        for row in np.argsort(-exact[:, place], kind="stable"):
            room = most[row] - tokens[row].sum()
            change = int(np.clip(left, -tokens[row, place], max(0.0, room))) if exact[row, place] > 0 else 0
            tokens[row, place] += change
            left -= change
    return tokens
