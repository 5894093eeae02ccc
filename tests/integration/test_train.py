"""The training script, from a labelled file to a classifier directory that a run can name."""

import json
import subprocess
import sys

import numpy as np
import pytest
from run_files import REPOSITORY, SENTENCES, execute, write_jsonl
from safetensors.numpy import load_file

from curation import classifiers
from curation.classifiers import tiny_bert
from curation.core.errors import ModelError
from curation.data.storage import local_path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Ninety labelled documents of thirty hosts, the longer the better, and a tiny trunk."""
    folder = tmp_path_factory.mktemp("training")
    rows = [
        {
            "id": f"doc-{number}",
            "url": f"https://{number % 30}.example/{number}",
            "text": " ".join([SENTENCES[number % len(SENTENCES)]] * (1 + number % 5)) + f" {number}",
            "edu": number % 5,
        }
        for number in range(90)
    ]
    write_jsonl(folder / "labelled.jsonl", rows)
    tiny_bert.write(folder / "trunk")
    return folder


def train(folder, config, output, *overrides):
    """Call the script with a config of this repository and overrides."""
    command = [sys.executable, str(REPOSITORY / "pipelines" / "train.py"), str(REPOSITORY / "configs" / config)]
    here = [f"data={folder / 'labelled.jsonl'}", "about=Made for a test.", f"output={output}", "num_folds=2"]
    return subprocess.run([*command, *here, *overrides], capture_output=True, text=True, check=False, timeout=300)


def train_head(folder, output, *overrides):
    """Train on the tiny trunk."""
    here = ["recipe.label=edu", f"recipe.trunk={folder / 'trunk'}", "recipe.max_tokens=64", *overrides]
    return train(folder, "train_educational_value.toml", output, *here)


@pytest.fixture(scope="module")
def head(folder):
    """The directory of a trained head."""
    output = folder / "out" / "head"
    done = train_head(folder, output)
    assert (done.returncode, done.stderr) == (0, "")
    return output


def test_a_head_is_trained_and_scores(head):
    encoder = classifiers.kind("encoder")(name="edu", model=str(head))
    canary = encoder.canary()
    assert encoder.load("cpu")(canary.texts)["edu"].tolist() == pytest.approx(canary.scores, abs=canary.tolerance)


def test_the_card_judges_every_method_and_length_and_says_which_is_packaged(head):
    card = json.loads((head / "card.json").read_text(encoding="utf-8"))
    assert list(card["metrics"]) == ["descent", "ridge", "length alone"]
    spearman = {name: card["metrics"][name]["spearman"][0] for name in ("descent", "ridge")}
    assert card["recipe"]["packaged"] == max(spearman, key=spearman.get)


def test_training_again_finds_the_features_and_gives_the_same_files(folder, head):
    before = {path.name: path.read_bytes() for path in head.iterdir()}
    assert train_head(folder, head).returncode == 0
    assert {path.name: path.read_bytes() for path in head.iterdir()} == before
    assert len(list((head.parent / ".cache").glob("features-*.npy"))) == 1


def test_a_head_refuses_another_trunk(head, tmp_path):
    tiny_bert.write(tmp_path / "trunk", seed=1)
    card = json.loads((head / "card.json").read_text(encoding="utf-8"))
    (tmp_path / "card.json").write_text(json.dumps(card | {"trunk": str(tmp_path / "trunk")}), encoding="utf-8")
    with pytest.raises(ModelError, match="sha256"):
        classifiers.kind("encoder")(name="edu", model=str(tmp_path)).fingerprint()


def test_a_fasttext_model_is_trained_and_scores(folder, tmp_path):
    small = ["recipe.min_count=1", "recipe.num_epochs=5", "recipe.dim=4", "recipe.num_buckets=1000"]
    done = train(folder, "train_worth_keeping.toml", tmp_path / "keep", "recipe.keep={edu = 3}", *small)
    assert (done.returncode, done.stderr) == (0, "")
    model = classifiers.kind("fasttext")(name="keep", model=str(tmp_path / "keep"), label="__label__keep")
    canary = model.canary()
    assert np.allclose(model.load("cpu")(canary.texts)["keep"], canary.scores, atol=canary.tolerance)


def test_a_plan_writes_nothing(folder, tmp_path):
    done = train_head(folder, tmp_path / "planned" / "head", "--plan")
    assert done.returncode == 0
    assert "90 documents" in done.stdout
    assert "30 hosts" in done.stdout
    assert not (tmp_path / "planned").exists()


def test_all_mistakes_are_said_at_once(folder, tmp_path):
    done = train_head(folder, tmp_path / "head", "recipe.label=absent", "num_folds=1", "recipe.max_tokens=0")
    assert done.returncode == 2
    assert all(word in done.stderr for word in ("absent", "num_folds: 1", "max_tokens: 0"))
    assert "Traceback" not in done.stderr


def test_an_unknown_kind_of_recipe_is_answered_with_those_there_are(folder, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"name": "x", "recipe": {"kind": "forest"}}), encoding="utf-8")
    done = train(folder, tmp_path / "config.json", tmp_path / "head")
    assert done.returncode == 2
    assert "the kinds are encoder, finetune, fasttext" in done.stderr


@pytest.mark.long
def test_the_packaged_head_is_what_training_on_the_annotations_gives(real_data, tmp_path):
    config = REPOSITORY / "configs" / "train_educational_value.toml"
    data = f"data={real_data / 'annotations_train.parquet'}"
    command = [sys.executable, str(REPOSITORY / "pipelines" / "train.py"), str(config), data, "recipe.label=edu"]
    done = subprocess.run([*command, f"output={tmp_path / 'head'}"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    trained, packaged = (
        load_file(folder / "head.safetensors")
        for folder in (tmp_path / "head", local_path("embedded:models/educational-value"))
    )
    assert np.allclose(trained["weight"], packaged["weight"], atol=1e-4)
    assert np.allclose(trained["bias"], packaged["bias"], atol=1e-4)


def test_the_fineweb_edu_recipe_gives_a_head_with_a_pooler_that_a_run_can_name(folder, tmp_path, tables):
    here = ["recipe.label=edu", f"recipe.trunk={folder / 'trunk'}", "recipe.max_tokens=64"]
    done = train(folder, "train_fineweb_edu.toml", tmp_path / "head", *here)
    assert (done.returncode, done.stderr) == (0, "")
    assert set(load_file(tmp_path / "head" / "head.safetensors")) == {"weight", "bias", "dense_weight", "dense_bias"}
    table = {"kind": "encoder", "name": "recipe", "model": str(tmp_path / "head")}
    run = execute(tables | {"classifier": [table]})
    assert run.code == 0, run.text


def test_the_recipe_beside_a_head_trains_it_again(folder, head, tmp_path):
    done = train(folder, head / "recipe.toml", tmp_path / "head")
    assert done.returncode == 0
    assert (tmp_path / "head" / "head.safetensors").read_bytes() == (head / "head.safetensors").read_bytes()
