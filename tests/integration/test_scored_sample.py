"""The snippet of docs/annotating.md that puts the scores of a run beside its documents, on a run that is kept."""

import re
import shutil

from input_files import shards_of, spec_of
from run_files import REPOSITORY

from curation.annotation.sample import SampleSpec, draw

SNIPPET = re.compile(r"```python\n(.*?)```", re.DOTALL)


def test_a_sample_is_drawn_by_the_score_of_a_run(tmp_path, monkeypatch):
    shutil.copytree(REPOSITORY / "tests" / "golden" / "format-1" / "run", tmp_path / "runs" / "mine")
    monkeypatch.chdir(tmp_path)
    (snippet,) = SNIPPET.findall((REPOSITORY / "docs" / "annotating.md").read_text(encoding="utf-8"))
    exec(snippet, {})  # what the page tells a reader to run
    reading = spec_of(tmp_path / "data" / "scored", carry=("worth-keeping:float64",))
    spec = SampleSpec(3, "worth-keeping", (50.0,), url_column="", language_column="")
    found = draw(spec, reading, shards_of(reading))
    assert {each.id: each.stratum for each in found.documents} == {
        "one": "50-100 %",
        "\u56db": "50-100 %",
        "five": "0-50 %",
    }
