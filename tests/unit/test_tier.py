import pandas as pd
import pytest

from curation.core.errors import ColumnError, ConfigError
from curation.stages.tier import Tier, tier_mistakes


def tiers(qualities, **settings):
    return Tier(**settings)(pd.DataFrame({"quality": pd.Series(qualities, dtype="int8")}))["tier"].tolist()


def test_the_default_tiers_are_those_of_nemotron_cc():
    expected = ["low"] * 7 + ["medium-low"] * 5 + ["medium"] * 6 + ["medium-high", "high"]
    assert tiers(list(range(20))) == expected


def test_a_missing_quality_is_unscored():
    assert tiers([-1, 19]) == ["unscored", "high"]


def test_tiers_can_be_named_otherwise():
    assert tiers([-1, 0, 9, 10, 19], tiers=(("keep", (10, 19)), ("drop", (0, 9)))) == [
        "unscored", "drop", "drop", "keep", "keep",
    ]  # fmt: skip


@pytest.mark.parametrize("quality", [-2, 20])
def test_a_quality_out_of_range_is_refused(quality):
    with pytest.raises(ColumnError, match="from -1 to 19"):
        tiers([quality])


def test_a_quality_that_is_not_whole_is_refused():
    with pytest.raises(ColumnError, match="as float64"):
        Tier()(pd.DataFrame({"quality": [1.0]}))


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ((("a", (0, 9)), ("b", (12, 18))), "no tier holds buckets 10 to 11, 19; "),
        ((("a", (0, 10)), ("b", (10, 19))), "the tiers 'a' and 'b' both hold bucket 10; "),
        ((("a", (0, 20)),), "the tier 'a' is 0 to 20; "),
        ((("a", (0, 19)), ("b", (5, 4))), "the tier 'b' is 5 to 4; "),
        ((("a", (0, 9)), ("a", (10, 19))), "the tier 'a' is there 2 times; "),
        ((("unscored", (0, 19)),), "'unscored' is the tier of documents without a score; "),
        ((("rejected", (0, 19)),), "'rejected' is the tier of documents that a rule does not keep; "),
        ((("../a", (0, 19)),), "the tier '../a' must name a folder: "),
        ((), "no tier holds buckets 0 to 19; "),
    ],
)
def test_what_is_wrong_with_ranges_is_said(ranges, message):
    (mistake,) = tier_mistakes(ranges)
    assert mistake.startswith(message)


def test_ranges_that_do_not_cover_all_buckets_once_are_refused():
    with pytest.raises(ConfigError, match="Tier: no tier holds bucket 19"):
        Tier((("a", (0, 18)),))
