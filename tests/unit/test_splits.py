import numpy as np
import pytest

from curation.training.splits import folds, hold_out


@pytest.fixture
def labelled():
    generator = np.random.default_rng(7)
    labels = generator.choice([0.0, 1.0, 2.0, 2.5, 3.0, 5.0], 300, p=[0.3, 0.3, 0.2, 0.1, 0.09, 0.01])
    return labels.astype(np.float32), generator.integers(0, 60, 300)


def test_every_document_is_held_out_once(labelled):
    held_out = np.concatenate([held_out for _, held_out in folds(*labelled, num_folds=5, seed=0)])
    assert np.sort(held_out).tolist() == list(range(300))


def test_no_host_is_on_both_sides(labelled):
    _, hosts = labelled
    assert all(not set(hosts[train]) & set(hosts[out]) for train, out in folds(*labelled, num_folds=5, seed=0))


def test_equal_seeds_give_equal_folds_and_others_others(labelled):
    first, again, other = ([out.tolist() for _, out in folds(*labelled, num_folds=5, seed=s)] for s in (1, 1, 2))
    assert first == again
    assert first != other


def test_a_label_too_rare_for_the_folds_does_not_warn():
    labels = np.array([0, 5, *[1] * 20, *[2] * 20], np.float32)
    assert len(list(folds(labels, np.arange(42), num_folds=5, seed=0))) == 5


def test_about_the_share_that_is_asked_for_is_held_out_with_whole_hosts():
    labels, hosts = np.tile([0.0, 1.0, 4.0], 100).astype(np.float32), np.arange(300) // 3
    train, held_out = hold_out(labels, hosts, 0.1, seed=3)
    assert sorted([*train, *held_out]) == list(range(300))
    assert 25 <= len(held_out) <= 35
    assert not set(hosts[train]) & set(hosts[held_out])
