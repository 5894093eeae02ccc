"""pipelines/fetch_models.py with names of the catalog, whose tiny twins lie on a hub on this machine."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from run_files import change_weights
from stand_in_hub import Hub

from curation.classifiers import catalog, published, tiny_bert, tiny_unigram
from curation.classifiers.bundle import read_bundle
from curation.classifiers.encoder import Encoder
from curation.execution import spec
from curation.execution.plan import make_plan
from curation.inference.weights import BASE_CONFIG

SCRIPT = Path(__file__).parents[2] / "pipelines" / "fetch_models.py"
NAMES = ("fineweb-edu", "nvidia-quality", "industrycorpus2-datarater")
BASE = "acme/tiny-deberta"  # what the wrapped twin names
TEXTS = ("The mill stands by the river.", "水车在河边", "Numbers: 1, 2 and 3!", "win win win")


def call(folder, url, *arguments):
    """The script in a folder, run to its end, with a hub at `url`."""
    others = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    settings = {"HF_ENDPOINT": url, "HF_HOME": str(folder / "hf_home"), "HF_HUB_DISABLE_XET": "1"}
    command = [sys.executable, str(SCRIPT), *arguments]
    done = subprocess.run(
        command,
        cwd=folder,
        env=others | settings | {"HF_HUB_DISABLE_TELEMETRY": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    return SimpleNamespace(code=done.returncode, out=done.stdout, err=done.stderr)


def model_of(name):
    """The hub id of an entry."""
    return catalog.entry(name).classifier.model


@pytest.fixture(scope="module")
def twins(tmp_path_factory):
    """Hub id → files of the twins of three published models, and of the base model that one of them names."""
    folders = {name: tmp_path_factory.mktemp(name) for name in NAMES}
    tiny_bert.write(folders["fineweb-edu"], config={"max_position_embeddings": 512})
    base = tiny_unigram.write_wrapped_deberta(folders["nvidia-quality"], labels=("High", "Medium", "Low"))
    tiny_unigram.write_xlm_roberta(folders["industrycorpus2-datarater"])
    files = {model_of(name): {path.name: path.read_bytes() for path in folders[name].iterdir()} for name in NAMES}
    return files | {BASE: {"config.json": json.dumps(base).encode(), "model.safetensors": b"not needed"}}


@pytest.fixture
def hub(twins):
    with Hub() as hub:
        for model, files in twins.items():
            hub.publish(model, files)
        yield hub


@pytest.fixture(scope="module")
def fetched(twins, tmp_path_factory):
    """The three models, fetched by their names in one call. Not to be changed."""
    folder = tmp_path_factory.mktemp("fetched")
    with Hub() as hub:
        commits = {model: hub.publish(model, files) for model, files in twins.items()}
        result = call(folder, hub.url, *NAMES)
        assert result.code == 0, result.err
        yield SimpleNamespace(folder=folder, commits=commits, result=result, downloads=hub.downloads())


@pytest.fixture(scope="module")
def verified(fetched):
    return call(fetched.folder, "http://127.0.0.1:9", *NAMES, "--verify")


def bundle_of(fetched, name):
    model = model_of(name)
    return fetched.folder / "models" / f"{model.replace('/', '--')}@{fetched.commits[model]}"


def test_names_are_fetched_as_the_models_of_a_config_are(fetched):
    revisions = {name: read_bundle(bundle_of(fetched, name)).revision for name in NAMES}
    assert revisions == {name: fetched.commits[model_of(name)] for name in NAMES}
    assert "write into the [[classifier]] tables of your config:\n# classifier fineweb-edu\n" in fetched.result.out


def test_the_sizes_of_a_wrapped_model_come_from_the_base_model_that_it_names(fetched, twins):
    assert (bundle_of(fetched, "nvidia-quality") / BASE_CONFIG).read_bytes() == twins[BASE]["config.json"]
    bundle = read_bundle(bundle_of(fetched, "nvidia-quality"))
    assert BASE_CONFIG in bundle.files
    assert bundle.base == f"{BASE}@{fetched.commits[BASE]}"
    assert f"the sizes of its trunk are those of {BASE} at {fetched.commits[BASE]}" in fetched.result.out
    assert [path for path in fetched.downloads if path.startswith(BASE)] == [
        f"{BASE}/resolve/{fetched.commits[BASE]}/config.json"
    ]


@pytest.mark.parametrize("name", NAMES)
def test_a_worker_scores_with_what_a_name_stands_for_and_has_a_canary(name, fetched):
    recipe = dataclasses.replace(catalog.entry(name).classifier, bundles=str(fetched.folder / "models"))
    assert len(recipe.canary().texts) == 8
    assert len(recipe.load("cpu")(TEXTS)[recipe.score_column]) == len(TEXTS)


def test_a_plan_of_names_finds_their_bundles(fetched, tmp_path):
    (tmp_path / "data.jsonl").write_text('{"id": "a", "text": "The mill."}\n')
    bundles = str(fetched.folder / "models")
    tables = {
        "output": str(tmp_path / "run"),
        "input": {"path": str(tmp_path / "data.jsonl")},
        "classifier": [{"catalog": name, "bundles": bundles} for name in NAMES],
        "cluster": {"kind": "cpu", "workers": 1},
    }
    (tmp_path / "config.json").write_text(json.dumps(tables))
    plan = make_plan(spec.read(tmp_path / "config.json"))
    assert [pinned.name for pinned in plan.pinned] == list(NAMES)


def test_another_model_under_a_published_name_fails_the_published_cases_by_name(verified):
    assert verified.code == 2
    lines = verified.err.splitlines()
    assert lines[0].startswith("classifier fineweb-edu: 'This is a test sentence.' is ")
    assert lines[0].endswith(", published is 0.07964489609003067 within 0.001 (the model's card, float32)")
    assert any(line.startswith("classifier nvidia-quality: ") for line in lines)


def test_a_model_without_published_cases_is_skipped_with_the_reason(verified):
    assert (
        f"{model_of('industrycorpus2-datarater')}: every file is as it was fetched\n"
        "classifier industrycorpus2-datarater: no published case was run, for the catalog has none. "
    ) in verified.out


def test_a_model_that_is_not_here_is_skipped_with_the_reason(tmp_path):
    result = call(tmp_path, "http://127.0.0.1:9", "dclm", "--verify")
    assert (result.code, result.err) == (0, "")
    revision = catalog.entry("dclm").classifier.revision
    assert result.out == (
        f"{model_of('dclm')}: skipped, for revision {revision} is not in models; without --verify it is fetched\n"
    )


def test_a_right_twin_holds_its_cases_and_a_changed_one_fails_by_name(tmp_path):
    tiny_bert.write(tmp_path)
    twin = Encoder("twin", str(tmp_path))
    scores = twin.load("cpu")(TEXTS)["twin"].tolist()
    cases = [
        catalog.Case(text, "the test", score=score, tolerance=1e-4) for text, score in zip(TEXTS, scores, strict=True)
    ]
    right = published.run(twin, cases)
    assert right.said.startswith("4 of 4 published cases hold, scores within ")
    assert right.failures == ()
    (tmp_path / "canary.json").write_text("")
    change_weights(tmp_path)
    changed = published.run(twin, cases)
    assert changed.said.startswith("0 of 4 published cases hold")
    assert [failure.partition(" is ")[0] for failure in changed.failures] == [repr(text) for text in TEXTS]


def test_published_labels_are_compared_as_they_are(tmp_path):
    tiny_unigram.write_xlm_roberta(tmp_path, labels=("a", "b", "c"))
    twin = Encoder("twin", str(tmp_path))
    labels = twin.load("cpu")(TEXTS)["twin"].tolist()
    right = [catalog.Case(text, "the test", label=label) for text, label in zip(TEXTS, labels, strict=True)]
    assert published.run(twin, right) == published.Verdict("4 of 4 published cases hold")
    wrong = [catalog.Case(TEXTS[0], "the test", label="d")]
    assert published.run(twin, wrong).failures == (f"{TEXTS[0]!r} is {labels[0]}, published is d (the test)",)


def test_labels_that_the_catalog_does_not_name_are_said_when_a_model_is_fetched(hub, tmp_path):
    tiny_unigram.write_wrapped_deberta(tmp_path / "twin", labels=("High", "Medium", "Bad"))
    files = {path.name: path.read_bytes() for path in (tmp_path / "twin").iterdir()}
    hub.publish(model_of("nvidia-quality"), files)
    fetched = call(tmp_path, hub.url, "nvidia-quality")
    assert fetched.code == 0, fetched.err
    said = (
        "the model has no label Low, which the catalog names",
        "the model has the label Bad, which the catalog does not name",
    )
    assert [f"{model_of('nvidia-quality')}: {line}\n" in fetched.out for line in said] == [True, True]
    verified = call(tmp_path, hub.url, "nvidia-quality", "--verify")
    assert verified.code == 2
    assert [f"classifier nvidia-quality: {line}\n" in verified.err for line in said] == [True, True]


@pytest.mark.parametrize("precision", ["bfloat16", "fast"])
def test_published_cases_are_run_in_exact_precision(fetched, precision):
    entry = catalog.entry("fineweb-edu").classifier
    exact = dataclasses.replace(entry, bundles=str(fetched.folder / "models"), precision="exact")
    rounded = dataclasses.replace(exact, precision=precision)
    assert published.judge(rounded, is_here=True) == published.judge(exact, is_here=True)


def test_a_model_that_cannot_be_loaded_does_not_keep_others_from_being_verified(fetched):
    entry = dataclasses.replace(catalog.entry("fineweb-edu").classifier, bundles=str(fetched.folder / "models"))
    longer = dataclasses.replace(entry, max_tokens=4_096)
    verdict = published.judge(longer, is_here=True)
    assert verdict.said == "no published case was run: its model cannot be loaded"
    assert "max_tokens is 4096; the model in" in verdict.failures[0]


def test_a_wrapped_model_whose_base_is_not_shown_leaves_no_bundle(hub, tmp_path):
    hub.refusals[BASE] = (401, "")
    result = call(tmp_path, hub.url, "nvidia-quality")
    assert result.code == 2
    assert result.err.startswith(f"Model '{BASE}': the hub does not show it to us (status 401)")
    assert list((tmp_path / "models").iterdir()) == []


def test_names_with_settings_are_copied_from_a_folder_of_bundles(fetched, tmp_path):
    source = str(fetched.folder / "models")
    result = call(tmp_path, "http://127.0.0.1:9", "nvidia-quality", "--from", source, "--into", str(tmp_path / "local"))
    assert result.code == 0, result.err
    folder = tmp_path / "local" / bundle_of(fetched, "nvidia-quality").name
    assert (folder / BASE_CONFIG).is_file()
    assert f'bundles = "{tmp_path / "local"}"' in result.out


def test_the_catalog_is_listed_as_a_table(tmp_path):
    result = call(tmp_path, "http://127.0.0.1:9", "--list")
    assert result.code == 0
    assert [name for name in catalog.names() if f"│ {name} " not in result.out] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nemotron-edu"], "classifier[0]: the catalog has no 'nemotron-edu'; did you mean 'nemotron-4-edu'?\n"),
        ([], "Name one config, or names of the catalog, which --list prints.\n"),
    ],
)
def test_what_cannot_be_fetched_is_said(arguments, words, tmp_path):
    result = call(tmp_path, "http://127.0.0.1:9", *arguments)
    assert (result.code, result.err) == (2, words)
