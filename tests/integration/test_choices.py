"""A run chooses its precisions once, from a certificate measured on its own documents, and keeps them."""

import json
import shutil
import signal
from dataclasses import replace

import pytest
from run_files import documents, execute, write_jsonl
from safetensors.numpy import load_file, save_file

from curation.calibration import certificate
from curation.classifiers import fasttext
from curation.classifiers.encoder import Encoder
from curation.core.errors import ConfigError
from curation.execution import choices, settling
from curation.execution.certifying import SampleTask, score_sample
from curation.execution.plan import make_plan
from curation.execution.resume import divide
from curation.inference import precision, trunk


@pytest.fixture
def measuring(monkeypatch, tables):
    """Even this small corpus is worth measuring; its tables."""
    monkeypatch.setattr(choices, "_BYTES_PER_SAMPLED", 100)
    monkeypatch.setattr(choices, "FEWEST", 10)
    return tables


@pytest.fixture
def accepting(monkeypatch):
    """A function that sets the share of documents that may be moved."""
    return lambda share: monkeypatch.setattr(certificate, "MOST_MOVED_SHARE", share)


BREAKING = "this text breaks its scorer"


def break_fasttext(breaking):
    """Runs on a worker: one text cannot be scored any more."""
    normalise = fasttext.normalise

    def picky(text):
        if text == breaking:
            raise ValueError("a text that breaks")
        return normalise(text)

    fasttext.normalise, fasttext.kept = picky, normalise


def mend_fasttext():
    fasttext.normalise = fasttext.kept


def kept(run):
    content = json.loads((run.folder / "precision.json").read_text())
    return {each["why"]: each for each in content["classifiers"].values()}


def chosen(run):
    return json.loads((run.folder / "config.json").read_text())["classifier"][0]["precision"]


def test_fast_is_chosen_where_its_certificate_is_good_and_kept(measuring, accepting, monkeypatch):
    accepting(1.0)
    first = execute(measuring)
    assert (first.code, chosen(first)) == (0, "fast")
    found = kept(first)["its certificate is good enough"]["certificate"]
    assert found["num_documents"] == 240
    assert 0 < found["mean_moved"] < found["max_moved"] < 0.1
    assert found["spearman"] > 0.99
    assert "precision of tiny: fast" not in first.text
    assert "precision of edu: fast (its certificate is good enough; on 240 documents" in first.text

    accepting(-1.0)
    monkeypatch.setattr(settling, "measure", lambda *_: pytest.fail("measured again"))
    again = execute(measuring)
    assert (again.code, chosen(again), len(again.plan.missing.tasks)) == (0, "fast", 0)
    assert "precision of edu: fast (its certificate is good enough" in "\n".join(again.plan.lines())


def test_exact_is_chosen_where_fast_moves_too_many(measuring, accepting):
    accepting(-1.0)
    run = execute(measuring)
    assert (run.code, chosen(run)) == (0, "exact")
    assert kept(run)["fast moves too many documents"]["certificate"]["num_documents"] == 240


def test_a_plan_says_that_nothing_is_measured_yet(measuring):
    plan = make_plan(execute(measuring, "max_failures=3").plan.asked)
    assert "precision of edu: not measured yet" not in "\n".join(plan.lines())
    fresh = execute(measuring, f"output={measuring['output']}-fresh").text
    assert "precision of edu: not measured yet; measured before the first shard" in fresh
    assert "token budget: measured before the first shard" in fresh


def test_a_small_input_is_scored_exactly_without_measuring(tables):
    run = execute(tables)
    assert (run.code, chosen(run)) == (0, "exact")
    assert kept(run).keys() == {"the input is too small to be worth measuring"}


def test_what_was_asked_for_is_done_and_measured_all_the_same(tables):
    run = execute(tables, "classifier.edu.precision=bfloat16")
    assert (run.code, chosen(run)) == (0, "bfloat16")
    assert run.plan.precisions["edu"] is None
    report = json.loads((run.folder / "report" / "report.json").read_text())
    assert report["precision"]["edu"]["why"] == "asked for"
    assert report["precision"]["edu"]["certificate"]["num_documents"] > 100


