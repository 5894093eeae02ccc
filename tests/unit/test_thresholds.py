import json
import math
from dataclasses import replace

import numpy as np
import pytest

from curation.calibration.thresholds import ClassifierThresholds, Thresholds, exact_thresholds
from curation.core.errors import ConfigError, CurationError
from curation.core.fingerprint import canonical_json

CUTS = tuple(np.linspace(-1, 1, 19, dtype=np.float32).tolist())
EDU = ClassifierThresholds("edu", CUTS, "a" * 64, "bytes", num_scored=900, num_missing=3, total_weight=123_456)
WEB = ClassifierThresholds("web", (0.5,) * 19, "b" * 64, "bytes", num_scored=903, total_weight=123_789)
RUN = canonical_json({"output": "räume", "shard_bytes": 1}).decode()
BOTH = Thresholds((EDU, WEB), partial=True, run=RUN)


def changed(change):
    document = json.loads(BOTH.to_json())
    change(document)
    return json.dumps(document)


def other_form(cuts):
    return json.dumps({"edu-score": {str(percent): cut for percent, cut in zip(range(5, 100, 5), cuts, strict=True)}})


def test_a_file_gives_back_the_same_thresholds():
    assert Thresholds.from_json(BOTH.to_json()) == BOTH
    assert Thresholds.from_json(Thresholds((EDU,)).to_json()) == Thresholds((EDU,))


def test_a_file_shows_cuts_as_the_decimal_form_of_the_float32():
    tenth = float(np.float32(0.1))
    text = Thresholds((replace(EDU, cuts=(tenth,) * 19),)).to_json()
    assert '"5": 0.10000000149011612' in text


def test_the_driver_gives_cuts_and_provenance():
    chunks = [(np.array([1, np.nan], np.float32), np.array([10, 20])), (np.array([2], np.float32), np.array([30]))]
    assert exact_thresholds(lambda: chunks, "edu", "f" * 64, "tokens") == ClassifierThresholds(
        "edu", (1.0,) * 5 + (2.0,) * 14, "f" * 64, "tokens", num_scored=2, num_missing=1, total_weight=40
    )


def test_the_driver_refuses_chunks_that_are_used_up_after_one_pass():
    chunks = iter([(np.array([1], np.float32), np.array([1]))])
    with pytest.raises(CurationError, match="saw different data"):
        exact_thresholds(lambda: chunks, "edu")


def test_the_driver_refuses_to_calibrate_on_nothing():
    with pytest.raises(CurationError, match="edu: no cuts can be found"):
        exact_thresholds(list, "edu")


def test_the_form_of_other_projects_is_read():
    thresholds = Thresholds.from_json(other_form(CUTS))
    assert thresholds == Thresholds((ClassifierThresholds("edu-score", CUTS),))


def test_cuts_of_other_projects_are_found_by_score_column():
    assert Thresholds.from_json(other_form(CUTS)).cuts("edu", "edu-score") == CUTS


@pytest.mark.parametrize(("cut", "nearest_is_below"), [(0.1, False), (0.7, True)])
def test_a_cut_between_two_float32_values_becomes_the_upper_one(cut, nearest_is_below):
    (read, *_) = Thresholds.from_json(other_form([cut] * 19)).cuts("edu-score")
    assert (float(np.float32(cut)) < cut) is nearest_is_below
    assert float(np.nextafter(np.float32(read), np.float32(0))) < cut <= read
    assert float(np.float32(read)) == read


def test_a_newer_format_is_refused():
    with pytest.raises(ConfigError, match=r"old\.json: has format 3 and this version reads up to 2"):
        Thresholds.from_json(changed(lambda document: document.update(format=3)), "old.json")


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"format": 1}', '{"format": 1, "classifiers": []}'])
def test_what_is_no_thresholds_file_is_refused(text):
    with pytest.raises(ConfigError, match=r"thresholds\.json: "):
        Thresholds.from_json(text, "thresholds.json")


@pytest.mark.parametrize("form", [{"edu": 3}, {"edu": {"5": 1}}, {"edu": [1] * 19}, {"edu": dict.fromkeys("ab", 1)}])
def test_a_wrong_number_of_cuts_is_refused(form):
    with pytest.raises(ConfigError, match=r"edu: has .* needs 19 cuts"):
        Thresholds.from_json(json.dumps(form))


@pytest.mark.parametrize("cut", [math.nan, math.inf, -math.inf, 1e39, 10**400, "0.5", None, True])
def test_a_cut_that_is_no_finite_float32_is_refused(cut):
    with pytest.raises(ConfigError, match="are not finite float32 numbers"):
        Thresholds.from_json(other_form([cut, *CUTS[1:]]))


def test_decreasing_cuts_are_refused():
    with pytest.raises(ConfigError, match=r"edu-score: the cut at 10 % is -1.0, below the one before it, 1.0"):
        Thresholds.from_json(other_form([1.0, -1.0, *[1.0] * 17]))


def test_all_mistakes_in_a_file_are_listed_at_once():
    def break_both(document):
        document["classifiers"]["edu"]["cuts"]["5"] = math.nan
        del document["classifiers"]["web"]["cuts"]["50"]

    with pytest.raises(ConfigError) as caught:
        Thresholds.from_json(changed(break_both))
    assert [mistake.split(": ")[1] for mistake in caught.value.mistakes] == ["edu", "web"]


def test_a_setting_that_the_format_does_not_have_is_refused():
    with pytest.raises(ConfigError, match="smoothing"):
        Thresholds.from_json(changed(lambda document: document["classifiers"]["edu"].update(smoothing=1)))


def test_the_fingerprint_covers_cuts_and_classifiers_but_not_provenance():
    same = Thresholds((WEB, replace(EDU, num_missing=0, weights="tokens")))
    assert same.fingerprint() == BOTH.fingerprint()
    assert Thresholds((EDU, replace(WEB, cuts=(0.25,) * 19))).fingerprint() != BOTH.fingerprint()
    assert Thresholds((EDU, replace(WEB, fingerprint="c" * 64))).fingerprint() != BOTH.fingerprint()


def test_thresholds_of_the_same_classifiers_match():
    assert BOTH.mismatches({"edu": "a" * 64, "web": "b" * 64}) == []


def test_a_classifier_that_has_changed_is_named_with_both_fingerprints():
    (message,) = BOTH.mismatches({"edu": "a" * 64, "web": "c" * 64})
    assert message.startswith(
        "thresholds of 'web': were found for the classifier bbbbbbbb, but this run scores with cccc"
    )


def test_a_classifier_without_cuts_is_a_mismatch():
    (message,) = BOTH.mismatches({"dclm": "d" * 64})
    assert message.startswith("thresholds: have no cuts for the classifier 'dclm', only for ['edu', 'web']")


def test_asking_for_cuts_that_are_not_there_says_which_are():
    with pytest.raises(ConfigError, match=r"no cuts for the classifier 'dclm', only for \['edu', 'web'\]"):
        BOTH.cuts("dclm")


def test_thresholds_without_a_fingerprint_match_with_caution():
    thresholds = Thresholds.from_json(other_form(CUTS))
    assert thresholds.mismatches({"edu": "a" * 64}, {"edu": "edu-score"}) == []
    (message,) = thresholds.cautions()
    assert message.startswith("thresholds of 'edu-score': name no fingerprint")


def test_partial_thresholds_are_used_with_caution():
    assert BOTH.cautions() == ["thresholds: were found on a part of their run's data."]
    assert replace(BOTH, partial=False).cautions() == []
