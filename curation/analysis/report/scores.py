"""The sections on scores: how those of each classifier are spread, and how far classifiers agree."""

import math
from collections.abc import Sequence

from curation.analysis.report import charts
from curation.analysis.report.facts import Facts
from curation.analysis.report.parts import legend, note, nothing, percent, section
from curation.analysis.report.tiers import waits
from curation.calibration.agreement import KEPT_PERCENTS, overlap, rank_correlation
from curation.pages.page import captioned, table, text

MOST_DRAWN = 12
"""Histograms, and heatmaps; there is a table of all pairs."""


def scores(facts: Facts) -> str:
    """A histogram of each classifier."""
    lead = (
        f"How the scores of each classifier are spread, by {facts.weights}. The 19 ticks are its cuts: between two of "
        "them lies one of its 20 buckets. The colour is the tier that its bucket alone would give."
    )
    if not facts.described:
        return section("Scores", lead, nothing(waits(facts)))
    classifiers = facts.described["classifiers"]
    drawn = ""
    for each in classifiers[:MOST_DRAWN]:
        words = f"<b>{text(each['name'])}</b> {_cuts(each['cuts'], facts)}"
        if each["num_missing"]:
            words += f" {each['num_missing']:,} documents have no score."
        drawn += captioned(charts.scores(each, facts), words)
    entries = [(facts.colors[each["name"]], text(each["name"]), "") for each in facts.ranges]
    origin = (
        "Cuts are exact quantiles of these scores" if facts.is_calibrated_here else "Cuts are frozen, from another run"
    )
    if facts.opinion.get("group"):
        origin = f"Cuts are by {text(str(facts.opinion['group']))}, and not drawn"
    remark = note(
        f"{origin}. The outermost 0.1 % at either end are left out. Where ticks crowd, many documents have nearly the "
        "same score, and a small change of it moves them by several buckets."
    )
    return section("Scores", lead, legend(entries), f"<div class='plots small'>{drawn}</div>", remark)


def _cuts(cuts: Sequence[float], facts: Facts) -> str:
    """Two of its cuts, in words."""
    if not cuts:
        return ""
    if not facts.is_calibrated_here:
        return f"reaches bucket 10 at {cuts[9]:.3g}, and bucket 19 at {cuts[18]:.3g}."
    return f"is {cuts[9]:.3g} or more for the upper half, and {cuts[18]:.3g} or more for the best twentieth."


def agreement(facts: Facts) -> str:
    """A heatmap of every two classifiers, and figures."""
    lead = "Whether classifiers say the same: two that do are one opinion counted twice, and cost twice."
    if not facts.described:
        return section("Agreement", lead, nothing(waits(facts)))
    pairs = facts.described["pairs"]
    if not pairs:
        return section("Agreement", lead, nothing("There is one classifier in this ensemble."))
    drawn = "".join(
        captioned(
            charts.agreement(pair, facts.weights),
            f"<b>{text(pair['first'])}</b> up, <b>{text(pair['second'])}</b> across. "
            f"Rank correlation {_rounded(rank_correlation(pair['documents']))}.",
        )
        for pair in pairs[:MOST_DRAWN]
    )
    rows = []
    for pair in pairs:
        names = f"{text(pair['first'])} <span class='note'>and</span> {text(pair['second'])}"
        cells = [_rounded(rank_correlation(pair["documents"]))]
        for best in KEPT_PERCENTS:
            kept = overlap([pair[facts.weights]], best)
            cells.append(percent(kept["both"][0] / kept["union"][0]) if kept["union"][0] else "")
        rows.append([names, *cells])
    words = note(
        "Each square is a pair of buckets, from 0, the lowest, to 19; the darker, the more "
        f"{facts.weights} lie in it. Two that agree lie along the dashed line; an even tint is no agreement at all."
    )
    tops = ("19", "18&ndash;19", "15&ndash;19")
    head = ["", "rank correlation", *(f"both of bucket {top}" for top in tops)]
    are_distinct = all(len(set(each["cuts"])) == 19 for each in facts.described["classifiers"])
    meaning = " They hold the best 5, 10 and 25&nbsp;%." if facts.is_calibrated_here and are_distinct else ""
    remark = note(
        "Rank correlation: Spearman&rsquo;s, of buckets: 1 is the same order, 0 none. Then, of what either puts into "
        f"these buckets, the part that both do.{meaning} Nemotron-CC found 10.1&nbsp;% between two of its classifiers "
        "(Table 8)."
    )
    return section("Agreement", lead, words, f"<div class='plots small'>{drawn}</div>", table(head, rows), remark)


def _rounded(value: float) -> str:
    return "not defined" if math.isnan(value) else f"{value:.2f}"
