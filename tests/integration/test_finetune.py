"""Fine-tuning from recipe files, on a tiny XLM-R: the directory serves a run, a kill costs one checkpoint at most."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from run_files import REPOSITORY, execute, wait_until, write_jsonl

from curation import classifiers, config
from curation.classifiers import tiny_unigram
from curation.training.finetuning import FinetuneRecipe
from curation.training.train import KINDS, TrainingSpec, plan, train
from curation.training.trainer import _Documents, last_checkpoint

GOOD, POOR = "水往低处流 光使河山明亮 Water flows and light shows the hills", "Buy now! 买 买 Click"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny trunk, and documents in two languages of forty hosts: the good ones are long, and about rivers."""
    folder = tmp_path_factory.mktemp("finetuning")
    tiny_unigram.write_xlm_roberta(folder / "trunk")
    rows = [
        {
            "id": f"doc-{number}",
            "url": f"https://{number % 40}.example/{number}",
            "text": (GOOD if number % 3 else POOR) + f" {number}" * (1 + number % 4),
            "quality": 4 if number % 3 else 1,
            "domain": "水利_海洋" if number % 3 else "其他",
        }
        for number in range(120)
    ]
    write_jsonl(folder / "labelled.jsonl", rows)
    return folder


def overrides(folder, output, *more):
    return [
        f"data={folder / 'labelled.jsonl'}",
        f"output={output}",
        f"recipe.trunk={folder / 'trunk'}",
        "recipe.learning_rate=0.003",
        "recipe.batch_size=16",
        "recipe.accumulation=2",
        "recipe.checkpoint_steps=0",
        *more,
    ]


def spec_of(recipe, *settings):
    return config.parse(TrainingSpec, config.load(REPOSITORY / "configs" / recipe), settings, KINDS)


def trained(spec):
    said = []
    return train(plan(spec), said.append), said


@pytest.fixture(scope="module")
def rater(folder):
    """A directory that the DataRater recipe made."""
    return trained(spec_of("train_datarater.toml", *overrides(folder, folder / "out" / "rater")))[0]


def test_the_directory_holds_all_that_a_run_and_a_reader_need(rater):
    assert sorted(path.name for path in rater.iterdir()) == [
        "README.md",
        "canary.json",
        "card.json",
        "config.json",
        "model.safetensors",
        "recipe.toml",
        "tokenizer.json",
        "tokenizer_config.json",
    ]


def test_the_directory_is_a_classifier_that_reads_as_many_tokens_as_it_was_trained_on(rater):
    encoder = classifiers.kind("encoder")(name="rater", model=str(rater))
    canary = encoder.canary()
    assert encoder.load("cpu")(canary.texts)["rater"].tolist() == pytest.approx(canary.scores, abs=canary.tolerance)
    assert encoder.parts().max_tokens == 2048


def test_it_learns_what_is_there(rater):
    encoder = classifiers.kind("encoder")(name="rater", model=str(rater))
    good, poor = encoder.load("cpu")([GOOD + " 7", POOR + " 7"])["rater"]
    assert good > poor


def test_the_recipe_beside_it_is_the_config_that_made_it(folder, rater):
    made_by = config.parse(TrainingSpec, config.load(rater / "recipe.toml"), (), KINDS)
    assert made_by == spec_of("train_datarater.toml", *overrides(folder, folder / "out" / "rater"))


def test_training_again_finds_the_model_and_writes_the_same_files(folder, rater):
    before = {path.name: path.read_bytes() for path in rater.iterdir()}
    _, said = trained(spec_of("train_datarater.toml", *overrides(folder, rater)))
    assert {path.name: path.read_bytes() for path in rater.iterdir()} == before
    assert not any(line.startswith("Step") for line in said)


def test_a_run_names_the_directory(rater, tables):
    table = {"kind": "encoder", "name": "rater", "model": str(rater)}
    done = execute(tables | {"classifier": [table]})
    assert done.code == 0, done.text
    (scores,) = (path for path in (done.folder / "scores").iterdir() if path.name.startswith("rater-"))
    assert sum(pq.read_metadata(path).num_rows for path in scores.rglob("*.parquet")) == 240


