import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp
from tiered_documents import CUTS, NAMES, TIERS, counted, documents, subject

from curation.analysis.drift.page import html
from curation.calibration.agreement import overlap, rank_correlation
from curation.calibration.description import Description, Ranked
from curation.calibration.distance import LEAST_SHARE, ks, psi
from curation.calibration.drift import Side, drift
from curation.calibration.flagging import Limits
from curation.calibration.thresholds import ClassifierThresholds, Thresholds, exact_thresholds
from curation.core.errors import ConfigError
from curation.statistics import spearman


def thresholds(cuts=CUTS, names=NAMES, **more):
    return Thresholds(tuple(ClassifierThresholds(name, cuts, name * 8, "tokens", **more) for name in names))


def side(found, name="a", about=None, given=None):
    about = about or subject()
    return Side(
        name, given or thresholds(dict(about.classifiers[0].cuts)[""]), Description(about, counted(found, about))
    )


def raised(found, by, name="edu"):
    """The same documents with higher scores of one classifier, in the buckets of the same cuts."""
    found = found.copy()
    found[name] = np.float32(found[name] + by)
    found[f"{name}_bucket"] = np.where(found[name].isna(), -1, np.searchsorted(np.float32(CUTS), found[name], "right"))
    buckets = found[[f"{name}_bucket" for name in NAMES]]
    found["quality"] = buckets.max(axis=1).where(buckets.min(axis=1) >= 0, -1)
    tier = np.where(found["quality"] >= 12, "good", "bad")
    found["tier"] = np.where(found["quality"] < 0, "unscored", np.where(found["tier"] == "rejected", "rejected", tier))
    return found


def compared(before, after, limits=None):
    found = drift(before, after, limits or Limits())
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    return found


def flagged(found):
    return {(each["figure"], each["of"]) for each in found["findings"] if each["level"] == "past"}


def test_the_stability_index_is_the_sum_over_buckets():
    expected = 0.25 * np.log(0.5 / 0.25) - 0.25 * np.log(0.25 / 0.5)
    assert psi([1, 2, 1], [2, 1, 1]) == pytest.approx(expected)


def test_a_bucket_that_became_empty_counts_as_the_least_share():
    expected = (LEAST_SHARE - 0.5) * np.log(LEAST_SHARE / 0.5) + 0.5 * np.log(1 / 0.5)
    assert psi([1, 1], [0, 2]) == pytest.approx(expected)


def test_the_distance_is_bounded_by_what_a_bin_can_hide():
    assert ks([1, 2, 1], [1, 1, 2]) == (0.25, 0.5)


def test_a_tiering_has_not_drifted_from_itself():
    found = compared(side(documents()), side(documents(), "b"))
    assert (found["findings"], found["notes"]) == ([], [])
    assert [each["psi"]["value"] for each in found["classifiers"]] == [0, 0, 0]
    assert [each["ks"]["least"] for each in found["classifiers"]] == [0, 0, 0]
    assert [each["before"] for each in found["tiers"]] == [each["after"] for each in found["tiers"]]


def test_what_moved_is_flagged_in_scores_tiers_deciders_and_agreement():
    before = documents()
    found = compared(side(before), side(raised(before, 0.6)))
    assert {("psi", "edu"), ("ks", "edu"), ("tier_share", "good"), ("decides_share", "edu")} <= flagged(found)
    assert not {("psi", "web"), ("ks", "web")} & flagged(found)


def test_a_little_is_worth_a_look():
    before = documents()
    found = compared(side(before), side(raised(before, 0.25)))
    assert {each["figure"] for each in found["findings"] if each["level"] == "watch"} == {"psi_watch"}


def test_a_limit_decides_what_is_flagged():
    before = documents()
    sides = side(before), side(raised(before, 0.6))
    limits = Limits(psi=9, psi_watch=9, ks=1, tier_share=1, decides_share=1, near_share=1, overlap_share=1)
    assert flagged(compared(*sides, limits)) == set()


