"""A replica tokenises once, runs equal trunks once, accounts for every text and never trusts a model blindly."""

import shutil
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from curation.classifiers import tiny_bert
from curation.classifiers.canary import write_canary
from curation.classifiers.encoder import Encoder
from curation.classifiers.fasttext import FastText
from curation.core.classifier import Canary
from curation.core.errors import ColumnError, ConfigError, DeviceError, ModelError
from curation.inference.replica import ScoringSpec, Tally, groups, load_replica, replica_for
from curation.inference.tokens import Tokenizer

TEXTS = [
    "the river",
    "water " * 100,
    "a school of trees; the light of the mill!",
    "x",
    "the light and the water " * 3,
    "numbers 1 2 3",
]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """edu and quality share a trunk and have heads of their own; other looks like them and has other weights."""
    folder = tmp_path_factory.mktemp("models")
    tiny_bert.write(folder / "edu")
    shutil.copytree(folder / "edu", folder / "quality")
    change(folder / "quality", "classifier.weight", lambda weight: weight[:, ::-1])
    tiny_bert.write(folder / "other", seed=1)
    return folder


def change(directory, tensor, how):
    tensors = load_file(directory / "model.safetensors")
    tensors[tensor] = np.ascontiguousarray(how(tensors[tensor]))
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})


def encoder(models, name, **settings):
    return Encoder(name=name, model=str(models / name), **settings)


@dataclass(frozen=True)
class Watched(Encoder):
    """An encoder whose trunk counts its calls, has memory for `fits` padded tokens, and may break when it runs out."""

    fits: int = 10**9
    broken_by_failure: bool = False

    def parts(self):
        parts = super().parts()
        return replace(parts, load_trunk=lambda *how: WatchedTrunk(parts.load_trunk(*how), self))


class WatchedTrunk:
    calls = 0
    shape = None
    alike_only = may_overflow = False

    def __init__(self, trunk, recipe):
        self.trunk = trunk
        self.recipe = recipe
        self.offset = 0.0

    def __call__(self, batch, **how):
        type(self).calls += 1
        if len(batch) * batch.lengths.max() > self.recipe.fits:
            self.offset = float(self.recipe.broken_by_failure)
            raise torch.OutOfMemoryError("no memory left")
        states = self.trunk(batch, **how)
        return replace(states, hidden_TD=states.hidden_TD + self.offset)


@pytest.fixture
def calls():
    WatchedTrunk.calls = 0
    return lambda: WatchedTrunk.calls


def test_classifiers_with_equal_trunks_share_one_forward_pass(models, calls):
    pair = [Watched(name=name, model=str(models / name)) for name in ("edu", "quality")]
    load_replica(pair, ScoringSpec(token_budget=10**6))(TEXTS)
    assert calls() == 1


def test_shared_scores_equal_separate_ones(models):
    pair = [encoder(models, name) for name in ("edu", "quality")]
    shared = load_replica(pair, ScoringSpec())(TEXTS)
    for each in pair:
        np.testing.assert_array_equal(shared[each.name], load_replica([each], ScoringSpec())(TEXTS)[each.name])
    assert np.abs(shared["edu"] - shared["quality"]).max() > 0.01


def test_equal_names_and_configs_with_other_weights_are_never_shared(models, calls):
    trio = [Watched(name=name, model=str(models / name)) for name in ("edu", "quality", "other")]
    scores = load_replica(trio, ScoringSpec(token_budget=10**6))(TEXTS)
    assert calls() == 2
    np.testing.assert_array_equal(
        scores["other"], load_replica([encoder(models, "other")], ScoringSpec())(TEXTS)["other"]
    )


def test_other_lengths_share_tokens_but_no_pass(models):
    pair = [encoder(models, "edu"), encoder(models, "quality", max_tokens=8)]
    found = groups(pair)
    assert [each.names for each in found.passes] == [("edu",), ("quality",)]
    assert len({each.tokenizer for each in found.passes}) == 1
    shared = load_replica(pair, ScoringSpec())
    for each in pair:
        np.testing.assert_allclose(shared(TEXTS)[each.name], each.load("cpu")(TEXTS)[each.name], rtol=0, atol=1e-5)
    assert shared.take_tallies()["quality"].num_truncated > shared.take_tallies()["edu"].num_truncated == 0


def test_groups_are_told_with_trunks_that_only_look_alike(models, tmp_path):
    trio = [encoder(models, name) for name in ("edu", "quality", "other")]
    trunk, tokenizer, other = trio[0].parts().trunk, trio[0].parts().tokenizer, trio[2].parts().trunk
    assert groups([*trio, replace(FastText.tiny(tmp_path), name="dclm")]).lines() == [
        f"tokenizer {tokenizer[:8]}: edu, quality, other (texts tokenised once)",
        f"trunk {trunk[:8]}: edu, quality (one forward pass, 64 tokens)",
        f"trunk {other[:8]}: other (one forward pass, 64 tokens)",
        "on its own: dclm",
        f"not shared: trunks {trunk[:8]} and {other[:8]} have one shape and other weights",
    ]


