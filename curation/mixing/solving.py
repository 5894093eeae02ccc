"""Supply and limits → how often each source is drawn in each phase: a small convex programme.

Drawn are e[i, p] epochs of source i in phase p. With supply s and wanted proportions r, Σ s·e²/r is made least: every
source is drawn as often as r says, and where the limits do not let it, as near to that as they do. Every phase draws
its tokens; Σ of e[i, p] over the phases is at most the limit of the source; shares lie within theirs.

What can be had at all is a linear programme, which HiGHS solves; what is nearest to the proportions a quadratic one,
which Clarabel solves. Sources that all bounds and proportions treat alike are drawn equally often at that least, and
are solved for as one: thousands of sources make a programme of a few.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

from curation.core.errors import ConfigError, CurationError
from curation.mixing.spec import QUALITY, MixSpec, Phase, Share, matches, words

TOLERANCE = 1e-7
"""Of the tokens of all phases: what a solution may lack."""

_UNBOUNDED = 3
_PRECISION = 1e-10
_MOST_OFF = 1e-6
_MOST_BEYOND = 1e3
_NEXT_TO_NOTHING = 1e-9


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
    most, in_the_way = bounds.in_the_way()
    if most < 1 - TOLERANCE:
        wanted = sum(each.tokens for each in spec.phase)
        raise ConfigError(
            *(f"In the way of {wanted:,.0f} tokens: {about}." for about in in_the_way),
            f"With these bounds {wanted * most:,.0f} tokens can be had, {most:.1%} of what is wanted.",
        )
    bounds = bounds.times(min(1.0, most))
    epochs = np.minimum(_factor(kinds, min(1.0, most)) * kinds.proportions, kinds.limits)
    if len(spec.phase) > 1 or not bounds.hold(epochs):
        epochs = _nearest(bounds, kinds)
    return epochs.reshape(-1, len(spec.phase))[kinds.of_source]


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
    `about` says what each row is; "" for the tokens that a phase wants, which are in nobody's way. `none` says what
    lets no token be drawn at all, and for which of the epochs.
    """

    weight: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    scales: NDArray[np.bool_]
    about: Sequence[str]
    none: Mapping[str, NDArray[np.bool_]]

    @property
    def upper(self) -> NDArray[np.float64]:
        """The bound of each of the epochs, whatever a solver's tolerance: 0, or none."""
        return np.where(np.any([*self.none.values(), np.zeros(self.weight.shape[1], bool)], axis=0), 0.0, np.inf)

    def times(self, factor: float) -> "_Bounds":
        """Those of so many times the tokens."""
        low, high = (np.where(self.scales, factor * bound, bound) for bound in (self.low, self.high))
        return replace(self, low=low, high=high)

    def hold(self, epochs: NDArray[np.float64]) -> bool:
        """Whether epochs lie within them."""
        drawn = self.weight @ epochs
        is_within = (drawn >= self.low - _PRECISION) & (drawn <= self.high + _PRECISION)
        return bool(is_within.all() and not epochs[self.upper == 0].any())

    def without(self, about: str) -> "_Bounds":
        """Without one of the bounds that let nothing be drawn."""
        none = {each: epochs for each, epochs in self.none.items() if each != about}
        stays = np.asarray([each != about for each in self.about])
        abouts = [each for each in self.about if each != about]
        return _Bounds(self.weight[stays], self.low[stays], self.high[stays], self.scales[stays], abouts, none)

    def in_the_way(self) -> tuple[float, list[str]]:
        """The largest factor up to 1 by which what is wanted can be had; and what keeps it from more."""
        most, abouts = self.most()
        if most < 1 - TOLERANCE:
            abouts += [each for each in self.none if self.without(each).most()[0] > most + TOLERANCE]
        return most, list(dict.fromkeys(abouts))

    def most(self, *, beyond: bool = False) -> tuple[float, list[str]]:
        """The largest factor, up to 1 or `beyond`, by which what is wanted can be had; and the rows that bind.

        In units in which the largest coefficient of each of the epochs is 1: HiGHS drops those below 1e-9.
        """
        num = len(self.upper)
        fixed_low, fixed_high = (np.where(self.scales, 0.0, bound) for bound in (self.low, self.high))
        above, below = (np.where(self.scales, bound, 0.0)[:, None] for bound in (-self.high, self.low))
        drawn = np.abs(self.weight[self.scales]).max(axis=0)
        weight = self.weight / np.where(drawn > 0, drawn, 1.0)
        rows = np.vstack([np.hstack([weight, above]), np.hstack([-weight, below])])
        right = np.concatenate([fixed_high, -fixed_low])
        upper = np.append(self.upper, np.inf if beyond else 1.0)
        is_bound = np.isfinite(right)
        size = np.abs(rows).max(axis=1)
        size[size == 0] = 1.0
        found = linprog(
            np.append(np.zeros(num), -1.0),
            (rows / size[:, None])[is_bound],
            (right / size)[is_bound],
            bounds=np.stack([np.zeros(num + 1), upper], axis=1),
            options={"primal_feasibility_tolerance": _PRECISION, "dual_feasibility_tolerance": _PRECISION},
        )
        if found.status == _UNBOUNDED:
            return np.inf, []
        if found.x is None:
            raise CurationError(f"HiGHS cannot say how many tokens these bounds let be had: {found.message}")
        prices = np.zeros(len(right))
        prices[is_bound] = found.ineqlin.marginals / size[is_bound]
        holds = np.abs(prices).reshape(2, -1).max(axis=0) > TOLERANCE
        abouts = [about for about, held in zip(self.about, holds, strict=True) if held and about]
        return max(0.0, float(found.x[-1])), abouts