def test_with_equal_cuts_the_buckets_are_counted_by_weight():
    before = documents()
    after = raised(before, 0.3)
    found = compared(side(before), side(after))["classifiers"][0]["psi"]
    scored = after[after["edu_bucket"] >= 0]
    weight = scored.groupby("edu_bucket")["n_tokens"].sum().reindex(range(20), fill_value=0)
    assert found["exact"]
    assert found["after"] == pytest.approx((weight / weight.sum()).tolist())


def test_with_other_cuts_both_sides_are_put_into_the_buckets_of_before():
    before = documents()
    cuts = tuple(float(np.float32(cut / 2)) for cut in CUTS)
    classifiers = tuple(Ranked(name, name * 8, f"{name}_score", (("", cuts),)) for name in NAMES)
    found = compared(side(before), side(before, "b", subject(classifiers=classifiers)))["classifiers"][0]
    assert (found["psi"]["exact"], found["psi"]["value"], found["ks"]["least"]) == (False, 0, 0)


def test_the_distance_of_the_scores_lies_within_the_bounds():
    before = documents()
    before["n_tokens"] = 1
    after = raised(before, 0.2)
    found = compared(side(before), side(after))["classifiers"][0]["ks"]
    exact = ks_2samp(before["edu"].dropna(), after["edu"].dropna()).statistic
    assert found["least"] - 1e-12 <= exact <= found["most"] + 1e-12
    assert found["most"] - found["least"] < 0.1


def test_a_cut_of_before_lies_where_it_is_said_to_lie_after():
    before = documents()
    after = raised(before, 0.13)
    halved = tuple(float(np.float32(cut / 2)) for cut in CUTS)
    about = subject(classifiers=tuple(Ranked(name, name * 8, f"{name}_score", (("", halved),)) for name in NAMES))
    after["edu_bucket"] = np.where(after["edu"].isna(), -1, np.searchsorted(np.float32(halved), after["edu"], "right"))
    (cuts,) = compared(side(before), side(after, "b", about))["classifiers"][0]["cuts"]
    scored = after[after["edu"].notna()]
    for cut, low, high in zip(CUTS, cuts["below_after"]["least"], cuts["below_after"]["most"], strict=True):
        share = scored["n_tokens"][scored["edu"] < np.float32(cut)].sum() / scored["n_tokens"].sum()
        assert low - 1e-12 <= share <= high + 1e-12


def test_of_thresholds_alone_the_cuts_are_compared():
    moved = tuple(float(np.float32(cut + 0.15)) for cut in CUTS)
    found = compared(Side("a", thresholds()), Side("b", thresholds(moved)))
    (cuts,) = found["classifiers"][0]["cuts"]
    assert cuts["below_after"]["least"][:4] == [0, 0, 0.05, 0.1]
    assert cuts["below_after"]["most"][:4] == [0.05, 0.05, 0.1, 0.15]
    assert found["classifiers"][0]["ks"]["least"] == pytest.approx(0.05)
    assert flagged(found) == set()
    assert flagged(compared(Side("a", thresholds()), Side("b", thresholds(moved)), Limits(ks=0.04)))
    assert [note.partition(": ")[2] for note in found["notes"]] == [
        "thresholds alone, so that only cuts are compared."
    ] * 2


def test_equal_thresholds_have_not_drifted():
    assert compared(Side("a", thresholds()), Side("b", thresholds()))["classifiers"][0]["ks"]["least"] == 0


def test_thresholds_lie_in_the_distribution_that_they_were_found_in():
    scores = np.repeat(np.float32([0.1, 0.5, 0.9]), [30, 60, 10])  # so few values that every cut is one of them
    found = documents(100)
    for name in NAMES:
        found[name] = scores
    own = exact_thresholds(lambda: [(scores, np.ones(100, np.int64))], "edu").cuts
    for name in NAMES:
        found[f"{name}_bucket"] = np.searchsorted(np.float32(own), scores, "right")
    found["n_tokens"] = 1
    about = subject(classifiers=tuple(Ranked(name, name * 8, f"{name}_score", (("", own),)) for name in NAMES))
    found = compared(Side("a", thresholds(own)), side(found, "b", about))
    assert [each["ks"]["least"] for each in found["classifiers"]] == [0, 0, 0]


