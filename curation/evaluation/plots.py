"""Plots of an evaluation, to stand inside its page."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from curation.pages.drawing import ACCENT, MUTED, SECOND, short, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_NUMBERS = 12
"""A matrix of more classes shows its cells without the counts."""


def confusion(judged: Mapping[str, Any], title: str) -> str:
    """Documents by true and scored class; the darker, the larger the share of its true class."""
    matrix = np.asarray(judged["confusion"])
    names = [short(each["class"]) for each in judged["classes"]]
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)

    def draw(axes: "Axes") -> None:
        from matplotlib.patches import Rectangle

        for (row, column), share in np.ndenumerate(shares):
            axes.add_patch(Rectangle((column, row), 0.96, 0.96, facecolor=(ACCENT, 0.06 + 0.62 * share), linewidth=0))
            if len(names) <= _MOST_NUMBERS:
                axes.text(column + 0.48, row + 0.5, f"{matrix[row, column]:,}", ha="center", va="center", fontsize=8)
        axes.set(xlim=(0, len(names)), ylim=(len(names), 0), xlabel="scored", ylabel="true")
        places = np.arange(len(names)) + 0.48
        turn = 90 if max(map(len, names)) > 3 and len(names) > 3 else 0
        axes.set_xticks(places, names, rotation=turn)
        axes.set_yticks(places, names)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)

    size = max(1, len(names) / _MOST_NUMBERS)
    return svg(draw, title, width=4.6 * size, height=3.5 * size)


def reliability(judged: Mapping[str, Any], title: str) -> str:
    """The mean label of each tenth of the documents, from the lowest scores to the highest."""
    scores = [each["score"] for each in judged["calibration"]]
    labels = [each["label"] for each in judged["calibration"]]
    low, high = min(*scores, *labels), max(*scores, *labels)

    def draw(axes: "Axes") -> None:
        axes.plot([low, high], [low, high], color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.plot(scores, labels, color=ACCENT, linewidth=1.6, marker="o", markersize=4.5)
        label = "share of yes" if judged["kind"] == "probability" else "mean label"
        axes.set(xlabel="mean score of a tenth of the documents", ylabel=label)

    return svg(draw, title)


def histograms(judged: Mapping[str, Any], title: str) -> str:
    """The scores of each true class, one row a class, all rows of equal height."""
    edges = np.asarray(judged["histogram"]["edges"])
    counts = {name: np.asarray(each) for name, each in judged["histogram"]["num_documents"].items() if sum(each)}

    def draw(axes: "Axes") -> None:
        for row, each in enumerate(counts.values()):
            heights = 0.86 * each / each.max()
            axes.stairs(row + heights, edges, baseline=row, fill=True, facecolor=(ACCENT, 0.35), edgecolor=ACCENT)
            axes.axhline(row, color=MUTED, linewidth=0.5)
        axes.axvline(judged["threshold"], color=SECOND, linewidth=1, linestyle=(0, (4, 3)))
        axes.text(judged["threshold"], len(counts) + 0.02, " threshold", fontsize=8, va="bottom", color=SECOND)
        axes.set(xlabel="score", ylabel="true class", ylim=(-0.04, len(counts) + 0.25))
        axes.set_yticks(np.arange(len(counts)) + 0.4, [f"{name}  ({sum(each):,})" for name, each in counts.items()])
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)

    return svg(draw, title)


def precision_recall(judged: Mapping[str, Any], title: str) -> str:
    """Precision at every recall, of the score and of length alone; the dot is the threshold."""

    def draw(axes: "Axes") -> None:
        for whose, color, width in (("length_alone", MUTED, 1.2), ("classifier", ACCENT, 1.8)):
            curve = judged["precision_recall"][whose]
            axes.step(curve["recall"], curve["precision"], where="post", color=color, linewidth=width)
        figures = judged["figures"]
        at = [figures[f"{name}_at_threshold"]["classifier"]["value"] for name in ("recall", "precision")]
        axes.plot(*at, marker="o", markersize=6, color=SECOND)
        axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.04))

    return svg(draw, title)
