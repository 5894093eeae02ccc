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
        return "\n".join([*make_plan(spec.read(str(CONFIGS / config), overrides)).lines(), ""])
    except CurationError as error:
        return f"{error}\n"


@pytest.mark.parametrize(
    ("name", "config", "overrides"),
    [
        ("plan_embedded.txt", "embedded.toml", ["output=nowhere/run"]),
        ("plan_nemotron_cc.txt", "nemotron_cc.toml", ["output=nowhere/run", "input.path=embedded:documents"]),
        ("plan_fineweb_edu.txt", "fineweb_edu.toml", ["output=nowhere/run", "input.path=embedded:documents"]),
    ],
)
def test_a_plan_says(golden, name, config, overrides, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = plan_of(config, *overrides)
    assert text == golden(name, text)
