"""The report of real runs: complete, inert, the same for the same files; also of a run that failed or was stopped."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from report_files import FILE, hostile, reported
from rich.console import Console
from run_files import REPOSITORY, call, command, documents, execute, wait_until, write_jsonl

from curation import config
from curation.analysis.report.write import after_a_run, write
from curation.core.errors import ConfigError
from curation.execution import retier

SECTIONS = (
    *("summary", "tiers", "scores", "agreement", "who-decides", "length"),
    *("sources", "examples", "time", "rows", "provenance"),
)


class Page(HTMLParser):
    """Tags with their attributes, and what stands in each section."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.sections, self.here = [], {}, ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "section":
            self.here = dict(attrs)["id"]

    def handle_data(self, data):
        self.sections[self.here] = self.sections.get(self.here, "") + data


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return reported(tmp_path_factory.mktemp("reported"))


@pytest.fixture(scope="module")
def html(run):
    return Path(write(str(run.folder))).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def test_every_section_is_there_with_something_in_it(page):
    assert [attrs["id"] for tag, attrs in page.tags if tag == "section"] == list(SECTIONS)
    assert [name for name in SECTIONS if len(page.sections[name]) < 200] == []


def test_nothing_runs_and_nothing_is_fetched(page):
    forbidden = {"script", "img", "iframe", "object", "embed", "link", "base", "form", "b-", "u"}
    assert not {tag for tag, _ in page.tags} & forbidden
    attributes = [(name, value or "") for _, attrs in page.tags for name, value in attrs.items()]
    assert [name for name, _ in attributes if name.startswith("on") or name in {"src", "srcset"}] == []
    assert [value for name, value in attributes if "href" in name and not value.startswith("#")] == []
    assert [tag for tag, _ in page.tags].count("h1") == 1
    assert [tag for tag, _ in page.tags].count("main") == 1


def test_its_size_is_bounded_whatever_documents_and_names_are(html):
    assert len(html.encode()) < 1_000_000
    assert "W" * 500 not in html
    assert "V" * 100 not in html


def test_most_of_what_is_hostile_is_quoted_so_that_it_could_do_harm(html):
    quoted = (
        "&lt;/script&gt;&lt;script&gt;",
        "&lt;img src",
        "WWWW",
        "&lt;/bdi&gt;&lt;/p&gt;",
        "&lt;style&gt;",
        "&lt;iframe",
    )
    assert sum(words in html for words in quoted) >= 4


def test_it_says_what_became_of_every_row_and_why(page):
    assert "153 rows read = 150 scored + 1 blank + 0 not selected + 2 in quarantine" in page.sections[
        "summary"
    ].replace("\xa0", " ")
    assert "bad JSON" in page.sections["rows"]
    assert FILE[:60] in page.sections["rows"]


def test_it_names_the_command_licences_and_fingerprints(run, page):
    words = page.sections["provenance"]
    ended = json.loads((run.folder / "report" / "report.json").read_text())
    assert ended["command"] in words
    assert "Apache-2.0" in words
    assert all(each["fingerprint"][:16] in words for each in ended["models"])


def test_it_is_the_same_for_the_same_files(run, html):
    assert Path(write(str(run.folder))).read_text(encoding="utf-8") == html


def test_without_examples_no_text_id_or_address_is_in_it(run, html):
    path = Path(write(str(run.folder), with_examples=False))
    without = path.read_text(encoding="utf-8")
    path.write_text(html, encoding="utf-8")
    assert "document.title" in html
    assert "?q=&lt;i&gt;" in html
    assert "[report] examples = false" in without
    assert not [words for words in ("document.title", "?q=&lt;i&gt;", "&lt;u&gt;") if words in without]


def test_a_run_can_ask_for_no_examples(tmp_path):
    run = reported(tmp_path, report={"examples": False})
    assert "document.title" not in Path(write(str(run.folder))).read_text(encoding="utf-8")


