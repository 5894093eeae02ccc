"""The report as a real browser shows it: nothing runs, nothing is fetched, nothing overflows, in all its looks."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from report_files import reported

from curation.analysis.report.write import write

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on PATH: apt-get install chromium")
LOOKS = (("light", "screen"), ("dark", "screen"), ("light", "print"))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of hostile documents."""
    return reported(tmp_path_factory.mktemp("browser"))


@pytest.fixture(scope="module")
def browser() -> Iterator:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=BROWSER, args=sandbox)
        yield browser
        browser.close()


@pytest.fixture
def shown(run, browser):
    """The report in the browser, at a width and in a look; and all that it logged and asked for."""
    path, contexts = Path(write(str(run.folder))), []

    def show(width=1280, scheme="light", media="screen"):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        said = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: said.append(request.url) if request.url != path.as_uri() else None)
        page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
        page.emulate_media(media=media)
        page.goto(path.as_uri())
        return page, said

    yield show
    for context in contexts:
        context.close()


@pytest.mark.parametrize(("scheme", "media"), LOOKS)
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_runs_is_fetched_or_overflows(shown, width, scheme, media):
    page, said = shown(width, scheme, media)
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert said == []
    assert page.title() == "<b>run & 'co': quality tiers"
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_every_section_can_be_seen_and_is_reached_from_the_contents(shown):
    page, _ = shown()
    names = page.eval_on_selector_all("section", "each => each.map(e => e.id)")
    assert page.eval_on_selector_all("section", "each => each.every(e => e.getBoundingClientRect().height > 60)")
    links = page.eval_on_selector_all("nav a", "each => each.map(e => e.hash.slice(1))")
    assert links == names[1:]


def test_dark_is_dark_and_paper_is_white(shown):
    def ground(*look):
        page, _ = shown(1280, *look)
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    assert [ground(*look) for look in LOOKS] == ["rgb(255, 255, 255)", "rgb(20, 23, 29)", "rgb(255, 255, 255)"]


def test_every_colour_of_bars_and_drawings_is_known_to_the_page(shown):
    page, _ = shown()
    painted = page.eval_on_selector_all(
        ".bar i, .swatch, .legend i", "each => each.map(e => getComputedStyle(e).backgroundColor)"
    )
    assert painted
    assert "rgba(0, 0, 0, 0)" not in painted
    own = "svg [style*='fill: var('], svg [style*='fill: color-mix(']"
    filled = page.eval_on_selector_all(own, "each => each.map(e => getComputedStyle(e).fill)")
    assert filled
    assert "rgb(0, 0, 0)" not in filled


def test_a_text_keeps_its_direction_to_itself(shown):
    page, _ = shown()
    assert page.eval_on_selector_all("article .text", "each => each.every(e => e.dir === 'auto')")
    assert page.evaluate("document.body.innerText").count("\u202e") == 0


def test_it_can_be_printed(shown):
    page, _ = shown()
    assert page.pdf(format="A4", print_background=True).startswith(b"%PDF-")
