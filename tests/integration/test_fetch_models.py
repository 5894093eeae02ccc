"""pipelines/fetch_models.py against a hub on this machine."""

import json
import os
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save_file
from stand_in_hub import Hub

from curation import config
from curation.classifiers import source, tiny_bert
from curation.classifiers.bundle import read_bundle
from curation.classifiers.encoder import Encoder
from curation.classifiers.fasttext import FastText
from curation.classifiers.measure import CANARY_TEXTS, measure_canary
from curation.core.errors import ConfigError, ModelError
from curation.core.fingerprint import file_sha256
from curation.execution import spec
from curation.execution.plan import make_plan
from curation.training.train import KINDS, TrainingSpec, plan, train

REPOSITORY = Path(__file__).parents[2]
SCRIPT = REPOSITORY / "pipelines" / "fetch_models.py"
EDU, KEEP = "acme/tiny-edu", "acme/tiny-keep"
TOKEN = "hf_nobodyMaySeeThis"
NOT_NEEDED = {"pytorch_model.bin": b"pickled", "modeling_tiny.py": b"import os", "onnx/model.onnx": b"onnx"}
PAPERS = {"README.md": b"A model.\n", "LICENSE.txt": b"Do as you like.\n"}
TEXTS = ("The mill grinds flour.", "win win win", "水", "light, water and numbers 123")


