"""Weights are known by their float32 values, trunks by the tensors beside the embeddings."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from safetensors.torch import save_file as save_torch

from curation.classifiers import tiny_bert
from curation.core.errors import ModelError
from curation.inference.weights import (
    behaviour,
    model_config,
    tensor_digests,
    trunk_digests,
    trunk_fingerprint,
    trunk_prefix,
)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    directory = tmp_path_factory.mktemp("models") / "original"
    tiny_bert.write(directory)
    return directory


@pytest.fixture
def copy(original, tmp_path):
    return shutil.copytree(original, tmp_path / "copy")


def restore(directory, tensors):
    save_torch({name: tensor.contiguous() for name, tensor in tensors.items()}, directory / "model.safetensors")


def tensors_of(directory):
    return {name: torch.from_numpy(values) for name, values in load_file(directory / "model.safetensors").items()}


def reconfigure(directory, **changes):
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_copy_under_another_name_has_the_same_fingerprint(original, copy):
    assert trunk_fingerprint(copy) == trunk_fingerprint(original)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_tensor_in_half_precision_equals_its_float32_copy_and_not_what_it_was_rounded_from(dtype, original, copy):
    rounded = {name: tensor.to(dtype) for name, tensor in tensors_of(original).items()}
    restore(copy, rounded)
    half = trunk_fingerprint(copy)
    restore(copy, {name: tensor.float() for name, tensor in rounded.items()})
    assert trunk_fingerprint(copy) == half
    assert half != trunk_fingerprint(original)


def test_an_exact_tensor_is_the_same_in_every_float_type(tmp_path):
    values = torch.tensor([[0.5, -2.0], [0.0, 1024.0]])
    digests = set()
    for dtype in (torch.float32, torch.float16, torch.bfloat16, torch.float64):
        (directory := tmp_path / str(dtype)).mkdir()
        save_torch({"x": values.to(dtype)}, directory / "model.safetensors")
        digests.add(tensor_digests(directory)["x"])
    assert len(digests) == 1


def test_one_changed_number_changes_the_fingerprint(original, copy):
    tensors = tensors_of(copy)
    tensors["bert.encoder.layer.1.output.dense.bias"][3] += 1e-7
    restore(copy, tensors)
    assert trunk_fingerprint(copy) != trunk_fingerprint(original)


def test_the_shape_of_a_tensor_counts(tmp_path):
    digests = set()
    for shape in ((2, 3), (3, 2), (6,)):
        (directory := tmp_path / str(shape)).mkdir()
        save_file({"x": np.zeros(shape, np.float32)}, directory / "model.safetensors")
        digests.add(tensor_digests(directory)["x"])
    assert len(digests) == 3


def test_pooler_and_classifier_are_not_part_of_the_trunk(original, copy):
    tensors = tensors_of(copy)
    tensors["classifier.weight"] += 1
    tensors["bert.pooler.dense.weight"] += 1
    restore(copy, tensors)
    assert trunk_fingerprint(copy) == trunk_fingerprint(original)
    assert not any("pooler" in name or "classifier" in name for name in trunk_digests(original))


def test_a_trunk_inside_a_classifier_equals_the_same_trunk_alone(original, copy):
    alone = {name.removeprefix("bert."): tensor for name, tensor in tensors_of(copy).items() if "bert." in name}
    restore(copy, alone)
    reconfigure(copy, architectures=["BertModel"])
    assert trunk_fingerprint(copy) == trunk_fingerprint(original)


def test_stored_positions_do_not_count_and_other_integers_do(original, copy):
    tensors = tensors_of(copy)
    restore(copy, tensors | {"bert.embeddings.position_ids": torch.arange(64)})
    assert trunk_fingerprint(copy) == trunk_fingerprint(original)
    restore(copy, tensors | {"bert.embeddings.bins": torch.arange(64)})
    assert trunk_fingerprint(copy) != trunk_fingerprint(original)


def test_names_dropout_and_labels_in_the_config_do_not_count_and_the_rest_does(original, copy):
    reconfigure(copy, _name_or_path="x", hidden_dropout_prob=0.9, id2label={"0": "z"}, torch_dtype="float16")
    assert trunk_fingerprint(copy) == trunk_fingerprint(original)
    reconfigure(copy, layer_norm_eps=1e-5)
    assert trunk_fingerprint(copy) != trunk_fingerprint(original)
    assert "layer_norm_eps" in behaviour(model_config(copy))


def test_a_checkpoint_in_several_files_equals_the_one_in_a_single_file(original, copy):
    expected, tensors = trunk_fingerprint(original), load_file(copy / "model.safetensors")
    (copy / "model.safetensors").unlink()
    names = sorted(tensors)
    for file, part in (("a.safetensors", names[::2]), ("b.safetensors", names[1::2])):
        save_file({name: tensors[name] for name in part}, copy / file)
    weight_map = {name: "ab"[place % 2] + ".safetensors" for place, name in enumerate(names)}
    (copy / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    assert trunk_fingerprint(copy) == expected


@pytest.mark.parametrize(
    ("names", "prefix"),
    [
        (["bert.embeddings.word_embeddings.weight", "classifier.weight"], "bert."),
        (["embeddings.word_embeddings.weight", "encoder.layer.0.x"], ""),
        (["model.embed_tokens.weight", "score.weight"], "model."),
        (["embed_tokens.weight", "layers.0.x"], ""),
        (["transformer.wte.weight", "score.weight"], "transformer."),
        (["model.shared.weight", "model.encoder.embed_tokens.weight"], "model."),
        (["decoder.embed_tokens.weight", "encoder.layers.0.x"], ""),
        (["a.embeddings.x", "b.embeddings.x"], ""),
        (["something.weight"], ""),
    ],
)
def test_the_trunk_is_what_stands_beside_the_embeddings(names, prefix):
    assert trunk_prefix(dict.fromkeys(names)) == prefix


def test_pickled_weights_are_refused_with_the_way_out(copy):
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"holds only pickled weights.*save_pretrained"):
        trunk_fingerprint(copy)


def test_missing_weights_are_refused(copy):
    (copy / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"has no model\.safetensors"):
        trunk_fingerprint(copy)


@pytest.mark.parametrize("num_bytes", [0, 5, 100, -1])
def test_a_checkpoint_that_is_cut_short_is_refused(num_bytes, copy):
    path = copy / "model.safetensors"
    path.write_bytes(path.read_bytes()[:num_bytes])
    with pytest.raises(ModelError, match=r"damaged one|its header needs"):
        trunk_fingerprint(copy)


def test_other_number_formats_are_refused(copy):
    restore(copy, {"embeddings.x": torch.zeros(4).to(torch.float8_e4m3fn)})
    with pytest.raises(ModelError, match=r"tensor embeddings\.x is stored as F8_E4M3"):
        trunk_fingerprint(copy)


def test_models_that_need_their_own_code_are_refused(copy):
    reconfigure(copy, auto_map={"AutoModel": "modeling.Mine"}, model_type="mine")
    with pytest.raises(ModelError, match="needs code from its own repository"):
        model_config(copy)
    reconfigure(copy, model_type="xlm-roberta")
    assert model_config(copy)["model_type"] == "xlm-roberta"


def test_quantised_models_are_refused(copy):
    reconfigure(copy, quantization_config={"bits": 4})
    with pytest.raises(ModelError, match="is quantised"):
        model_config(copy)
