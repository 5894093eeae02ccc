"""The drawings of a report."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from curation.analysis.report.facts import Facts
from curation.calibration.histogram import order_keys, score_of
from curation.pages.drawing import ACCENT, INK, MUTED, SECOND, short, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NUM_BUCKETS = 20
_NUM_BINS = 72
_OUTSIDE = 0.001
"""The share of the weight at either end that a histogram of scores leaves out: a few would squeeze all others."""
_NUM_SHADES = 12
_DARKEST = 0.985
"""The quantile of the cells of a heatmap from which on they are drawn darkest: one corner would pale all others."""


def quality(facts: Facts) -> str:
    """The share of each quality bucket, in the colours of the tiers, beside what other agreement would give."""
    weight = np.asarray(facts.described["quality"][facts.weights], float)
    shares = weight / max(weight.sum(), 1)
    colors = _bucket_colors(facts)
    num_classifiers = len(facts.described["classifiers"])
    below = np.arange(NUM_BUCKETS + 1) / NUM_BUCKETS

    def draw(axes: "Axes") -> None:
        axes.bar(range(NUM_BUCKETS), 100 * shares[1:], width=0.86, color=colors, linewidth=0)
        if shares[0]:
            axes.bar([-1.4], [100 * shares[0]], width=0.86, color=MUTED, linewidth=0)
        if facts.is_maximum and facts.is_calibrated_here and num_classifiers > 1:
            alike = 100 * np.diff(below)
            apart = 100 * np.diff(below**num_classifiers)
            for values, style in ((alike, (0, (1, 2))), (apart, (0, (4, 2)))):
                axes.stairs(
                    values, np.arange(NUM_BUCKETS + 1) - 0.5, color=INK, linewidth=0.9, linestyle=style, baseline=None
                )
        ticks = [0, 4, 9, 14, 19]
        axes.set_xticks(
            ([-1.4] if shares[0] else []) + ticks, (["none"] if shares[0] else []) + [f"{t}" for t in ticks]
        )
        axes.set(xlabel="quality", ylabel=f"% of {facts.weights}")
        axes.tick_params(axis="x", length=0)

    return svg(draw, f"Share of {facts.weights} by quality bucket", height=2.9)


def scores(classifier: Mapping[str, Any], facts: Facts) -> str:
    """How the scores of a classifier are spread, in the colours of the tiers that its own buckets reach; its cuts."""
    low, high, cumulative = _cumulative(classifier["histogram"], facts.weights)
    cuts = list(dict.fromkeys(classifier["cuts"]))
    ends = np.interp([_OUTSIDE, 1 - _OUTSIDE], cumulative, np.append(low, high[-1]))
    start, stop = min([ends[0], *cuts[:1]]), max([ends[1], *cuts[-1:]])
    if not start < stop:
        start, stop = start - 0.5, stop + 0.5
    inner = [cut for cut in cuts if start < cut < stop]
    bins = np.linspace(start, stop, _NUM_BINS + 1)
    of_bins = np.diff(np.interp(bins, np.append(low, high[-1]), cumulative))
    edges = np.unique([*bins, *inner])  # a bin that a cut goes through has two colours and one height
    heights = of_bins[np.clip(np.searchsorted(bins, edges[:-1], side="right") - 1, 0, _NUM_BINS - 1)]
    spans = _spans(classifier["cuts"], facts) or [(-np.inf, np.inf, ACCENT)]

    def draw(axes: "Axes") -> None:
        for first, last, color in spans:
            here = (edges[:-1] >= first) & (edges[1:] <= last)
            if here.any():
                places = np.flatnonzero(here)
                axes.stairs(
                    heights[places], edges[places[0] : places[-1] + 2], fill=True, facecolor=color, edgecolor=color,
                    linewidth=0.4,
                )  # fmt: skip
        top = float(of_bins.max()) * 1.06
        axes.vlines(inner, -0.045 * top, -0.015 * top, color=INK, linewidth=0.8)
        axes.set(xlabel="score", xlim=(start, stop), ylim=(-0.055 * top, top))
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.spines["bottom"].set_visible(False)

    return svg(draw, f"Scores of {short(classifier['name'])}", width=3.6, height=2.2)


def agreement(pair: Mapping[str, Any], weights: str) -> str:
    """A heatmap: how much lies in each bucket of one classifier and each of another."""
    counts = np.asarray(pair[weights], float)
    first = 0 if counts[0].sum() + counts[:, 0].sum() else 1
    shares = counts[first:, first:] / max(counts.sum(), 1)
    darkest = max(float(np.quantile(shares, _DARKEST)), 1e-12)
    shades = np.ceil(_NUM_SHADES * np.minimum(shares / darkest, 1)).astype(int)
    places = np.arange(first - 1, NUM_BUCKETS)

    def draw(axes: "Axes") -> None:
        from matplotlib.patches import PathPatch
        from matplotlib.path import Path

        for shade in range(1, _NUM_SHADES + 1):
            squares = [
                [(x - 0.5, y - 0.5), (x + 0.46, y - 0.5), (x + 0.46, y + 0.46), (x - 0.5, y + 0.46), (x - 0.5, y - 0.5)]
                for y, x in np.argwhere(shades == shade) + first - 1
            ]
            if squares:
                path = Path.make_compound_path_from_polys(np.asarray(squares, float))
                axes.add_patch(PathPatch(path, facecolor=(ACCENT, 0.03 + 0.94 * shade / _NUM_SHADES), linewidth=0))
        ends = places[0] - 0.5, NUM_BUCKETS - 0.5
        axes.plot(ends, ends, color=SECOND, linewidth=0.9, linestyle=(0, (4, 3)))
        axes.set(xlim=ends, ylim=ends, xlabel=short(pair["second"]), ylabel=short(pair["first"]), aspect="equal")
        ticks = ([-1] if first == 0 else []) + [0, 5, 10, 15, 19]
        axes.set_xticks(ticks, ["none" if t < 0 else f"{t}" for t in ticks])
        axes.set_yticks(ticks, ["none" if t < 0 else f"{t}" for t in ticks])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)

    return svg(draw, f"Buckets of {short(pair['first'])} and {short(pair['second'])}", width=3.6, height=3.5)


def lengths(facts: Facts) -> str:
    """How long documents are, by tier, stacked."""
    edges, parts = _lengths(facts)

    def draw(axes: "Axes") -> None:
        below = np.zeros(len(edges))
        for color, documents in parts:
            axes.bar(range(len(edges)), documents, bottom=below, width=0.92, color=color, linewidth=0)
            below = below + documents
        _length_axis(axes, edges)
        axes.set_ylabel("documents")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")

    return svg(draw, "Documents by length and tier", height=2.9)


def tier_by_length(facts: Facts) -> str:
    """Which tiers documents of each length come into."""
    edges, parts = _lengths(facts)
    totals = np.sum([documents for _, documents in parts], axis=0)

    def draw(axes: "Axes") -> None:
        below = np.zeros(len(edges))
        for color, documents in parts:
            shares = 100 * documents / np.maximum(totals, 1)
            axes.bar(range(len(edges)), shares, bottom=below, width=0.92, color=color, linewidth=0)
            below = below + shares
        _length_axis(axes, edges)
        axes.set(ylabel="% of the documents", ylim=(0, 100))

    return svg(draw, "Tiers of documents of each length", height=2.9)


def _bucket_colors(facts: Facts) -> list[str]:
    """The colour of each bucket from 0 to 19: that of its tier."""
    return [
        next((facts.colors[t["name"]] for t in facts.ranges if t["lowest"] <= bucket <= t["highest"]), MUTED)
        for bucket in range(NUM_BUCKETS)
    ]


def _spans(cuts: Sequence[float], facts: Facts) -> list[tuple[float, float, str]]:
    """(from, to, colour): the scores whose bucket lies in one tier."""
    if not cuts:
        return []
    bounds = [-np.inf, *cuts, np.inf]
    return [
        (below, above, color)
        for (below, above), color in zip(pairwise(bounds), _bucket_colors(facts), strict=True)
        if below < above
    ]


def _cumulative(histogram: Mapping[str, Any], weights: str) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Where bins begin and end, and the share that lies below each beginning and below the last end.

    A bin is as wide as its scores have the upper 16 bits of their keys in common; between two bins nothing lies.
    """
    low = np.asarray(histogram["scores"], np.float32)
    weight = np.asarray(histogram[weights], float)
    if not len(low):
        return np.zeros(1), np.ones(1), np.array([0.0, 1.0])
    keys = (order_keys(low) >> 16).astype(int)
    high = np.asarray([score_of(int(key) + 1 << 16) for key in keys])
    starts: list[float] = []
    sums: list[float] = []
    for place, key in enumerate(keys):
        starts.append(float(low[place]))
        sums.append(weight[place])
        if place + 1 < len(keys) and keys[place + 1] != key + 1:  # between the two is an empty bin
            starts.append(float(high[place]))
            sums.append(0.0)
    total = max(weight.sum(), 1)
    return np.asarray(starts), np.asarray([*starts[1:], high[-1]]), np.concatenate([[0], np.cumsum(sums) / total])