def _bounds(spec: MixSpec, kinds: _Kinds) -> _Bounds:
    total, num_phases = sum(each.tokens for each in spec.phase), len(spec.phase)
    rows: list[tuple[NDArray[np.float64], float, float, bool, str]] = []
    for place, phase in enumerate(spec.phase):
        wanted = phase.tokens / total
        rows.append((_only(kinds.supply, place, num_phases), wanted, wanted, True, ""))
        for number, each in enumerate(spec.share):
            if each.phase in {"", phase.name}:
                drawn = _only(kinds.supply * kinds.shares[:, number], place, num_phases)
                rows.append((drawn, each.least * wanted, each.most * wanted, True, _share_words(each, phase)))
    for place, most in enumerate(kinds.limits):
        if np.isfinite(most):
            epochs = np.repeat(np.arange(len(kinds.limits)) == place, num_phases).astype(float)
            rows.append((epochs, -np.inf, float(most), False, _limit_words(most, kinds.about[place])))
    weight, low, high, scales, abouts = zip(*rows, strict=True)
    none = _none(spec, kinds)
    return _Bounds(np.stack(weight), np.asarray(low), np.asarray(high), np.asarray(scales), abouts, none)


def _none(spec: MixSpec, kinds: _Kinds) -> dict[str, NDArray[np.bool_]]:
    """What lets no token be drawn, and for which of the epochs, flat."""
    whose = np.asarray(kinds.about)
    phases = np.asarray([each.name for each in spec.phase])
    in_all = np.ones(len(phases), bool)
    groups = [
        ("the curve, which draws nothing of some buckets", kinds.proportions <= 0, in_all),
        *(
            (_limit_words(0.0, each), (kinds.limits <= 0) & (whose == each), in_all)
            for each in dict.fromkeys(kinds.about)
        ),
        *(
            (_share_words(each, phase), kinds.shares[:, number], phases == phase.name)
            for number, each in enumerate(spec.share)
            for phase in spec.phase
            if not each.most and each.phase in {"", phase.name}
        ),
    ]
    return {about: np.outer(is_none, here).ravel() for about, is_none, here in groups if is_none.any()}


