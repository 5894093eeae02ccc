"""Supply and limits → how often each source is drawn in each phase: a small convex programme, solved by HiGHS.

Drawn are e[i, p] epochs of source i in phase p. With supply s and wanted proportions r, Σ s·e²/r is made least: every
source is drawn as often as r says, and where the limits do not let it, as near to that as they do. Every phase draws
its tokens; Σ of e[i, p] over the phases is at most the limit of the source; shares lie within theirs.

Sources that all bounds and proportions treat alike are drawn equally often at that least, so they are solved for as
one: thousands of sources make a programme of a few.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from curation.core.errors import ConfigError, CurationError
from curation.mixing.spec import QUALITY, MixSpec, matches, words

TOLERANCE = 1e-7
"""Of the tokens of all phases: what a solution may lack."""


@dataclass(frozen=True)
class Source:
    """Tokens that can be drawn, known by its labels.

    `path` is where they lie, as far as that is known; of a run's source `run` names the supply, and `key` are its tier
    and the values of the supply's columns.
    """

    name: str
    num_tokens: int
    labels: Mapping[str, str]
    path: str = ""
    run: str = ""
    key: tuple[str, ...] = ()
    num_documents: int = 0
    num_bytes: int = 0


def solve(spec: MixSpec, sources: Sequence[Source]) -> NDArray[np.float64]:
    """The epochs [sources, phases]. Raises ConfigError that says which bounds are in the way, and what could be had."""
    kinds = _Kinds.of(spec, sources)
    bounds = _bounds(spec, kinds)
    most, in_the_way = bounds.most()
    if most < 1 - TOLERANCE:
        wanted = sum(each.tokens for each in spec.phase)
        raise ConfigError(
            *(f"In the way of {wanted:,.0f} tokens: {about}." for about in in_the_way),
            f"With these bounds {wanted * most:,.0f} tokens can be had, {most:.1%} of what is wanted.",
        )
    return _nearest(bounds, kinds).reshape(-1, len(spec.phase))[kinds.of_source]


def most_tokens(spec: MixSpec, sources: Sequence[Source], more_epochs: NDArray[np.float64] | None = None) -> float:
    """The tokens that all phases could have within the bounds, in their proportions; infinite where nothing bounds.

    With `more_epochs`, for each source, the limits are so much higher.
    """
    kinds = _Kinds.of(spec, sources, more_epochs)
    return _bounds(spec, kinds).most(beyond=True)[0] * sum(each.tokens for each in spec.phase)


def limits(spec: MixSpec, sources: Sequence[Source]) -> NDArray[np.float64]:
    """The most epochs of every source: the smallest of the limits that it falls under, infinite without one."""
    return np.asarray([_limit(spec, each.labels)[0] for each in sources])


def _limit(spec: MixSpec, labels: Mapping[str, str]) -> tuple[float, str]:
    """The smallest limit that labels fall under, and whose it is."""
    under = [each for each in spec.limit if matches(labels, each.where)]
    least = min(under, key=lambda each: each.max_epochs, default=None)
    return (least.max_epochs, words(least.where)) if least else (np.inf, "")


@dataclass(frozen=True, eq=False)
class _Kinds:
    """The kinds of sources that a mix tells apart: `of_source` is the kind of each source, the others are of kinds.

    `supply` are shares of all tokens that are wanted. `shares` [kinds, shares] says which fall under a share.
    """

    of_source: NDArray[np.intp]
    supply: NDArray[np.float64]
    proportions: NDArray[np.float64]
    limits: NDArray[np.float64]
    about: Sequence[str]
    shares: NDArray[np.bool_]

    @classmethod
    def of(cls, spec: MixSpec, sources: Sequence[Source], more_epochs: NDArray[np.float64] | None = None) -> "_Kinds":
        places: dict[tuple[object, ...], int] = {}
        supply: list[int] = []
        of_source = []
        for row, source in enumerate(sources):
            most, whose = _limit(spec, source.labels)
            most += 0.0 if more_epochs is None else float(more_epochs[row])
            proportion = 1.0
            if spec.upsampling and QUALITY in source.labels:
                proportion = spec.upsampling(int(source.labels[QUALITY]))
            shares = tuple(matches(source.labels, each.where) for each in spec.share)
            place = places.setdefault((proportion, most, whose, *shares), len(places))
            supply += [0] * (place == len(supply))
            supply[place] += source.num_tokens
            of_source.append(place)
        proportions, most_epochs, whose_limits, *_ = zip(*places, strict=False)
        return cls(
            np.asarray(of_source),
            np.asarray(supply) / sum(each.tokens for each in spec.phase),
            np.asarray(proportions, float),
            np.asarray(most_epochs, float),
            whose_limits,
            np.asarray([each[3:] for each in places], bool).reshape(len(places), len(spec.share)),
        )


@dataclass(frozen=True, eq=False)
class _Bounds:
    """low ≤ weight @ epochs ≤ high, with epochs flat in [kinds, phases] and from 0 to `upper`.

    Tokens are shares of all that is wanted. `scales` are the rows whose bounds are tokens, and so follow a target.
    `about` says what each row is; "" for the tokens that a phase wants, which are in nobody's way.
    """

    weight: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    scales: NDArray[np.bool_]
    about: Sequence[str]
    upper: NDArray[np.float64]

    def most(self, *, beyond: bool = False) -> tuple[float, list[str]]:
        """The largest factor, up to 1 or `beyond`, by which what is wanted can be had; and what keeps it from more."""
        num = len(self.upper)
        fixed_low, fixed_high = (np.where(self.scales, 0.0, bound) for bound in (self.low, self.high))
        above, below = (np.where(self.scales, bound, 0.0)[:, None] for bound in (-self.high, self.low))
        rows = np.vstack([np.hstack([self.weight, above]), np.hstack([-self.weight, below])])
        right = np.concatenate([fixed_high, -fixed_low])
        upper = np.append(self.upper, np.inf if beyond else 1.0)
        found = _least(rows, np.full(len(right), -np.inf), right, upper, np.append(np.zeros(num), -1.0))
        if found.x is None:
            return (np.inf if found.is_unbounded else 0.0), []
        holds = np.abs(found.prices).reshape(2, -1).max(axis=0) > TOLERANCE
        abouts = [about for about, held in zip(self.about, holds, strict=True) if held and about]
        return max(0.0, float(found.x[-1])), list(dict.fromkeys(abouts))


def _bounds(spec: MixSpec, kinds: _Kinds) -> _Bounds:
    total, num_phases = sum(each.tokens for each in spec.phase), len(spec.phase)
    rows: list[tuple[NDArray[np.float64], float, float, bool, str]] = []
    for place, phase in enumerate(spec.phase):
        wanted = phase.tokens / total
        rows.append((_only(kinds.supply, place, num_phases), wanted, wanted, True, ""))
        for number, each in enumerate(spec.share):
            if each.phase in {"", phase.name}:
                drawn = _only(kinds.supply * kinds.shares[:, number], place, num_phases)
                about = f"a share of {each.least:g} to {each.most:g} from {words(each.where)} in phase {phase.name!r}"
                rows.append((drawn, each.least * wanted, each.most * wanted, True, about))
    for place, most in enumerate(kinds.limits):
        if np.isfinite(most):
            each_phase = np.repeat(np.arange(len(kinds.limits)) == place, num_phases).astype(float)
            about = f"at most {most:g} epochs of {kinds.about[place]}"
            rows.append((each_phase, -np.inf, float(most), False, about))
    weight, low, high, scales, abouts = zip(*rows, strict=True)
    upper = np.repeat(np.where((kinds.supply > 0) & (kinds.proportions > 0), np.inf, 0.0), num_phases)
    return _Bounds(np.stack(weight), np.asarray(low), np.asarray(high), np.asarray(scales), abouts, upper)


def _only(values: NDArray[np.float64], phase: int, num_phases: int) -> NDArray[np.float64]:
    """The weights of one phase, flat, zero in the others."""
    weight = np.zeros((len(values), num_phases))
    weight[:, phase] = values
    return weight.ravel()


def _nearest(bounds: _Bounds, kinds: _Kinds) -> NDArray[np.float64]:
    """The epochs within the bounds that are nearest to the proportions."""
    size = np.sqrt(kinds.supply / np.where(kinds.proportions > 0, kinds.proportions, 1.0))
    unit = 1.0 / np.where(size > 0, size, 1.0)
    unit = np.repeat(unit / (kinds.supply * unit).max(), len(bounds.upper) // len(size))
    found = _least(bounds.weight * unit, bounds.low, bounds.high, bounds.upper, squared=True)  # in units of equal cost
    if found.x is None:
        raise CurationError("HiGHS finds no mix within bounds that can be met.")
    return np.clip(found.x, 0.0, None) * unit


class _Found(NamedTuple):
    """Where the least is, None where there is none; and what it would be less by, if each row gave by one."""

    x: NDArray[np.float64] | None
    prices: NDArray[np.float64]
    is_unbounded: bool


def _least(
    weight: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    upper: NDArray[np.float64],
    cost: NDArray[np.float64] | None = None,
    *,
    squared: bool = False,
) -> _Found:
    """The x from 0 to `upper` with low ≤ weight @ x ≤ high that makes cost @ x least, or if `squared` x @ x.

    By HiGHS itself, for both kinds: SciPy brings a copy of its own, and two of them in one process can wait for ever.
    """
    import highspy

    num_rows, num = weight.shape
    model = highspy.HighsModel()
    model.lp_.num_col_, model.lp_.num_row_ = num, num_rows
    model.lp_.col_cost_ = np.zeros(num) if cost is None else cost
    model.lp_.col_lower_, model.lp_.col_upper_ = np.zeros(num), upper
    model.lp_.row_lower_, model.lp_.row_upper_ = low, high
    rows, columns = np.nonzero(weight)
    model.lp_.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    model.lp_.a_matrix_.start_ = np.searchsorted(rows, np.arange(num_rows + 1))
    model.lp_.a_matrix_.index_, model.lp_.a_matrix_.value_ = columns, weight[rows, columns]
    if squared:
        model.hessian_.dim_ = num
        model.hessian_.start_, model.hessian_.index_ = np.arange(num + 1), np.arange(num)
        model.hessian_.value_ = np.full(num, 2.0)
    solver = highspy.Highs()  # type: ignore[no-untyped-call]
    solver.silent()
    solver.passModel(model)
    solver.run()
    status, words = solver.getModelStatus(), highspy.HighsModelStatus
    solution = solver.getSolution()
    x = np.asarray(solution.col_value) if status == words.kOptimal else None
    return _Found(x, np.asarray(solution.row_dual), status in {words.kUnbounded, words.kUnboundedOrInfeasible})
