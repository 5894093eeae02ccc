"""A small corpus, tiny classifiers, and the tables of a run of both."""

import pytest
from run_files import documents, tiny_classifiers, write_jsonl


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
