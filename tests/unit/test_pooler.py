import itertools

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from curation.core.errors import ModelError
from curation.inference.heads import load_linear_head
from curation.inference.states import States
from curation.training.heads import macro_f1_of_classes
from curation.training.pooler import Pooler


@pytest.fixture
def toy():
    """Labels that no linear head can give: the same on both sides of the middle."""
    generator = np.random.default_rng(5)
    features = generator.normal(3.0, [1.0, 5.0, 0.1, 2.0], (300, 4)).astype(np.float32)
    return features, np.abs(features[:, 0] - 3.0).astype(np.float32)


def last_head(toy):
    *_, head = Pooler(num_epochs=60, batch_size=50).heads(*toy, {"learning_rate": 0.03})
    return head


def test_pooler_and_head_learn_what_a_linear_head_cannot(toy):
    features, labels = toy
    assert np.corrcoef(labels, last_head(toy)(features))[0, 1] > 0.9


def test_it_starts_at_the_labels_mean(toy):
    features, labels = toy
    (head,) = Pooler(num_epochs=1, batch_size=1000).heads(features, labels + 7, {"learning_rate": 1e-9})
    assert head(features) == pytest.approx(np.full(300, labels.mean() + 7), abs=0.2)


def test_equal_seeds_give_equal_heads_after_each_epoch(toy):
    first, again = (
        [head(toy[0]).tolist() for head in Pooler(num_epochs=3).heads(*toy, {"learning_rate": 1e-3})] for _ in range(2)
    )
    assert len(first) == 3
    assert first == again


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_the_saved_head_scores_as_the_trained_one_does(toy, tmp_path, pooling):
    head = last_head(toy)
    save_file(dict(head.tensors()), tmp_path / "head.safetensors")
    states = States(torch.from_numpy(toy[0][:5]), torch.zeros(5, dtype=torch.long), (1,) * 5, 0)
    loaded = load_linear_head(tmp_path, pooling, 4, "cpu")
    assert loaded(states)[:, 0].tolist() == pytest.approx(head(toy[0][:5]).tolist(), abs=1e-5)


def test_a_dense_layer_of_another_shape_is_refused(tmp_path):
    tensors = {"weight": np.zeros((1, 4), np.float32), "bias": np.zeros(1, np.float32)}
    wrong = {"dense_weight": np.zeros((4, 3), np.float32), "dense_bias": np.zeros(4, np.float32)}
    save_file(tensors | wrong, tmp_path / "head.safetensors")
    with pytest.raises(ModelError, match="dense layer"):
        load_linear_head(tmp_path, "mean", 4, "cpu")


def test_macro_f1_reads_scores_as_the_nearest_class_of_the_scale():
    labels, scores = np.array([1.0, 2.0, 3.0]), np.array([-4.0, 2.4, 9.0])
    assert macro_f1_of_classes(labels, scores, (1.0, 3.0)) == 1.0
    assert macro_f1_of_classes(labels, scores, (0.0, 5.0)) == pytest.approx(
        1 / 5
    )  # 0, 1, 2, 3 and 5, one of them right


def test_the_learning_rate_of_a_pooler_ends_near_zero(toy):
    features, labels = toy
    heads = list(Pooler(num_epochs=20, batch_size=50).heads(features, labels, {"learning_rate": 0.01}))
    steps = [np.abs(after.dense_weight - before.dense_weight).mean() for before, after in itertools.pairwise(heads)]
    assert steps[-1] < steps[0] / 5


def test_wrong_settings_are_all_named():
    assert len(Pooler(learning_rate=(), num_epochs=0, batch_size=0).mistakes()) == 3