def test_trunks_that_are_equal_only_after_rounding_are_told_and_not_shared(models, tmp_path):
    directory = shutil.copytree(models / "edu", tmp_path / "rounded")
    tensors = load_file(directory / "model.safetensors")
    for tensor in [name for name in tensors if name.startswith("bert.")]:
        change(directory, tensor, lambda value: torch.from_numpy(value).bfloat16().float().numpy())
    found = groups([encoder(models, "edu"), Encoder(name="rounded", model=str(directory))])
    assert [each.names for each in found.passes] == [("edu",), ("rounded",)]
    assert "are equal only after rounding to bfloat16" in found.lines()[-1]


def test_missing_and_blank_texts_have_no_score_and_the_others_keep_their_places(models):
    replica = load_replica([encoder(models, "edu")], ScoringSpec())
    scores = replica([None, TEXTS[0], "", " \n\u3000", TEXTS[2]])["edu"]
    np.testing.assert_allclose(scores[[1, 4]], replica([TEXTS[0], TEXTS[2]])["edu"], rtol=0, atol=1e-5)
    assert np.isnan(scores[[0, 2, 3]]).all()
    assert scores.dtype == np.float32


def test_a_replica_takes_no_texts_and_only_blank_ones(models):
    replica = load_replica([encoder(models, "edu")], ScoringSpec())
    assert replica([])["edu"].shape == (0,)
    assert np.isnan(replica([None, ""])["edu"]).all()
    assert replica.take_tallies() == {"edu": Tally()}


def test_tallies_add_up_until_they_are_taken(models):
    replica = load_replica([encoder(models, "edu")], ScoringSpec())
    replica(["the river", None])
    replica(["water " * 100])
    assert replica.take_tallies() == {"edu": Tally(num_scored=2, num_truncated=1, num_tokens=4 + 64)}
    assert replica.take_tallies() == {"edu": Tally()}


def test_out_of_memory_halves_the_batch_until_it_fits(models):
    expected = load_replica([encoder(models, "edu")], ScoringSpec())(TEXTS)["edu"]
    tight = Watched(name="edu", model=str(models / "edu"), fits=64)
    replica = load_replica([tight], ScoringSpec(token_budget=10**6))
    np.testing.assert_allclose(replica(TEXTS)["edu"], expected, rtol=0, atol=1e-5)
    assert replica.take_tallies()["edu"].num_out_of_memory == 3  # at 6, 3 and 2 texts of 64 tokens


def test_a_size_that_was_too_large_once_is_not_tried_again(models):
    tight = Watched(name="edu", model=str(models / "edu"), fits=64)
    replica = load_replica([tight], ScoringSpec(token_budget=10**6))
    first, num_tries = replica(TEXTS)["edu"], replica._passes[0].limit.num_out_of_memory
    np.testing.assert_array_equal(replica(TEXTS)["edu"], first)
    assert replica._passes[0].limit.num_out_of_memory == num_tries
    assert replica.take_tallies()["edu"].num_out_of_memory > num_tries


def test_an_error_of_the_gpu_means_that_its_process_has_to_end(models):
    class Broken(WatchedTrunk):
        def __call__(self, *_batch, **_how):
            raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered", 700)

    replica = load_replica([encoder(models, "edu")], ScoringSpec())
    replica._passes[0] = replace(replica._passes[0], trunk=Broken(None, None))
    with pytest.raises(DeviceError, match="cpu has failed, and so will all that this process asks of it"):
        replica(TEXTS)


def test_memory_that_the_cpu_allocator_refuses_counts_as_out_of_memory(models):
    class Refused(WatchedTrunk):
        def __call__(self, batch, **how):
            if len(batch) > 3:
                raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory")
            return self.trunk(batch, **how)

    replica = load_replica([encoder(models, "edu")], ScoringSpec(token_budget=10**6))
    replica._passes[0] = replace(replica._passes[0], trunk=Refused(replica._passes[0].trunk, None))
    assert np.isfinite(replica(TEXTS)["edu"]).all()
    assert replica.take_tallies()["edu"].num_out_of_memory == 1


def test_any_other_error_of_a_model_is_not_taken_for_it(models):
    class Broken(WatchedTrunk):
        def __call__(self, *_batch, **_how):
            raise RuntimeError("shapes do not match")

    replica = load_replica([encoder(models, "edu")], ScoringSpec())
    replica._passes[0] = replace(replica._passes[0], trunk=Broken(None, None))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        replica(TEXTS)


def test_one_text_that_does_not_fit_is_an_error(models):
    replica = load_replica([Watched(name="edu", model=str(models / "edu"), fits=63)], ScoringSpec())
    with pytest.raises(ModelError, match="One text of 64 tokens does not fit into the memory of cpu"):
        replica(TEXTS)


