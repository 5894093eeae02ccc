"""Supply and limits → how often each source is drawn in each phase: a small convex programme.

Drawn are e[i, p] epochs of source i in phase p. With supply s and wanted proportions r, Σ s·e²/r is made least: every
source is drawn as often as r says, and where the limits do not let it, as near to that as they do. Every phase draws
its tokens; Σ of e[i, p] over the phases is at most the limit of the source; shares lie within theirs.

What can be had at all is a linear programme, which HiGHS solves; what is nearest to the proportions a quadratic one,
which Clarabel solves. Sources that all bounds and proportions treat alike are drawn equally often at that least, and
are solved for as one: thousands of sources make a programme of a few.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

from curation.core.errors import ConfigError, CurationError
from curation.mixing.spec import QUALITY, MixSpec, matches, words

TOLERANCE = 1e-7
"""Of the tokens of all phases: what a solution may lack."""

_UNBOUNDED = 3
_PRECISION = 1e-10
_MOST_OFF = 1e-6


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
        is_bound = np.isfinite(right)
        found = linprog(
            np.append(np.zeros(num), -1.0),
            rows[is_bound],
            right[is_bound],
            bounds=np.stack([np.zeros(num + 1), upper], axis=1),
        )
        if found.status == _UNBOUNDED:
            return np.inf, []
        if found.x is None:
            raise CurationError(f"HiGHS cannot say how many tokens these bounds let be had: {found.message}")
        prices = np.zeros(len(right))
        prices[is_bound] = found.ineqlin.marginals
        holds = np.abs(prices).reshape(2, -1).max(axis=0) > TOLERANCE
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
            about = f"at most {most:g} epoch{'' if most == 1 else 's'} of {kinds.about[place]}"
            rows.append((each_phase, -np.inf, float(most), False, about))
    weight, low, high, scales, abouts = zip(*rows, strict=True)
    upper = np.where((kinds.supply > 0) & (kinds.proportions > 0) & (kinds.limits > 0), np.inf, 0.0)
    upper = np.repeat(upper[:, None], num_phases, axis=1)
    for number, each in enumerate(spec.share):
        if not each.most:  # exactly none, whatever a solver's tolerance
            here = np.asarray([each.phase in {"", phase.name} for phase in spec.phase])
            upper[np.ix_(kinds.shares[:, number], here)] = 0.0
    return _Bounds(np.stack(weight), np.asarray(low), np.asarray(high), np.asarray(scales), abouts, upper.ravel())


def _only(values: NDArray[np.float64], phase: int, num_phases: int) -> NDArray[np.float64]:
    """The weights of one phase, flat, zero in the others."""
    weight = np.zeros((len(values), num_phases))
    weight[:, phase] = values
    return weight.ravel()


def _nearest(bounds: _Bounds, kinds: _Kinds) -> NDArray[np.float64]:
    """The epochs within the bounds that are nearest to the proportions.

    In units in which an epoch of each costs the same, and the largest of what they draw is 1.
    """
    import clarabel
    from scipy import sparse

    unit = 1.0 / np.sqrt(kinds.supply / np.where(kinds.proportions > 0, kinds.proportions, 1.0))
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
    off = np.maximum(rows @ x - right, np.where(np.arange(len(rows)) < num_equal, right - rows @ x, 0.0)) / size
    if not np.isfinite(x).all() or off.max() > _MOST_OFF:
        raise CurationError(f"No mix within bounds that can be met was found: {found.status}.")
    epochs = np.zeros(len(unit))
    epochs[free] = x * unit[free]
    return epochs
