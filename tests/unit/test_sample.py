"""Which documents a sample holds, and that nothing but ids, texts and the seed decides it."""

import itertools
from collections import Counter

import pytest
from input_files import json_lines, shards_of, spec_of, write, write_parquet

from curation.annotation import sample
from curation.annotation.sample import SampleSpec, draw
from curation.core.errors import ConfigError
from curation.data.inputs import find

CARRY = ("url", "lang", "score:float64")


def rows(count, language="en", start=0):
    return [
        {
            "id": f"{language}-{number}",
            "url": f"https://{number % 7}.example/{number}",
            "text": f"Text {number} in {language}.",
            "lang": language,
            "score": float(number),
        }
        for number in range(start, start + count)
    ]


def drawn(folder, spec, files, **settings):
    """The sample of files of rows."""
    for name, content in files.items():
        write(folder / f"{name}.jsonl", json_lines(*content))
    reading = spec_of(folder, carry=CARRY, **settings)
    return draw(spec, reading, shards_of(reading))


def ids(found):
    return [document.id for document in found.documents]


def test_the_order_of_files_and_rows_changes_nothing(tmp_path):
    spec = SampleSpec(num_documents=20)
    first = drawn(tmp_path / "1", spec, {"a": rows(50), "b": rows(50, start=50)})
    second = drawn(tmp_path / "2", spec, {"a": rows(30, start=70)[::-1], "b": rows(70)[::-1]})
    assert first.documents == second.documents


def test_neither_does_the_size_of_shards_and_partitions(tmp_path):
    spec, files = SampleSpec(num_documents=20), {"a": rows(200)}
    whole = drawn(tmp_path / "1", spec, files)
    assert drawn(tmp_path / "2", spec, files, shard_bytes=3_000, partition_bytes=500).documents == whole.documents


def test_a_smaller_sample_is_the_beginning_of_a_larger_one(tmp_path):
    few, many = (drawn(tmp_path, SampleSpec(num_documents=n), {"a": rows(100)}) for n in (10, 40))
    assert ids(few) == ids(many)[:10]


def test_another_seed_is_another_sample(tmp_path):
    first, second = (ids(drawn(tmp_path, SampleSpec(10, seed=seed), {"a": rows(100)})) for seed in (0, 1))
    assert set(first) != set(second)


def test_candidates_that_were_pruned_would_not_have_been_taken(tmp_path):
    few = drawn(tmp_path, SampleSpec(num_documents=5), {"a": rows(4_000)})
    assert ids(few) == ids(drawn(tmp_path, SampleSpec(num_documents=4_000), {"a": rows(4_000)}))[:5]


def test_documents_keep_text_url_and_language(tmp_path):
    found = drawn(tmp_path, SampleSpec(num_documents=1), {"a": rows(1)})
    assert found.documents == (("en-0", "https://0.example/0", "Text 0 in en.", "en", "all"),)


def test_strata_give_equally_many_and_small_ones_all_they_have(tmp_path):
    files = {"a": rows(100, "en"), "b": rows(100, "zh"), "c": rows(3, "de")}
    found = drawn(tmp_path, SampleSpec(num_documents=23, strata="lang"), files)
    assert Counter(document.stratum for document in found.documents) == {"en": 10, "zh": 10, "de": 3}


def test_percentiles_give_rare_scores_as_many_places_as_frequent_ones(tmp_path):
    spec = SampleSpec(num_documents=15, strata="score", percents=(50.0, 90.0))
    found = drawn(tmp_path, spec, {"a": rows(100)})
    assert found.available == {"0-50 %": 49, "50-90 %": 40, "90-100 %": 11}
    assert Counter(document.stratum for document in found.documents) == dict.fromkeys(found.available, 5)


def test_a_missing_score_is_a_stratum_of_its_own(tmp_path):
    unscored = [row | {"id": f"none-{row['id']}", "score": None} for row in rows(10)]
    spec = SampleSpec(num_documents=10, strata="score", percents=(50.0,))
    found = drawn(tmp_path, spec, {"a": [*rows(10), *unscored]})
    assert found.available["(none)"] == 10


def test_languages_are_taken_in_proportion_and_others_left_out(tmp_path):
    files = {"a": rows(100, "en"), "b": rows(100, "zh"), "c": rows(50, "de")}
    found = drawn(tmp_path, SampleSpec(num_documents=30, languages=(("zh", 2.0), ("en", 1.0))), files)
    assert Counter(document.lang for document in found.documents) == {"zh": 20, "en": 10}
    assert found.notes == ("50 documents are of languages that are not asked for.",)


def test_a_larger_sample_of_several_languages_holds_the_smaller(tmp_path):
    files = {name: rows(20, name) for name in ("de", "en", "zh")}
    shares = (("de", 1.0), ("en", 6.0), ("zh", 6.0))
    samples = [set(ids(drawn(tmp_path, SampleSpec(n, languages=shares), files))) for n in range(3, 16)]
    assert [n for n, (few, many) in enumerate(itertools.pairwise(samples), 3) if not few < many] == []


