"""The training script, from a labelled file to a classifier directory that a run can name."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
from run_files import REPOSITORY, SENTENCES, execute, wait_until, write_jsonl
from safetensors.numpy import load_file

from curation import classifiers
from curation.classifiers import tiny_bert, tiny_unigram
from curation.config import load, parse
from curation.core.errors import ConfigError, ModelError
from curation.data.storage import local_path
from curation.execution.lock import hold
from curation.training.train import KINDS, TrainingSpec, plan
from curation.training.train import train as train_here


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


def spec_of(folder, config, *settings):
    """A config of this repository, on the data and the trunk of these tests."""
    here = [f"data={folder / 'labelled.jsonl'}", "recipe.label=edu", f"recipe.trunk={folder / 'trunk'}"]
    small = ["recipe.max_tokens=64", "num_folds=2", f"output={folder / 'out' / 'planned'}"]
    return parse(TrainingSpec, load(REPOSITORY / "configs" / config), [*here, *small, *settings], KINDS)


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


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (["hold_out=0.4"], "hold_out: 0.4 is not one of several equal parts, such as 0.1, 0.2, 0.25 or 0.5"),
        (["hold_out=0.15"], "the nearest is 0.1429"),
        (["recipe.scale=[-inf, inf]"], "is not [lowest, highest]"),
        (["about=Positives from …"], "about: has a gap"),
        (["output=configs"], "output: "),
    ],
)
def test_what_would_go_wrong_later_is_a_mistake_of_the_plan(folder, settings, why):
    with pytest.raises(ConfigError) as refused:
        plan(spec_of(folder, "train_educational_value.toml", *settings))
    assert why in str(refused.value)


def test_a_plan_without_scikit_learn_says_what_to_install(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ConfigError, match=r"sklearn: not installed; run pip install '\.\[train\]'"):
        plan(spec_of(folder, "train_educational_value.toml"))


def test_a_plan_says_how_many_documents_are_held_out_and_how_many_have_no_host(folder):
    said = str(plan(spec_of(folder, "train_educational_value.toml", "hold_out=0.33")))
    assert "Of all documents 30 are held out." in said
    assert "0 without a host" in said


def test_a_folder_of_other_things_is_refused_and_stays(folder, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work", encoding="utf-8")
    done = train_head(folder, tmp_path)
    assert done.returncode == 2
    assert "no card.json of a training" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_second_training_of_an_output_is_refused_while_the_first_one_lives(folder, tmp_path):
    with hold(str(tmp_path / ".cache" / "head.lock")):
        done = train_head(folder, tmp_path / "head")
    assert done.returncode == 2
    assert "is writing to this run" in done.stderr
    assert not (tmp_path / "head").exists()


def test_killed_while_the_trunk_reads_it_goes_on_with_the_next_part(folder, tmp_path):
    rows = [
        {
            "id": str(number),
            "url": f"https://{number % 50}.example/",
            "text": f"{SENTENCES[0]} {number}",
            "edu": number % 5,
        }
        for number in range(5 * 4096)
    ]
    write_jsonl(tmp_path / "many.jsonl", rows)
    quick = [f"data={tmp_path / 'many.jsonl'}", "num_folds=2", "about=Made for a test.", 'recipe.method={kind="ridge"}']
    command = [
        *(sys.executable, str(REPOSITORY / "pipelines" / "train.py"), str(REPOSITORY / "configs/train_quality.toml")),
        *(*quick, "recipe.label=edu", f"recipe.trunk={folder / 'trunk'}", "recipe.max_tokens=32"),
        f"output={tmp_path / 'head'}",
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    wait_until(lambda: process.poll() is not None or [*tmp_path.glob(".cache/features-*.npy")])
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    parts = {path: path.stat().st_mtime_ns for path in tmp_path.glob(".cache/features-*.npy")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("reads documents") == 5 - len(parts) < 5
    assert {path: path.stat().st_mtime_ns for path in parts} == parts


@pytest.mark.parametrize("config", sorted(path.name for path in (REPOSITORY / "configs").glob("train_*.toml")))
def test_every_config_of_training_trains_as_it_is_on_other_data_and_a_tiny_trunk(config, tmp_path):
    rows = [
        {
            "id": str(number),
            "url": f"https://{number}.example/",
            "text": f"{SENTENCES[number % len(SENTENCES)]} {number} 水往低处流",
            **dict.fromkeys(("quality", "educational_value"), number % 5),
            "positive": number % 2,
            "domain": ("law", "art", "sport")[number % 3],
        }
        for number in range(60)
    ]
    write_jsonl(tmp_path / "labelled.jsonl", rows)
    here = [f"data={tmp_path / 'labelled.jsonl'}", f"output={tmp_path / 'out'}"]
    tables = load(REPOSITORY / "configs" / config)
    if tables["recipe"]["kind"] == "fasttext":
        here += ["about=Made for a test.", "recipe.num_buckets=1000"]  # the two million of DCLM take 800 MB
    else:
        (tiny_unigram.write_xlm_roberta if tables["recipe"]["kind"] == "finetune" else tiny_bert.write)(
            tmp_path / "trunk"
        )
        here += [f"recipe.trunk={tmp_path / 'trunk'}"]
        here += ["recipe.max_tokens=64"] if tables["recipe"]["kind"] == "encoder" else []
    spec = parse(TrainingSpec, tables, here, KINDS)
    output = train_here(plan(spec), lambda _: None)
    classifier = spec.recipe.classifier(spec.name, output)
    assert len(classifier.load("cpu")(["a text"])[spec.name]) == 1
    assert classifier.canary() is not None


def test_a_run_names_the_directory_of_a_fasttext_model(folder, tmp_path, tables):
    small = ["recipe.min_count=1", "recipe.num_epochs=5", "recipe.dim=4", "recipe.num_buckets=1000"]
    done = train(folder, "train_worth_keeping.toml", tmp_path / "keep", "recipe.keep={edu = 3}", *small)
    assert (done.returncode, done.stderr) == (0, "")
    table = {"kind": "fasttext", "name": "mine", "model": str(tmp_path / "keep"), "label": "__label__keep"}
    run = execute(tables | {"classifier": [table]})
    assert run.code == 0, run.text
    (scores,) = (path for path in (run.folder / "scores").iterdir() if path.name.startswith("mine-"))
    assert sum(pq.read_metadata(path).num_rows for path in scores.rglob("*.parquet")) == 240


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