def test_thresholds_of_another_project_are_known_by_their_columns():
    foreign = Thresholds(tuple(ClassifierThresholds(f"{name}_score", CUTS) for name in NAMES))
    found = compared(Side("theirs", foreign), side(documents()))
    assert [each["name"] for each in found["classifiers"]] == [f"{name}_score" for name in NAMES]
    assert sum("nothing shows that both sides had the same model" in note for note in found["notes"]) == 3


def test_the_scores_of_another_model_are_not_compared_and_that_is_said():
    classifiers = (Ranked("edu", "x" * 8, "edu_score", (("", CUTS),)), *subject().classifiers[1:])
    found = compared(side(documents()), side(documents(), "b", subject(classifiers=classifiers)))
    assert [each["name"] for each in found["classifiers"]] == ["web", "dclm"]
    assert found["notes"][0] == (
        "edu is another model after (xxxxxxxx) than before (eduedued): their scores are not compared."
    )
    assert [(each["first"], each["second"]) for each in found["agreement"]] == [("web", "dclm")]


def test_a_classifier_of_one_side_is_named():
    one = subject(classifiers=subject().classifiers[:1])
    found = compared(side(documents()), side(documents(), "b", one, thresholds(names=("edu",))))
    assert found["notes"][:2] == ["web is a classifier of a alone.", "dclm is a classifier of a alone."]
    assert found["decides"] is None
    assert "Who decides is not compared" in found["notes"][-1]


def test_nothing_in_common_is_refused():
    with pytest.raises(
        ConfigError, match=r"no classifier of a can be compared with one of b\. edu is a classifier of a"
    ):
        drift(Side("a", thresholds(names=("edu",))), Side("b", thresholds(names=("web",))), Limits())


def test_other_weights_are_said_and_both_sides_counted_by_those_of_before():
    after = side(documents(), "b", subject(weights="bytes"))
    found = compared(side(documents()), after)
    assert found["notes"] == [
        "Documents weighed their tokens before and their bytes after; here both are counted by their tokens."
    ]
    assert found["findings"] == []


def test_other_tiers_are_compared_by_the_ranges_of_before_unless_a_rule_rejects():
    plain = tuple(each for each in TIERS if each[0] != "rejected")
    before = documents()
    before["tier"] = np.where(before["quality"] < 0, "unscored", np.where(before["quality"] >= 12, "good", "bad"))
    about = subject(tiers=(*plain[:2], ("rejected", None), plain[2]))
    found = compared(side(before, about=about), side(before, "b", about))
    assert [each["before"] for each in found["tiers"]] == [each["after"] for each in found["tiers"]]
    others = subject(tiers=(("good", (11, 19)), ("bad", (0, 10)), ("rejected", None), ("unscored", None)))
    found = compared(side(before), side(before, "b", others))
    assert found["tiers"] == []
    assert "a rule rejects documents: tiers are not compared" in found["notes"][-1]


def test_so_few_documents_that_chance_reaches_a_limit_are_said():
    found = compared(side(documents(100)), side(documents(100, seed=1)))
    assert "are so few that chance alone gives a PSI of about" in found["notes"][0]


def test_limits_that_are_none_are_mistakes():
    assert Limits().mistakes() == []
    assert Limits(psi=0).mistakes() == ["limits.psi: is 0; a limit is above 0, and finite."]
    assert Limits(psi_watch=0.3).mistakes() == ["limits.psi_watch: 0.3 is above limits.psi, 0.25; it comes first."]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("psi", math.nan, "is nan; a limit is above 0, and finite."),
        ("psi_watch", math.inf, "is inf; a limit is above 0, and finite."),
        ("tier_share", 5, "is 5; a limit is above 0 and below 1: no figure is past that."),
        ("ks", 1, "is 1; a limit is above 0 and below 1: no figure is past that."),
        ("rank_correlation", 2, "is 2; a limit is above 0 and below 2: no figure is past that."),
    ],
)
def test_a_limit_that_nothing_can_be_past_is_a_mistake(name, value, words):
    assert Limits(**{name: value}).mistakes() == [f"limits.{name}: {words}"]