def files_in(folder):
    """Name → bytes of the files in a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """A tiny encoder and a tiny fastText model, and the files that a hub would hold of them."""
    edu, keep = Encoder.tiny(tmp_path_factory.mktemp("edu")), FastText.tiny(tmp_path_factory.mktemp("keep"))
    files = {name: files_in(Path(recipe.model)) for name, recipe in ((EDU, edu), (KEEP, keep))}
    for each in files.values():
        del each["canary.json"]
    return SimpleNamespace(edu=edu, keep=keep, files=files)


@pytest.fixture
def hub(originals):
    """A hub that holds both models among other files."""
    with Hub() as hub:
        hub.publish(EDU, originals.files[EDU] | NOT_NEEDED | PAPERS, licence="apache-2.0")
        hub.publish(KEEP, originals.files[KEEP] | PAPERS)
        yield hub


def table(model, **settings):
    """The table of a classifier that takes its model from a hub."""
    kind = "fasttext" if model == KEEP else "encoder"
    label = {"label": "__label__hq"} if kind == "fasttext" else {}
    return {"kind": kind, "name": model.partition("/")[2], "model": model} | label | settings


def write_config(folder, *classifiers):
    """A config in `folder` whose bundles go into its folder models."""
    bundles = str(folder / "models")
    tables = {
        "output": str(folder / "run"),
        "input": {"path": str(folder)},
        "classifier": [{"bundles": bundles} | each for each in classifiers],
    }
    path = folder / "config.json"
    path.write_text(json.dumps(tables))
    return path


def environment(folder, url):
    """What the script sees of the world: a hub at `url`, a token, and no other settings of huggingface_hub."""
    others = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    return others | {
        "HF_ENDPOINT": url,
        "HF_HOME": str(folder / "hf_home"),
        "HF_TOKEN": TOKEN,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "OMP_NUM_THREADS": "1",
    }


def start(config, url, *arguments, **settings):
    """The script as a process."""
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), str(config), *arguments],
        env=environment(config.parent, url) | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def call(config, url, *arguments, **settings):
    """Run the script to its end."""
    with start(config, url, *arguments, **settings) as process:
        out, err = process.communicate(timeout=300)
    return SimpleNamespace(code=process.returncode, out=out, err=err)


def left_in(folder):
    """The names of all that lies in the folder of bundles."""
    return sorted(path.name for path in (folder / "models").glob("*"))


@pytest.fixture(scope="module")
def fetched(originals, tmp_path_factory):
    """Both models, fetched by one call without pinned revisions, and what the hub saw. Not to be changed."""
    folder = tmp_path_factory.mktemp("fetched")
    with Hub() as hub:
        commits = {
            EDU: hub.publish(EDU, originals.files[EDU] | NOT_NEEDED | PAPERS, licence="apache-2.0"),
            KEEP: hub.publish(KEEP, originals.files[KEEP] | PAPERS),
        }
        config = write_config(folder, table(EDU), table(KEEP))
        result = call(config, hub.url)
        assert result.code == 0, result.err
        yield SimpleNamespace(
            hub=hub,
            config=config,
            result=result,
            commits=commits,
            downloads=hub.downloads(),
            models=folder / "models",
            edu=folder / "models" / f"acme--tiny-edu@{commits[EDU]}",
        )


@pytest.fixture
def tampered(fetched, tmp_path):
    """The fetched encoder, with one byte of its weights changed: a config, and the bundle."""
    shutil.copytree(fetched.models, tmp_path / "models")
    bundle = tmp_path / "models" / fetched.edu.name
    weights = bytearray((bundle / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (bundle / "model.safetensors").write_bytes(weights)
    return SimpleNamespace(config=write_config(tmp_path, table(EDU), table(KEEP)), bundle=bundle)


def test_every_needed_file_is_downloaded_once_and_no_other(fetched, originals):
    expected = [
        f"{model}/resolve/{fetched.commits[model]}/{name}"
        for model in (EDU, KEEP)
        for name in {*originals.files[model], *PAPERS}
    ]
    assert fetched.downloads == sorted(expected)


def test_the_newest_commit_is_found_and_recorded(fetched):
    about = read_bundle(fetched.edu)
    assert (about.model, about.revision, about.licence) == (EDU, fetched.commits[EDU], "apache-2.0")


def test_a_bundle_names_the_hash_of_every_file_in_it(fetched):
    files = {path.name: file_sha256(path) for path in fetched.edu.iterdir() if path.name != "bundle.json"}
    assert read_bundle(fetched.edu).files == files


def test_nothing_but_bundles_is_left(fetched):
    assert left_in(fetched.models.parent) == [
        f"acme--tiny-edu@{fetched.commits[EDU]}",
        f"acme--tiny-keep@{fetched.commits[KEEP]}",
    ]


def test_the_lines_that_pin_what_was_fetched_are_printed(fetched):
    lines = fetched.result.out.splitlines()
    at = lines.index("# classifier tiny-edu")
    assert lines[at : at + 4] == [
        "# classifier tiny-edu",
        f'revision = "{fetched.commits[EDU]}"',
        "# classifier tiny-keep",
        f'revision = "{fetched.commits[KEEP]}"',
    ]


def test_a_second_call_asks_nobody_and_touches_nothing(fetched):
    before = {path: path.stat().st_mtime_ns for path in fetched.models.rglob("*")}
    num_requests = len(fetched.hub.requests)
    result = call(fetched.config, fetched.hub.url)
    assert (result.code, len(fetched.hub.requests)) == (0, num_requests)
    assert {path: path.stat().st_mtime_ns for path in fetched.models.rglob("*")} == before
    assert f"{EDU}: is complete in {fetched.edu}, nothing was fetched" in result.out


def test_a_fetched_model_is_found_and_scores_as_the_original(fetched, originals):
    assert source.resolve(EDU, bundles=str(fetched.models)) == fetched.edu
    for original, recipe in (
        (originals.edu, Encoder("tiny", EDU, bundles=str(fetched.models))),
        (originals.keep, FastText("tiny", KEEP, "__label__hq", bundles=str(fetched.models))),
    ):
        expected, got = (each.load("cpu")(TEXTS)["tiny"] for each in (original, recipe))
        assert got.tolist() == expected.tolist()
        assert recipe.fingerprint() == original.fingerprint()


def test_the_canary_holds_what_the_original_scores(fetched, originals):
    for original, recipe, tolerance in (
        (originals.edu, Encoder("tiny", EDU, bundles=str(fetched.models)), 1e-4),
        (originals.keep, FastText("tiny", KEEP, "__label__hq", bundles=str(fetched.models)), 1e-5),
    ):
        canary = recipe.canary()
        assert (canary.texts, canary.tolerance) == (CANARY_TEXTS, tolerance)
        assert canary.scores == pytest.approx(original.load("cpu")(CANARY_TEXTS)["tiny"].tolist(), abs=1e-5)


def test_verify_finds_nothing_in_a_sound_bundle_and_asks_nobody(fetched):
    num_requests = len(fetched.hub.requests)
    result = call(fetched.config, fetched.hub.url, "--verify")
    assert (result.code, len(fetched.hub.requests)) == (0, num_requests)
    assert f"{EDU}: every file is as it was fetched" in result.out


def test_verify_names_the_file_that_was_changed(tampered):
    result = call(tampered.config, "http://127.0.0.1:9", "--verify")
    assert result.code == 2
    assert result.err.startswith(f"{tampered.bundle}: model.safetensors has sha256 ")
    assert f"{KEEP}: every file is as it was fetched" in result.out


def test_verify_goes_on_after_a_bundle_that_makes_no_sense(tampered):
    (tampered.bundle / "bundle.json").write_text("{")
    result = call(tampered.config, "http://127.0.0.1:9", "--verify")
    assert result.code == 2
    assert str(tampered.bundle / "bundle.json") in result.err
    assert f"{KEEP}: every file is as it was fetched" in result.out


def test_verify_skips_what_was_never_fetched_and_says_so(tmp_path):
    result = call(write_config(tmp_path, table(EDU)), "http://127.0.0.1:9", "--verify")
    assert (result.code, result.err) == (0, "")
    assert result.out == f"{EDU}: skipped, for it is not in {tmp_path / 'models'}; without --verify it is fetched\n"


def test_a_changed_bundle_is_refused_by_a_plan(tampered):
    with pytest.raises(
        ConfigError, match=r"tiny-edu: Model 'acme/tiny-edu': .* does not hold what was fetched: model.saf"
    ):
        make_plan(spec.read(tampered.config))


def test_a_changed_bundle_is_not_called_complete(tampered, hub):
    result = call(tampered.config, hub.url)
    assert (result.code, hub.requests) == (2, [])
    assert "Delete that folder, then fetch it again" in result.err


@pytest.mark.parametrize("change", ["missing", "added"])
def test_a_bundle_with_other_files_is_refused(change, fetched, tmp_path):
    bundle = shutil.copytree(fetched.edu, tmp_path / fetched.edu.name)
    if change == "missing":
        (bundle / "tokenizer_config.json").unlink()
    else:
        (bundle / "tokenizer_config.json2").write_text("{}")
    with pytest.raises(ModelError, match=f"does not hold what was fetched: tokenizer_config.json2? (is|was) {change}"):
        source.resolve(EDU, bundles=str(tmp_path))


def test_a_pinned_revision_is_fetched_though_the_branch_went_on(hub, originals, tmp_path):
    pinned = hub.newest[EDU]
    tiny_bert.write(tmp_path / "newer", seed=1)
    hub.publish(EDU, files_in(tmp_path / "newer"))
    result = call(write_config(tmp_path, table(EDU, revision=pinned)), hub.url)
    assert result.code == 0, result.err
    assert left_in(tmp_path) == [f"acme--tiny-edu@{pinned}"]
    assert "revision =" not in result.out
    recipe = Encoder("tiny", EDU, revision=pinned, bundles=str(tmp_path / "models"))
    assert recipe.fingerprint() == originals.edu.fingerprint()


def test_bundles_go_where_into_says_and_the_config_is_told(hub, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    result = call(write_config(tmp_path, table(KEEP)), hub.url, "--into", str(elsewhere))
    assert result.code == 0, result.err
    assert [path.name for path in elsewhere.iterdir()] == [f"acme--tiny-keep@{hub.newest[KEEP]}"]
    assert f'bundles = "{elsewhere}"' in result.out.splitlines()


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_file_that_arrives_changed_leaves_no_bundle(name, hub, tmp_path):
    hub.damaged.add(name)
    result = call(write_config(tmp_path, table(EDU)), hub.url)
    assert result.code == 2
    assert f"{name} arrived with another hash than the hub lists" in result.err
    assert left_in(tmp_path) == []


def test_a_checkpoint_without_a_trained_head_leaves_no_bundle(hub, originals, tmp_path):
    from transformers import AutoModel

    AutoModel.from_pretrained(originals.edu.model).save_pretrained(tmp_path / "trunk")
    hub.publish(EDU, originals.files[EDU] | files_in(tmp_path / "trunk"))
    result = call(write_config(tmp_path, table(EDU)), hub.url)
    assert result.code == 2
    assert "it is no trained sequence classifier" in result.err
    assert left_in(tmp_path) == []


def test_a_label_that_a_model_lacks_leaves_no_bundle(hub, tmp_path):
    result = call(write_config(tmp_path, table(KEEP, label="__label__best")), hub.url)
    assert result.code == 2
    assert "has no label '__label__best'; its labels are __label__cc, __label__hq" in result.err
    assert left_in(tmp_path) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 75), (signal.SIGKILL, -9)])
def test_a_fetch_that_is_stopped_leaves_no_bundle_and_can_be_done_again(number, code, hub, tmp_path):
    hub.stalled.add("tiny.bin")
    config = write_config(tmp_path, table(KEEP))
    with start(config, hub.url) as process:
        assert hub.is_half_sent.wait(timeout=120)
        process.send_signal(number)
        process.communicate(timeout=120)
    assert process.returncode == code
    assert [name for name in left_in(tmp_path) if not name.endswith(".scratch")] == []
    with pytest.raises(ModelError, match="nor in the bundles folder"):
        source.resolve(KEEP, bundles=str(tmp_path / "models"))

    hub.stalled.clear()
    again = call(config, hub.url)
    assert again.code == 0, again.err
    assert ("is left over from a command that was killed" in again.out) == (number == signal.SIGKILL)
    assert source.resolve(KEEP, bundles=str(tmp_path / "models")).name == f"acme--tiny-keep@{hub.newest[KEEP]}"


def test_pickled_weights_are_refused_before_anything_is_downloaded(hub, originals, tmp_path):
    files = {name: data for name, data in originals.files[EDU].items() if name != "model.safetensors"}
    hub.publish(EDU, files | NOT_NEEDED)
    result = call(write_config(tmp_path, table(EDU)), hub.url)
    assert result.code == 2
    assert "has no safetensors weights, only ['pytorch_model.bin']" in result.err
    assert "AutoModelForSequenceClassification.from_pretrained('acme/tiny-edu').save_pretrained(FOLDER)" in result.err
    assert hub.downloads() == []


def test_a_hub_that_cannot_be_reached_is_said_once_with_what_to_do(tmp_path):
    result = call(write_config(tmp_path, table(EDU), table(KEEP)), "http://someone:secret@127.0.0.1:9")
    assert result.code == 2
    assert result.err == (
        "The hub at http://127.0.0.1:9 cannot be reached (ConnectError). Run this where there is a network and copy "
        "the folder of bundles to here.\n"
    )
    assert left_in(tmp_path) == []


def test_offline_mode_of_huggingface_hub_is_respected(hub, tmp_path):
    result = call(write_config(tmp_path, table(EDU)), hub.url, HF_HUB_OFFLINE="1")
    assert (result.code, hub.requests) == (2, [])
    assert result.err.startswith("HF_HUB_OFFLINE is set")


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        ((403, "GatedRepo"), "Accept them at {url}/acme/tiny-edu, put a token of that account into"),
        ((401, ""), "the hub does not show it to us (status 401)"),
        ((404, "RepoNotFound"), "the hub does not show it to us (status 404), and there is no such path here."),
        ((503, ""), "the hub answers with status 503. Try again later."),
    ],
)
def test_what_the_hub_refuses_is_said_with_what_to_do(refusal, words, hub, tmp_path):
    hub.refusals[EDU] = refusal
    result = call(write_config(tmp_path, table(EDU)), hub.url)
    assert result.code == 2
    assert result.err.startswith("Model 'acme/tiny-edu': ")
    assert words.format(url=hub.url) in result.err


def test_a_revision_that_the_hub_lacks_is_said(hub, tmp_path):
    result = call(write_config(tmp_path, table(EDU, revision="0" * 40)), hub.url)
    assert result.code == 2
    assert f"Model 'acme/tiny-edu': has no revision {'0' * 40}." in result.err


def test_a_revision_that_may_move_is_refused_without_asking(hub, tmp_path):
    result = call(write_config(tmp_path, table(EDU, revision="main"), table(KEEP, revision="v1")), hub.url)
    assert (result.code, hub.requests) == (2, [])
    assert result.err.startswith("classifier.tiny-edu: revision 'main' of acme/tiny-edu is not a commit hash")
    assert "classifier.tiny-keep: revision 'v1'" in result.err


def test_all_mistakes_are_said_before_anything_is_downloaded(hub, tmp_path):
    others = table("acme/nowhere"), table("acme/hidden")
    hub.refusals["acme/hidden"] = (401, "")
    result = call(write_config(tmp_path, table(KEEP), *others), hub.url)
    assert (result.code, hub.downloads()) == (2, [])
    assert [line.partition(":")[0] for line in result.err.splitlines()] == [
        "Model 'acme/nowhere'",
        "Model 'acme/hidden'",
    ]


def test_a_model_larger_than_the_disk_is_refused_before_it_is_downloaded(hub, tmp_path):
    hub.sizes["tiny.bin"] = 1 << 60
    result = call(write_config(tmp_path, table(KEEP)), hub.url)
    assert (result.code, hub.downloads()) == (2, [])
    assert f"needs {(1 << 60) + sum(map(len, PAPERS.values())):,} bytes, and {tmp_path / 'models'} has " in result.err


def test_a_place_that_cannot_be_written_is_said(hub, tmp_path):
    (tmp_path / "file").write_text("")
    result = call(write_config(tmp_path, table(KEEP)), hub.url, "--into", str(tmp_path / "file"))
    assert result.code == 2
    assert "cannot be written: Not a directory. Check that folder, or choose another --into." in result.err


def test_a_token_reaches_the_hub_and_nobody_else(hub, tmp_path):
    result = call(write_config(tmp_path, table(KEEP)), hub.url)
    assert result.code == 0, result.err
    assert {host for host, sent in hub.tokens if sent == f"Bearer {TOKEN}"} == {"127.0.0.1"}
    assert TOKEN not in result.out + result.err
    written = [path for path in tmp_path.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]
    assert written == []


def test_the_trunk_of_a_head_is_fetched_too(hub, originals, tmp_path):
    head = tmp_path / "head"
    head.mkdir()
    save_file({"weight": np.ones((1, 16), np.float32), "bias": np.zeros(1, np.float32)}, head / "head.safetensors")
    weights = file_sha256(Path(originals.edu.model) / "model.safetensors")
    card = {"format": 1, "kind": "encoder", "trunk": EDU, "trunk_sha256": weights, "pooling": "mean", "max_tokens": 32}
    (head / "card.json").write_text(json.dumps(card))
    result = call(write_config(tmp_path, table(str(head), name="ours")), hub.url)
    assert result.code == 0, result.err
    assert f"{EDU}: has no canary: it is a trunk" in result.out
    recipe = Encoder("ours", str(head), bundles=str(tmp_path / "models"))
    assert np.isfinite(recipe.load("cpu")(TEXTS)["ours"]).all()


@pytest.fixture
def training(tmp_path):
    """A training config on a trunk of the hub: forty documents of forty hosts."""
    rows = [
        {"id": str(n), "url": f"https://{n}.example/", "text": f"water {n}" * (1 + n % 3), "edu": n % 3}
        for n in range(40)
    ]
    (tmp_path / "labelled.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = {"kind": "encoder", "label": "edu", "trunk": EDU, "bundles": str(tmp_path / "models"), "max_tokens": 32}
    tables = {
        "name": "ours",
        "data": str(tmp_path / "labelled.jsonl"),
        "about": "Made for this test.",
        "output": str(tmp_path / "ours"),
        "recipe": recipe | {"method": [{"kind": "ridge"}]},
    }
    path = tmp_path / "train.json"
    path.write_text(json.dumps(tables))
    return path


def test_the_trunk_of_a_training_is_fetched_and_the_head_names_its_commit(hub, training):
    parse = partial(config.parse, TrainingSpec, config.load(training), kinds=KINDS)
    with pytest.raises(ConfigError, match=r"recipe\.trunk: Model 'acme/tiny-edu': .*/fetch_models\.py CONFIG"):
        plan(parse())
    result = call(training, hub.url)
    revision = hub.newest[EDU]
    assert result.code == 0, result.err
    assert result.out.endswith(f'write into {training}:\n# [recipe]\nrevision = "{revision}"\n')
    head = train(plan(parse([f"recipe.revision={revision}"])), print)
    assert json.loads((head / "card.json").read_text())["trunk_revision"] == revision
    scorer = Encoder("ours", str(head), bundles=str(training.parent / "models")).load("cpu")
    assert np.isfinite(scorer(TEXTS)["ours"]).all()


def test_a_trunk_without_safetensors_is_refused_with_how_to_convert_it(hub, training):
    hub.publish(EDU, {"config.json": b"{}", "pytorch_model.bin": b"pickled"})
    result = call(training, hub.url)
    assert (result.code, "AutoModel.from_pretrained('acme/tiny-edu')" in result.err) == (2, True)


def test_classifiers_that_read_one_model_differently_get_no_common_canary(originals, tmp_path):
    folder = shutil.copytree(originals.keep.model, tmp_path / "model")
    (folder / "canary.json").unlink()
    users = [FastText(label, "acme/tiny-keep", f"__label__{label}") for label in ("hq", "cc")]
    measure_canary(users, folder)
    assert not (folder / "canary.json").exists()
    measure_canary(users[:1], folder)
    assert users[0].__class__("hq", str(folder), "__label__hq").canary().texts == CANARY_TEXTS


def test_a_config_that_takes_nothing_from_a_hub_says_so(originals, tmp_path):
    result = call(write_config(tmp_path, table(originals.edu.model, name="edu")), "http://127.0.0.1:9")
    assert (result.code, result.out) == (0, "Nothing of this config comes from the hub.\n")


@pytest.mark.parametrize("name", ["nemotron_cc", "fineweb_edu"])
def test_the_plan_of_a_published_config_names_the_command_that_fetches(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.jsonl").write_text('{"id": "a", "text": "Water.", "url": "", "lang": "en"}\n')
    settings = spec.read(REPOSITORY / "configs" / f"{name}.toml", [f"input.path={tmp_path / 'data.jsonl'}"])
    with pytest.raises(ConfigError) as caught:
        make_plan(settings)
    assert [mistake.partition(":")[0] for mistake in caught.value.mistakes] == [
        f"classifier.{each.name}" for each in settings.classifier
    ]
    assert all("`python pipelines/fetch_models.py CONFIG`" in mistake for mistake in caught.value.mistakes)
