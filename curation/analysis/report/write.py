"""The report of a run: one page in one file, with a data card beside it. Made again at any time, from files alone."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files

from curation.analysis.report import card, documents, examples, facts, opening, running, scores, tiers
from curation.analysis.report.drawn import Drawn, draw
from curation.analysis.report.examples import Examples
from curation.analysis.report.facts import Facts
from curation.data import storage
from curation.data.layout import Layout
from curation.pages.page import page


@dataclass(frozen=True)
class ReportOf:
    """A report of the tiering `tiering` of the directory `run`; None leaves `examples` to the config."""

    run: str
    tiering: str = "default"
    examples: bool | None = None


def write(root: str, tiering: str = "default", *, with_examples: bool | None = None, in_haste: bool = False) -> str:
    """Write the report of a tiering of a run directory, and its data card; gives where the report is.

    That of the run's own tiering is report/index.html, of another one report/tierings/NAME/index.html. Without
    examples no text, id or address of a document is in it; None asks the run's config. In haste no documents are read,
    neither for examples nor for sources. Raises ConfigError when the directory is none of a run, ShardError when a file
    cannot be written.
    """
    found = facts.read(root, tiering)
    if with_examples is None:
        with_examples = bool(found.config.get("report", {}).get("examples", True))
    folder = "" if tiering == "default" else f"tierings/{tiering}/"
    url = found.layout.report(f"{folder}index.html")
    drawn = None if in_haste else draw(found)
    chosen = examples.choose(found, drawn) if with_examples and drawn is not None else None
    if not with_examples:
        found = facts.without_quotes(found)
    storage.write_bytes(found.layout.report(f"{folder}README.md"), card.markdown(found).encode("utf-8", "replace"))
    storage.write_bytes(
        url,
        html(found, drawn, chosen, with_examples=with_examples, in_haste=in_haste).encode("utf-8", "backslashreplace"),
    )
    return url


def after_a_run(root: str, *, was_stopped: bool = False) -> Iterator[str]:
    """Write the report of a run that has just ended, however it did; says where it is, or why there is none.

    A report is not worth a run: whatever fails or interrupts it is told, and changes no exit code. After a stop there
    is little time, so that it is written in haste.
    """
    try:
        if storage.exists(Layout(root).report("report.json")):
            yield f"report: {write(root, in_haste=was_stopped)}"
    except Exception as error:  # noqa: BLE001 - see above
        yield f"report: none could be written: {type(error).__name__}: {error}"
    except KeyboardInterrupt:
        yield f"report: stopped; python pipelines/report.py {shlex.quote(root)} writes it."


def html(
    found: Facts,
    drawn: Drawn | None,
    chosen: Examples | None,
    *,
    with_examples: bool = True,
    in_haste: bool = False,
) -> str:
    """The page. Whatever documents, names and messages hold is shown as text; a reader's browser fetches nothing."""
    unread = "Not read, for the run was stopped: <code>python pipelines/report.py RUN</code> adds them."
    haste = unread if in_haste and found.described else ""
    why_not = haste if with_examples else "Left out, as was asked: <code>[report] examples = false</code>."
    opinions = {
        "Tiers": tiers.tiers(found),
        "Scores": scores.scores(found),
        "Agreement": scores.agreement(found),
        "Who decides": tiers.decides(found),
        "Length": tiers.lengths(found),
        "Sources": documents.sources(found, drawn, haste, with_examples=with_examples),
        "Examples": documents.examples(found, chosen, why_not),
    }
    work = {"Time": running.time(found), "Rows": running.rows(found)}
    first, second = (opinions, work) if found.described else (work, opinions)  # what there is, before what is not yet
    sections = first | second | {"Provenance": running.provenance(found)}
    style = files("curation.analysis.report").joinpath("report.css").read_text(encoding="utf-8")
    return page(
        f"{found.name}: quality tiers",
        "\n".join([opening.opening(found, list(sections)), *sections.values()]),
        style=style,
    )
