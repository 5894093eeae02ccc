"""Supply and limits → how often each source is drawn in each phase: a small convex programme, solved by HiGHS.

Drawn are e[i, p] epochs of source i in phase p. With supply s and wanted proportions r, Σ s·e²/r is made least: every
source is drawn as often as r says, and where the limits do not let it, as near to that as they do. Every phase draws
its tokens; Σ of e[i, p] over the phases is at most the limit of the source; shares lie within theirs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from curation.core.errors import ConfigError, CurationError
from curation.mixing.spec import MixSpec, Upsampling, matches, words

_TOLERANCE = 1e-7
_NUM_BUCKETS = 20


@dataclass(frozen=True)
class Source:
    """Tokens that can be drawn, known by its labels."""

    name: str
    num_tokens: int
    labels: Mapping[str, str]
    path: str = ""


def solve(spec: MixSpec, sources: Sequence[Source]) -> NDArray[np.float64]:
    """The epochs [sources, phases]. Raises ConfigError that says which bounds are in the way, and what could be had."""
    bounds = _bounds(spec, sources)
    most, in_the_way = bounds.most()
    if most < 1 - _TOLERANCE:
        wanted = sum(each.tokens for each in spec.phase)
        raise ConfigError(
            *(f"In the way of {wanted:,.0f} tokens: {about}." for about in in_the_way),
            f"With these bounds {wanted * most:,.0f} tokens can be had, {most:.1%} of what is wanted.",
        )
    proportions = np.asarray([_proportion(each, spec.upsampling) for each in sources])
    supply = np.asarray([each.num_tokens for each in sources]) / sum(each.tokens for each in spec.phase)
    return _nearest(bounds, supply, proportions).reshape(len(sources), len(spec.phase))


def most_tokens(spec: MixSpec, sources: Sequence[Source]) -> float:
    """The tokens that all phases could have within the bounds, in their proportions; infinite where nothing bounds."""
    return _bounds(spec, sources).most(beyond=True)[0] * sum(each.tokens for each in spec.phase)


def limits(spec: MixSpec, sources: Sequence[Source]) -> NDArray[np.float64]:
    """The most epochs of every source: the smallest of the limits that it falls under, infinite without one."""
    return np.asarray(
        [
            min((each.max_epochs for each in spec.limit if matches(source.labels, each.where)), default=np.inf)
            for source in sources
        ]
    )


@dataclass(frozen=True, eq=False)
class _Bounds:
    """low ≤ weight @ epochs ≤ high, with epochs flat in [sources, phases] and from 0 to `upper`.

    Tokens are shares of all that is wanted. `scales` are the rows whose bounds are tokens, and so follow a target.
    """

    weight: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    scales: NDArray[np.bool_]
    about: Sequence[str]
    upper: NDArray[np.float64]

    def most(self, *, beyond: bool = False) -> tuple[float, list[str]]:
        """The largest factor, up to 1 or `beyond` it, by which what is wanted can be had; and what keeps it from more."""
        num = len(self.upper)
        fixed_low, fixed_high = (np.where(self.scales, 0.0, bound) for bound in (self.low, self.high))
        above, below = (np.where(self.scales, bound, 0.0)[:, None] for bound in (-self.high, self.low))
        rows = np.vstack([np.hstack([self.weight, above]), np.hstack([-self.weight, below])])
        right = np.concatenate([fixed_high, -fixed_low])
        upper = np.append(self.upper, np.inf if beyond else 1.0)
        found = _least(rows, np.full(len(right), -np.inf), right, upper, np.append(np.zeros(num), -1.0))
        if found.x is None:
            return (np.inf if found.is_unbounded else 0.0), []
        holds = np.abs(found.prices).reshape(2, -1).max(axis=0) > _TOLERANCE
        is_target = self.scales & (self.low == self.high) & (self.low > 0)
        return float(found.x[-1]), [self.about[int(place)] for place in np.flatnonzero(holds & ~is_target)]


def _bounds(spec: MixSpec, sources: Sequence[Source]) -> _Bounds:
    total, num_phases = sum(each.tokens for each in spec.phase), len(spec.phase)
    supply = np.asarray([each.num_tokens for each in sources]) / total
    rows: list[tuple[NDArray[np.float64], float, float, bool, str]] = []
    for place, phase in enumerate(spec.phase):
        wanted = phase.tokens / total
        about = f"{phase.tokens:,.0f} tokens of phase {phase.name!r}"
        rows.append((_only(supply, place, num_phases), wanted, wanted, True, about))
        for each in spec.share:
            if each.phase in {"", phase.name}:
                inside = supply * [matches(source.labels, each.where) for source in sources]
                about = f"a share of {each.least:g} to {each.most:g} from {words(each.where)} in phase {phase.name!r}"
                drawn = _only(inside, place, num_phases)
                rows.append((drawn, each.least * wanted, each.most * wanted, True, about))
    for place, most in enumerate(limits(spec, sources)):
        if np.isfinite(most):
            each_phase = np.repeat(np.arange(len(sources)) == place, num_phases).astype(float)
            rows.append((each_phase, -np.inf, float(most), False, f"at most {most:g} epochs of {sources[place].name}"))
    weight, low, high, scales, abouts = zip(*rows, strict=True)
    can_be_drawn = [each.num_tokens > 0 and _proportion(each, spec.upsampling) > 0 for each in sources]
    upper = np.repeat(np.where(can_be_drawn, np.inf, 0.0), num_phases)
    return _Bounds(np.stack(weight), np.asarray(low), np.asarray(high), np.asarray(scales), abouts, upper)


def _only(values: NDArray[np.float64], phase: int, num_phases: int) -> NDArray[np.float64]:
    """The weights of one phase, flat, zero in the others."""
    weight = np.zeros((len(values), num_phases))
    weight[:, phase] = values
    return weight.ravel()


def _proportion(source: Source, upsampling: Upsampling | None) -> float:
    if upsampling is None or "quality" not in source.labels:
        return 1.0
    return upsampling((int(source.labels["quality"]) + 0.5) / _NUM_BUCKETS)


def _nearest(bounds: _Bounds, supply: NDArray[np.float64], proportions: NDArray[np.float64]) -> NDArray[np.float64]:
    """The epochs within the bounds that are nearest to the proportions."""
    size = np.sqrt(supply / np.where(proportions > 0, proportions, 1.0))
    unit = np.repeat(1.0 / np.where(size > 0, size, 1.0), len(bounds.upper) // len(supply))
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