def test_another_precision_is_another_folder_of_scores(tables):
    execute(tables)
    run = execute(tables, "classifier.edu.precision=fast")
    assert run.code == 0
    assert len(list((run.folder / "scores").glob("edu-*"))) == 2
    assert "fingerprint of edu changed from" in run.text


def test_frozen_thresholds_choose_the_precision_that_they_were_found_in(measuring, accepting):
    accepting(1.0)
    first = execute(measuring)
    thresholds = first.folder / "tierings" / "default" / "thresholds.json"
    run = execute(measuring, f"tiering.thresholds={thresholds}", f"output={measuring['output']}-frozen")
    assert (run.code, chosen(run)) == (0, "fast")
    assert "precision of edu: fast (the frozen thresholds were found in it)" in run.text


def test_the_token_budget_is_measured_once_and_kept(measuring, monkeypatch):
    first = execute(measuring)
    budget = json.loads((first.folder / "config.json").read_text())["scoring"]["token_budget"]
    assert f"token budget: {budget}" in first.text
    monkeypatch.setattr(settling, "_measured_budget", lambda *_: pytest.fail("measured again"))
    assert execute(measuring).plan.spec.scoring.token_budget == budget


def test_a_classifier_that_is_added_is_measured_alone(measuring, models, accepting):
    accepting(1.0)
    execute(measuring)
    accepting(-1.0)
    measuring["classifier"].append(models["other"])
    run = execute(measuring)
    assert run.code == 0
    assert {name: choice.precision for name, choice in make_plan(run.plan.asked).precisions.items()} == {
        "edu": "fast",
        "other": "exact",
    }


def sample_of(tables, **settings):
    plan = make_plan(execute(tables).plan.asked)
    shards = divide(plan.layout, plan.found.files, plan.spec.input).shards
    return SampleTask(plan.asked, shards, settings.get("num_each", 3), ("edu",))


def test_a_sample_is_the_same_every_time_and_as_large_as_asked(tables):
    task = sample_of(tables)
    first, second = score_sample(task), score_sample(task)
    assert len(first.weights) == 3 * len(task.shards)
    assert first.exact["edu"].tolist() == second.exact["edu"].tolist()
    assert first.exact.keys() == {"edu", "keep"}
    assert first.cheap.keys() == {"edu"}


def test_a_processor_that_gains_nothing_from_16_bits_scores_exactly(tables, monkeypatch):
    task = sample_of(tables)
    monkeypatch.setattr(precision, "is_fast_here", lambda _device: False)
    assert score_sample(task).why_not == {"edu": "this processor multiplies 16 bits no faster than 32"}


def test_a_classifier_that_cannot_be_fast_does_not_decide_for_others(tables, models, monkeypatch):
    monkeypatch.setattr(trunk, "num_lowered", lambda model: 0 if "other" in model.name_or_path else 1)
    task = sample_of(tables)
    wide = replace(task.spec, classifier=(*task.spec.classifier, Encoder("other", models["other"]["model"])))
    found = score_sample(replace(task, spec=wide, pending=("edu", "other")))
    assert found.cheap.keys() == {"edu"}
    assert found.exact.keys() == {"edu", "keep", "other"}
    assert "cannot compute in precision 'fast'" in found.why_not["other"]


def test_documents_that_cannot_be_scored_are_left_out_and_told_where_they_are_scored(measuring, corpus, client):
    """A text that breaks its scorer, in one file."""
    (corpus / "part-03.jsonl").write_text(json.dumps({"id": "a", "text": BREAKING}) + "\n")
    client.run(break_fasttext, BREAKING)
    try:
        run = execute(measuring)
    finally:
        client.run(mend_fasttext)
    assert run.code == 1
    assert "part-03.jsonl: ValueError: a text that breaks" in run.text
    assert {each["certificate"]["num_documents"] for each in kept(run).values()} == {220}


def test_equal_scores_of_all_documents_are_measured_too(measuring, models, tmp_path):
    folder = shutil.copytree(models["edu"]["model"], tmp_path / "constant")
    weights = load_file(folder / "model.safetensors")
    save_file(weights | {"classifier.weight": weights["classifier.weight"] * 0}, folder / "model.safetensors")
    (folder / "canary.json").unlink()
    measuring["classifier"] = [models["edu"] | {"model": str(folder)}]
    run = execute(measuring)
    assert run.code == 0
    assert {each["certificate"]["spearman"] for each in kept(run).values()} == {None}


