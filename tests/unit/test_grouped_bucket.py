import numpy as np
import pandas as pd
import pytest

from curation.core.errors import ColumnError
from curation.stages.bucket import GroupedBucket, group_codes
from curation.stages.keep import Keep, named_in
from curation.stages.tier import Tier

LOW, HIGH = tuple(np.arange(19.0)), tuple(np.arange(100.0, 119.0))


def test_a_score_is_held_against_the_cuts_of_its_group():
    stage = GroupedBucket("lang", (("edu", (("", LOW), ("en", HIGH))),))
    frame = pd.DataFrame({"lang": ["en", None, "en", "zh"], "edu": np.float32([101.5, 1.5, np.nan, 1.5])})
    assert stage(frame)["edu_bucket"].tolist() == [2, 2, -1, -1]


@pytest.mark.parametrize("years", [pd.array([2024, None, 2025], "Int64"), [2024.0, np.nan, 2025.0]])
def test_groups_of_numbers_are_the_same_however_a_frame_holds_them(years):
    codes, values = group_codes(pd.DataFrame({"year": years}), "year")
    assert [values[code] for code in codes] == ["2024", "", "2025"]


def test_a_rule_is_true_or_not_and_not_where_something_is_missing():
    frame = pd.DataFrame({"text-quality": [0.5, 0.1, np.nan], "quality": np.int8([19, 19, 19])})
    stage = Keep("`text-quality` >= 0.2 and quality > 3", ("text-quality", "quality"))
    assert stage(frame)["kept"].tolist() == [True, False, False]


def test_a_rule_that_cannot_be_evaluated_says_over_what():
    with pytest.raises(ColumnError, match=r"'edu >' cannot be evaluated over \['edu'\]"):
        Keep("edu >", ("edu",))(pd.DataFrame({"edu": [1.0]}))


def test_the_columns_of_a_rule_are_those_that_it_names():
    assert named_in("`text-quality` > edu and lang == 'dclm'", ["edu", "dclm", "text-quality"])[:2] == (
        "text-quality",
        "edu",
    )


def test_what_is_not_kept_is_rejected_and_what_is_not_scored_stays_so():
    frame = pd.DataFrame({"quality": np.int8([19, 19, -1]), "kept": [True, False, False]})
    assert Tier(has_rule=True)(frame)["tier"].tolist() == ["high", "rejected", "unscored"]
