import numpy as np
import pytest
from published import FINEWEB_EDU
from sklearn import metrics as sklearn_metrics

from curation.evaluation import metrics
from curation.evaluation.metrics import at_least, confusion, f1


def test_accuracy_and_macro_f1_of_the_published_confusion_matrix():
    assert round(metrics.accuracy(FINEWEB_EDU), 5) == 0.71355
    assert round(metrics.macro_f1(FINEWEB_EDU), 5) == 0.49598


def test_f1_of_each_class_as_published():
    assert f1(FINEWEB_EDU).round(2).tolist() == [0.59, 0.81, 0.59, 0.53, 0.44, 0.02]


def test_the_question_of_3_or_higher_as_published():
    binary = at_least(FINEWEB_EDU, 3)
    assert binary.tolist() == [[41694, 834], [1660, 2679]]
    assert f1(binary).round(4).tolist() == [0.971, 0.6824]
    assert round(f1(binary).mean(), 4) == 0.8267


def test_the_question_of_2_or_higher_as_published():
    binary = f1(at_least(FINEWEB_EDU, 2))
    assert binary.round(4).tolist() == [0.8976, 0.7751]
    assert round(binary.mean(), 4) == 0.8364


def test_precision_recall_and_averages_as_published():
    precision, recall = metrics.precision(FINEWEB_EDU), metrics.recall(FINEWEB_EDU)
    assert precision.round(2).tolist() == [0.75, 0.78, 0.57, 0.56, 0.58, 0.33]
    assert recall.round(2).tolist() == [0.49, 0.84, 0.61, 0.50, 0.35, 0.01]
    averages = [round(metrics.macro(each, FINEWEB_EDU), 2) for each in (precision, recall, f1(FINEWEB_EDU))]
    assert averages == [0.60, 0.47, 0.50]
    weighted = [round(metrics.weighted(each, FINEWEB_EDU), 2) for each in (precision, recall, f1(FINEWEB_EDU))]
    assert weighted == [0.71, 0.71, 0.71]


def test_scores_are_read_as_the_nearest_class_with_halves_to_even_and_clipped():
    scores = np.array([-3.0, 0.5, 1.5, 2.5, 2.51, 4.4, 9.0])
    assert metrics.classes(scores).tolist() == [0, 0, 2, 2, 3, 4, 5]


def test_rows_of_the_confusion_are_true_and_columns_scored():
    matrix = confusion(np.array([1.0, 1.0, 4.0]), np.array([2.2, 1.0, 0.1]))
    assert {(row, column): matrix[row, column] for row, column in np.argwhere(matrix)} == {
        (1, 2): 1,
        (1, 1): 1,
        (4, 0): 1,
    }


@pytest.fixture
def scored():
    generator = np.random.default_rng(3)
    labels = generator.integers(0, 5, 400).astype(float)
    return labels, labels + generator.normal(0, 1.5, 400).round(1)


def test_metrics_are_those_of_scikit_learn_and_scipy(scored):
    from scipy.stats import spearmanr

    labels, scores = scored
    classes = metrics.classes(labels), metrics.classes(scores)
    at_3 = classes[0] >= 3, classes[1] >= 3
    assert {name: metric(labels, scores) for name, metric in metrics.REGRESSION.items()} == pytest.approx(
        {
            "spearman": spearmanr(labels, scores).statistic,
            "roc_auc_at_3": sklearn_metrics.roc_auc_score(labels >= 3, scores),
            "macro_f1": sklearn_metrics.f1_score(*classes, average="macro"),
            "macro_f1_at_3": sklearn_metrics.f1_score(*at_3, average="macro"),
            "positive_f1_at_3": sklearn_metrics.f1_score(*at_3),
            "accuracy": sklearn_metrics.accuracy_score(*classes),
            "mae": sklearn_metrics.mean_absolute_error(labels, scores),
        }
    )


def test_probabilities_are_read_at_one_half():
    targets, scores = np.array([1, 1, 0, 0]), np.array([0.9, 0.4, 0.5, 0.1])
    measured = {name: metric(targets, scores) for name, metric in metrics.PROBABILITY.items()}
    assert measured == {"roc_auc": 0.75, "macro_f1": 0.5, "positive_f1": 0.5, "accuracy": 0.5}


def test_ties_count_half_in_the_roc():
    assert metrics.roc_auc(np.array([True, False, False]), np.ones(3)) == 0.5


def test_the_roc_is_not_defined_without_both_sides():
    assert np.isnan(metrics.roc_auc(np.array([False, False]), np.array([1.0, 2.0])))


def test_every_metric_comes_with_an_interval_around_it(scored):
    labels, scores = scored
    measured = metrics.evaluate(metrics.REGRESSION, labels, scores, np.arange(400) // 4)
    assert all(each.low < each.value < each.high for each in measured.values())


def test_the_best_cut_is_the_one_that_trying_all_finds(scored):
    labels, scores = scored
    positive = labels >= 3
    tried = {cut: metrics.macro_f1(metrics.binary(positive, scores >= cut)) for cut in scores}
    assert tried[metrics.best_cut(positive, scores)] == max(tried.values())


def test_calibration_takes_equally_many_documents_from_the_lowest_scores_up():
    labels, scores = np.array([1.0, 0, 3, 2]), np.array([0.2, 0.1, 0.9, 0.8])
    assert metrics.calibration(labels, scores, num_groups=2) == [
        (2, pytest.approx(0.15), 0.5),
        (2, pytest.approx(0.85), 2.5),
    ]


def test_a_rare_class_counts_in_every_resample_even_where_it_was_not_drawn():
    labels = np.array([0.0, 1.0] * 19 + [5.0, 5.0])
    measured = metrics.evaluate(metrics.REGRESSION, labels, labels, np.arange(40) // 2)["macro_f1"]
    assert (measured.value, measured.low, measured.high) == (1.0, pytest.approx(2 / 3), 1.0)


def test_intervals_draw_hosts_for_pages_of_one_host_are_not_independent(scored):
    labels, scores = (np.repeat(values[:40], 10) for values in scored)
    by_host, by_page = (
        metrics.evaluate({"mae": metrics.mean_absolute_error}, labels, scores, hosts)["mae"]
        for hosts in (np.arange(400) // 10, np.arange(400))
    )
    assert by_host.high - by_host.low > 2 * (by_page.high - by_page.low)
