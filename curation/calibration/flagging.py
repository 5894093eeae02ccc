"""Which figures of a drift are past a limit."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import chain
from math import inf
from typing import Any

_ENDS = {"rank_correlation": 2.0}
"""What a figure cannot be past; that of the PSI has no end, and those of shares and distances is 1."""


@dataclass(frozen=True)
class Limits:
    """How much may differ. What is past a limit is flagged, and past `psi_watch` worth a look.

    The two of the PSI are the customary ones (Siddiqi, Credit Risk Scorecards, 2006): below 0.1 nothing has moved,
    above 0.25 much has. The others are ours. Shares are points of weight: 0.02 is two per cent of all.
    """

    psi: float = 0.25
    psi_watch: float = 0.1
    ks: float = 0.1
    tier_share: float = 0.02
    decides_share: float = 0.05
    near_share: float = 0.02
    overlap_share: float = 0.05
    rank_correlation: float = 0.1

    def mistakes(self) -> list[str]:
        """Every limit that is none; empty if all are."""
        wrong = []
        for name, value in asdict(self).items():
            end = _ENDS.get(name, inf if name.startswith("psi") else 1.0)
            if not 0 < value < end:
                below = f" and below {end:g}: no figure is past that" if end < inf else ", and finite"
                wrong.append(f"limits.{name}: is {value:g}; a limit is above 0{below}.")
        if not wrong and self.psi_watch > self.psi:
            wrong.append(f"limits.psi_watch: {self.psi_watch:g} is above limits.psi, {self.psi:g}; it comes first.")
        return wrong


def findings(found: Mapping[str, Any], limits: Limits) -> Iterator[dict[str, Any]]:
    """What is past a limit."""
    figures = [_of_scores(found, limits), _of_tiers(found), _of_agreement(found)]
    for figure, of, value, says in chain.from_iterable(figures):
        if abs(value) > (limit := getattr(limits, figure)):
            level = "watch" if figure == "psi_watch" else "past"
            yield {"figure": figure, "of": of, "value": value, "limit": limit, "level": level, "says": f"{of}: {says}"}


_Figure = tuple[str, str, float, str]
"""The limit that it is held against, of what it is, how much, and that in words."""


def _of_scores(found: Mapping[str, Any], limits: Limits) -> Iterator[_Figure]:
    for each in found["classifiers"]:
        name = each["name"]
        if stability := each.get("psi"):
            value = stability["value"]
            yield "psi" if value > limits.psi else "psi_watch", name, value, f"PSI {value:.3f}"
        if each["ks"]:
            least = each["ks"]["least"]
            yield "ks", name, least, f"KS distance {least:.3f}"
        for near in each.get("near_cuts", ()):
            says = f"{_percent(near['before'])} lay near the cut of {near['tier']}, now {_percent(near['after'])}"
            yield "near_share", name, near["after"] - near["before"], says


def _of_tiers(found: Mapping[str, Any]) -> Iterator[_Figure]:
    for each in found.get("tiers", ()):
        says = f"{_percent(each['before'])} became {_percent(each['after'])}"
        yield "tier_share", each["name"], each["after"] - each["before"], says
    for each in (found.get("decides") or {}).get("classifiers", ()):
        alone = each["alone"]
        says = f"decided {_percent(alone['before'])} alone, now {_percent(alone['after'])}"
        yield "decides_share", each["name"], alone["after"] - alone["before"], says


def _of_agreement(found: Mapping[str, Any]) -> Iterator[_Figure]:
    for each in found.get("agreement", ()):
        names, ranks = f"{each['first']} and {each['second']}", each["rank_correlation"]
        if None not in ranks.values():
            says = f"rank correlation {ranks['before']:.2f} became {ranks['after']:.2f}"
            yield "rank_correlation", names, ranks["after"] - ranks["before"], says
        for kept in each["overlap"]:
            before, after = (_share_of_both(kept[side]) for side in ("before", "after"))
            says = f"agreed on {_percent(before)} of their best {kept['percent']} %, now on {_percent(after)}"
            yield "overlap_share", names, after - before, says


def _share_of_both(kept: Mapping[str, Mapping[str, int]]) -> float:
    """Of the documents that one of two classifiers keeps at least, the share that both keep."""
    return kept["both"]["documents"] / max(kept["union"]["documents"], 1)


def too_few(found: Mapping[str, Any], limits: Limits) -> Iterator[str]:
    """Where so few documents are compared that chance reaches a limit."""
    for each in found["classifiers"]:
        if (stability := each.get("psi")) and stability["chance"] > limits.psi_watch:
            number = min(each["num_scored"].values())
            yield (
                f"{each['name']}: {number:,} documents are so few that chance alone gives a PSI of about "
                f"{stability['chance']:.2f}."
            )


def _percent(share: float) -> str:
    """A share in words."""
    return f"{100 * share:.1f} %"