def _lengths(facts: Facts) -> tuple[list[int], list[tuple[str, NDArray[Any]]]]:
    """The lower edges of the lengths that occur, and (colour, documents) of each tier, the worst first."""
    edges = facts.described["lengths"]["tokens"]
    by_tier = facts.described["lengths"]["by_tier"]
    found = [
        (facts.colors[each["name"]], np.asarray(by_tier[each["name"]]["documents"], float))
        for each in reversed(facts.tiers)
        if each["name"] in by_tier
    ]
    there = np.flatnonzero(np.sum([documents for _, documents in found], axis=0))
    if not len(there):
        return [0], [(color, np.zeros(1)) for color, _ in found]
    span = slice(there[0], there[-1] + 1)
    return list(edges[span]), [(color, documents[span]) for color, documents in found]


def _length_axis(axes: "Axes", edges: Sequence[int]) -> None:
    step = 1 + len(edges) // 9
    axes.set_xticks(
        [place - 0.5 for place in range(0, len(edges), step)], [_rounded(edges[p]) for p in range(0, len(edges), step)]
    )
    axes.set(xlabel="tokens of a document, from … on", xlim=(-0.6, len(edges) - 0.4))


def _rounded(number: int) -> str:
    for power, unit in ((30, "Gi"), (20, "Mi"), (10, "k")):
        if number >= 1 << power:
            return f"{number >> power}{unit}"
    return str(number)
