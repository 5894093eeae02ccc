"""Fast is near to exact where 16 bits suffice, bfloat16 is what its card does, and what overflows is done again."""

import shutil

import numpy as np
import pytest
import torch
from reference import card_loop
from safetensors.numpy import load_file, save_file
from test_architectures import ARCHITECTURES, write_model

from curation.classifiers import tiny_bert
from curation.classifiers.encoder import Encoder
from curation.core.errors import ModelError
from curation.inference import precision, trunk
from curation.inference.replica import ScoringSpec, load_replica

TEXTS = ["the river", "water " * 30, "a school of trees; the light of the mill!", "x", "numbers 1 2 3"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    directory = tmp_path_factory.mktemp("model")
    tiny_bert.write(directory)
    return directory


@pytest.fixture
def float16(monkeypatch):
    """What a GPU multiplies in, on this CPU."""
    for module in (precision, trunk):
        monkeypatch.setattr(module, "low_dtype", lambda _device: torch.float16)


def replica(directory, how):
    return load_replica([Encoder(name="score", model=str(directory), max_tokens=32, precision=how)], ScoringSpec())


def scores(directory, how):
    return replica(directory, how)(TEXTS)["score"]


def test_fast_moves_scores_a_little(model):
    moved = np.abs(scores(model, "fast") - scores(model, "exact"))
    assert 0 < moved.max() < 0.05 * scores(model, "exact").std()


def test_fast_keeps_the_residual_stream_and_the_normalisation_in_float32(model):
    bert = trunk.load_trunk(model, "cpu", "fast").model
    layer = bert.encoder.layer[0]
    assert {type(each) for each in (layer.output.dense, layer.attention.self.query)} == {precision.LowLinear}
    assert {each.dtype for each in (layer.output.LayerNorm.weight, bert.embeddings.word_embeddings.weight)} == {
        torch.float32
    }
    assert bert(input_ids=torch.tensor([[5, 6, 7]])).last_hidden_state.dtype == torch.float32


def test_bfloat16_equals_the_card_loop_in_bfloat16(model):
    expected = card_loop(model, TEXTS, max_length=32, batch_size=1, dtype=torch.bfloat16)[:, 0]
    np.testing.assert_allclose(scores(model, "bfloat16"), expected, rtol=0, atol=0.02)
    assert all(np.float32(score) == torch.tensor(score).bfloat16().float() for score in scores(model, "bfloat16"))


def test_auto_is_exact_until_a_run_has_measured(model):
    np.testing.assert_array_equal(scores(model, "auto"), scores(model, "exact"))
    recipes = {how: Encoder(name="score", model=str(model), precision=how) for how in ("auto", "exact", "fast")}
    assert recipes["auto"].fingerprint() == recipes["exact"].fingerprint() != recipes["fast"].fingerprint()


@pytest.mark.parametrize("name", sorted(ARCHITECTURES.keys() - {"GPT2"}))
def test_every_architecture_is_fast(name, tmp_path):
    write_model(tmp_path, name)
    exact = scores(tmp_path, "exact")
    assert 0 < np.abs(scores(tmp_path, "fast") - exact).max() < 0.1 * exact.std()


def test_a_model_that_cannot_compute_in_16_bits_says_so(model, monkeypatch):
    class Stubborn(precision.LowLinear):
        def forward(self, *_x):
            raise RuntimeError("no such kernel")

    monkeypatch.setattr(precision, "LowLinear", Stubborn)
    with pytest.raises(ModelError, match=r"BertModel cannot compute in precision 'fast': no such kernel\. Set"):
        replica(model, "fast")


def test_a_model_without_linear_layers_is_not_called_fast(tmp_path):
    write_model(tmp_path, "GPT2")
    with pytest.raises(ModelError, match="GPT2Model cannot compute in precision 'fast': its layers have no linear"):
        replica(tmp_path, "fast")


@pytest.mark.usefixtures("float16")
def test_what_float16_cannot_hold_is_computed_again_in_float32(model, tmp_path):
    big = model_with_large_numbers(model, tmp_path)
    fast = replica(big, "fast")
    np.testing.assert_allclose(fast(TEXTS)["score"], scores(big, "exact"), rtol=0, atol=1e-4)
    assert fast.take_tallies()["score"].num_overflowed == len(TEXTS)


@pytest.mark.usefixtures("float16")
def test_what_float16_can_hold_is_not(model):
    fast = replica(model, "fast")
    assert np.abs(fast(TEXTS)["score"] - scores(model, "exact")).max() < 0.01
    assert fast.take_tallies()["score"].num_overflowed == 0


def model_with_large_numbers(model, folder):
    """A copy whose first layer makes numbers that float16 cannot hold, and whose normalisation makes them small."""
    shutil.copytree(model, folder / "large")
    path = folder / "large" / "model.safetensors"
    tensors = load_file(path)
    tensors["bert.encoder.layer.0.output.dense.weight"] *= 1e6
    save_file(tensors, path, metadata={"format": "pt"})
    (folder / "large" / "canary.json").unlink(missing_ok=True)
    return folder / "large"
