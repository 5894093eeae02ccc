"""The page of a drift as a real browser shows it: nothing runs, nothing is fetched, nothing overflows."""

import os
import shutil

import numpy as np
import pytest
from tiered_documents import CUTS, NAMES, counted, documents, subject

from curation.analysis.drift.page import html
from curation.calibration.description import Description
from curation.calibration.drift import Side, drift
from curation.calibration.flagging import Limits
from curation.calibration.thresholds import ClassifierThresholds, Thresholds

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on PATH: apt-get install chromium")
HOSTILE = "/runs/<img src=x onerror=alert(1)></script>\u202e/" + "a" * 300


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The page of two tierings with hostile names, of which one has drifted, and that of their thresholds alone."""
    folder = tmp_path_factory.mktemp("pages")
    before, after = documents(), documents(seed=1)
    after["edu_bucket"] = np.minimum(after["edu_bucket"] + 6, 19)
    after["quality"] = after[[f"{name}_bucket" for name in NAMES]].max(axis=1).where(after["quality"] >= 0, -1)
    given = [
        Thresholds(tuple(ClassifierThresholds(name, tuple(moved + cut for cut in CUTS), name) for name in NAMES))
        for moved in (0.0, 0.5)
    ]
    described = [Description(subject(), counted(each)) for each in (before, after)]
    for name, (first, second) in {"described": described, "thresholds": [None, None]}.items():
        found = drift(Side(HOSTILE, given[0], first), Side(f"{HOSTILE} 2", given[1], second), Limits())
        assert found["findings"]
        (folder / f"{name}.html").write_text(html(found), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=BROWSER, args=sandbox)
        yield browser
        browser.close()


@pytest.mark.parametrize("look", [("light", "screen"), ("dark", "screen"), ("light", "print")], ids=" ".join)
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", ["described", "thresholds"])
def test_nothing_runs_is_fetched_or_overflows(pages, browser, name, width, look):
    scheme, media = look
    url = (pages / f"{name}.html").as_uri()
    with browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme) as context:
        page, said = context.new_page(), []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: said.append(request.url) if request.url != url else None)
        page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
        page.emulate_media(media=media)
        page.goto(url)
        page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        assert said == []
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.evaluate("document.body.innerText").count("\u202e") == 0