def test_what_was_scored_before_goes_on_in_its_precision(measuring, accepting, corpus):
    accepting(1.0)
    execute(measuring, "classifier.edu.precision=exact")
    write_jsonl(corpus / "new.jsonl", documents(5))
    run = execute(measuring)
    assert (chosen(run), len(run.plan.missing.tasks)) == ("exact", 1)
    (run.folder / "precision.json").unlink()
    again = execute(measuring)
    assert (str(again.plan.precisions["edu"]), len(again.plan.missing.tasks)) == ("exact (scored so before)", 0)


def test_fast_scores_of_a_cpu_are_not_added_to_on_a_gpu(tables):
    run = execute(tables, "classifier.edu.precision=fast")
    cuda = replace(run.plan.asked, scoring=replace(run.plan.asked.scoring, device="cuda"))
    with pytest.raises(ConfigError, match=r"scoring\.device: this run directory holds fast scores of 'cpu'"):
        make_plan(cuda)


def test_a_damaged_file_of_choices_is_a_mistake_of_the_plan(tables):
    run = execute(tables)
    (run.folder / "precision.json").write_text("{")
    with pytest.raises(ConfigError, match=r"precision\.json: is damaged .* Restore it, or remove it"):
        make_plan(run.plan.asked)


def test_what_is_asked_for_once_is_not_what_was_left_open(measuring, accepting):
    accepting(-1.0)
    execute(measuring)
    execute(measuring, "classifier.edu.precision=fast")
    assert execute(measuring).plan.precisions["edu"].precision == "exact"


def test_asking_for_exact_once_takes_back_nothing_that_was_left_open(measuring, accepting):
    accepting(1.0)
    execute(measuring)
    execute(measuring, "classifier.edu.precision=exact")
    assert execute(measuring).plan.precisions["edu"].precision == "fast"


def test_the_config_of_a_run_asks_for_what_was_chosen_and_is_not_measured_again(measuring, accepting, monkeypatch):
    accepting(1.0)
    first = execute(measuring)
    monkeypatch.setattr(settling, "measure", lambda *_: pytest.fail("measured again"))
    again = execute(json.loads((first.folder / "config.json").read_text()))
    assert len(again.plan.missing.tasks) == 0
    assert str(again.plan.precisions["edu"]).startswith("fast (asked for; on 240 documents")


def test_a_shard_that_cannot_be_read_is_no_obstacle(measuring, corpus):
    (corpus / "broken.jsonl.gz").write_bytes(b"no gzip")
    run = execute(measuring)
    assert run.code == 1
    assert "broken.jsonl.gz" in run.text
    assert {each["certificate"]["num_documents"] for each in kept(run).values()} == {240}


def test_classifiers_that_share_a_forward_pass_go_on_sharing_it(measuring, models, tmp_path, monkeypatch):
    folder = shutil.copytree(models["edu"]["model"], tmp_path / "same")
    weights = load_file(folder / "model.safetensors")
    save_file(weights | {"classifier.bias": weights["classifier.bias"] + 1}, folder / "model.safetensors")
    (folder / "canary.json").unlink()
    measuring["classifier"].append(models["same"] | {"model": str(folder)})
    monkeypatch.setattr(certificate.Certificate, "is_good", property(lambda self: good.setdefault(id(self), not good)))
    good = {}  # the first is, the others are not
    run = execute(measuring)
    assert {name: choice.why for name, choice in make_plan(run.plan.asked).precisions.items()} == {
        "edu": "as same, whose forward pass it shares",
        "same": "fast moves too many documents",
    }


def test_a_run_that_is_stopped_while_it_measures_keeps_no_choice(measuring, monkeypatch):
    measure = settling.measure

    def interrupted(client, plan, size, stopping):
        signal.raise_signal(signal.SIGTERM)
        return measure(client, plan, size, stopping)

    monkeypatch.setattr(settling, "measure", interrupted)
    run = execute(measuring)
    assert run.code == 75
    assert not (run.folder / "precision.json").exists()