def test_proportions_are_kept_when_a_language_is_short(tmp_path):
    files = {"a": rows(100, "en"), "b": rows(5, "zh")}
    found = drawn(tmp_path, SampleSpec(num_documents=30, languages=(("zh", 1.0), ("en", 1.0))), files)
    assert Counter(document.lang for document in found.documents) == {"zh": 5, "en": 5}
    assert found.notes == (
        "10 documents are all that can be drawn in the proportions of languages; there are 100 of en, 5 of zh.",
    )


def test_a_language_without_documents_is_a_mistake(tmp_path):
    with pytest.raises(ConfigError, match="there are 10 of en, 0 of zh"):
        drawn(tmp_path, SampleSpec(languages=(("zh", 1.0), ("en", 1.0))), {"a": rows(10)})


def test_strata_hold_within_each_language(tmp_path):
    spec = SampleSpec(20, "score", (50.0,), (("zh", 1.0), ("en", 1.0)))
    found = drawn(tmp_path, spec, {"a": rows(100, "en"), "b": rows(100, "zh")})
    strata = {f"{language} {part}": 5 for language in ("en", "zh") for part in ("0-50 %", "50-100 %")}
    assert Counter(document.stratum for document in found.documents) == strata


def test_every_language_has_percentiles_of_its_own(tmp_path):
    better = [row | {"score": row["score"] + 1_000} for row in rows(100, "zh")]
    spec = SampleSpec(20, strata="score", percents=(50.0,), languages=(("zh", 1.0), ("en", 1.0)))
    found = drawn(tmp_path, spec, {"a": rows(100, "en"), "b": better})
    strata = [f"{language} {half}" for language in ("zh", "en") for half in ("0-50 %", "50-100 %")]
    assert Counter(document.stratum for document in found.documents) == dict.fromkeys(strata, 5)


def test_blank_and_unselected_documents_are_not_drawn(tmp_path):
    blank = {"id": "blank", "text": " ", "lang": "en"}
    files = {"a": [*rows(5), *rows(5, "zh"), blank]}
    found = drawn(tmp_path, SampleSpec(num_documents=100), files, where="lang == 'en'")
    assert sorted(ids(found)) == [f"en-{number}" for number in range(5)]
    assert found.notes == ("5 documents are all that can be drawn.",)


def test_an_id_is_drawn_once(tmp_path):
    found = drawn(tmp_path, SampleSpec(num_documents=100), {"a": rows(5), "b": rows(5)})
    assert sorted(ids(found)) == [f"en-{number}" for number in range(5)]
    assert "5 of them repeat an id, and are left out." in found.notes


def test_an_input_without_documents_is_a_mistake(tmp_path):
    with pytest.raises(ConfigError, match="no document can be drawn"):
        drawn(tmp_path, SampleSpec(), {"a": [{"id": "blank", "text": ""}]})


def test_a_kept_sample_is_found_again_until_its_input_or_spec_changes(tmp_path):
    path = write_parquet(tmp_path / "in" / "a.parquet", {"id": ["a", "b"], "text": ["A text.", "Another."]})
    reading, spec = spec_of(path), SampleSpec(url_column="", language_column="")
    found = draw(spec, reading, shards_of(reading))
    url = str(tmp_path / "sample.parquet")
    identity = sample.identity(spec, reading, find(reading))
    sample.write(url, found, identity)
    assert sample.kept(url, identity) == found
    write_parquet(path, {"id": ["a", "b"], "text": ["A text.", "Changed."]})
    assert sample.kept(url, sample.identity(spec, reading, find(reading))) is None
    assert sample.kept(url, sample.identity(SampleSpec(seed=1), reading, find(reading))) is None


@pytest.mark.parametrize(
    ("spec", "mistake"),
    [
        (SampleSpec(0), "num_documents: 0 is below 1"),
        (SampleSpec(strata="topic"), "strata: 'topic' is not carried"),
        (SampleSpec(url_column="link"), "url_column: 'link' is not carried"),
        (SampleSpec(percents=(50.0,)), "percents: there is no column"),
        (SampleSpec(strata="lang", percents=(50.0,)), "percents: 'lang' is carried as a string"),
        (SampleSpec(strata="score", percents=(90.0, 50.0)), "do not rise between 0 and 100"),
        (SampleSpec(languages=(("zh", 0.0),)), "languages.zh: 0 is not above 0"),
        (SampleSpec(language_column="", languages=(("zh", 1.0),)), "languages: needs a language_column"),
    ],
)
def test_a_spec_that_cannot_be_drawn_is_refused(spec, mistake):
    (found,) = spec.mistakes({"url": "string", "lang": "string", "score": "float64"})
    assert mistake in found
