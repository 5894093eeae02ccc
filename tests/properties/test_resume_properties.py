"""However a run directory came about, its files are those of a run that did the last command at once."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console
from run_files import contents

from curation import classifiers, config
from curation.execution import spec
from curation.execution.plan import make_plan
from curation.execution.run import run

BODIES = {
    "a": [("1", "water moves to the sea", "en", 1), ("2", "", "en", 2), ("3", "buy shoes now", "de", 3)],
    "b": [("1", "plants need light", "de", 4), ("2", "click to win a prize", "en", 5), ("3", None, "en", 6)],
    "c": [("1", "a prime number", "en", 7)],
}

steps = st.fixed_dictionaries(
    {
        "files": st.dictionaries(st.sampled_from(["x.jsonl", "y.jsonl"]), st.sampled_from([*BODIES]), min_size=1),
        "folder": st.sampled_from(["here", "there"]),
        "carry": st.sampled_from([("lang", "n:int64"), ("lang", "n:float64"), ("lang", "n")]),
        "where": st.sampled_from(["", "lang == 'en'"]),
        "names": st.sampled_from([("hq",), ("hq", "cc"), ("cc",)]),
        "chosen": st.sampled_from([(), ("hq",)]),
        "documents": st.booleans(),
    }
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return classifiers.kind("fasttext").tiny(tmp_path_factory.mktemp("model")).model


@pytest.fixture
def perform(model, client):
    """A function that carries out one step, into a run directory."""

    def perform(step, root, output):
        folder = root / step["folder"]
        folder.mkdir(exist_ok=True)
        for path in folder.iterdir():
            path.unlink()
        for name, body in step["files"].items():
            rows = (dict(zip(("id", "text", "lang", "n"), row, strict=True)) for row in BODIES[body])
            (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
        names = step["names"]
        tables = {
            "output": str(output),
            "input": {"path": str(folder), "carry": list(step["carry"]), "where": step["where"]},
            "classifier": [
                {"kind": "fasttext", "name": name, "model": model, "label": f"__label__{name}"} for name in names
            ],
            "tiering": {"classifiers": [name for name in step["chosen"] if name in names]},
            "cluster": {"kind": "existing", "address": client.scheduler.address},
            "documents": step["documents"],
        }
        plan = make_plan(config.parse(spec.RunSpec, tables, (), spec.KINDS))
        return run(plan, Console(quiet=True), prune=True)

    return perform


@settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(steps, min_size=2, max_size=3))
def test_a_directory_with_a_past_equals_a_new_one(perform, tmp_path_factory, history):
    root = tmp_path_factory.mktemp("history")
    for step in history:
        code = perform(step, root, root / "old")
    again = perform(history[-1], root, root / "new")
    assert (code, contents(root / "old")) == (again, contents(root / "new"))
