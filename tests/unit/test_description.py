import json

import numpy as np
import pytest
from tiered_documents import CUTS, MEASURES, NAMES, counted, documents, subject

from curation.calibration.description import FORMAT, MOST_CLASSIFIERS, Counts, Description, Ranked
from curation.calibration.histogram import order_keys
from curation.core.errors import ConfigError
from curation.execution.describing import Gathered
from curation.stages.tiering import TieringSpec


def described(found, about=None):
    return json.loads(Description(about or subject(), counted(found, about)).to_json())


def sums(found, keys, shape):
    """Measure → nested lists of sums by whole-number keys."""
    result = {}
    for measure, column in MEASURES.items():
        array = np.zeros(shape, int)
        np.add.at(array, keys, found[column])
        result[measure] = array.tolist()
    return result


def test_tiers_and_quality_hold_the_documents_bytes_and_tokens_of_theirs():
    found = documents()
    text = described(found)
    for each in text["tiers"]:
        own = found[found["tier"] == each["name"]]
        assert [each[measure] for measure in MEASURES] == [int(own[column].sum()) for column in MEASURES.values()]
    assert [(each["name"], each["lowest"], each["highest"]) for each in text["tiers"]] == [
        ("good", 12, 19),
        ("bad", 0, 11),
        ("rejected", None, None),
        ("unscored", None, None),
    ]
    assert text["quality"] == {"values": list(range(-1, 20)), **sums(found, found["quality"] + 1, 21)}


def test_scores_are_counted_in_bins_of_the_upper_half_of_their_keys():
    found = documents()
    edu = described(found)["classifiers"][0]
    assert edu["num_missing"] == found["edu"].isna().sum()
    scored = found[found["edu"].notna()]
    keys = order_keys(scored["edu"].to_numpy()) >> 16
    expected = [int(scored["n_bytes"][keys == key].sum()) for key in np.unique(keys)]
    assert edu["histogram"]["bytes"] == expected
    lowest = np.float32(edu["histogram"]["scores"])
    assert (order_keys(lowest) >> 16).tolist() == np.unique(keys).tolist()
    assert lowest[0] <= scored["edu"].min()


def test_a_score_is_near_a_cut_up_to_a_tenth_of_the_way_to_the_next():
    found = documents(20)
    found["edu"] = np.float32([-0.995, -0.985, -0.895, -0.885, 0.0, 0.011, 0.091, 0.089, 0.905, 0.915, *[0.55] * 10])
    found["edu_bucket"] = np.searchsorted(np.float32(CUTS), found["edu"], side="right")
    near = described(found)["classifiers"][0]["near_cuts"]
    assert near["epsilon"] == 0.005
    assert np.flatnonzero(near["documents"]).tolist() == [0, 9, 10, 18]
    assert near["weight"][9] == found["n_tokens"][4]


def test_equal_cuts_share_what_is_near_them():
    cuts = (*CUTS[:9], *[CUTS[9]] * 3, *CUTS[12:])
    found = documents(4)
    found["edu"] = np.float32([-0.005, CUTS[9], 0.02, 0.2])
    found["edu_bucket"] = np.searchsorted(np.float32(cuts), found["edu"], side="right")
    about = subject(classifiers=(Ranked("edu", "", "edu", (("", cuts),)),))
    assert described(found, about)["classifiers"][0]["near_cuts"]["documents"][8:13] == [0, 1, 0, 2, 0]


def test_every_two_classifiers_are_counted_by_their_buckets():
    found = documents()
    text = described(found)
    assert [(each["first"], each["second"]) for each in text["pairs"]] == [
        ("edu", "web"),
        ("edu", "dclm"),
        ("web", "dclm"),
    ]
    keys = (found["edu_bucket"] + 1, found["dclm_bucket"] + 1)
    assert text["pairs"][1] == {"first": "edu", "second": "dclm", **sums(found, keys, (21, 21))}


