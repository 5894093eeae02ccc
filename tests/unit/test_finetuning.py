import json
import shutil

import numpy as np
import pytest
import torch
from transformers import EvalPrediction

from curation.classifiers import tiny_bert
from curation.core.errors import ClusterError
from curation.training.annotations import Annotations
from curation.training.finetuning import CLASSES, FinetuneLearner, FinetuneRecipe
from curation.training.trainer import _Loss, _merit, last_checkpoint

RECIPE = FinetuneRecipe(label="quality", trunk="nowhere")
BALANCED = FinetuneRecipe(label="quality", trunk="nowhere", class_weights="balanced")


def outputs(values):
    return {"logits": torch.tensor(values)}


def test_the_loss_of_scores_is_the_mean_squared_error():
    loss = _Loss(RECIPE, np.array([0.0, 3.0], np.float32), is_class=False)
    assert loss(outputs([[1.0], [5.0]]), torch.tensor([0.0, 3.0])).item() == 2.5


def test_the_loss_of_classes_is_the_cross_entropy():
    logits, labels = torch.tensor([[1.0, 2.0, 0.0], [0.0, 0.0, 3.0]]), torch.tensor([1, 0])
    loss = _Loss(RECIPE, np.array([0, 1, 2], np.float32), is_class=True)
    expected = torch.nn.functional.cross_entropy(logits, labels)
    assert loss({"logits": logits}, labels).item() == pytest.approx(expected.item())


def test_parts_of_a_batch_add_up_to_the_whole():
    labels = torch.arange(6.0)
    logits = torch.zeros(6, 1)
    loss = _Loss(BALANCED, labels.numpy(), is_class=False)
    parts = [loss({"logits": logits[part]}, labels[part], 6) for part in (slice(0, 4), slice(4, 6))]
    assert sum(parts).item() == pytest.approx(loss({"logits": logits}, labels).item())


def test_balanced_classes_weigh_alike_and_one_on_average():
    targets = np.array([1, 1, 1, 4], np.float32)
    loss = _Loss(BALANCED, targets, is_class=False)
    weights = [loss(outputs([[label + 1.0]]), torch.tensor([label])).item() for label in (1.0, 4.0)]
    assert 3 * weights[0] == pytest.approx(weights[1])
    assert 3 * weights[0] + weights[1] == pytest.approx(4.0)


def test_a_held_out_class_that_training_never_saw_weighs_as_its_neighbour():
    loss = _Loss(BALANCED, np.array([1, 1, 1, 3], np.float32), is_class=False)
    assert loss(outputs([[6.0]]), torch.tensor([5.0])).item() == loss(outputs([[4.0]]), torch.tensor([3.0])).item()


def test_a_checkpoint_that_was_not_written_to_its_end_does_not_count(tmp_path):
    for step, state in ((20, json.dumps({"global_step": 20})), (100, '{"global'), (40, None)):
        (tmp_path / f"checkpoint-{step}").mkdir()
        if state is not None:
            (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(state, encoding="utf-8")
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-20"


def test_metrics_of_classes_are_those_of_scikit_learn():
    from sklearn.metrics import accuracy_score, f1_score

    generator = np.random.default_rng(4)
    targets, found = generator.integers(0, 31, (2, 500)).astype(np.float32)
    assert CLASSES["macro_f1"](targets, found) == pytest.approx(f1_score(targets, found, average="macro"))
    assert CLASSES["accuracy"](targets, found) == accuracy_score(targets, found)


def test_wrong_settings_are_all_named():
    recipe = FinetuneRecipe(
        label="x", trunk="nowhere", num_epochs=0, learning_rate=0.0, batch_size=10, accumulation=3, scale=(5.0, 0.0)
    )
    assert len(recipe.mistakes()) == 5  # the trunk is not there either


def test_the_best_checkpoint_of_classes_is_that_of_the_metric_in_the_card():
    labels, found = np.array([1, 1, 2, 2]), np.array([1, 3, 2, 0])
    merit = _merit(EvalPrediction(np.eye(4)[found], labels))["merit"]
    assert merit == CLASSES["macro_f1"](labels, found) == pytest.approx((2 / 3 + 2 / 3) / 4)


def test_a_run_is_found_again_by_all_that_its_model_depends_on_and_nothing_else(tmp_path):
    def identity(trunk, **settings):
        recipe = FinetuneRecipe(label="quality", trunk=str(trunk), **settings)
        labels = {"quality": np.array([1.0, 2.0], np.float32)}
        return FinetuneLearner(recipe, Annotations(["a", "b"], labels, np.arange(2), 0), tmp_path, print).identity

    tiny_bert.write(tmp_path / "trunk")
    shutil.copytree(tmp_path / "trunk", tmp_path / "moved")
    shutil.copytree(tmp_path / "trunk", tmp_path / "other")
    tokenizer = json.loads((tmp_path / "other" / "tokenizer.json").read_text("utf-8"))
    tokenizer["normalizer"] = None
    (tmp_path / "other" / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    assert identity(tmp_path / "moved", accumulation=8) == identity(tmp_path / "trunk")
    assert identity(tmp_path / "other") != identity(tmp_path / "trunk")
    assert identity(tmp_path / "trunk", seed=1) != identity(tmp_path / "trunk")


def test_two_trainings_of_one_model_never_share_its_checkpoints(tmp_path):
    tiny_bert.write(tmp_path / "trunk")
    recipe = FinetuneRecipe(label="quality", trunk=str(tmp_path / "trunk"), max_tokens=16, num_epochs=1)
    labels = {"quality": np.arange(8, dtype=np.float32) % 3}
    annotations = Annotations([f"text {number}" for number in range(8)], labels, np.arange(8), 0)
    (tmp_path / "cache").mkdir()
    refused = []

    def train_again(_):
        with pytest.raises(ClusterError, match="is writing to this run"):
            FinetuneLearner(recipe, annotations, tmp_path / "cache", print).best(np.arange(6), np.arange(6, 8))
        refused.append(True)

    FinetuneLearner(recipe, annotations, tmp_path / "cache", train_again).best(np.arange(6), np.arange(6, 8))
    assert refused == [True]
