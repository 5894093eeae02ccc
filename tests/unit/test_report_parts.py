"""What a report counts: agreement, sources that stand out, shares and sizes in words, and the card's header."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml

from curation.analysis.report import card, charts, documents, examples, opening, origins, running, tiers
from curation.analysis.report.drawn import Drawn, draw
from curation.analysis.report.facts import Facts, buckets, read, without_quotes
from curation.analysis.report.parts import amount, duration, percent, size
from curation.calibration.histogram import order_keys, score_of
from curation.data.layout import Layout
from curation.data.shards import Shard, write_shards
from curation.data.sidecar import SidecarWriter
from curation.stages.tier import NEMOTRON_CC
from curation.statistics import wilson_interval


def test_the_interval_of_a_share_is_wilsons():
    low, high = wilson_interval([0, 8, 10], [0, 10, 10])
    assert (low[0], high[0]) == pytest.approx((0, 1))
    assert (low[1], high[1]) == pytest.approx((0.4902, 0.9433), abs=1e-4)  # Newcombe 1998, method 3
    assert high[2] == pytest.approx(1)


def test_few_documents_of_a_host_do_not_stand_out_and_many_do():
    counts = pd.DataFrame({"high": [2, 40, 0, 9], "low": [3, 60, 80, 81]}, index=["few", "more", "never", "usual"])
    found = origins.standing_out(counts, "high", 0.1)
    assert [each.name for each in found.more] == ["more"]
    assert [each.name for each in found.less] == ["never"]
    assert (found.more[0].num_in_tier, found.more[0].num_documents, found.more[0].lift) == (40, 100, pytest.approx(4))


def test_values_are_ordered_from_those_in_the_best_tiers_on():
    counts = pd.DataFrame({"high": [1, 9, 5], "low": [9, 1, 5]}, index=["a", "b", "c"])
    assert origins.from_the_best(counts).index.tolist() == ["b", "c", "a"]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (percent(0.1263), "12.6&nbsp;%"),
        (percent(0), "0.0&nbsp;%"),
        (percent(1e-6), "&lt;&nbsp;0.1&nbsp;%"),
        (amount(9927), "9,927"),
        (amount(6_922_373), "6.92&nbsp;million"),
        (amount(4.4e12), "4.4&nbsp;trillion"),
        (size(31_797_283), "31.8&nbsp;MB"),
        (size(12), "12&nbsp;B"),
        (duration(90), "90&nbsp;s"),
        (duration(600), "10&nbsp;min"),
    ],
)
def test_figures_are_told_in_a_few_digits(said, expected):
    assert said == expected


def test_a_histogram_is_empty_between_bins_that_hold_nothing():
    lower = [0.5, 1.0]
    histogram = {"scores": lower, "documents": [1, 3]}
    starts, ends, cumulative = charts._cumulative(histogram, "documents")
    after = [score_of(((int(order_keys(np.float32([each]))[0]) >> 16) + 1) << 16) for each in lower]
    assert starts.tolist() == [0.5, after[0], 1.0]
    assert ends.tolist() == [after[0], 1.0, after[1]]
    assert cumulative.tolist() == [0, 0.25, 0.25, 1]


def drawn(tiers, **carried):
    """Documents of these tiers, with carried strings."""
    frame = pd.DataFrame({"tier": tiers, **{name: pd.Series(values, dtype="str") for name, values in carried.items()}})
    return Drawn(frame, (), 1, dict.fromkeys(carried, "string"), *np.zeros((2, len(tiers)), np.int64))


def test_a_tier_whose_documents_all_lack_a_carried_value_is_not_in_its_table(facts):
    found = drawn(["high"] * 10 + ["low"] * 10 + ["medium"] * 5, lang=[*("de", "en") * 10, *[None] * 5])
    page = documents.sources(facts, found)
    assert "documents</th><th scope='col'><bdi>high</bdi></th><th scope='col'><bdi>low</bdi></th></tr>" in page


def test_addresses_are_known_with_and_without_a_scheme():
    urls = ["https://a.example/1", "www.b.example/user?token=1", "b.example/2", "no address"]
    (column,) = origins.columns(drawn(["high"] * 4, url=urls))
    assert (column.is_host, column.told.dropna().tolist()) == (True, ["a.example", "b.example", "b.example"])


def test_without_examples_addresses_among_other_strings_are_not_told(facts):
    topics = ["sport"] * 6 + ["text/html"] * 6 + ["https://a.example/me"] * 5 + ["b.example/you"] * 5
    page = documents.sources(facts, drawn(["high"] * 22, topic=topics), with_examples=False)
    assert [words in page for words in ("sport", "text/html", "a.example", "b.example")] == [True, True, False, False]


@pytest.fixture
def facts():
    """A run that reconciled, with tiers of round numbers."""
    sums = [(12, 120, 30), (8, 80, 20), (50, 500, 125), (20, 200, 50), (10, 100, 25)]
    tiers = [
        {"name": name, "lowest": low, "highest": high, "documents": d, "bytes": b, "tokens": t}
        for (name, (low, high)), (d, b, t) in zip(NEMOTRON_CC, sums, strict=True)
    ]
    tiers.append({"name": "unscored", "lowest": None, "highest": None, "documents": 0, "bytes": 0, "tokens": 0})
    ended = {
        "outcome": "reconciled",
        "why": "",
        "counted": True,
        "shards": {"planned": 4, "waiting": 0},
        "quarantine": {},
        "totals": {"read": 103, "ok": 100, "blank": 2, "quarantined": 1},
        "classifiers": {"edu": {"num_scored": 100, "num_truncated": 30}},
        "models": [{"name": "edu", "kind": "encoder", "fingerprint": "f" * 64, "model": "a|b", "licence": ""}],
        "tiers": {"high": {"documents": 12}},
        "failed": {},
        "problems": [],
        "versions": {"curation": "0.1.0 (abc)"},
        "tokens": "estimated",
    }
    described = {
        "weights": "bytes",
        "tiers": tiers,
        "decides": [],
        "pairs": [],
        "classifiers": [{"name": "edu", "cuts": [0.0] * 19}],
    }
    return Facts(Layout("/runs/<b>mine"), "default", ended, described, {"documents": True}, {})


def test_a_run_that_reconciled_opens_with_its_equation(facts):
    assert "103&nbsp;rows read = 100&nbsp;scored + 2&nbsp;blank" in opening.opening(facts, ())


EDU = {"name": "edu", "fingerprint": "f" * 64, "column": "edu", "cuts": [float(cut) for cut in range(19)]}


def write_sidecar(url, columns):
    table = pa.table({"position": pa.array(range(len(next(iter(columns.values())))), pa.int64()), **columns})
    with SidecarWriter(url, table.schema) as writer:
        writer.write(table)
        writer.finish({})


@pytest.fixture
def tiered(facts, tmp_path):
    """A run of 200 shards, two of which have tiers, scores of two models of one name, and awkward columns."""
    layout = Layout(str(tmp_path))
    shards = [Shard(f"{n}.jsonl", "", "", "jsonl", "", 0, 1, 0, 0, 1, -1) for n in range(200)]
    write_shards(layout.shards, shards)
    names = ["rejected", "high", "medium-high", "low"]
    for shard in (shards[0], shards[100]):
        sizes = {name: pa.array([10] * 4, pa.int64()) for name in ("n_bytes", "n_chars", "n_tokens")}
        carried = {name: pa.array(["x", "y", "x", "y"]) for name in ("shard", "before_bytes", "tier")}
        write_sidecar(layout.rows(shard.name), {"id": pa.array("abcd"), **sizes, "state": ["ok"] * 4, **carried})
        tiers = {"quality": pa.array([19, 19, 18, 0], pa.int8()), "edu_bucket": pa.array([19, 19, 18, 0], pa.int8())}
        write_sidecar(layout.tiers("default", shard.name), {**tiers, "tier": names})
        for fingerprint, first in (("f" * 8, 1.0), ("0" * 8, 2.0)):
            scores = {"edu": pa.array([18 + first, 18 + 2 * first, 17.5, -first], pa.float32())}
            write_sidecar(layout.scores(f"edu-{fingerprint}", shard.name), scores)
    ended = facts.ended | {"models": [facts.ended["models"][0] | {"fingerprint": "0" * 64}]}
    return replace(facts, layout=layout, ended=ended, described=facts.described | {"classifiers": [EDU]})


def test_documents_are_drawn_from_the_shards_that_have_tiers(tiered):
    found = draw(tiered)
    assert (len(found.shards), found.num_shards, len(found.frame)) == (2, 2, 8)
    assert (found.places.tolist(), found.before_bytes.tolist()) == ([0] * 4 + [1] * 4, [0, 10, 20, 30] * 2)


def test_no_carried_column_is_taken_for_one_of_the_tiering_or_the_report(tiered):
    found = draw(tiered)
    assert dict(found.columns) == {"shard": "str", "before_bytes": "str"}
    assert found.frame["tier"].tolist()[:2] == ["rejected", "high"]


def test_of_two_models_of_one_name_the_scores_are_those_that_were_tiered(tiered):
    assert draw(tiered).frame["edu"].tolist()[0] == 19


def test_no_more_rows_are_read_than_are_drawn(tiered, monkeypatch):
    monkeypatch.setattr("curation.analysis.report.drawn.MOST_DOCUMENTS", 6)
    assert draw(tiered).frame["id"].tolist() == ["a", "b", "c", "d", "a", "b"]


def test_what_a_rule_rejected_is_not_just_inside_a_tier(tiered):
    found = draw(tiered)
    ranked = [examples._nearest(tiered, found, frame, 19)[0] for frame in (found.frame, examples.ranked(found.frame))]
    assert found.frame["tier"][[place for (place,) in ranked]].tolist() == ["rejected", "high"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"outcome": "stopped", "shards": {"planned": 4, "waiting": 3}},
            "1 of 4 shards scored. The same command goes on",
        ),
        ({"outcome": "incomplete", "why": "The <disk> is full."}, "The &lt;disk&gt; is full."),
        ({"outcome": "incomplete", "failed": {"a": "<i>"}}, "Not complete: 1 shard failed"),
        ({"outcome": "incomplete", "problems": ["x"]}, "What does not add up:</b> <bdi>x</bdi>"),
        ({"outcome": "incomplete", "tiers": {}}, "These tiers are of an earlier state."),
    ],
)
def test_a_run_that_did_not_reconcile_opens_with_why(facts, change, words):
    assert words in opening.opening(replace(facts, ended=facts.ended | change), ())


def test_a_run_that_has_not_ended_says_so(facts):
    empty = replace(facts, ended={}, described={})
    assert "No run has ended here yet" in opening.opening(empty, ())


def test_truncation_is_worth_a_look(facts):
    assert "only the beginning was read: 30&nbsp;% (<bdi>edu</bdi>)." in "".join(opening.findings(facts))


def test_cuts_that_coincide_are_worth_a_look(facts):
    assert "only 1 of its 19 cuts differ" in "".join(opening.findings(facts))


def test_tiers_without_a_range_say_what_they_are(facts):
    assert [buckets(each) for each in facts.described["tiers"]] == ["19", "18", "12 to 17", "7 to 11", "0 to 6", "none"]


def test_credentials_of_addresses_are_in_no_fact(tmp_path):
    secret = "sftp://bob:hunter2@host/in"
    (tmp_path / "report").mkdir()
    (tmp_path / "config.json").write_text(json.dumps({"input": {"path": secret}}))
    ended = {"format": 1, "why": f"{secret}: is not there", "models": [{"model": secret}], "failed": {}}
    (tmp_path / "report" / "report.json").write_text(json.dumps(ended))
    found = read(str(tmp_path))
    assert found.ended["models"] == [{"model": "sftp://…@host/in"}]
    assert "hunter2" not in json.dumps(found.ended)
    assert "hunter2" not in running.provenance(replace(found, ended={}))


def test_without_examples_no_message_quotes_a_document(facts):
    failed = {"a": "ValueError: could not convert 'Jane Doe'", "b": "b.jsonl: cannot be read. Check the disk."}
    shown = running.rows(without_quotes(replace(facts, ended=facts.ended | {"failed": failed, "counted": False})))
    assert "Jane" not in shown
    assert "a: ValueError; what it says is in log/." in shown
    assert "b.jsonl: cannot be read. Check the disk." in shown


def test_tiers_are_told_of_from_the_best_on_whatever_their_order(facts):
    turned = replace(facts, described=facts.described | {"tiers": facts.described["tiers"][::-1]})
    assert ([each["name"] for each in turned.tiers], turned.colors) == (
        [each["name"] for each in facts.tiers],
        facts.colors,
    )


def test_the_card_says_where_cuts_are_from_and_that_a_run_is_incomplete(facts):
    grouped = replace(facts, opinion={"group": "lang"}, ended=facts.ended | {"outcome": "stopped"})
    words = card.markdown(grouped)
    assert "19 cuts, exact quantiles of all scores, for each lang its own" in words
    assert "It is incomplete" in words
    assert "found elsewhere" in card.markdown(replace(facts, opinion={"thresholds": "a.json"}))
    assert "It is incomplete" not in card.markdown(facts)


def test_where_nothing_was_scored_no_mean_is_told_of(facts):
    assert "No document was scored" in tiers.decides(facts)
    assert "The quality is a mean" in tiers.decides(replace(facts, opinion={"ensemble": "mean"}))


@pytest.mark.parametrize(("more", "is_told"), [(20, False), (400, True)])
def test_classifiers_that_know_nothing_of_one_another_do_not_pull_in_opposite_directions(facts, more, is_told):
    counts = np.full((21, 21), 40, int)
    counts[1:, 1:] += more * np.eye(20, dtype=int)[::-1]
    pairs = [{"first": "a", "second": "b", "documents": counts.tolist()}]
    found = "".join(opening.findings(replace(facts, described=facts.described | {"pairs": pairs})))
    assert ("opposite directions" in found) == is_told


def test_of_more_classifiers_than_colours_the_rest_are_others(facts):
    names = [f"c{number}" for number in range(9)]
    alone = [{"by": [name], "tier": "high", "documents": 1, "bytes": 10, "tokens": 1} for name in names]
    classifiers = [EDU | {"name": name} for name in names]
    page = tiers.decides(replace(facts, described=facts.described | {"classifiers": classifiers, "decides": alone}))
    assert "one of the others: 22.2 %" in page
    assert page.count("alone</bdi>") + page.count("alone</span>") == 8


def header(markdown):
    return yaml.safe_load(markdown.split("---\n")[1])


def test_the_card_has_a_header_that_the_hub_reads(facts):
    found = header(card.markdown(facts))
    assert found["pretty_name"] == "<b>mine"
    assert found["size_categories"] == ["n<1K"]
    assert "license" not in found
    assert found["configs"][0] == {"config_name": "high", "data_files": "documents/quality=high/**/*.parquet"}
    assert [each["config_name"] for each in found["configs"]] == ["high", "medium-high", "medium", "medium-low", "low"]


def test_the_header_of_the_card_holds_any_name(facts):
    named = replace(facts, layout=Layout("/runs/\U0001f600 \u4e2d\x85: 'a\""))
    assert header(card.markdown(named))["pretty_name"] == "\U0001f600 \u4e2d : 'a\""


def test_without_copied_documents_the_card_names_no_files(facts):
    assert "configs" not in header(card.markdown(replace(facts, config={})))


def test_names_do_not_break_the_card(facts):
    text = card.markdown(facts)
    assert "# \\<b\\>mine" in text
    assert "| a\\|b |" in text
    assert "edu read only the beginning of 30 % of the documents." in text
