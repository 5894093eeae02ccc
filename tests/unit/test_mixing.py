import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from run_files import REPOSITORY

from curation import config
from curation.core.errors import ConfigError
from curation.mixing import exports
from curation.mixing.plan import MixPlan, one_more_epoch, plan
from curation.mixing.spec import CountedSupply, Limit, MixSpec, Phase, Share, Upsampling

WEB = (("kind", ("web",)),)


def source(name, tokens, **labels):
    return CountedSupply(name, tokens, tuple(labels.items()))


def mix(*sources, tokens=100, **more):
    return MixSpec("out", (Phase("1", tokens),), source=sources, **more)


def test_without_bounds_all_sources_are_drawn_equally_often():
    found = plan(mix(source("a", 300), source("b", 100), tokens=200))
    assert found.tokens.ravel().tolist() == [150, 50]


def test_a_source_at_its_limit_leaves_the_rest_to_the_others_in_proportion():
    limits = (Limit(1.0, (("kind", ("web",)),)), Limit(9.0))
    found = plan(mix(source("a", 100, kind="web"), source("b", 100), source("c", 300), tokens=900, limit=limits))
    assert found.tokens.ravel().tolist() == [100, 200, 600]


def test_shares_are_of_the_tokens_of_a_phase():
    found = plan(mix(source("a", 900, kind="web"), source("b", 100), share=(Share(WEB, 0.59, 0.59),)))
    assert found.tokens.ravel().tolist() == [59, 41]


def test_the_published_phases_of_nemotron_cc_come_out():
    spec = config.parse(MixSpec, config.load(REPOSITORY / "configs" / "mix_nemotron_cc.toml"))
    found = plan(spec)
    web = np.asarray([dict(each.labels)["web"] == "yes" for each in found.sources])
    high = np.asarray([each.labels.get("tier") == "high" for each in found.sources])
    assert found.tokens.sum(axis=0).tolist() == [9_000_000_000_000, 6_000_000_000_000]
    drawn = found.tokens[web].sum(axis=0) / 1e12
    assert drawn == pytest.approx([5.31, 1.86], abs=1e-6)
    assert drawn.sum() / 15 == pytest.approx(0.478, abs=1e-6)
    assert (found.tokens[web & ~high, 1] == 0).all()
    assert [each.labels["tier"] for each, row in zip(found.sources, found.tokens, strict=True) if not row.any()] == [
        "medium-low",
        "low",
    ]


def test_a_target_beyond_the_supply_says_what_is_in_the_way_and_what_could_be_had():
    with pytest.raises(ConfigError) as refused:
        plan(mix(source("a", 100), source("b", 50), tokens=1_000, limit=(Limit(4.0),)))
    assert refused.value.mistakes == (
        "In the way of 1,000 tokens: at most 4 epochs of a.",
        "In the way of 1,000 tokens: at most 4 epochs of b.",
        "With these bounds 600 tokens can be had, 60.0% of what is wanted.",
    )


def test_a_share_that_cannot_be_met_is_named():
    with pytest.raises(ConfigError) as refused:
        plan(mix(source("a", 10, kind="web"), source("b", 1_000), share=(Share(WEB, 0.5, 1.0),), limit=(Limit(2.0),)))
    assert "In the way of 100 tokens: a share of 0.5 to 1 from kind web in phase '1'." in refused.value.mistakes
    assert refused.value.mistakes[-1] == "With these bounds 40 tokens can be had, 40.0% of what is wanted."


def test_upsampling_follows_the_curve_over_the_quality():
    sources = [source(f"q{quality}", 1_000, quality=str(quality)) for quality in range(20)]
    found = plan(mix(*sources, tokens=10_000, upsampling=Upsampling(a=0.4, p=1.0, lambda_=2.0), limit=()))
    x = (np.arange(20) + 0.5) / 20
    curve = np.where(x > 0.4, (x - 0.4) * np.exp(2 * (x - 0.4)), 0)
    assert found.tokens.ravel() == pytest.approx(10_000 * curve / curve.sum(), abs=1.5)


def test_upsampling_stops_at_the_limit():
    sources = [source(f"q{quality}", 1_000, quality=str(quality)) for quality in range(20)]
    found = plan(mix(*sources, tokens=30_000, upsampling=Upsampling(p=3.0, lambda_=3.0), limit=(Limit(7.0),)))
    assert found.epochs.max() <= 7
    assert found.epochs.ravel()[:8].tolist() == [0.0] * 8


def test_one_more_epoch_is_worth_what_it_lets_be_had():
    spec = mix(source("a", 100), source("b", 50), tokens=100, limit=(Limit(4.0),))
    assert one_more_epoch(spec, plan(spec).sources) == pytest.approx([150.0])


def test_repetition_is_that_of_a_drawn_token():
    found = plan(mix(source("a", 100), source("b", 100), tokens=400, limit=(Limit(4.0),)))
    assert found.repetition == pytest.approx(2.0)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 10**9), min_size=1, max_size=8),
    st.floats(0.01, 20.0),
    st.floats(0.1, 8.0),
    st.integers(1, 3),
)
def test_a_plan_never_draws_more_than_supply_times_limit(supplies, wanted, most, num_phases):
    total = max(1.0, wanted * sum(supplies))
    phases = tuple(Phase(str(number), total / num_phases) for number in range(num_phases))
    sources = tuple(source(str(number), tokens) for number, tokens in enumerate(supplies))
    try:
        found = plan(MixSpec("out", phases, source=sources, limit=(Limit(most),)))
    except ConfigError:
        assert wanted > most * 0.999 or total < 10
        return
    assert (found.tokens.sum(axis=1) <= np.floor(np.asarray(supplies) * most)).all()
    assert found.tokens.sum() <= total + num_phases


def test_every_trainer_gets_the_weights_of_a_phase():
    spec = mix(CountedSupply("books", 100, path="data/books"), source("code", 300), tokens=40)
    texts = dict(exports.files(plan(spec)))
    assert texts["megatron-1.txt"] == "0.250000000 data/books 0.750000000 code\n"
    assert texts["nanotron-1.yaml"] == "dataset_folder:\n- data/books\n- code\ndataset_weights:\n- 0.25\n- 0.75\n"
    assert '"probabilities": [\n  0.25,\n  0.75\n ]' in texts["interleave-datasets-1.json"]
    assert "target_ratio: 0.25" in texts["olmo-core-1.yaml"]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (MixSpec("out", (), source=(source("a", 1),)), "phase: there is none"),
        (MixSpec("out", (Phase("1", 1),)), "source: there is no supply"),
        (mix(source("a", 0)), "source.a: tokens is 0"),
        (mix(source("a", 1), source("a", 1)), "a: two supplies have this name"),
        (mix(source("a", 1), share=(Share(WEB, 0.6, 0.5),)), "0.6 to 0.5 is no range"),
        (mix(source("a", 1), share=(Share(WEB, phase="9"),)), "there is no phase '9'"),
        (mix(source("a", 1), limit=(Limit(-1.0),)), "max_epochs is -1"),
    ],
)
def test_settings_that_mean_nothing_are_refused(spec, words):
    with pytest.raises(ConfigError, match=words):
        plan(spec)


def test_a_plan_is_a_value_of_json():
    found = plan(mix(source("a", 100, tier="high"), tokens=50))
    assert isinstance(found, MixPlan)
    about = found.to_json()
    assert about["sources"][0]["draws"]["1"] == {"tokens": 50, "epochs": 0.5, "weight": 1.0}
    assert about["one_more_epoch"] == [{"of": "everything", "max_epochs": 4.0, "more_tokens": pytest.approx(100)}]
