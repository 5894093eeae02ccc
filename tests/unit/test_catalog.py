"""The catalog of published classifiers: what its entries say, and how a config names them."""

import dataclasses
import json
import re
from pathlib import Path

import pytest
from published import CUTS, LICENCES, MAX_TOKENS, REVISIONS, SENTENCE_BYTES, SENTENCES, SINGLE_CASES

from curation import config
from curation.classifiers import catalog, fasttext
from curation.classifiers.encoder import Encoder
from curation.classifiers.fasttext import FastText
from curation.core.errors import ConfigError
from curation.execution import spec

PUBLISHED = {
    "dclm": "mlfoundations/fasttext-oh-eli5",
    "fineweb-edu": "HuggingFaceFW/fineweb-edu-classifier",
    "industrycorpus2-datarater": "BAAI/IndustryCorpus2_DataRater",
    "industrycorpus2-domain": "BAAI/IndustryCorpus2_Classifier",
    "mixtral-edu": "nvidia/nemocurator-fineweb-mixtral-edu-classifier",
    "nemotron-4-edu": "nvidia/nemocurator-fineweb-nemotron-4-edu-classifier",
    "nvidia-domain": "nvidia/domain-classifier",
    "nvidia-quality": "nvidia/quality-classifier-deberta",
}
REPOSITORY = Path(__file__).parents[2]


def settings(*classifiers):
    return {"output": "run", "input": {"path": "data"}, "classifier": list(classifiers)}


def parse(*classifiers, overrides=()):
    return config.parse(spec.RunSpec, settings(*classifiers), overrides, spec.KINDS, spec.CATALOGS).classifier


def test_every_published_classifier_has_an_entry():
    assert {name: catalog.entry(name).classifier.model for name in catalog.names()} == PUBLISHED


@pytest.mark.parametrize("name", PUBLISHED)
def test_an_entry_names_its_classifier_and_finds_itself_again(name):
    entry = catalog.entry(name)
    assert entry.name == name
    assert catalog.entry_of(entry.classifier) == entry
    assert catalog.entry_of(dataclasses.replace(entry.classifier, name="mine", bundles="elsewhere")) == entry


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_revision_is_a_commit_or_left_to_the_fetch(name):
    assert re.fullmatch(r"|[0-9a-f]{40}", catalog.entry(name).classifier.revision)


@pytest.mark.parametrize("name", PUBLISHED)
def test_an_entry_says_the_normalisation_that_its_kind_does(name):
    entry = catalog.entry(name)
    expected = fasttext.NORMALISATION if isinstance(entry.classifier, FastText) else "none"
    assert entry.normalisation == expected


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_case_gives_a_label_that_the_entry_has_or_a_score_with_a_tolerance(name):
    entry = catalog.entry(name)
    assert [case for case in entry.case if case.label and case.label not in entry.labels] == []
    assert [case for case in entry.case if case.score is not None and not case.tolerance > 0] == []


def test_the_models_of_industry_read_2048_tokens_and_31_labels():
    rater, domain = catalog.entry("industrycorpus2-datarater"), catalog.entry("industrycorpus2-domain")
    assert (rater.classifier.max_tokens, domain.classifier.max_tokens) == (2048, 2048)
    assert [threshold.score for threshold in rater.threshold] == [3.0, 4.0]
    assert len(set(domain.labels)) == 31


@pytest.mark.parametrize("name", SENTENCES)
def test_the_cases_of_five_sentences_are_those_that_were_published(name):
    cases = catalog.entry(name).case[-5:]
    assert [len(case.text.encode()) for case in cases] == SENTENCE_BYTES
    assert [case.label or case.score for case in cases] == SENTENCES[name]


@pytest.mark.parametrize("name", SINGLE_CASES)
def test_the_case_of_a_card_is_the_one_that_was_published(name):
    assert SINGLE_CASES[name] in [(case.text, case.score) for case in catalog.entry(name).case]


def test_the_fifth_sentence_is_of_medium_quality():
    (fifth,) = [case for case in catalog.entry("nvidia-quality").case if len(case.text.encode()) == SENTENCE_BYTES[4]]
    assert fifth.label == "Medium"


def test_cuts_lengths_licences_and_revisions_are_those_that_were_published():
    entries = {name: catalog.entry(name) for name in PUBLISHED}
    assert {name: [cut.score for cut in entries[name].threshold] for name in CUTS} == CUTS
    assert {name: entries[name].classifier.max_tokens for name in MAX_TOKENS} == MAX_TOKENS
    assert [
        name for name, of in LICENCES.items() if not all(each in entries[name].licence.lower() for each in of)
    ] == []
    revisions = {name: getattr(entry.classifier, "revision", "") for name, entry in entries.items()}
    assert {name: revision for name, revision in revisions.items() if revision} == REVISIONS


def test_a_case_needs_a_score_or_a_label():
    with pytest.raises(ConfigError, match="needs a score or a label, and not both"):
        catalog.Case("text", "nowhere")


def test_a_run_names_published_classifiers_and_replaces_their_settings():
    edu, dclm = parse("nemotron-4-edu", {"catalog": "dclm", "name": "eli5", "bundles": "/models"})
    assert edu == Encoder("nemotron-4-edu", PUBLISHED["nemotron-4-edu"], max_tokens=512)
    assert (dclm.name, dclm.model, dclm.label, dclm.bundles) == ("eli5", PUBLISHED["dclm"], "__label__hq", "/models")


def test_an_override_reaches_a_published_classifier_by_name():
    (edu,) = parse("fineweb-edu", overrides=["classifier.fineweb-edu.max_tokens=256"])
    assert edu.max_tokens == 256


def test_an_unknown_name_is_a_mistake_that_names_the_nearest():
    with pytest.raises(ConfigError) as caught:
        parse("nemotron-edu", {"catalog": "dlcm"})
    assert list(caught.value.mistakes) == [
        "classifier[0]: the catalog has no 'nemotron-edu'; did you mean 'nemotron-4-edu'?",
        "classifier[1]: the catalog has no 'dlcm'; did you mean 'dclm'?",
    ]


def test_the_resolved_config_of_a_run_is_complete_without_the_catalog(tmp_path):
    read = spec.read(REPOSITORY / "configs" / "nemotron_cc.toml")
    (tmp_path / "config.json").write_text(json.dumps(config.dump(read)))
    again = config.parse(spec.RunSpec, config.load(tmp_path / "config.json"), kinds=spec.KINDS)
    assert again == read
    assert [each.name for each in again.classifier] == ["mixtral-edu", "nemotron-4-edu", "dclm"]


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_page_on_the_catalog_has_a_line_for_every_entry(name):
    entry = catalog.entry(name)
    lines = (REPOSITORY / "docs" / "catalog.md").read_text(encoding="utf-8").splitlines()
    (line,) = [line for line in lines if line.startswith(f"| `{name}` | {entry.classifier.model} |")]
    assert line.endswith(f"| {len(entry.case) or 'none'} |")
    assert [threshold for threshold in entry.threshold if f"{threshold.score:g}" not in line] == []
