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
