"""A page in one file: its frame and style, tables, figures, and the words of others shown as text and nothing else."""

import unicodedata
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files

_TURNING = frozenset("\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Marks that turn the direction of what follows, and two that end a line."""

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


def page(title: str, body: str, *, style: str = "") -> str:
    """The page: `body` is HTML, `title` is not, `style` is CSS beside that of all pages.

    Whatever stands in it, it runs no script and fetches nothing. It follows the reader's light or dark, and prints.
    """
    shared = files("curation.pages").joinpath("page.css").read_text(encoding="utf-8")
    return _PAGE.format(style=shared + style, title=escape(title), body=body)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are HTML already; the first of each row names it."""
    names = "".join(f"<th scope='col'>{name}</th>" for name in head)
    body = "".join(
        f"<tr><th scope='row'>{row[0]}</th>{''.join(f'<td>{cell}</td>' for cell in row[1:])}</tr>" for row in rows
    )
    return f"<div class='wide'><table><thead><tr>{names}</tr></thead><tbody>{body}</tbody></table></div>"


def captioned(drawing: str, caption: str) -> str:
    """A drawing over its caption, both HTML. Several stand side by side in a `<div class='plots'>`."""
    return f"<figure>{drawing}<figcaption>{caption}</figcaption></figure>"


def text(value: str, most: int = 0) -> str:
    """A string of somebody else as HTML that shows it: escaped, with a direction of its own, without controls.

    Of a longer one the first `most` characters, if that is not 0.
    """
    cut = value[:most] + " …" if most and len(value) > most else value
    shown = "".join("\ufffd" if _is_hidden(character) else character for character in cut)
    return f"<bdi>{escape(shown)}</bdi>"


def _is_hidden(character: str) -> bool:
    """Whether it is a control, half a character, or turns the direction of what follows; not what languages write."""
    if character.isprintable() or character in "\n\t":
        return False
    return unicodedata.category(character) in {"Cc", "Cs"} or character in _TURNING