def test_the_classifiers_whose_bucket_is_the_quality_decide_it():
    found = documents()
    decides = {(tuple(each["by"]), each["tier"]): each for each in described(found)["decides"]}
    scored = found[found["quality"] >= 0]
    wins = [[name for name in NAMES if row[f"{name}_bucket"] == row["quality"]] for _, row in scored.iterrows()]
    expected = scored.groupby([[tuple(each) for each in wins], scored["tier"]])[["one", "n_bytes", "n_tokens"]].sum()
    assert {key: [each[measure] for measure in MEASURES] for key, each in decides.items()} == {
        key: row.tolist() for key, row in expected.iterrows()
    }


def test_nobody_decides_a_mean():
    assert described(documents(), subject(by_maximum=False))["decides"] == []


def test_lengths_are_counted_by_powers_of_two():
    found = documents()
    lengths = described(found)["lengths"]
    assert lengths["tokens"][:5] == [0, 1, 2, 4, 8]
    own = found[found["tier"] == "bad"]
    places = np.digitize(own["n_tokens"], lengths["tokens"]) - 1
    expected = np.bincount(places, minlength=len(lengths["tokens"])).tolist()
    assert lengths["by_tier"]["bad"]["documents"] == expected
    assert sum(lengths["by_tier"]["bad"]["tokens"]) == own["n_tokens"].sum()


@pytest.mark.parametrize("places", [[0, 1, 2], [2, 0, 1], [1, 2, 0]])
def test_no_split_and_no_order_changes_a_byte(places):
    found = documents()
    parts = [counted(found[:1]), counted(found[1:700]), counted(found[700:])]
    merged = Counts.merged([parts[place] for place in places])
    whole = Description(subject(), counted(found)).to_json()
    assert Description(subject(), merged).to_json() == whole
    assert Description(subject(), parts[places[0]] + parts[places[1]] + parts[places[2]]).to_json() == whole


def test_sums_beyond_32_bits_are_exact():
    found = documents(50)
    found["n_bytes"] = 2**45 + np.arange(50)
    merged = Counts.merged([counted(found)] * 100)
    assert Description(subject(), merged).tiers[1].sum() == 100 * int(found["n_bytes"].sum())


def test_a_description_is_read_as_it_was_written():
    text = Description(subject(), counted(documents())).to_json()
    assert Description.from_json(text).to_json() == text
    assert Description.from_json(text).subject == subject()


def test_documents_without_anything_are_described():
    text = Description(subject(), counted(documents(0))).to_json()
    assert Description.from_json(text).to_json() == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[", "a.json: is no description of a tiering"),
        ('{"format": 1}', "a.json: is no description of a tiering: KeyError"),
        (f'{{"format": {FORMAT + 1}}}', f"a.json: has format {FORMAT + 1} and this version reads up to {FORMAT}"),
    ],
)
def test_what_is_no_description_is_refused(text, words):
    with pytest.raises(ConfigError, match=words):
        Description.from_json(text, "a.json")


def test_counts_of_shards_are_merged_before_they_fill_the_memory(monkeypatch):
    parts = [counted(documents(seed=seed)) for seed in range(6)]
    monkeypatch.setattr("curation.execution.describing._MOST_BYTES", 2 * parts[0].num_bytes)
    gathered, held = Gathered(subject()), []
    for part in parts:
        gathered.add(part)
        held.append(len(gathered._parts))
    assert max(held) < len(parts)
    assert gathered.description().to_json() == Description(subject(), Counts.merged(parts)).to_json()


def test_an_ensemble_of_more_classifiers_than_can_be_described_is_a_mistake():
    names = [f"c{number}" for number in range(MOST_CLASSIFIERS + 1)]
    (mistake,) = TieringSpec().mistakes(names)
    assert mistake == "tiering.classifiers: the ensemble has 11 classifiers; it may have up to 10. Name those it needs."