def test_where_the_input_has_gone_or_changed_it_says_so(run, tmp_path):
    copy = shutil.copytree(run.folder, tmp_path / "run")
    source = Path(run.tables["input"]["path"])
    moved = source.rename(tmp_path / "moved")
    gone = Path(write(str(copy))).read_text(encoding="utf-8")
    shutil.copytree(moved, source)
    lines = (moved / FILE).read_text(encoding="utf-8").split("\n")[:-1]
    (source / FILE).write_text("".join(line.replace("<u>", "<s>") + "\n" for line in lines), encoding="utf-8")
    changed = Path(write(str(copy))).read_text(encoding="utf-8")
    shutil.rmtree(source)
    moved.rename(source)
    assert "Their texts cannot be read" in gone
    assert "The input has changed since it was scored." in changed
    assert "document.title" not in gone + changed


def test_the_card_beside_it_has_a_header_that_parses(run, html):
    assert html
    markdown = (run.folder / "report" / "README.md").read_text(encoding="utf-8")
    assert yaml.safe_load(markdown.split("---\n")[1])["size_categories"] == ["n<1K"]
    assert "<script>" not in markdown


def test_any_tiering_has_a_report_of_its_own(run):
    settings = [f"run={run.folder}", "name=one", 'tiering.classifiers=["keep"]', "cluster.workers=1"]
    script = [sys.executable, str(REPOSITORY / "pipelines" / "retier.py"), str(REPOSITORY / "configs" / "retier.toml")]
    subprocess.run([*script, *settings], check=True, capture_output=True)
    told = subprocess.run(
        [sys.executable, str(REPOSITORY / "pipelines" / "report.py"), str(run.folder), "tiering=one"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    path = run.folder / "report" / "tierings" / "one" / "index.html"
    assert told == f"Report: {path}\n"
    assert "There is one classifier in this ensemble." in path.read_text(encoding="utf-8")


def test_what_is_no_run_and_no_tiering_is_refused(run, tmp_path):
    with pytest.raises(ConfigError, match=r"is no directory of a run"):
        write(str(tmp_path))
    for name in ("nowhere", "../default"):
        with pytest.raises(ConfigError, match=r"tiering: there is no .*; form it with pipelines/retier\.py"):
            write(str(run.folder), name)


@pytest.mark.parametrize(("content", "why"), [("{", "is damaged"), ('{"format": 2}', "has format 2; a newer version")])
def test_a_file_that_cannot_be_read_is_named(run, tmp_path, content, why):
    copy = shutil.copytree(run.folder, tmp_path / "run")
    (copy / "report" / "report.json").write_text(content)
    with pytest.raises(ConfigError, match=rf"report\.json: {why}"):
        write(str(copy))


def test_a_run_of_an_earlier_version_is_told_of_as_far_as_it_says(run, tmp_path):
    copy = shutil.copytree(run.folder, tmp_path / "run")
    (copy / "report" / "report.json").write_text('{"totals": {"read": 1}}')
    assert "No run has ended here yet" in Path(write(str(copy))).read_text(encoding="utf-8")


def test_a_report_that_cannot_be_written_costs_no_run_its_exit_code(run, tmp_path):
    copy = shutil.copytree(run.folder, tmp_path / "run")
    (copy / "report" / "report.json").write_text("{")
    assert [line.startswith("report: none could be written: ConfigError: ") for line in after_a_run(str(copy))] == [
        True
    ]


def test_a_signal_while_the_report_is_written_costs_no_run_its_exit_code(run, monkeypatch):
    monkeypatch.setattr("curation.analysis.report.write.files", lambda _: signal.raise_signal(signal.SIGINT))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # as scripts have it; dask-jobqueue has its own
    try:
        told = list(after_a_run(str(run.folder)))
    finally:
        signal.signal(signal.SIGINT, before)
    assert told == [f"report: stopped; python pipelines/report.py {shlex.quote(str(run.folder))} writes it."]


def test_after_a_stop_no_documents_are_read_for_it(run, tmp_path):
    copy = shutil.copytree(run.folder, tmp_path / "run")
    assert [line[:8] for line in after_a_run(str(copy), was_stopped=True)] == ["report: "]
    sections = Page((copy / "report" / "index.html").read_text(encoding="utf-8")).sections
    assert ["Not read, for the run was stopped" in sections[name] for name in ("sources", "examples")] == [True, True]


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("tiering.ensemble=mean", "The quality is a mean of buckets here"),
        ("tiering.group=topic", "Cuts are by topic, and not drawn."),
        ('tiering.keep="n_tokens >= 20"', "rejected"),
        ("tiering.tiers={top=[10,19],rest=[0,9]}", "top"),
    ],
)
def test_every_kind_of_tiering_can_be_told_of(run, tmp_path, setting, words):
    copy = shutil.copytree(run.folder, tmp_path / "run")
    tables = config.load(REPOSITORY / "configs" / "retier.toml") | {"run": str(copy), "name": "other"}
    overrides = [setting, "tiering.classifiers=[]", "cluster.workers=1"]
    planned = retier.plan(config.parse(retier.RetierSpec, tables, overrides))
    assert retier.retier(planned, Console(quiet=True)) == 0
    page = Page(Path(write(str(copy), "other")).read_text(encoding="utf-8"))
    assert words in "".join(page.sections.values())
    assert [name for name in SECTIONS if len(page.sections[name]) < 100] == []


