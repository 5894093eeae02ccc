"""Small pieces that the sections of a report are made of. All of them are HTML; words of others come in as such."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple

from curation.pages.drawing import css


def name_of(title: str) -> str:
    """What a section of this title is called in links."""
    return title.lower().replace(" ", "-")


def section(title: str, lead: str, *parts: str) -> str:
    """A section that the list of contents leads to; `lead` says in a sentence what there is to see."""
    return f"<section id='{name_of(title)}'><h2>{title}</h2><p class='lead'>{lead}</p>{''.join(parts)}</section>"


def nothing(why: str) -> str:
    """What stands where there is nothing to show."""
    return f"<p class='nothing'>{why}</p>"


def note(words: str) -> str:
    """A remark below a table or a drawing."""
    return f"<p class='note'>{words}</p>"


def percent(share: float, digits: int = 1) -> str:
    """A share of one, in percent; what is above nothing is never told as 0."""
    if 0 < share < 0.5 * 10 ** -(digits + 2):
        return f"&lt;&nbsp;{10**-digits:.{digits}f}&nbsp;%"
    return f"{100 * share:.{digits}f}&nbsp;%"


def amount(number: float) -> str:
    """A number in three digits: 9,927 becomes 9.93 thousand."""
    for size, word in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if number >= size:
            return f"{number / size:.3g}&nbsp;{word}"
    return f"{number:,.0f}"


def size(num_bytes: float) -> str:
    """Bytes in the unit that suits them."""
    for unit, word in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if num_bytes >= unit:
            return f"{num_bytes / unit:.3g}&nbsp;{word}"
    return f"{num_bytes:,.0f}&nbsp;B"


def duration(seconds: float) -> str:
    """Seconds, minutes or hours."""
    if seconds < 120:
        return f"{seconds:.3g}&nbsp;s"
    if seconds < 7200:
        return f"{seconds / 60:.3g}&nbsp;min"
    return f"{seconds / 3600:,.1f}&nbsp;h"


class Part(NamedTuple):
    """A part of a bar: how much of it, in which colour, and what it is when it is pointed at."""

    share: float
    color: str
    says: str


def bar(parts: Iterable[Part], *, tall: bool = False) -> str:
    """A bar whose parts make up a whole."""
    inside = "".join(
        f"<i style='flex:{part.share:.5f};background:{css(part.color)}' title='{escape(part.says)}'></i>"
        for part in parts
        if part.share > 0
    )
    return f"<div class='bar{' tall' if tall else ''}'>{inside}</div>"


def legend(entries: Sequence[tuple[str, str, str]]) -> str:
    """What colours stand for: (colour, name, figure)."""
    items = "".join(
        f"<li><i style='background:{css(color)}'></i><span>{name}</span><b>{figure}</b></li>"
        for color, name, figure in entries
    )
    return f"<ul class='legend'>{items}</ul>"


def tiles(entries: Iterable[tuple[str, str, str]]) -> str:
    """Figures to be seen first: (figure, what it is, a remark)."""
    inside = "".join(
        f"<div><dd>{figure}</dd><dt>{what}</dt><dd class='note'>{remark}</dd></div>" for figure, what, remark in entries
    )
    return f"<dl class='tiles'>{inside}</dl>"
