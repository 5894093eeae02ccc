"""Every figure of a classifier, on the published hold-out of FineWeb-Edu and on labels made here."""

from functools import partial

import numpy as np
import pytest
from published import FINEWEB_EDU
from sklearn.metrics import classification_report

from curation.core.errors import ConfigError
from curation.evaluation import judging, metrics
from curation.evaluation.judging import averages, by_class
from curation.evaluation.labels import Labels
from curation.evaluation.probability import Probability
from curation.evaluation.regression import Regression

judge = partial(judging.judge, num_resamples=50)


@pytest.fixture(scope="module")
def published():
    """A label and a score for each document that the card of FineWeb-Edu counts."""
    cells = np.repeat(np.arange(36), FINEWEB_EDU.ravel())
    return (cells // 6).astype(float), (cells % 6).astype(float)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("accuracy", 0.71355),
        ("macro_f1", 0.49598),
        ("positive_f1_at_2", 0.7751),
        ("negative_f1_at_2", 0.8976),
        ("macro_f1_at_2", 0.8364),
        ("positive_f1_at_3", 0.6824),
        ("negative_f1_at_3", 0.971),
        ("macro_f1_at_3", 0.8267),
        ("macro_f1_at_threshold", 0.8267),
    ],
)
def test_figures_of_the_published_hold_out_are_those_of_its_card(published, name, value):
    spec = Regression("edu", "label", threshold=3.0)
    figures = spec.figures(*published, 3.0, spec.present(*published))
    assert round(figures[name], len(str(value)) - 2) == value


def test_the_table_of_classes_is_that_of_the_card():
    table = by_class(FINEWEB_EDU, "012345")
    assert [[round(row[what], 2) for what in ("precision", "recall", "f1")] + [row["support"]] for row in table] == [
        [0.75, 0.49, 0.59, 5694],
        [0.78, 0.84, 0.81, 26512],
        [0.57, 0.61, 0.59, 10322],
        [0.56, 0.50, 0.53, 3407],
        [0.58, 0.35, 0.44, 807],
        [0.33, 0.01, 0.02, 125],
    ]
    assert {name: round(value, 2) for name, value in averages(FINEWEB_EDU)["macro"].items()} == {
        "precision": 0.60,
        "recall": 0.47,
        "f1": 0.50,
    }
    assert {name: round(value, 2) for name, value in averages(FINEWEB_EDU)["weighted"].items()} == {
        "precision": 0.71,
        "recall": 0.71,
        "f1": 0.71,
    }


@pytest.fixture(scope="module")
def scored():
    """Labels, scores that follow them, lengths that say nothing, and forty hosts."""
    generator = np.random.default_rng(5)
    labels = generator.integers(0, 6, 240).astype(float)
    return labels, labels + generator.normal(0, 0.7, 240), generator.integers(50, 5000, 240), np.arange(240) // 6


@pytest.fixture(scope="module")
def judged(scored):
    labels, scores, lengths, hosts = scored
    return judge(Regression("edu", "label"), {"label": labels}, scores, lengths, hosts)


def test_every_figure_has_an_interval_and_stands_beside_that_of_length_alone(judged):
    for figure in judged["figures"].values():
        assert figure["classifier"]["low"] <= figure["classifier"]["value"] <= figure["classifier"]["high"]
        difference = figure["classifier"]["value"] - figure["length_alone"]["value"]
        assert figure["difference"]["value"] == pytest.approx(difference)


def test_a_score_that_follows_the_labels_is_clearly_better_than_length(judged):
    assert judged["figures"]["spearman"]["difference"]["low"] > 0.5


def test_the_classes_are_reported_as_scikit_learn_does(scored, judged):
    labels, scores, *_ = scored
    theirs = classification_report(metrics.classes(labels), metrics.classes(scores), output_dict=True)
    for row in judged["classes"]:
        expected = theirs[row["class"]]
        assert [row["precision"], row["recall"], row["f1"]] == pytest.approx(
            [expected["precision"], expected["recall"], expected["f1-score"]]
        )
    assert judged["averages"]["weighted"]["f1"] == pytest.approx(theirs["weighted avg"]["f1-score"])


def test_a_threshold_that_is_not_given_is_the_best_and_called_chosen_here(scored, judged):
    labels, scores, *_ = scored
    assert judged["threshold_is"] == "chosen on these documents"
    assert judged["threshold"] == metrics.best_cut(labels >= 3, scores)


def test_documents_without_label_or_score_are_left_out_and_counted(scored):
    labels, scores, lengths, hosts = (np.array(values, float) for values in scored)
    labels[:3], scores[2:7] = np.nan, np.nan
    counted = judge(Regression("edu", "label"), {"label": labels}, scores, lengths, hosts.astype(int))
    assert [counted[name] for name in ("num_documents", "num_without_label", "num_without_score")] == [233, 3, 4]


