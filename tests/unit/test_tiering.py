import numpy as np
import pandas as pd
import pytest

from curation.calibration.thresholds import ClassifierThresholds, Thresholds
from curation.config import dump, parse
from curation.core.errors import ConfigError
from curation.core.fingerprint import fingerprint
from curation.stages.tiering import TieringSpec, stages

CUTS = tuple(float(cut) for cut in range(1, 20))
THRESHOLDS = Thresholds((ClassifierThresholds("edu", CUTS), ClassifierThresholds("web", CUTS)))
COLUMNS = {"edu": "edu", "web": "web_score"}


def frame():
    return pd.DataFrame({"edu": np.float32([19, 3, np.nan]), "web_score": np.float32([0, 13, 5])})


def tiers(spec):
    return stages(spec, THRESHOLDS, COLUMNS)(frame())["tier"].tolist()


def test_the_stages_lead_from_scores_to_tiers():
    assert tiers(TieringSpec()) == ["high", "medium", "unscored"]


def test_the_stages_add_buckets_quality_and_tier():
    pipeline = stages(TieringSpec(), THRESHOLDS, COLUMNS)
    assert pipeline.reads == ("edu", "web_score")
    assert dict(pipeline.adds) == {"edu_bucket": "int8", "web_bucket": "int8", "quality": "int8", "tier": "str"}


def test_the_stages_take_the_chosen_classifiers_alone():
    pipeline = stages(TieringSpec(classifiers=("web",)), THRESHOLDS, COLUMNS)
    assert list(pipeline.adds) == ["web_bucket", "quality", "tier"]
    assert tiers(TieringSpec(classifiers=("web",))) == ["low", "medium", "low"]


def test_the_stages_take_weights_by_name_in_any_order():
    spec = TieringSpec(ensemble="weighted", ensemble_weights=(("web", "1"), ("edu", "3")), missing="ignore")
    result = stages(spec, THRESHOLDS, COLUMNS)(frame())
    assert result["quality"].tolist() == [14, 5, 5]


def test_a_classifier_without_thresholds_is_refused():
    with pytest.raises(ConfigError, match="no cuts for the classifier 'dclm'"):
        stages(TieringSpec(), THRESHOLDS, COLUMNS | {"dclm": "dclm"})


def test_thresholds_are_frozen_when_a_file_is_named_and_own_otherwise():
    assert not TieringSpec().frozen
    assert TieringSpec(thresholds="t.json").frozen
    assert not TieringSpec(calibrate="own", thresholds="t.json").frozen


def test_the_identity_is_that_of_the_tiers_and_not_of_the_way_to_the_thresholds():
    same = TieringSpec(calibrate="frozen", thresholds="t.json", weights="tokens", allow_partial=True)
    assert same.identity() == TieringSpec().identity()
    others = [
        TieringSpec(keep="edu >= 3"),
        TieringSpec(ensemble="mean"),
        TieringSpec(ensemble_weights=(("edu", "1"),)),
        TieringSpec(missing="ignore"),
        TieringSpec(tiers=(("all", (0, 19)),)),
    ]
    assert len({fingerprint(spec.identity()) for spec in [TieringSpec(), *others]}) == 6


def test_the_default_has_no_mistakes():
    assert TieringSpec().mistakes(["edu", "web"]) == []
    assert TieringSpec().notes() == []


def test_every_mistake_is_listed_with_its_setting():
    spec = TieringSpec(
        calibrate="frozen",
        classifiers=("edu", "edu", "dclm"),
        ensemble="weighted",
        ensemble_weights=(("edu", "much"), ("web", "1")),
        tiers=(("good", (10, 19)), ("bad", (0, 10))),
    )
    assert [mistake.split(";")[0] for mistake in spec.mistakes(["edu", "web"])] == [
        "tiering.thresholds: is missing",
        "tiering.classifiers: 'edu' is there more than once",
        "tiering.classifiers: there is no classifier 'dclm'",
        "tiering.ensemble_weights: the classifier 'dclm' has no weight",
        "tiering.ensemble_weights: there is a weight for 'web', which is not in the ensemble of ['edu', 'edu', 'dclm']",
        "tiering.ensemble_weights: the weight of 'edu' is 'much'",
        "tiering.tiers: the tiers 'good' and 'bad' both hold bucket 10",
    ]


@pytest.mark.parametrize("ensemble", ["max", "mean"])
def test_weights_without_effect_are_a_mistake(ensemble):
    (mistake,) = TieringSpec(ensemble=ensemble, ensemble_weights=(("edu", "1"),)).mistakes(["edu"])
    assert mistake.startswith(f'tiering.ensemble_weights: weights have no effect with "{ensemble}"')


def test_settings_that_others_make_void_are_noted():
    assert TieringSpec(calibrate="own", thresholds="t.json").notes() == [
        "tiering.thresholds: 't.json' has no effect, because calibrate = \"own\"."
    ]
    assert TieringSpec(thresholds="t.json", weights="tokens").notes() == [
        'tiering.weights: "tokens" has no effect, because the thresholds are frozen.'
    ]


def test_a_config_table_becomes_a_spec_and_back():
    table = {
        "classifiers": ["edu", "web"],
        "ensemble": "weighted",
        "ensemble_weights": {"edu": "0.5", "web": "1"},
        "tiers": {"good": [10, 19], "bad": [0, 9]},
    }
    spec = parse(TieringSpec, table)
    assert spec == TieringSpec(
        classifiers=("edu", "web"),
        ensemble="weighted",
        ensemble_weights=(("edu", "0.5"), ("web", "1")),
        tiers=(("good", (10, 19)), ("bad", (0, 9))),
    )
    assert hash(spec) == hash(parse(TieringSpec, dump(spec)))
    assert parse(TieringSpec, dump(spec)) == spec
