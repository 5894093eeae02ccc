"""Plots of an evaluation as SVG, to stand inside a page: its colours and its font are the page's."""

import io
import re
import warnings
from collections.abc import Callable, Mapping
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# matplotlib takes colours alone; the page says what these stand for, so that light and dark are its choice.
_INK, _MUTED, _ACCENT, _SECOND = "#010101", "#020202", "#030303", "#040404"
_VARIABLES = {_INK: "var(--ink)", _MUTED: "var(--muted)", _ACCENT: "var(--accent)", _SECOND: "var(--second)"}
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "curation",
    "text.parse_math": False,
    "font.size": 9,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": _MUTED,
    "ytick.color": _MUTED,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "axes.linewidth": 0.7,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "legend.frameon": False,
}
_MOST_NUMBERS = 12
"""A matrix of more classes shows its cells without the counts."""
_LONGEST_NAME = 24


def confusion(judged: Mapping[str, Any], title: str) -> str:
    """Documents by true and scored class; the darker, the larger the share of its true class."""
    matrix = np.asarray(judged["confusion"])
    names = [_short(each["class"]) for each in judged["classes"]]
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)

    def draw(axes: "Axes") -> None:
        from matplotlib.patches import Rectangle

        for (row, column), share in np.ndenumerate(shares):
            axes.add_patch(Rectangle((column, row), 0.96, 0.96, facecolor=(_ACCENT, 0.06 + 0.62 * share), linewidth=0))
            if len(names) <= _MOST_NUMBERS:
                axes.text(column + 0.48, row + 0.5, f"{matrix[row, column]:,}", ha="center", va="center", fontsize=8)
        axes.set(xlim=(0, len(names)), ylim=(len(names), 0), xlabel="scored", ylabel="true")
        places = np.arange(len(names)) + 0.48
        turn = 90 if max(map(len, names)) > 3 and len(names) > 3 else 0
        axes.set_xticks(places, names, rotation=turn)
        axes.set_yticks(places, names)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)

    return _svg(draw, title, len(names))


def reliability(judged: Mapping[str, Any], title: str) -> str:
    """The mean label of each tenth of the documents, from the lowest scores to the highest."""
    scores = [each["score"] for each in judged["calibration"]]
    labels = [each["label"] for each in judged["calibration"]]
    low, high = min(*scores, *labels), max(*scores, *labels)

    def draw(axes: "Axes") -> None:
        axes.plot([low, high], [low, high], color=_MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.plot(scores, labels, color=_ACCENT, linewidth=1.6, marker="o", markersize=4.5)
        label = "share of yes" if judged["kind"] == "probability" else "mean label"
        axes.set(xlabel="mean score of a tenth of the documents", ylabel=label)

    return _svg(draw, title)


def histograms(judged: Mapping[str, Any], title: str) -> str:
    """The scores of each true class, one row a class, all rows of equal height."""
    edges = np.asarray(judged["histogram"]["edges"])
    counts = {name: np.asarray(each) for name, each in judged["histogram"]["num_documents"].items() if sum(each)}

    def draw(axes: "Axes") -> None:
        for row, each in enumerate(counts.values()):
            heights = 0.86 * each / each.max()
            axes.stairs(row + heights, edges, baseline=row, fill=True, facecolor=(_ACCENT, 0.35), edgecolor=_ACCENT)
            axes.axhline(row, color=_MUTED, linewidth=0.5)
        axes.axvline(judged["threshold"], color=_SECOND, linewidth=1, linestyle=(0, (4, 3)))
        axes.text(judged["threshold"], len(counts) + 0.02, " threshold", fontsize=8, va="bottom", color=_SECOND)
        axes.set(xlabel="score", ylabel="true class", ylim=(-0.04, len(counts) + 0.25))
        axes.set_yticks(np.arange(len(counts)) + 0.4, [f"{name}  ({sum(each):,})" for name, each in counts.items()])
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)

    return _svg(draw, title)


def precision_recall(judged: Mapping[str, Any], title: str) -> str:
    """Precision at every recall, of the score and of length alone; the dot is the threshold."""

    def draw(axes: "Axes") -> None:
        for whose, color, width in (("length_alone", _MUTED, 1.2), ("classifier", _ACCENT, 1.8)):
            curve = judged["precision_recall"][whose]
            axes.step(curve["recall"], curve["precision"], where="post", color=color, linewidth=width)
        figures = judged["figures"]
        at = [figures[f"{name}_at_threshold"]["classifier"]["value"] for name in ("recall", "precision")]
        axes.plot(*at, marker="o", markersize=6, color=_SECOND)
        axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.04))

    return _svg(draw, title)


def _short(name: str) -> str:
    """A name that fits beside an axis, without what no font shows."""
    shown = "".join(character if character.isprintable() else "·" for character in name)
    return shown if len(shown) <= _LONGEST_NAME else shown[: _LONGEST_NAME - 1] + "…"


def _svg(draw: Callable[["Axes"], None], title: str, num_classes: int = 0) -> str:
    """What `draw` draws, as an element that reads out its title. Equal drawings give equal text."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the page's font has it, or shows its own sign
        size = max(1, num_classes / _MOST_NUMBERS)
        figure = Figure(figsize=(4.6 * size, 3.5 * size), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.add_subplot())
        file = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(file, format="svg", transparent=True, metadata=nothing)
    return _for_a_page(file.getvalue(), title)


def _for_a_page(svg: str, title: str) -> str:
    """The `svg` element alone, as wide as its place, with the page's font and colours and no names but those in use."""
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font-family: [^;\"]*; ", "", svg)
    for color, variable in _VARIABLES.items():
        svg = svg.replace(color, variable)
    used = set(re.findall(r"#([\w-]+)", svg))
    svg = re.sub(r' id="([\w.-]+)"', lambda found: found[0] if found[1] in used else "", svg)
    svg = re.sub(r'^<svg[^>]*?viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1" role="img" aria-label="TITLE">', svg)
    return svg.replace("TITLE", escape(title), 1)