def test_what_is_not_defined_is_none(scored):
    labels, _, lengths, hosts = scored
    constant = judge(Regression("edu", "label"), {"label": labels}, np.ones(240), lengths, hosts)
    assert constant["figures"]["spearman"]["classifier"] == {"value": None, "low": None, "high": None}


def test_a_probability_is_read_at_its_own_threshold(scored):
    labels, scores, lengths, hosts = scored
    spec = Probability("keep", (("label", 3.0),), threshold=0.018112)
    found = judge(spec, {"label": labels}, scores / 100, lengths, hosts)
    kept = scores / 100 >= 0.018112
    assert found["confusion"] == metrics.binary(labels >= 3, kept).tolist()
    assert found["figures"]["kept_share_at_threshold"]["classifier"]["value"] == kept.mean()


def test_at_a_given_threshold_length_alone_keeps_as_many_documents(scored):
    labels, scores, lengths, hosts = scored
    spec = Probability("keep", (("label", 3.0),), threshold=2.5)
    kept = judge(spec, {"label": labels}, scores, lengths, hosts)["figures"]["kept_share_at_threshold"]
    assert kept["difference"]["value"] == pytest.approx(0, abs=0.02)


def test_one_label_of_several_is_enough_to_keep_and_where_one_is_missing_nothing_is_known():
    spec = Probability("keep", (("edu", 3.0), ("quality", 3.0)))
    columns = {"edu": np.array([3.0, 0, 0, np.nan]), "quality": np.array([np.nan, 3, 0, 5])}
    assert np.array_equal(spec.truth(columns), [np.nan, 1, 0, np.nan], equal_nan=True)


def test_names_of_labels_are_judged_too(scored):
    labels, _, lengths, hosts = scored
    names = np.array(["law", "art", "sport"], object)
    truth = names[labels.astype(int) % 3]
    guess = np.where(np.arange(240) % 4 == 0, "music", truth).astype(object)
    found = judge(Labels("topic", "topic"), {"topic": truth}, guess, lengths, hosts)
    assert [row["class"] for row in found["classes"]] == ["art", "law", "music", "sport"]
    assert found["figures"]["accuracy"]["classifier"]["value"] == 0.75


@pytest.mark.parametrize(
    ("labels", "hosts", "why"),
    [
        (np.full(9, np.nan), np.arange(9), "no document has both"),
        (np.full(9, 1.0), np.arange(9), "none or all are of class 3"),
        (np.arange(9.0), np.arange(9), "3 labels are outside 0 to 5"),
        (np.arange(9.0) % 6, np.zeros(9, int), "from 1 hosts; intervals need 5"),
    ],
)
def test_labels_that_cannot_judge_are_refused_with_the_reason(labels, hosts, why):
    with pytest.raises(ConfigError, match=why):
        judge(Regression("edu", "label"), {"label": labels}, np.arange(9.0), np.full(9, 100), hosts)


@pytest.mark.parametrize("names", [False, True])
def test_a_class_of_one_host_counts_in_every_resample(names):
    labels = np.array([0.0, 3.0] * 19 + [5.0, 5.0])
    truth = np.array([f"class {label}" for label in labels], object) if names else labels
    spec = Labels("x", "label") if names else Regression("x", "label")
    found = judge(spec, {"label": truth}, truth, np.arange(40) + 50, np.arange(40) // 2)
    macro_f1 = found["figures"]["macro_f1"]["classifier"]
    assert macro_f1 == {"value": 1.0, "low": pytest.approx(2 / 3), "high": 1.0}


def test_intervals_of_a_judgement_draw_hosts(scored):
    labels, scores, lengths, _ = (np.repeat(values[:60], 10) for values in scored)
    by_host, by_page = (
        judge(Regression("edu", "label"), {"label": labels}, scores, lengths, hosts)["figures"]["mae"]["classifier"]
        for hosts in (np.arange(600) // 10, np.arange(600))
    )
    assert by_host["high"] - by_host["low"] > 2 * (by_page["high"] - by_page["low"])


@pytest.mark.parametrize("spec", [Regression("edu", "label"), Probability("edu", (("label", 3.0),))])
def test_where_the_best_threshold_is_taken_length_alone_has_its_own_best(scored, spec):
    labels, scores, lengths, hosts = scored
    found = judge(spec, {"label": labels}, scores, lengths + 100 * labels.astype(int), hosts)
    truth = spec.truth({"label": labels})
    alone, cut = spec.length_alone(truth, scores, found["threshold"], lengths + 100 * labels.astype(int))
    assert cut == metrics.best_cut(labels >= 3, alone)


@pytest.mark.parametrize("spec", [Regression("edu", "label", np.nan), Probability("edu", (("label", 3.0),), np.inf)])
def test_a_threshold_that_is_no_number_is_a_mistake(spec):
    assert "is no number" in spec.mistakes()[0]