def test_a_run_ends_with_a_report_and_one_with_a_failed_shard_says_which(tmp_path):
    tables = hostile(tmp_path)
    (tmp_path / "input" / "cut.parquet").write_bytes(b"PAR1")
    done = call(tables, tmp_path / "config.json")
    path = Path(tables["output"]) / "report" / "index.html"
    assert (done.returncode, f"report: {path}" in done.stdout) == (1, True), done.stdout + done.stderr
    page = Page(path.read_text(encoding="utf-8"))
    assert "Not complete: 1 shard failed" in page.sections["summary"]
    assert "cut.parquet" in page.sections["rows"]
    assert "Not yet: 1 shard to be scored." in page.sections["tiers"]


def test_a_run_that_broke_off_says_what_ended_it(tables):
    scored = execute(tables)
    path = next((scored.folder / "scores").rglob("*.parquet"))
    data = path.read_bytes()
    footer = int.from_bytes(data[-8:-4], "little") + 8
    path.write_bytes(bytes(len(data) - footer) + data[-footer:])  # which still says that the file is complete
    again = execute(tables | {"tiering": {"weights": "documents"}})
    assert again.code == 1
    page = Page(Path(write(str(scored.folder))).read_text(encoding="utf-8"))
    assert "The run broke off" in page.sections["summary"]
    assert "Calibration cannot read the scores: " in page.sections["summary"]
    assert [tag for tag, attrs in page.tags if attrs.get("id") in {"time", "rows"}] == ["section", "section"]


def test_a_run_that_is_stopped_has_a_report_that_says_how_far_it_came(tmp_path, models):
    for number in range(40):
        write_jsonl(tmp_path / "input" / f"{number:02}.jsonl", documents(60, 60 * number))
    tables = {
        "output": str(tmp_path / "run"),
        "input": {"path": str(tmp_path / "input")},
        "classifier": [models["edu"]],
        "cluster": {"workers": 1},
    }
    process = subprocess.Popen(
        command(tables, tmp_path / "config.json"), stdout=subprocess.DEVNULL, start_new_session=True
    )
    rows = tmp_path / "run" / "rows"
    wait_until(lambda: rows.is_dir() and len(list(rows.iterdir())) >= 2)
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(120) == 75
    words = Page((tmp_path / "run" / "report" / "index.html").read_text(encoding="utf-8")).sections
    assert "Stopped, and resumable" in words["summary"]
    assert f"{len(list(rows.iterdir()))} of 40 shards scored." in words["summary"]
    assert "this one broke off" in words["rows"]
    again = execute(tables)
    assert [
        each["outcome"] for each in json.loads((again.folder / "report" / "report.json").read_text())["starts"]
    ] == [
        "stopped",
        "reconciled",
    ]
