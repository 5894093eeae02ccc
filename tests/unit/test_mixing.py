"""Plans of mixes: what is drawn of every source within limits and shares, and how that is said."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import yaml
from run_files import REPOSITORY

from curation import config
from curation.core.errors import ConfigError
from curation.mixing import exports
from curation.mixing.folder import keep
from curation.mixing.plan import MixPlan, plan
from curation.mixing.solving import Source
from curation.mixing.spec import CountedSupply, Limit, MixSpec, Phase, RunSupply, Share, Upsampling
from curation.mixing.write import WritePlan, _parts

WEB = (("kind", ("web",)),)


def source(name, tokens, **labels):
    return CountedSupply(name, tokens, tuple(labels.items()))


def mix(*sources, tokens=100, **more):
    return MixSpec("out", (Phase("1", tokens),), source=sources, **more)


def refused(spec):
    """What is said of a mix that cannot be had."""
    with pytest.raises(ConfigError) as error:
        plan(spec)
    return error.value.mistakes


def test_without_bounds_all_sources_are_drawn_equally_often():
    found = plan(mix(source("a", 300), source("b", 100), tokens=200))
    assert found.tokens.ravel().tolist() == [150, 50]


def test_a_source_at_its_limit_leaves_the_rest_to_the_others_in_proportion():
    limits = (Limit(1.0, WEB), Limit(9.0))
    found = plan(mix(source("a", 100, kind="web"), source("b", 100), source("c", 300), tokens=900, limit=limits))
    assert found.tokens.ravel().tolist() == [100, 200, 600]


def test_shares_are_of_the_tokens_of_a_phase():
    found = plan(mix(source("a", 900, kind="web"), source("b", 100), share=(Share(WEB, 0.59, 0.59),)))
    assert found.tokens.ravel().tolist() == [59, 41]


def test_a_limit_holds_over_all_phases_together():
    phases = (Phase("1", 100), Phase("2", 100))
    found = plan(
        MixSpec("out", phases, source=(source("a", 50, kind="web"), source("b", 900)), limit=(Limit(1.0, WEB),))
    )
    assert found.tokens.sum(axis=0).tolist() == [100, 100]
    assert found.tokens[0].sum() <= 50


def test_thousands_of_sources_are_one_where_all_bounds_treat_them_alike():
    sources = [source(str(number), 10 + number % 7, kind="web" if number % 2 else "code") for number in range(4_000)]
    found = plan(mix(*sources, tokens=20_000, share=(Share(WEB, 0.7, 0.7),)))
    web = np.asarray([each.labels["kind"] == "web" for each in found.sources])
    supply = np.asarray([each.num_tokens for each in found.sources])
    exact = supply * np.where(web, 14_000 / supply[web].sum(), 6_000 / supply[~web].sum())
    assert (np.abs(found.tokens[:, 0] - exact) < 1 + 1e-6).all()


def test_the_published_phases_of_nemotron_cc_come_out():
    spec = config.parse(MixSpec, config.load(REPOSITORY / "configs" / "mix_nemotron_cc.toml"))
    found = plan(spec)
    web = np.asarray([each.labels["web"] == "yes" for each in found.sources])
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
    assert refused(mix(source("a", 100), source("b", 50), tokens=1_000, limit=(Limit(4.0),))) == (
        "In the way of 1,000 tokens: at most 4 epochs of everything.",
        "With these bounds 600 tokens can be had, 60.0% of what is wanted.",
    )


def test_what_could_be_had_can_be_had_and_no_more():
    bounds = {"limit": (Limit(3.0, WEB), Limit(5.0)), "share": (Share(WEB, 0.4, 0.5),)}
    sources = source("a", 1_000, kind="web"), source("b", 900)
    said = refused(mix(*sources, tokens=10_000, **bounds))
    assert said[-1] == "With these bounds 7,500 tokens can be had, 75.0% of what is wanted."
    assert plan(mix(*sources, tokens=7_500, **bounds)).tokens.ravel().tolist() == [3_000, 4_500]
    assert refused(mix(*sources, tokens=7_501, **bounds))


@pytest.mark.parametrize(("least", "most"), [(0.5, 1.0), (0.5, 0.5)])
def test_a_share_that_cannot_be_met_is_named(least, most):
    share = (Share(WEB, least, most),)
    said = refused(mix(source("a", 10, kind="web"), source("b", 1_000), share=share, limit=(Limit(2.0),)))
    assert f"In the way of 100 tokens: a share of {least:g} to {most:g} from kind web in phase '1'." in said
    assert said[-1] == "With these bounds 40 tokens can be had, 40.0% of what is wanted."


def test_shares_that_contradict_each_other_are_named_and_nothing_can_be_had():
    code = (("kind", ("code",)),)
    said = refused(
        mix(source("a", 900, kind="web"), source("b", 900, kind="code"), share=(Share(WEB, 0.6), Share(code, 0.6)))
    )
    assert said == (
        "In the way of 100 tokens: a share of 0.6 to 1 from kind web in phase '1'.",
        "In the way of 100 tokens: a share of 0.6 to 1 from kind code in phase '1'.",
        "With these bounds 0 tokens can be had, 0.0% of what is wanted.",
    )


def test_tokens_that_limits_let_be_drawn_only_in_parts_are_not_planned_for():
    sources = [source(str(number), 3) for number in range(1_000)]
    assert plan(mix(*sources, tokens=1_000, limit=(Limit(0.5),))).tokens.sum() == 1_000
    (said,) = refused(mix(*sources, tokens=1_500, limit=(Limit(0.5),)))
    assert said.startswith("phase.1: 1,000 of 1,500 tokens can be had in whole ones: the sources are so small")


def test_a_small_source_is_drawn_as_often_as_its_share_wants_where_nothing_limits_it():
    share = (Share((("kind", ("code",)),), 0.01, 0.01),)
    sources = source("a", 1e13, kind="web"), source("b", 1_000, kind="code")
    assert plan(mix(*sources, tokens=1e13, limit=(), share=share)).tokens.ravel() == pytest.approx([9.9e12, 1e11])


HIGH, LOW = (("tier", ("high",)),), (("tier", ("low",)),)


@pytest.mark.parametrize(
    ("bounds", "named"),
    [
        ({"limit": (Limit(0.0, LOW), Limit(4.0))}, "at most 0 epochs of tier low"),
        ({"limit": (Limit(4.0, HIGH), Limit(0.0, LOW))}, "at most 0 epochs of tier low"),
        ({"share": (Share(LOW, 0.0, 0.0),)}, "a share of 0 to 0 from tier low in phase '1'"),
        ({"upsampling": Upsampling(a=0.5)}, "the curve, which draws nothing of some buckets"),
    ],
)
def test_what_lets_nothing_be_drawn_of_some_sources_is_named_where_it_is_in_the_way(bounds, named):
    sources = source("a", 100, tier="high", quality="19"), source("b", 10_000, tier="low", quality="3")
    said = refused(mix(*sources, tokens=1_000, **bounds))
    assert f"In the way of 1,000 tokens: {named}." in said
    assert said[-1] == "With these bounds 400 tokens can be had, 40.0% of what is wanted."


def test_where_all_is_limited_to_nothing_that_is_in_the_way():
    assert refused(mix(source("a", 100), limit=(Limit(0.0),)))[0] == (
        "In the way of 100 tokens: at most 0 epochs of everything."
    )


def by_quality(**more):
    """A mix of a source of 1,000 tokens for every bucket."""
    return mix(*(source(f"q{bucket}", 1_000, quality=str(bucket)) for bucket in range(20)), **more)


def test_the_curve_of_a_bucket_is_its_mean_over_the_bucket():
    linear = Upsampling(a=0.4, p=1.0, lambda_=0.0)
    assert [linear(bucket) for bucket in (0, 7, 8, 19)] == pytest.approx([0, 0, 0.025, 0.575])
    inside = Upsampling(a=0.42, p=0.0, lambda_=0.0)  # 0.42 lies in bucket 8, of which three fifths are above it
    assert [inside(bucket) for bucket in (7, 8, 9)] == pytest.approx([0, 0.6, 1])
    assert Upsampling(a=0.95, p=0.0, lambda_=2.0)(19) == pytest.approx(20 * (math.exp(0.1) - 1) / 2)


def test_upsampling_draws_in_proportion_to_the_curve():
    found = plan(by_quality(tokens=10_000, upsampling=Upsampling(a=0.4, p=1.0, lambda_=0.0), limit=()))
    middles = np.maximum(0.0, (np.arange(20) + 0.5) / 20 - 0.4)
    assert found.tokens.ravel() == pytest.approx(10_000 * middles / middles.sum(), abs=1)


def test_the_curve_is_cut_at_the_limit_and_what_that_leaves_is_drawn_below_it():
    # By hand: the middles 0.025, 0.075, …, 0.575 add up to 3.6, and with 52 epochs in all C would be 14.4, more than 7
    # at the buckets 18 and 19. Without them C is 38 / 2.5, more than 7 at bucket 17; without that, it is 31 / 2.025.
    found = plan(by_quality(tokens=52_000, upsampling=Upsampling(a=0.4, p=1.0, lambda_=0.0), limit=(Limit(7.0),)))
    below = [31 / 2.025 * (0.025 + 0.05 * place) for place in range(9)]
    assert found.epochs.ravel() == pytest.approx([0.0] * 8 + below + [7.0] * 3, abs=2e-3)


@pytest.mark.parametrize(
    ("a", "p", "lambda_"), [(0.0, 1.0, 100.0), (0.4, 20.0, 1.0), (0.4, 100.0, 0.0), (0.0, 0.0, -100.0)]
)
@pytest.mark.parametrize("share", [(), (Share((("quality", ("19", "0")),), 0.0, 0.5),)])
def test_a_steep_curve_draws_to_the_limit_one_bucket_after_the_other(a, p, lambda_, share):
    curve = Upsampling(a, p, lambda_)
    found = plan(by_quality(tokens=20_000, upsampling=curve, limit=(Limit(4.0),), share=share))
    order = np.argsort([-curve(bucket) for bucket in range(20)])
    assert found.tokens.sum() == 20_000
    assert found.epochs.ravel()[order[:3]] == pytest.approx([4.0] * 3, abs=2e-2)
    assert (np.diff(found.tokens.ravel()[order]) <= 1).all()


def test_a_plan_that_is_short_of_next_to_nothing_is_planned_and_says_so():
    found = plan(
        mix(
            source("a", 10**9),
            source("b", 1, kind="web"),
            tokens=10**9 + 1,
            limit=(Limit(1.0),),
            share=(Share(WEB, 0.0, 0.0),),
        )
    )
    assert found.tokens.ravel().tolist() == [10**9, 0]
    assert "note: phase 1 lacks 1 of its tokens, within what the solver can tell" in list(found.lines())


def test_one_more_epoch_of_a_tier_is_worth_what_it_lets_be_had():
    high, low, code = ((("tier", ("high",)),), (("tier", ("low",)),), (("kind", ("code",)),))
    sources = source("a", 100, tier="high"), source("b", 50, tier="low"), source("c", 30, kind="code")
    bounds = {"limit": (Limit(4.0, high), Limit(4.0, low), Limit(4.0, code)), "share": (Share(low, 0.0, 0.25),)}
    now = 520 / 0.75  # of a and c all there is, and a third as much of b
    assert [tuple(each) for each in plan(mix(*sources, **bounds)).gains] == [
        ("tier high", 100, pytest.approx(820 - now)),  # then b is at its limit too
        ("tier low", 50, pytest.approx(0.0)),
        ("c", 30, pytest.approx(550 / 0.75 - now)),
    ]
    raised = bounds | {"limit": (Limit(5.0, high), *bounds["limit"][1:])}
    assert plan(mix(*sources, tokens=820, **raised)).tokens.ravel().tolist() == [500, 200, 120]
    assert refused(mix(*sources, tokens=821, **raised))


def test_repetition_is_that_of_a_drawn_token():
    found = plan(mix(source("a", 100), source("b", 100), tokens=400, limit=(Limit(4.0),)))
    assert (found.repetition, found.unique_tokens) == (pytest.approx(2.0), 200)


def test_every_trainer_gets_the_weights_of_a_phase():
    found = plan(mix(CountedSupply("books", 100, path="data/books"), source("my code", 300), tokens=800))
    texts = dict(exports.files("1", 800, exports.parts(found, 0)))
    assert texts["megatron-1.txt"].split() == ["0.25", "data/books", "0.75", "my_code"]
    assert yaml.safe_load(texts["nanotron-1.yaml"]) == {
        "dataset_folder": ["data/books", "my_code"],
        "dataset_weights": [0.25, 0.75],
    }
    assert yaml.safe_load(texts["olmo-core-1.yaml"])["sources"][0] == {
        "source_name": "books",
        "target_ratio": 0.25,
        "paths": ["data/books"],
        "max_repetition_ratio": 2.0,
    }
    assert json.loads(texts["interleave-datasets-1.json"]) == {
        "paths": ["data/books", "my_code"],
        "stop_at_tokens": 800,
        "arguments": {"probabilities": [0.25, 0.75], "stopping_strategy": "all_exhausted"},
    }


def test_what_is_written_of_runs_and_what_is_only_counted_weigh_one_together():
    sources = (
        Source("web/high", 100, {}, run="web", key=("high",)),
        Source("web/high", 100, {}),
        Source("code", 100, {}),
    )
    planned = MixPlan(mix(tokens=150), (), sources, np.asarray([[50], [70], [30]]))
    written = WritePlan(planned.spec, planned, (), {}, "")
    found = _parts(written, 0)
    assert [each.name for each in found] == ["1", "web/high", "code"]
    assert sum(each.weight for each in found) == pytest.approx(1.0)


@pytest.mark.parametrize("num_sources", [3, 7, 60, 777])
def test_weights_add_up_to_one_as_those_who_draw_by_them_ask(num_sources):
    found = plan(mix(*(source(str(number), 1_000) for number in range(num_sources)), tokens=num_sources * 1_000))
    texts = dict(exports.files("1", num_sources * 1_000, exports.parts(found, 0)))
    weights = json.loads(texts["interleave-datasets-1.json"])["arguments"]["probabilities"]
    assert len(np.random.default_rng(0).choice(num_sources, p=weights, size=2)) == 2
    assert yaml.safe_load(texts["nanotron-1.yaml"])["dataset_weights"] == weights


def test_a_phase_that_is_no_more_has_no_export(tmp_path):
    for phase in ("old", "new"):
        keep(plan(MixSpec(str(tmp_path), (Phase(phase, 10),), source=(source("a", 100),))))
    assert {path.stem.rsplit("-")[-1] for path in (tmp_path / "exports" / "planned").iterdir()} == {"new"}


def test_a_source_that_is_not_drawn_is_in_no_export():
    found = plan(mix(source("a", 100, kind="web"), source("b", 100), share=(Share(WEB, 0.0, 0.0),)))
    assert [each.name for each in exports.parts(found, 0)] == ["b"]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (MixSpec("out", (), source=(source("a", 1),)), "phase: there is none"),
        (MixSpec("out", (Phase("1", 1),)), "source: there is no supply"),
        (MixSpec("", (Phase("1", 1),), source=(source("a", 1),)), "output: is empty"),
        (MixSpec("out", (Phase("a/b", 1),), source=(source("a", 1),)), "phase.a/b: 'a/b' names a folder"),
        (mix(run=(RunSupply("runs/x", "a b"),)), "run.a b: 'a b' names a folder"),
        (mix(run=(RunSupply("runs/x", "a", by=("tier",)),)), r"run.a.by: \['tier'\] names a column twice"),
        (mix(run=(RunSupply("runs/x", "a"),)), "run.a.path: 'runs/x' is no directory of a run"),
        (mix(source("a", 0)), "source.a: tokens is 0"),
        (mix(CountedSupply("a", 1, path="my data")), "has a blank, which Megatron's blends cannot hold"),
        (
            mix(run=(RunSupply("x", "a", labels=(("quality", "best"),)),)),
            "run.a.labels: quality is 'best'; it is a buck",
        ),
        (mix(run=(RunSupply("x", "a", labels=(("tier", "gold"),)),)), "run.a.labels: tier is what its documents say"),
        (mix(run=(RunSupply("x", "a", by=("b",), labels=(("b", "c"),)),)), "run.a.labels: b is what its documents say"),
        (mix(source("a", 1, quality="20")), "source.a.labels: quality is '20'; it is a bucket"),
        (mix(source("a", 1), source("a", 1)), "a: two supplies have this name"),
        (mix(source("a", 1), share=(Share(WEB, 0.6, 0.5),)), "0.6 to 0.5 is no range"),
        (mix(source("a", 1), share=(Share(WEB, phase="9"),)), "there is no phase '9'"),
        (mix(source("a", 1), limit=(Limit(-1.0),)), "max_epochs is -1"),
        (mix(source("a", 1), upsampling=Upsampling(a=1.0)), "upsampling: a is 1"),
        (mix(source("a", 1), upsampling=Upsampling(a=math.nan)), "upsampling: a is nan"),
        (mix(source("a", 1), upsampling=Upsampling(p=math.inf)), "and p inf; .* p from 0 to 100"),
        (mix(source("a", 1), upsampling=Upsampling(lambda_=2_000.0)), "lambda_ is 2000; it is from -100 to 100"),
        (mix(source("a", 1), upsampling=Upsampling(lambda_=math.nan)), "lambda_ is nan"),
        (mix(source("a", 1), upsampling=Upsampling()), "upsampling: no source has the label 'quality'"),
        (
            mix(source("a", 1, kind="www"), share=(Share(WEB),)),
            "share of kind web: no source is like that; .* kind www",
        ),
        (
            mix(source("a", 1), limit=(Limit(1.0, WEB),)),
            r"limit of kind web: no source is like that; .*\(on no source\)",
        ),
    ],
)
def test_settings_that_mean_nothing_are_refused(spec, words):
    with pytest.raises(ConfigError, match=words):
        plan(spec)


def test_a_plan_that_is_kept_is_read_again(tmp_path):
    spec = config.parse(MixSpec, config.load(REPOSITORY / "configs" / "mix_nemotron_cc.toml"), [f"output={tmp_path}"])
    found = plan(spec)
    assert keep(found) == str(tmp_path)
    again = MixPlan.from_json((tmp_path / "plan.json").read_bytes(), "plan.json")
    assert (again.spec, again.sources, again.tokens.tolist()) == (found.spec, found.sources, found.tokens.tolist())
    assert again.to_json() == found.to_json()
    assert config.parse(MixSpec, config.load(tmp_path / "config.json")) == spec


@pytest.mark.parametrize(("data", "words"), [(b"{}", "is no plan of a mix"), (b'{"format": 2}', "is of format 2")])
def test_a_file_that_is_no_plan_is_refused(data, words):
    with pytest.raises(ConfigError, match=words):
        MixPlan.from_json(data, "plan.json")


@pytest.mark.parametrize("name", ["config.json", "shards.parquet"])
def test_the_directory_of_a_run_is_no_output_and_stays_as_it_is(tmp_path, name):
    spec = replace(mix(source("a", 100)), output=str(tmp_path))
    found = plan(spec)
    (tmp_path / name).write_text("of a run")
    words = r"output: .* is the directory of a run or of something else; choose a folder of its own"
    with pytest.raises(ConfigError, match=words):
        plan(spec)
    with pytest.raises(ConfigError, match=words):
        keep(found)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {name: "of a run"}


def test_a_mix_is_planned_again_where_it_was_planned(tmp_path):
    spec = replace(mix(source("a", 100)), output=str(tmp_path))
    keep(plan(spec))
    assert keep(plan(replace(spec, seed=1))) == str(tmp_path)


def test_where_documents_lie_the_same_plan_is_kept_again_for_another_cluster_and_no_other(tmp_path):
    spec = replace(mix(source("a", 100)), output=str(tmp_path))
    keep(plan(spec))
    (tmp_path / "draw.json").write_text("{}")
    keep(plan(replace(spec, cluster=replace(spec.cluster, workers=2))))
    assert config.parse(MixSpec, config.load(tmp_path / "config.json")).cluster.workers == 2
    for other in (replace(spec, seed=1), replace(spec, phase=(Phase("1", 99),))):
        with pytest.raises(ConfigError, match="holds documents of another plan"):
            keep(plan(other))
