"""Replies → labels, and how far annotators agree."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from curation.annotation.agreement import agreement
from curation.annotation.endpoint import AnnotatorSpec, Reply
from curation.annotation.labels import counts, labels
from curation.annotation.plan import AnnotationSpec, Column, Plan
from curation.annotation.replies import Replies, StoredReply
from curation.annotation.rubric import RubricSpec
from curation.annotation.sample import Document, Sample
from curation.data.inputs import InputSpec

HALVES = replace(RubricSpec("fineweb-edu").load(), answers=("0", "0.5", "1"))


def planned(num_documents=1, rounds=1, annotators=("judge",), rubric="fineweb-edu", **settings):
    """A plan of documents that were drawn from nowhere."""
    specs = tuple(AnnotatorSpec(name, f"{name}/model", "http://localhost/v1", input_price=1.0) for name in annotators)
    spec = AnnotationSpec("run", InputSpec(("in",)), (RubricSpec("fineweb-edu"),), specs, rounds=rounds, **settings)
    rubric = HALVES if rubric == "halves" else spec.rubric[0].load()
    columns = tuple(Column(label, rubric, each) for label, each in zip(spec.labels(), specs, strict=True))
    documents = tuple(Document(f"d{number}", "", f"Text {number}.", "", "all") for number in range(num_documents))
    return Plan(spec, columns, Sample(documents, {"all": num_documents}, ()), "", ())


def labelled(folder, plan, scores, finish="stop"):
    """The labels of each column, given the scores of each document and round; a string is a whole reply."""
    replies = Replies(folder / "replies.jsonl")
    for column, of_column in zip(plan.columns, scores, strict=True):
        for document, of_document in zip(plan.sample.documents, of_column, strict=True):
            for question, score in zip(plan.questions(column, document), of_document, strict=True):
                if score is not None:
                    text = score if isinstance(score, str) else f"So.\nEducational score: {score}"
                    replies.append([StoredReply.of(question, document.id, Reply(text, finish, 1_000, 20))])
    return [labels(plan, column, replies, {}) for column in plan.columns]


def test_the_label_is_the_mean_of_rounds(tmp_path):
    (found,) = labelled(tmp_path, planned(2, rounds=3), [[[3, 3, 4], [0, 1, 1]]])
    assert found.values.tolist() == pytest.approx([10 / 3, 2 / 3])


@pytest.mark.parametrize(("scores", "label"), [([2, 3], 2.5), ([2, 4], np.nan), ([0, 5], np.nan)])
def test_a_document_falls_out_when_rounds_lie_two_apart(tmp_path, scores, label):
    (found,) = labelled(tmp_path, planned(rounds=2), [[scores]])
    assert found.values.tolist() == pytest.approx([label], nan_ok=True)
    assert found.num_apart == int(np.isnan(label))


def test_how_far_apart_is_a_setting(tmp_path):
    (found,) = labelled(tmp_path, planned(rounds=2, spread_below=3.0), [[[2, 4]]])
    assert found.values.tolist() == [3]


def test_a_document_needs_every_round(tmp_path):
    (found,) = labelled(tmp_path, planned(2, rounds=2), [[[3, None], ["Rubbish.", 3]]])
    assert np.isnan(found.values).all()
    assert (found.num_incomplete, found.num_apart, found.num_labelled) == (2, 0, 0)


def test_what_could_not_be_read_is_kept_raw_with_its_reason(tmp_path):
    (found,) = labelled(tmp_path, planned(2), [[["Seven out of five."], [None]]])
    assert found.failures == (
        {
            "id": "d0",
            "label": "fineweb-edu",
            "round": 0,
            "reason": "the reply does not end with a line 'Educational score'",
            "reply": "Seven out of five.",
        },
        {
            "id": "d1",
            "label": "fineweb-edu",
            "round": 0,
            "reason": "not asked yet: the run was stopped",
            "reply": None,
        },
    )


def test_a_reply_that_was_cut_says_so(tmp_path):
    (found,) = labelled(tmp_path, planned(), [[["It has many merits, such as"]]], finish="length")
    assert found.failures[0]["reason"] == "the reply was cut at max_tokens"


@pytest.mark.parametrize(
    ("finish", "label"), [("length", np.nan), ("content_filter", np.nan), ("tool_calls", np.nan), ("", 3), ("stop", 3)]
)
def test_only_a_reply_that_came_to_a_natural_end_is_read(tmp_path, finish, label):
    """What was cut may have been a quotation, or the first of several scores."""
    (found,) = labelled(tmp_path, planned(), [[[3]]], finish=finish)
    assert found.values.tolist() == pytest.approx([label], nan_ok=True)


def test_means_are_counted_with_the_answer_that_they_are_nearest_to(tmp_path):
    plan = planned(4, rounds=2, rubric="halves")
    (found,) = labelled(tmp_path, plan, [[[0, 0], [0.5, 0.5], [0.5, 1], [1, 1]]])
    assert dict(counts(found)) == {"0": 1, "0.5": 2, "1": 1}


def test_tokens_and_cost_are_those_of_all_replies(tmp_path):
    (found,) = labelled(tmp_path, planned(2, rounds=2), [[[3, 3], [1, None]]])
    assert (found.prompt_tokens, found.completion_tokens, found.cost) == (3_000, 60, 0.003)


def test_agreement_is_kappa_mae_and_confusion_over_what_both_have_labelled(tmp_path):
    one, other = [0, 1, 2, 3, 5, 4], [0, 2, 2, 4, 5, None]
    found = labelled(tmp_path, planned(6, annotators=("a", "b")), [[[each] for each in of] for of in (one, other)])
    (pair,) = agreement(found)
    kappa = cohen_kappa_score(one[:5], other[:5], weights="quadratic", labels=range(6))
    assert (pair["first"], pair["second"], pair["num_documents"], pair["mae"]) == ("a", "b", 5, 0.4)
    assert pair["quadratic_weighted_kappa"] == pytest.approx(kappa, abs=1e-4)
    assert pair["confusion"][1] == [0, 0, 1, 0, 0, 0]


def test_agreement_of_halves_is_over_halves(tmp_path):
    columns = [[[0], [0.5], [1]], [[0.5], [0.5], [1]]]
    (pair,) = agreement(labelled(tmp_path, planned(3, annotators=("a", "b"), rubric="halves"), columns))
    assert (pair["values"], pair["confusion"]) == ((0, 0.5, 1), [[0, 1, 0], [0, 1, 0], [0, 0, 1]])


@pytest.mark.parametrize("scores", [[None, None], [3, 3]])
def test_agreement_of_nothing_or_of_constants_is_not_defined(tmp_path, scores):
    column = [[score] for score in scores]
    (pair,) = agreement(labelled(tmp_path, planned(2, annotators=("a", "b")), [column, column]))
    assert pair["quadratic_weighted_kappa"] is None


def test_one_annotator_has_nobody_to_agree_with(tmp_path):
    assert agreement(labelled(tmp_path, planned(), [[[3]]])) == []
