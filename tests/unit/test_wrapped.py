"""Wrapped checkpoints, as NVIDIA's DeBERTa classifiers are stored: a trunk and a linear layer of a class of its own."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from curation.classifiers import tiny_unigram
from curation.classifiers.encoder import Encoder
from curation.classifiers.measure import CANARY_TEXTS, measure_canary
from curation.core.errors import ModelError
from curation.inference.replica import ScoringSpec, load_replica
from curation.inference.weights import BASE_CONFIG, trunk_fingerprint

LABELS = ("High", "Medium", "Low")
TEXTS = ("The mill stands by the river.", "water " * 70, "x", "numbers, 水车 and the school", "? ? ?")
MAX_TOKENS = 48  # more than the base model's max_position_embeddings


class CardModel(torch.nn.Module):
    """The class that such models' cards tell people to write, with a trunk of this config."""

    def __init__(self, config, num_labels):
        from transformers import DebertaV2Config, DebertaV2Model

        super().__init__()
        self.model = DebertaV2Model(DebertaV2Config(**config))
        self.fc = torch.nn.Linear(config["hidden_size"], num_labels)

    def forward(self, input_ids, attention_mask):
        features = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return torch.softmax(self.fc(features)[:, 0, :], dim=1)


@pytest.fixture
def bundle(tmp_path):
    folder = tmp_path / "wrapped"
    folder.mkdir()
    base = tiny_unigram.write_wrapped_deberta(folder, labels=LABELS)
    (folder / BASE_CONFIG).write_text(json.dumps(base))
    return folder


@pytest.fixture
def expected(bundle):
    """Probabilities [n, 3] of TEXTS by the card's class, padded together."""
    from transformers import AutoTokenizer

    model = CardModel(json.loads((bundle / BASE_CONFIG).read_text()), len(LABELS)).eval()
    model.load_state_dict(load_file(bundle / "model.safetensors"))
    inputs = AutoTokenizer.from_pretrained(bundle)(
        list(TEXTS), return_tensors="pt", padding="longest", truncation=True, max_length=MAX_TOKENS
    )
    with torch.no_grad():
        return model(inputs["input_ids"], inputs["attention_mask"]).numpy()


def test_label_and_probability_are_those_of_the_class_on_the_card(bundle, expected):
    columns = load_replica([Encoder("quality", str(bundle), max_tokens=MAX_TOKENS)], ScoringSpec())(TEXTS)
    assert columns["quality"].tolist() == [LABELS[place] for place in expected.argmax(1)]
    np.testing.assert_allclose(columns["quality_probability"], expected.max(1), rtol=0, atol=1e-5)
    assert len(set(columns["quality"])) > 1


def test_the_probability_of_one_label_is_a_score(bundle, expected):
    recipe = Encoder("high", str(bundle), label="High", max_tokens=MAX_TOKENS)
    np.testing.assert_allclose(recipe.load("cpu")(TEXTS)["high"], expected[:, 0], rtol=0, atol=1e-5)


def test_the_canary_of_the_plain_library_is_reproduced(bundle):
    recipe = Encoder("quality", "acme/wrapped", max_tokens=MAX_TOKENS)
    measure_canary([recipe], bundle)
    assert Encoder("quality", str(bundle), max_tokens=MAX_TOKENS).canary().texts == CANARY_TEXTS


def test_a_wrapped_trunk_equals_the_same_trunk_alone(bundle, tmp_path):
    alone = tmp_path / "alone"
    alone.mkdir()
    tensors = load_file(bundle / "model.safetensors")
    trunk = {name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")}
    save_file(trunk, alone / "model.safetensors")
    (alone / "config.json").write_text((bundle / BASE_CONFIG).read_text())
    assert trunk_fingerprint(alone) == trunk_fingerprint(bundle)


def test_another_linear_layer_is_another_classifier_on_the_same_trunk(bundle):
    recipe = Encoder("quality", str(bundle), max_tokens=MAX_TOKENS)
    before = recipe.fingerprint(), recipe.parts().trunk
    tensors = load_file(bundle / "model.safetensors")
    save_file(tensors | {"fc.bias": tensors["fc.bias"] + 1}, bundle / "model.safetensors")
    assert recipe.fingerprint() != before[0]
    assert recipe.parts().trunk == before[1]


def test_a_wrapped_checkpoint_without_its_base_config_says_what_is_missing(bundle):
    (bundle / BASE_CONFIG).unlink()
    with pytest.raises(ModelError, match="names the base model 'acme/tiny-deberta' and no sizes"):
        Encoder("quality", str(bundle), max_tokens=MAX_TOKENS).fingerprint()


def test_labels_that_do_not_fit_the_linear_layer_are_refused(bundle):
    config = json.loads((bundle / "config.json").read_text())
    config["id2label"]["3"] = "Lowest"
    (bundle / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"fc.weight is \[3, 16\] .* \[4, 16\] and \[4\] are right"):
        Encoder("quality", str(bundle), max_tokens=MAX_TOKENS).load("cpu")
