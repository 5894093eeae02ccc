"""What a plan says of memory before it is spent."""

import pytest

from curation.classifiers.fasttext import FastText
from curation.data.inputs import InputSpec
from curation.execution import checks
from curation.execution.cluster.spec import ClusterSpec
from curation.execution.spec import Pinned, RunSpec


@pytest.fixture
def pinned(tmp_path):
    recipe = FastText.tiny(tmp_path)
    return (Pinned(recipe, recipe.fingerprint()),)


def test_no_carried_column_and_no_classifier_has_the_name_of_a_column_of_the_tiering(pinned):
    spec = RunSpec("out", InputSpec(path=("in",), carry=("quality", "kept")), (pinned[0].classifier,))
    mistake = "the column 'quality' would come from input.carry and from the tiering; rename one of them."
    assert list(checks.columns(spec, pinned)) == [mistake]


def notes(pinned, **cluster):
    spec = RunSpec("out", InputSpec(path=("in",)), (pinned[0].classifier,), cluster=ClusterSpec(**cluster))
    return list(checks.memory(spec, pinned))


def test_a_model_that_every_worker_holds_is_told_with_the_way_out(pinned, monkeypatch):
    monkeypatch.setattr(checks, "_WORTH_SAYING_BYTES", 1)
    (note,) = notes(pinned, workers=8)
    assert note.startswith("tiny takes 0.0 GB in each of 8 workers, together 0.0 of this machine's")
    assert "fewer workers with more threads each (cluster.workers, scoring.compute_threads)" in note


def test_the_workers_of_another_cluster_are_not_known(pinned, monkeypatch):
    monkeypatch.setattr(checks, "_WORTH_SAYING_BYTES", 1)
    (note,) = notes(pinned, kind="existing", address="tcp://a:1")
    assert note.startswith("tiny takes 0.0 GB in every worker process.")


def test_small_models_are_not_worth_a_note(pinned):
    assert notes(pinned) == []
    assert pinned[0].classifier.host_bytes > 1000