def test_names_of_classes_become_the_labels_of_the_model(folder, tmp_path):
    output, _ = trained(spec_of("train_domain.toml", *overrides(folder, tmp_path / "domain")))
    encoder = classifiers.kind("encoder")(name="domain", model=str(output))
    assert encoder.load("cpu")([GOOD + " 7", POOR + " 7"])["domain"].tolist() == ["水利_海洋", "其他"]
    assert list(json.loads((output / "card.json").read_text("utf-8"))["metrics"]) == ["finetune", "most common class"]


def test_killed_it_goes_on_from_its_checkpoint_to_the_same_model(folder, tmp_path):
    script, recipe = REPOSITORY / "pipelines" / "train.py", REPOSITORY / "configs" / "train_datarater.toml"
    settings = ["recipe.num_epochs=12", "recipe.checkpoint_steps=5", "recipe.max_tokens=32"]
    killed, whole = (
        [sys.executable, str(script), str(recipe), *overrides(folder, tmp_path / name / "model", *settings)]
        for name in ("killed", "whole")
    )
    alike = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(killed, stdout=subprocess.DEVNULL, start_new_session=True, env=alike)
    cache = tmp_path / "killed" / ".cache"
    wait_until(lambda: process.poll() is not None or any(map(last_checkpoint, cache.glob("finetune-*"))))
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    again, undisturbed = (
        subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, env=alike)
        for command in (killed, whole)
    )
    assert [(done.returncode, done.stderr) for done in (again, undisturbed)] == [(0, "")] * 2
    assert "Goes on from checkpoint-" in again.stdout
    assert "Goes on from checkpoint-" not in undisturbed.stdout
    models = [(tmp_path / name / "model" / "model.safetensors").read_bytes() for name in ("killed", "whole")]
    assert models[0] == models[1]


def test_the_datarater_recipe_reads_real_chinese_and_english_up_to_2048_tokens(folder, real_data, tmp_path):
    everything = pd.read_parquet(real_data / "annotations_train.parquet")
    some = everything[everything["lang"].isin(["zh", "en"])].groupby("lang").head(15)
    some.to_parquet(tmp_path / "both.parquet")
    once = ["recipe.num_epochs=1", "recipe.accumulation=4", "recipe.learning_rate=0.001"]
    spec = spec_of("train_datarater.toml", *overrides(folder, tmp_path / "rater", *once))
    output, _ = trained(config.parse(TrainingSpec, config.dump(spec), [f"data={tmp_path / 'both.parquet'}"], KINDS))
    card = json.loads((output / "card.json").read_text("utf-8"))
    assert card["data"]["num_documents"] == 30


def test_a_document_is_read_up_to_2048_tokens_in_training_and_in_scoring(folder, rater):
    recipe = spec_of("train_datarater.toml", *overrides(folder, rater)).recipe
    long = " ".join(["water"] * 5000)
    batch = _Documents(recipe, folder / "trunk", [long], np.zeros(1, np.float32), is_class=False).collate(
        [{"place": 0}]
    )
    assert batch["input_ids"].shape == (1, 2048)
    until, beyond = (" ".join(["water"] * words + ["light"] * 1000) for words in (1800, 2046))  # a word is a token
    scores = classifiers.kind("encoder")(name="rater", model=str(rater)).load("cpu")([long, until, beyond])["rater"]
    assert abs(scores[0] - scores[1]) > 1e-4
    assert scores[0] == pytest.approx(scores[2], abs=1e-6)


def test_a_plan_says_that_a_trunk_cannot_read_that_much(folder):
    recipe = FinetuneRecipe(label="quality", trunk=str(folder / "trunk"), max_tokens=4096)
    assert recipe.mistakes() == ["recipe.max_tokens: 4096 is not from 3 to 2048, the most the trunk reads."]
