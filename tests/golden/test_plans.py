"""What a plan tells people, word by word, for the configs of the repository."""

from pathlib import Path

import pytest

from curation.core.errors import CurationError
from curation.execution import spec
from curation.execution.plan import make_plan

CONFIGS = Path(__file__).parents[2] / "configs"


def plan_of(config, *overrides):
    """The lines of a plan, or its mistakes."""
    try:
        lines = make_plan(spec.read(str(CONFIGS / config), overrides)).lines()
        return "".join(f"{line}\n" for line in lines).replace(f"{Path.cwd()}/", "")
    except CurationError as error:
        return f"{error}\n"


@pytest.mark.parametrize("name", ["embedded", "nemotron_cc", "fineweb_edu"])
def test_a_plan_says(golden, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = plan_of(f"{name}.toml", "output=nowhere/run", "input.path=embedded:documents", "kind=cpu")
    assert text == golden(f"plan_{name}.txt", text)


def test_the_embedded_config_is_planned_on_a_cluster_that_is_there(tmp_path):
    text = plan_of("embedded.toml", f"output={tmp_path}/run", "cluster.kind=existing", "cluster.address=tcp://a:1")
    assert "cluster: existing, tcp://a:1, scoring on cpu\n" in text
    assert "note: cluster.workers: has no effect on a run here; an existing cluster has the workers it has.\n" in text


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        (["kind=cpu", "compiled=true", "input.path=/nowhere/x"], ["scoring.compiled", "[input] path"]),
        (
            ["kind=cpu", "max_failures=0", "output=nowhere://x", "input.path=/nowhere/x"],
            ["max_failures", "output", "[input] path"],
        ),
    ],
)
def test_a_mistake_hides_no_other(settings, where, tmp_path):
    text = plan_of("embedded.toml", f"output={tmp_path}/run", *settings)
    assert [line.partition(":")[0] for line in text.splitlines()] == where