def test_the_published_overlap_follows_from_its_counts():
    joint = np.zeros((1, 21, 21), np.int64)  # Nemotron-CC, Table 8: FineWeb-Edu and DCLM on CC-MAIN-2021-21
    joint[0, 20, 20], joint[0, 20, 3], joint[0, 1, 19] = 1_152_821, 4_022_294, 6_184_540
    kept = {part: int(sums[0]) for part, sums in overlap(joint, 10).items()}
    assert kept["union"] == 11_359_655
    assert [round(100 * kept[part] / kept["union"], 1) for part in ("both", "only_first", "only_second")] == [
        10.1,
        35.4,
        54.4,
    ]


@pytest.mark.parametrize(("percent", "lowest"), [(5, 19), (10, 18), (25, 15)])
def test_what_both_keep_is_what_lies_in_the_best_buckets_of_both(percent, lowest):
    found = documents()
    pair = Description(subject(), counted(found)).pair("edu", "web")
    both = found[(found["edu_bucket"] >= lowest) & (found["web_bucket"] >= lowest)]
    assert overlap(pair, percent)["both"].tolist() == [len(both), both["n_bytes"].sum(), both["n_tokens"].sum()]


def test_the_rank_correlation_of_counts_is_that_of_the_documents():
    found = documents()
    scored = found[(found["edu_bucket"] >= 0) & (found["web_bucket"] >= 0)]
    pair = Description(subject(), counted(found)).pair("edu", "web")
    assert rank_correlation(pair[0]) == pytest.approx(spearman(scored["edu_bucket"], scored["web_bucket"]))


def test_the_rank_correlation_of_one_bucket_is_not_defined():
    joint = np.zeros((21, 21))
    joint[5, 7] = 3
    assert np.isnan(rank_correlation(joint))


def test_the_page_shows_names_and_runs_nothing():
    before = documents()
    about = subject(classifiers=(*subject().classifiers[:2], Ranked("dclm", "d" * 8, "dclm", (("", CUTS),))))
    page = html(compared(side(before, "<script>alert(1)</script>", about), side(raised(before, 0.6), "b", about)))
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "default-src 'none'; style-src 'unsafe-inline'" in page
    for title in ("At a glance", "Tiers", "Scores of", "Who decides", "Agreement of classifiers"):
        assert f"<h2>{title}" in page


def test_equal_figures_give_an_equal_page():
    found = compared(side(documents()), side(raised(documents(), 0.3)))
    assert html(found) == html(found)


def test_of_thresholds_alone_the_page_shows_where_cuts_lie():
    moved = tuple(float(np.float32(cut + 0.15)) for cut in CUTS)
    page = html(compared(Side("a", thresholds()), Side("b", thresholds(moved))))
    assert "Where the cuts before lie in the distribution after" in page


def test_groups_are_compared_value_by_value():
    def by_language(cuts):
        entries = [ClassifierThresholds("edu", cuts, "e", "bytes", group=value) for value in ("", "de", "en")]
        return Thresholds(tuple(entries), group="lang")

    found = compared(Side("a", by_language(CUTS)), Side("b", by_language(CUTS)))
    assert [each["group"] for each in found["classifiers"][0]["cuts"]] == ["", "de", "en"]
    mixed = compared(Side("a", by_language(CUTS)), Side("b", Thresholds((ClassifierThresholds("edu", CUTS, "e"),))))
    assert (mixed["classifiers"][0]["cuts"], mixed["classifiers"][0]["ks"]) == ([], None)
    assert "Thresholds are by lang before and for all after: cuts are not compared." in mixed["notes"]
    assert "Nothing of it can be compared" in html(mixed)


def test_tierings_by_group_are_compared_in_twentieths_of_before():
    before = documents()
    about = subject(group="lang", classifiers=tuple(Ranked(name, name * 8, name, ()) for name in NAMES))
    given = Thresholds(tuple(ClassifierThresholds(name, CUTS, name * 8) for name in NAMES), group="lang")
    counts = Description(about, counted(before, about))
    found = compared(Side("a", given, counts), Side("b", given, counts))["classifiers"][0]
    assert found["psi"]["value"] == 0
    assert found["psi"]["before"] == pytest.approx([0.05] * 20, abs=0.03)
    assert pd.Series(found["psi"]["before"]).sum() == pytest.approx(1)
