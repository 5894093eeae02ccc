"""The page of an evaluation: complete, inert, and the same for the same figures."""

import re
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest

from curation.data.labelled import Documents
from curation.evaluation import report
from curation.evaluation.comparison import Compared, compare
from curation.evaluation.judging import WHOSE, judge
from curation.evaluation.labels import Labels
from curation.evaluation.probability import Probability
from curation.evaluation.regression import Regression

HOSTILE = (
    "</script><script>alert(1)</script>",
    "<img src=https://tracker.example/x.png onerror=alert(2)>",
    "\u202egnirts desrever\u202c \u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645",
    "a" * 50_000,
    "</bdi></p></article></main></body></html>",
    "\x00\x1b[31m\ud7ff &lt;b&gt; {style} %s ]]>",
)
URLS = ("javascript:alert(3)", "https://a.example/?q=\"><b onclick='x'>", None, "https://b.example", "x", "y")


class Page(HTMLParser):
    """Tags with their attributes, and the text of each paragraph of class "text"."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.texts, self.open = [], [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "p":
            self.open.append(dict(attrs).get("class"))
            if self.open[-1] == "text":
                self.texts.append("")

    def handle_endtag(self, tag):
        if tag == "p":
            self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1] == "text":
            self.texts[-1] += data


@pytest.fixture(scope="module")
def documents():
    texts = [HOSTILE[number % 6] + str(number) for number in range(60)]
    return Documents([f"<i>{number}" for number in range(60)], URLS * 10, texts, {}, np.arange(60) // 3, 0)


@pytest.fixture(scope="module")
def figures(documents):
    generator = np.random.default_rng(0)
    labels, lengths = generator.integers(0, 6, 60).astype(float), documents.lengths
    names = np.array(["<b>law", "$x^", "艺术"], object)[labels.astype(int) % 3]
    scores = {"<u>edu": labels + generator.normal(0, 1, 60), "keep": generator.random(60)}
    columns = {"label": labels, "topic": names}
    specs = (
        (Regression("<u>edu", "label"), scores["<u>edu"]),
        (Probability("keep", (("label", 3.0),), 0.4), scores["keep"]),
        (Labels("topic", "topic"), names[::-1]),
    )
    comparison = {"tokens": "estimated as bytes / 4.6"} | compare(Compared.of(scores, documents.num_bytes), (0.25,))
    for pair in comparison["disagreements"]:
        for example in (*pair["first_prefers"], *pair["second_prefers"]):
            example |= {"id": documents.ids[example["place"]], "labels": {"edu": 3.0, "<b>topic": "<i>law"}}
    return {
        "data": {
            "name": "<s>data",
            "fingerprint": "0" * 64,
            "num_documents": 60,
            "num_hosts": 20,
            "num_without_host": 3,
            "num_duplicates": 0,
        },
        "classifiers": {"<u>edu": "1" * 64},
        "judged": [judge(spec, columns, each, lengths, documents.hosts, num_resamples=20) for spec, each in specs],
        "comparison": comparison,
    }


@pytest.fixture(scope="module")
def html(figures, documents):
    return report.html(figures, documents)


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def test_nothing_runs_and_nothing_is_fetched(page):
    assert not {tag for tag, _ in page.tags} & {"script", "img", "iframe", "object", "embed", "link", "base", "form"}
    attributes = [(name, value or "") for _, attrs in page.tags for name, value in attrs.items()]
    assert [name for name, _ in attributes if name.startswith("on") or name in {"src", "srcset"}] == []
    assert [value for name, value in attributes if "href" in name and not value.startswith("#")] == []
    assert "url(" not in re.sub(r"url\(#[\w]+\)", "", "".join(value for _, value in attributes))
    assert ("meta", "default-src 'none'; style-src 'unsafe-inline'") in [
        (tag, attrs.get("content")) for tag, attrs in page.tags
    ]


def test_no_tag_of_a_document_reaches_the_page(page):
    assert not {tag for tag, _ in page.tags} & {"i", "b", "u", "s"}
    assert [tag for tag, _ in page.tags].count("main") == 1


def test_texts_are_quoted_as_they_are_up_to_a_length(page, documents):
    quoted = {text.removesuffix(" …") for text in page.texts}
    wanted = {text[: len(quote)] for quote in quoted for text in documents.texts if text.startswith(quote)}
    printable = {quote for quote in quoted if "\ufffd" not in quote}
    assert printable
    assert printable <= wanted
    assert max(map(len, page.texts)) <= 402


def test_every_text_has_a_direction_of_its_own(page):
    quoting = [attrs for tag, attrs in page.tags if tag == "p" and attrs.get("class") == "text"]
    assert {attrs["dir"] for attrs in quoting} == {"auto"}


def test_plots_take_their_colours_from_the_page(page):
    assert [tag for tag, _ in page.tags].count("svg") == 9
    styles = "".join(attrs.get("style") or "" for _, attrs in page.tags)
    assert re.findall(r"#[0-9a-f]{6}", styles) == []


def test_what_a_plot_refers_to_is_on_the_page(page):
    names = {attrs["id"] for _, attrs in page.tags if "id" in attrs}
    used = {
        name for _, attrs in page.tags for value in attrs.values() for name in re.findall(r"#(\w[\w-]*)", value or "")
    }
    assert used <= names


def test_without_texts_no_text_and_no_address_is_quoted(figures):
    page = report.html(figures, None)
    assert Page(page).texts == []
    assert "a.example" not in page
    assert "&lt;i&gt;" in page


def test_equal_figures_give_equal_bytes(figures, documents, html):
    assert report.html(figures, documents) == html


def test_every_figure_of_the_page_is_in_the_metrics(html, figures):
    for judged in figures["judged"]:
        for figure in judged["figures"].values():
            assert f"{figure['classifier']['value']:.3f}" in html


def cells(html):
    """The rows of all tables, as the plain text of their cells."""
    rows = re.findall(r"<tr>(.*?)</tr>", html, re.DOTALL)
    return [
        [unescape(re.sub(r"<[^>]*>", " ", cell)).split() for cell in re.findall(r"<t[hd].*?</t[hd]>", row, re.DOTALL)]
        for row in rows
    ]


def test_each_column_says_whose_figures_stand_in_it(html, figures):
    rows = cells(html)
    heads = [
        place for place, row in enumerate(rows) if row[-3:] == [["classifier"], ["length", "alone"], ["difference"]]
    ]
    assert len(heads) == 3
    for judged, head in zip(figures["judged"], heads, strict=True):
        name, *columns = rows[head + 1]
        figure = next(each for key, each in judged["figures"].items() if report._NAMES.get(key, "").split() == name)
        signs = ("", "", "+")
        values = [f"{figure[whose]['value']:{sign}.3f}" for whose, sign in zip(WHOSE, signs, strict=True)]
        assert [column[0] for column in columns] == values


def test_a_yes_or_no_of_the_classifier_stands_above_that_of_length_alone(html, figures):
    rows = cells(html)
    place = next(place for place, row in enumerate(rows) if row[0][:4] == ["class", "2", "or", "higher,"])
    figure = figures["judged"][0]["figures"]["macro_f1_at_2"]
    assert rows[place + 1][0] == ["length", "alone"]
    assert [rows[place + below][1][0] for below in (0, 1)] == [f"{figure[whose]['value']:.3f}" for whose in WHOSE[:2]]
