"""The evaluation script, from labelled documents to a directory with scores, figures and a report."""

import json
import subprocess
import sys

import pandas as pd
import pytest
from run_files import REPOSITORY, documents, tiny_classifiers, write_jsonl

from curation import config
from curation.classifiers import tiny_bert
from curation.core.errors import ConfigError
from curation.evaluation.evaluate import KINDS, EvaluationSpec, plan
from curation.inference.tokens import Tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Ninety labelled documents of nine hosts, and two tiny classifiers."""
    folder = tmp_path_factory.mktemp("evaluating")
    topics = ("law", "art", "law", "sport")
    rows = [
        row | {"edu": number % 5, "topic": topics[number % 4], "mine": number % 7 / 7, "guess": topics[number % 3]}
        for number, row in enumerate(documents(90))
    ]
    write_jsonl(folder / "labelled.jsonl", [row | {"text": f"{row['text']} {row['id']}"} for row in rows])
    tables = tiny_classifiers(folder)
    config = {
        "data": str(folder / "labelled.jsonl"),
        "output": str(folder / "out"),
        "classifier": [tables["edu"], tables["keep"]],
        "columns": ["mine", "guess"],
        "judged": [
            {"kind": "regression", "name": "edu", "label": "edu"},
            {"kind": "probability", "name": "keep", "keep": {"edu": 3}, "threshold": 0.5},
            {"kind": "probability", "name": "mine", "keep": {"edu": 3}},
            {"kind": "labels", "name": "guess", "label": "topic"},
        ],
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def evaluate(folder, *overrides):
    """Call the script."""
    script = str(REPOSITORY / "pipelines" / "evaluate.py")
    command = [sys.executable, script, str(folder / "config.json"), *map(str, overrides)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture(scope="module")
def out(folder):
    """The directory of an evaluation."""
    done = evaluate(folder)
    assert (done.returncode, done.stderr) == (0, "")
    return folder / "out"


def test_everything_is_judged_and_what_ranks_is_compared(out):
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    assert [each["name"] for each in metrics["judged"]] == ["edu", "keep", "mine", "guess"]
    assert metrics["comparison"]["rank_correlation"]["names"] == ["edu", "keep", "mine", "length"]


def test_scores_lie_beside_ids(out):
    scores = pd.read_parquet(out / "scores.parquet")
    assert list(scores) == ["id", "edu", "keep"]
    assert scores["id"].tolist() == [f"doc-{number}" for number in range(90)]
    assert scores.notna().all(axis=None)


def test_the_resolved_config_does_the_same_again_without_scoring(folder, out):
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    (folder / "again").mkdir()
    (folder / "again" / "config.json").write_bytes((out / "config.json").read_bytes())
    done = evaluate(folder / "again")
    assert done.returncode == 0
    assert "documents scored" not in done.stdout
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_a_report_without_texts_quotes_none(folder, out):
    assert "grandmother" in (out / "report.html").read_text(encoding="utf-8")
    done = evaluate(folder, f"output={folder / 'quiet'}", "texts=false")
    assert done.returncode == 0
    assert "grandmother" not in (folder / "quiet" / "report.html").read_text(encoding="utf-8")


def test_an_evaluation_plan_writes_nothing(folder, tmp_path):
    done = evaluate(folder, f"output={tmp_path / 'planned'}", "--plan")
    assert done.returncode == 0
    assert "90 documents, 9 hosts" in done.stdout
    assert "Judged: keep against edu ≥ 3" in done.stdout
    assert not (tmp_path / "planned").exists()


def test_all_mistakes_of_an_evaluation_are_said_at_once(folder, tmp_path):
    wrong = ("judged.edu.label=absent", "judged.guess.name=nobody", "keep_share=0.125", "classifier.keep.model=nowhere")
    done = evaluate(folder, f"output={tmp_path / 'out'}", *wrong)
    assert done.returncode == 2
    assert all(word in done.stderr for word in ("absent", "nobody", "0.125", "nowhere"))
    assert "Traceback" not in done.stderr


def test_the_embedded_classifiers_can_be_evaluated_on_the_labelled_documents_of_the_repository():
    tables = config.load(REPOSITORY / "configs" / "evaluate_embedded.toml")
    planned = plan(config.parse(EvaluationSpec, tables, (), KINDS))
    assert len(planned.documents.texts) == 200


@pytest.mark.parametrize(
    ("override", "why"),
    [
        ("judged.edu.label=topic", "not numbers"),
        ("judged.edu.positive=5", "none or all are of class 5"),
        ("judged.edu.positive=9", "9 is not a class"),
        ("judged.keep.keep={}", "no label is named"),
        ("judged.edu.kind=labels", "the classifier gives a score"),
        ("judged.edu.threshold=nan", "nan is no number"),
        ('columns=["id"]', "id: is the column"),
        ("output=README.md/out", "cannot be written: .*README.md is a file"),
        ("tokens.count_tokenizer=nowhere", "tokens.count_tokenizer: nowhere"),
        ("judged.edu.kind=forest", "the kinds are regression, probability, labels"),
    ],
)
def test_what_cannot_be_judged_is_refused_before_anything_is_scored(folder, override, why):
    with pytest.raises(ConfigError, match=why):
        plan(config.parse(EvaluationSpec, config.load(folder / "config.json"), [override], KINDS))


def test_a_plan_without_scikit_learn_says_what_to_install(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ConfigError, match=r"sklearn: not installed; run pip install '\.\[evaluate\]'"):
        plan(config.parse(EvaluationSpec, config.load(folder / "config.json"), (), KINDS))


def test_shares_are_of_tokens_that_a_tokenizer_counts(folder, tmp_path):
    tiny_bert.write(tmp_path / "tokenizer")
    done = evaluate(folder, f"output={tmp_path / 'out'}", f"tokens.count_tokenizer={tmp_path / 'tokenizer'}")
    assert (done.returncode, done.stderr) == (0, "")
    compared = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))["comparison"]
    rows = [json.loads(line) for line in (folder / "labelled.jsonl").read_text(encoding="utf-8").splitlines()]
    ids = Tokenizer(tmp_path / "tokenizer").encode([row["text"] for row in rows], 1 << 16).ids
    assert compared["num_tokens"] == len(ids)
    assert compared["tokens"].startswith("counted by tokenizer")
