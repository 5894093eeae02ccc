"""Drawings of matplotlib as SVG, to stand inside a page: their colours and their font are the page's."""

import io
import re
import warnings
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# matplotlib takes colours alone; the page says what these stand for, so that light and dark are its choice.
INK, MUTED, ACCENT, SECOND = "#010101", "#020202", "#030303", "#040404"
GOOD, BAD, RULE, PAPER, OUT = "#050505", "#060606", "#070707", "#080808", "#090909"
NUM_KINDS = 8
_VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    ACCENT: "var(--accent)",
    SECOND: "var(--second)",
    GOOD: "var(--good)",
    BAD: "var(--bad)",
    RULE: "var(--rule)",
    PAPER: "var(--paper)",
    OUT: "var(--out)",
}
_TONE, _KIND = "#0a{:02x}0a", "#0b{:02x}0b"
_COLORS = re.compile("|".join((*_VARIABLES, r"#0([ab])[0-9a-f]{2}0\1")))
_PAINTED = re.compile(r'\b(?:style|fill|stroke)="[^"]*"(?=[^<]*>)')  # in tags: what stands between them is a label
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "curation",
    "text.parse_math": False,
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.linewidth": 0.7,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "legend.frameon": False,
}
_LONGEST_NAME = 24


def tone(place: float) -> str:
    """The colour of a place between the best, 0, and the worst, 1, of what is ordered."""
    return _TONE.format(round(100 * place))


def kind(number: int) -> str:
    """The colour of one of several things without an order; there are `NUM_KINDS`, and what comes after is grey."""
    return _KIND.format(number) if number < NUM_KINDS else MUTED


def css(color: str) -> str:
    """What the page makes of a colour of this module."""
    if color in _VARIABLES:
        return _VARIABLES[color]
    number = int(color[3:5], 16)
    if color == _KIND.format(number):
        return f"var(--kind-{number})"
    below, part = divmod(number, 25)
    if not part:
        return f"var(--tone-{below})"
    return f"color-mix(in oklab, var(--tone-{below + 1}) {4 * part}%, var(--tone-{below}))"


def svg(draw: Callable[["Axes"], None], title: str, *, width: float = 4.6, height: float = 3.5) -> str:
    """What `draw` draws on axes, as an element that reads out its title; equal drawings give equal text.

    `width` and `height` are inches, for which text has 9 points; the element is as wide as its place. Colours are those
    of this module.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the page's font has it, or shows its own sign
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.add_subplot())
        file = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(file, format="svg", transparent=True, metadata=nothing)
    return _for_a_page(file.getvalue(), title)


def short(name: str) -> str:
    """A name that fits beside an axis, without what no font shows."""
    shown = "".join(character if character.isprintable() else "·" for character in name)
    return shown if len(shown) <= _LONGEST_NAME else shown[: _LONGEST_NAME - 1] + "…"


def _for_a_page(svg: str, title: str) -> str:
    """The `svg` element alone, as wide as its place, with the page's font and colours and no names but those in use."""
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font-family: [^;\"]*; ", "", svg)
    svg = _PAINTED.sub(lambda tag: _COLORS.sub(lambda found: css(found[0]), tag[0]), svg)
    used = set(re.findall(r"#([\w-]+)", svg))
    svg = re.sub(r' id="([\w.-]+)"', lambda found: found[0] if found[1] in used else "", svg)
    svg = re.sub(r'^<svg[^>]*?viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1" role="img" aria-label="TITLE">', svg)
    return svg.replace("TITLE", escape(title), 1)
