"""What all pages share: words of others stay words, and drawings take their colours from the page."""

import re

import pytest

from curation.pages import drawing
from curation.pages.page import page, table, text

HOSTILE = "</bdi></script><img src=x onerror=alert(1)>&amp;'\"\u202e\x00"


def test_a_string_of_somebody_else_is_shown_and_nothing_of_it_is_markup():
    shown = text(HOSTILE)
    assert re.findall(r"<[^>]*>", shown) == ["<bdi>", "</bdi>"]
    assert not any(each in shown for each in ("\u202e", "\x00", "'", '"'))


def test_what_languages_write_stays_and_what_turns_or_controls_is_replaced():
    assert (
        text("\u0645\u06cc\u200c\u062e \u0915\u200d co\u00adop a\u00a0b\u3000c")
        == "<bdi>\u0645\u06cc\u200c\u062e \u0915\u200d co\u00adop a\u00a0b\u3000c</bdi>"
    )
    assert text("a\u202eb\u2067c\u0085d\ud800e") == "<bdi>a\ufffdb\ufffdc\ufffdd\ufffde</bdi>"


def test_a_label_that_reads_like_a_colour_stays():
    label = f'{drawing.INK} style="{drawing.INK}"'
    drawn = drawing.svg(lambda axes: axes.set_title(label), "t")
    assert drawn.split("</text>")[-2].endswith((f">{label}", label.replace('"', "&quot;")))


def test_a_long_string_is_cut_where_that_is_asked_for():
    assert text("a" * 1000, 3) == "<bdi>aaa …</bdi>"
    assert text("abc", 3) == "<bdi>abc</bdi>"


def test_the_title_of_a_page_is_text():
    assert "<title>&lt;/title&gt;&lt;script&gt;</title>" in page("</title><script>", "")


def test_a_page_forbids_scripts_and_everything_from_elsewhere():
    assert "default-src 'none'; style-src 'unsafe-inline'" in page("", "", style="p { color: red }")


def test_each_row_of_a_table_is_named_by_its_first_cell():
    assert table(["", "n"], [["a", "1"]]).count("<th scope='row'>a</th><td>1</td>") == 1


@pytest.mark.parametrize(
    ("color", "css"),
    [
        (drawing.INK, "var(--ink)"),
        (drawing.kind(3), "var(--kind-3)"),
        (drawing.kind(99), "var(--muted)"),
        (drawing.tone(0), "var(--tone-0)"),
        (drawing.tone(1), "var(--tone-4)"),
        (drawing.tone(0.3), "color-mix(in oklab, var(--tone-2) 20%, var(--tone-1))"),
    ],
)
def test_a_colour_is_a_word_of_the_page(color, css):
    assert drawing.css(color) == css


def test_no_colour_of_a_drawing_is_its_own_and_equal_drawings_are_equal():
    def draw(axes):
        axes.bar(range(3), [1, 2, 3], color=[drawing.tone(0), drawing.tone(0.6), drawing.kind(1)])
        axes.set_title("<b>")

    first, second = (drawing.svg(draw, "<i>bars") for _ in range(2))
    assert first == second
    assert re.findall(r"(?:fill|stroke): (?!none|var|color-mix)[^;\"]*", first) == []
    assert "<b>" not in first
    assert "<i>" not in first
