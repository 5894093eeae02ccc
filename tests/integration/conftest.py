"""A small corpus, tiny classifiers, and runs of both in this process or another."""

from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console
from run_files import (  # noqa: F401 - what tests here have from one place
    REPOSITORY,
    SCRIPT,
    SENTENCES,
    call,
    change_weights,
    command,
    documents,
    tiny_classifiers,
    wait_until,
    write_jsonl,
)

from curation import config
from curation.execution import spec
from curation.execution.plan import make_plan
from curation.execution.run import run


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """Tables of tiny classifiers by name."""
    return tiny_classifiers(tmp_path_factory.mktemp("models"))


@pytest.fixture
def corpus(tmp_path):
    """Twelve files of twenty documents each."""
    folder = tmp_path / "corpus"
    for number in range(12):
        write_jsonl(folder / f"part-{number:02}.jsonl", documents(20, 20 * number))
    return folder


@pytest.fixture
def tables(tmp_path, corpus, models, client):
    """The tables of a config that scores the corpus with two classifiers on the shared cluster."""
    return {
        "output": str(tmp_path / "run"),
        "input": {"path": str(corpus), "carry": ["url"]},
        "classifier": [models["edu"], models["keep"]],
        "cluster": {"kind": "existing", "address": client.scheduler.address},
    }


def execute(tables, *overrides, prune=False):
    """Plan and run in this process; gives the exit code, what was printed, the plan and the run directory."""
    settings = config.parse(spec.RunSpec, tables, overrides, spec.KINDS)
    text = StringIO()
    console = Console(file=text, width=200)
    plan = make_plan(settings)
    plan.say(console)
    code = run(plan, console, prune=prune)
    return SimpleNamespace(code=code, text=text.getvalue(), plan=plan, folder=Path(settings.output))