def _limit_words(most: float, whose: str) -> str:
    return f"at most {most:g} epoch{'' if most == 1 else 's'} of {whose}"


def _share_words(share: Share, phase: Phase) -> str:
    return f"a share of {share.least:g} to {share.most:g} from {words(share.where)} in phase {phase.name!r}"


def _only(values: NDArray[np.float64], phase: int, num_phases: int) -> NDArray[np.float64]:
    """The weights of one phase, flat, zero in the others."""
    weight = np.zeros((len(values), num_phases))
    weight[:, phase] = values
    return weight.ravel()


def _factor(kinds: _Kinds, wanted: float) -> float:
    """The factor of the proportions by which all draw what is wanted, each at most to its limit; shares aside."""
    can = (kinds.proportions > 0) & (kinds.limits > 0)
    supply, proportions, most = kinds.supply[can], kinds.proportions[can], kinds.limits[can]
    order = np.argsort(most / proportions)
    supply, proportions, most = supply[order], proportions[order], most[order]
    at_limit = np.append(0.0, np.cumsum(np.where(np.isfinite(most), supply * most, 0.0))[:-1])
    below = np.cumsum((supply * proportions)[::-1])[::-1]
    factors = (wanted - at_limit) / below  # if the first so many are at their limits
    fits = np.flatnonzero(factors <= most / proportions)
    return float(factors[fits[0]] if len(fits) else (most / proportions)[-1])


def _nearest(bounds: _Bounds, kinds: _Kinds) -> NDArray[np.float64]:
    """The epochs within the bounds that are nearest to the proportions.

    In units in which an epoch of each costs the same, and the largest of what they draw is 1. What a steep curve wants
    far beyond its limit it wants not quite so much: it is drawn to its limit all the same, and the solver can tell the
    others apart.
    """
    import clarabel
    from scipy import sparse

    proportions = np.minimum(kinds.proportions, _MOST_BEYOND * kinds.limits / _factor(kinds, 1.0))
    proportions = np.where(proportions > 0, np.maximum(proportions, _NEXT_TO_NOTHING * proportions.max()), 0.0)
    unit = 1.0 / np.sqrt(kinds.supply / np.where(proportions > 0, proportions, 1.0))
    unit = np.repeat(unit / (kinds.supply * unit).max(), len(bounds.upper) // len(unit))
    free = np.flatnonzero(bounds.upper)
    weight = (bounds.weight * unit)[:, free]
    matters = weight.any(axis=1)
    is_equal = matters & (bounds.low == bounds.high)
    is_above, is_below = (matters & np.isfinite(bound) & ~is_equal for bound in (bounds.high, bounds.low))
    rows = np.vstack([weight[is_equal], weight[is_above], -weight[is_below], -np.eye(len(free))])
    right = np.concatenate([bounds.high[is_equal], bounds.high[is_above], -bounds.low[is_below], np.zeros(len(free))])
    size = np.abs(rows).max(axis=1)
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_feas = settings.tol_gap_abs = settings.tol_gap_rel = _PRECISION
    num_equal = int(is_equal.sum())
    cones = [clarabel.ZeroConeT(num_equal), clarabel.NonnegativeConeT(len(rows) - num_equal)]
    squares, matrix = sparse.identity(len(free), format="csc"), sparse.csc_matrix(rows / size[:, None])
    found = clarabel.DefaultSolver(squares, np.zeros(len(free)), matrix, right / size, cones, settings).solve()
    x = np.clip(np.asarray(found.x), 0.0, None)
    off = np.maximum(rows @ x - right, np.where(np.arange(len(rows)) < num_equal, right - rows @ x, 0.0))
    off /= np.maximum(size, np.abs(right))
    if not np.isfinite(x).all() or off.max() > _MOST_OFF:
        raise CurationError(f"No mix within bounds that can be met was found: {found.status}.")
    epochs = np.zeros(len(unit))
    epochs[free] = x * unit[free]
    return epochs