def test_a_canary_is_checked_again_after_memory_ran_out(models, tmp_path):
    directory = shutil.copytree(models / "edu", tmp_path / "edu")
    recipe = Watched(name="edu", model=str(directory), fits=100, broken_by_failure=True)
    scores = recipe.load("cpu")(["the river"])["edu"]
    write_canary(directory, Canary(("the river",), (float(scores[0]),), 1e-5), recipe.reading)
    replica = load_replica([recipe], ScoringSpec())
    replica(["the river"])
    with pytest.raises(DeviceError, match="After memory ran out on cpu: edu: canary text 0 scores"):
        replica(TEXTS)


def test_a_replica_that_misses_its_canary_is_refused(models, tmp_path):
    directory = shutil.copytree(models / "edu", tmp_path / "edu")
    good = float(encoder(models, "edu").load("cpu")(["the river"])["edu"][0])
    write_canary(
        directory, Canary(("the river", "the river"), (good, good + 0.01), 0.001), encoder(models, "edu").reading
    )
    with pytest.raises(ModelError, match=r"edu: canary text 1 scores .* here, expected .* within 0\.001"):
        load_replica([Encoder(name="edu", model=str(directory))], ScoringSpec())


def test_a_canary_that_is_not_finite_is_missed(models, tmp_path):
    directory = shutil.copytree(models / "edu", tmp_path / "edu")
    write_canary(directory, Canary(("the river",), (1.0,), 1e9), encoder(models, "edu").reading)
    change(directory, "classifier.bias", lambda bias: bias * np.nan)
    with pytest.raises(ModelError, match="scores nan"):
        load_replica([Encoder(name="edu", model=str(directory))], ScoringSpec())


def test_canaries_are_not_counted(tmp_path):
    recipe = Encoder.tiny(tmp_path)
    replica = load_replica([recipe], ScoringSpec())
    replica.check_canaries()
    assert replica.take_tallies() == {"tiny": Tally()}


def test_a_score_that_is_not_finite_is_missing_and_counted(models, tmp_path):
    directory = shutil.copytree(models / "edu", tmp_path / "edu")
    light = tiny_bert.write_tokenizer(tmp_path / "again").index("light")

    def poison(embeddings):
        embeddings[light] = np.inf
        return embeddings

    change(directory, "bert.embeddings.word_embeddings.weight", poison)
    replica = load_replica([Encoder(name="edu", model=str(directory))], ScoringSpec())
    scores = replica(TEXTS)["edu"]
    assert np.isnan(scores).tolist() == ["light" in text for text in TEXTS]
    assert replica.take_tallies()["edu"].num_non_finite == 2


def test_an_infinite_score_of_a_classifier_on_its_own_is_missing_and_counted(tmp_path):
    recipe = FastText.tiny(tmp_path)
    replica = load_replica([recipe], ScoringSpec())
    replica._alone["tiny"] = lambda texts: {"tiny": np.array([0.5, np.inf, -np.inf], np.float32)[: len(texts)]}
    np.testing.assert_array_equal(replica(["a", "b", "c"])["tiny"], np.array([0.5, np.nan, np.nan], np.float32))
    assert replica.take_tallies()["tiny"] == Tally(num_scored=3, num_non_finite=2)


def test_two_classifiers_with_one_column_are_refused(models):
    with pytest.raises(ColumnError, match=r"'edu' gives \['edu'\], as one before it does"):
        load_replica([encoder(models, "edu"), encoder(models, "edu", max_tokens=9)], ScoringSpec())


def test_a_process_keeps_one_replica_of_equal_recipes(models):
    assert replica_for([encoder(models, "edu")], ScoringSpec()) is replica_for((encoder(models, "edu"),), ScoringSpec())
    assert replica_for([encoder(models, "edu")], ScoringSpec(token_budget=9)) is not replica_for(
        [encoder(models, "edu")], ScoringSpec()
    )


def test_changed_weights_are_loaded_anew(models, tmp_path):
    directory = shutil.copytree(models / "edu", tmp_path / "edu")
    recipe = Encoder(name="edu", model=str(directory))
    before = replica_for([recipe], ScoringSpec())(TEXTS)["edu"]
    shutil.rmtree(directory)
    shutil.copytree(models / "other", directory)
    after = replica_for([recipe], ScoringSpec())(TEXTS)["edu"]
    assert np.abs(before - after).max() > 0.01


@pytest.mark.parametrize(
    ("settings", "mistake"),
    [
        ({"token_budget": -1}, "token_budget: -1 is below 0"),
        ({"compute_threads": 0}, "compute_threads: 0 is below 1"),
        ({"device": "cpu", "compiled": True}, "compiled: has no effect on a CPU"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, mistake):
    with pytest.raises(ConfigError, match=rf"scoring\.{mistake}"):
        ScoringSpec(**settings)


def test_the_build_names_torch_and_the_device_and_what_makes_the_ids(models):
    assert load_replica([encoder(models, "edu")], ScoringSpec()).build == (
        f"torch {torch.__version__} on cpu, 1 of 1 trunks packed; ids by {Tokenizer(models / 'edu').how}"
    )
