"""pipelines/audit.py: a sheet of documents of every tier, and what people wrote on it."""

import csv
import io
import json
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from run_files import REPOSITORY, execute, write_jsonl

from curation.analysis.audit.agreement import agreement
from curation.analysis.audit.sheet import AuditSpec, draw, plan
from curation.core.errors import ConfigError, ShardError
from curation.data.lots import lots
from curation.data.shards import read_shards, write_shards
from curation.execution.cluster.spec import ClusterSpec

HOSTILE = '=HYPERLINK("http://example.invalid","x"), "quoted"\r\nand a second line\x85third\u2028fourth'
NUM_DOCUMENTS = 240
TIERS = ("high", "medium", "low")


@pytest.fixture(scope="module")
def scored(tmp_path_factory, models, client):
    """A run of two classifiers over three files, one text of which is hostile to spreadsheets."""
    folder = tmp_path_factory.mktemp("audit")
    letters = np.random.default_rng(0).integers(97, 123, (NUM_DOCUMENTS, 40)).astype(np.uint8)
    texts = [bytes(row).decode() for row in letters]
    texts[7] = HOSTILE
    for number in range(3):
        here = range(number, NUM_DOCUMENTS, 3)
        write_jsonl(
            folder / "corpus" / f"{number}.jsonl", [{"id": f"doc-{place}", "text": texts[place]} for place in here]
        )
    done = execute(
        {
            "output": str(folder / "run"),
            "input": {"path": str(folder / "corpus")},
            "classifier": [models["edu"], models["other"]],
            "tiering": {"tiers": {"high": [17, 19], "medium": [10, 16], "low": [0, 9]}},
            "cluster": {"kind": "existing", "address": client.scheduler.address},
        }
    )
    assert done.code == 0
    return folder


@pytest.fixture
def spec(scored, tmp_path, client):
    """An audit of that run."""
    cluster = ClusterSpec(kind="existing", address=client.scheduler.address)
    return AuditSpec(str(scored / "run"), str(tmp_path / "audit"), num_documents=60, cluster=cluster)


def shards_url(folder):
    """The plan of the run in a folder."""
    return str(folder / "run" / "shards.parquet")


def read_csv(path):
    """The rows of a CSV file as dictionaries of strings."""
    return list(csv.DictReader(io.StringIO(Path(path).read_bytes().decode("utf-8-sig"), newline="")))


def test_every_stratum_has_equally_many_or_all_it_has(spec):
    planned = plan(spec)
    assert draw(planned) == 60
    key = read_csv(Path(spec.output) / "key.csv")
    drawn = Counter((row["tier"], row["decided_by"]) for row in key)
    assert drawn == {part.stratum: part.drawn for part in planned.parts}
    least = min(part.drawn for part in planned.parts)
    assert all(part.drawn in {part.there, least} or part.drawn > least for part in planned.parts)
    assert sum(part.there for part in planned.parts) == NUM_DOCUMENTS


def test_the_key_says_what_the_tiering_says(spec, scored):
    draw(plan(spec))
    tiers = {
        f"{shard}.jsonl": pq.read_table(scored / "run" / "tierings" / "default" / "tiers" / f"{shard}.jsonl.parquet")
        .to_pandas()
        .set_index("position")
        for shard in range(3)
    }
    for row in read_csv(Path(spec.output) / "key.csv"):
        said = tiers[row["shard"]].loc[int(row["position"])]
        by = [name for name in ("edu", "other") if said[f"{name}_bucket"] == said["quality"]]
        assert (row["tier"], row["decided_by"], int(row["quality"])) == (said["tier"], " + ".join(by), said["quality"])


def test_the_sheet_has_texts_and_no_word_about_tiers(spec, scored):
    draw(plan(replace(spec, num_documents=NUM_DOCUMENTS)))
    sheet = read_csv(Path(spec.output) / "sheet.csv")
    assert list(sheet[0]) == ["number", "label", "remark", "id", "text"]
    lines = [json.loads(line) for line in (Path(spec.output) / "sheet.jsonl").read_text().split("\n")[:-1]]
    assert len(lines) == len(sheet) == NUM_DOCUMENTS
    assert {each["label"] for each in lines} == {None}
    texts = {}
    for path in (scored / "corpus").iterdir():
        texts |= {row["id"]: row["text"] for row in map(json.loads, path.read_text().split("\n")[:-1])}
    assert {row["id"]: row["text"] for row in lines} == texts
    assert {row["id"]: row["text"] for row in sheet} == texts | {"doc-7": f"'{HOSTILE}"}


def test_a_long_text_is_cut_on_the_sheet(spec):
    draw(plan(replace(spec, max_chars=10)))
    lines = (Path(spec.output) / "sheet.jsonl").read_text().split("\n")[:-1]
    assert {len(json.loads(line)["text"]) for line in lines} == {12}


def test_equal_seeds_draw_equal_documents_and_others_other_ones(spec, tmp_path):
    found = []
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        draw(plan(replace(spec, output=str(tmp_path / folder), seed=seed)))
        found.append((tmp_path / folder / "sheet.csv").read_bytes())
    assert found[0] == found[1] != found[2]


def test_a_sheet_is_not_drawn_twice_and_never_by_other_settings(spec):
    draw(plan(spec))
    assert plan(spec).is_there
    with pytest.raises(ConfigError, match=r"people may have written on it\. Choose another folder"):
        plan(replace(spec, seed=1))


def test_input_that_has_changed_is_refused(spec, scored, tmp_path):
    moved = shutil.copytree(scored, tmp_path / "moved")
    settings = (moved / "run" / "config.json").read_text().replace(str(scored), str(moved))
    (moved / "run" / "config.json").write_text(settings)
    shards = [replace(each, url=each.url.replace(str(scored), str(moved))) for each in read_shards(shards_url(moved))]
    write_shards(shards_url(moved), shards)
    path = moved / "corpus" / "1.jsonl"
    path.write_bytes(path.read_bytes().replace(b"doc-1", b"cod-1"))
    with pytest.raises(ShardError, match=r"1\.jsonl: has changed since it was scored"):
        draw(plan(replace(spec, run=str(moved / "run"))))


def test_a_tiering_that_was_not_described_is_refused(spec, scored, tmp_path):
    run = shutil.copytree(scored / "run", tmp_path / "run")
    (run / "tierings" / "default" / "description.json").unlink()
    with pytest.raises(ConfigError, match=r"Run run_ensemble\.py or retier\.py again"):
        plan(replace(spec, run=str(run)))


def fill(spec, label, name="sheet.csv", *, delimiter=","):
    """Fill a sheet in by what `label` says of each row of the key; gives the path."""
    labels = {row["number"]: label(row) for row in read_csv(Path(spec.output) / "key.csv")}
    sheet = [row | {"label": labels[row["number"]]} for row in read_csv(Path(spec.output) / "sheet.csv")]
    file = io.StringIO()
    writer = csv.DictWriter(file, list(sheet[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(sheet)
    path = Path(spec.output) / name
    path.write_bytes(b"\xef\xbb\xbf" + file.getvalue().encode())
    return str(path)


def test_labels_that_are_the_tiers_agree_wholly(spec):
    draw(plan(spec))
    fill(spec, lambda row: row["tier"].upper() + " ", delimiter=";")
    (person,) = agreement(spec)["people"]
    assert person["num_labelled"] == 60
    assert person["kappa"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert [(each["of"], each["same_share"], each["shift"], each["kappa"]) for each in person["by_tier"]] == [
        (tier, 1.0, 0.0, 1.0) for tier in TIERS
    ]


def test_agreement_weighs_each_stratum_as_the_run_has_it(spec):
    draw(plan(spec))
    fill(spec, lambda row: "medium" if row["tier"] == "high" else row["tier"])
    planned = plan(spec)
    (person,) = agreement(spec)["people"]
    num_high = sum(part.there for part in planned.parts if part.tier == "high")
    assert person["same_share"] == pytest.approx(1 - num_high / NUM_DOCUMENTS)
    assert person["by_tier"][0]["shift"] == -1.0
    assert person["by_tier"][0]["kappa"] == 0.0
    assert sum(person["confusion"][0]) == sum(int(each["num_labelled"]) for each in person["by_tier"][:1])


def test_chance_has_a_kappa_of_about_zero(spec):
    spec = replace(spec, num_documents=NUM_DOCUMENTS)
    draw(plan(spec))
    at_random = np.random.default_rng(0)
    fill(spec, lambda _: at_random.choice(TIERS))
    (person,) = agreement(spec)["people"]
    assert person["kappa"]["low"] < 0 < person["kappa"]["high"]


def test_who_stops_half_way_is_counted_for_what_each_stratum_has(spec):
    draw(plan(spec))
    there = Counter()
    for part in plan(spec).parts:
        there[part.tier] += part.there
    seen = set()

    def label(row):
        """Nothing on low documents, but for the first of each stratum, which is said to be high."""
        is_first = (stratum := (row["tier"], row["decided_by"])) not in seen
        seen.add(stratum)
        return row["tier"] if row["tier"] != "low" else "high" if is_first else ""

    fill(spec, label)
    (person,) = agreement(spec)["people"]
    assert person["covered_share"] == pytest.approx(1)
    assert person["same_share"] == pytest.approx(1 - there["low"] / NUM_DOCUMENTS)
    fill(spec, lambda row: row["tier"] if row["tier"] != "low" else "")
    (person,) = agreement(spec)["people"]
    assert person["covered_share"] == pytest.approx(1 - there["low"] / NUM_DOCUMENTS)
    assert person["same_share"] == 1


def test_labels_outlive_the_tiering_that_they_judge(spec, scored, tmp_path):
    run = shutil.copytree(scored / "run", tmp_path / "run")
    spec = replace(spec, run=str(run))
    draw(plan(spec))
    fill(spec, lambda row: row["tier"])
    shutil.rmtree(run)
    assert agreement(spec)["people"][0]["kappa"]["value"] == 1


def test_a_sheet_that_nothing_tells_of_is_not_overwritten(spec):
    draw(plan(spec))
    fill(spec, lambda row: row["tier"])
    (Path(spec.output) / "audit.json").unlink()
    with pytest.raises(ConfigError, match=r"sheet\.csv is there, and no audit\.json says of what"):
        draw(plan(spec))


def test_the_directory_of_a_run_is_no_place_for_a_sheet(spec):
    with pytest.raises(ConfigError, match="is the directory of a run; choose a folder of its own"):
        plan(replace(spec, output=spec.run))


def test_strata_that_nothing_is_drawn_of_are_said(spec):
    lines = list(plan(replace(spec, num_documents=2)).lines())
    assert any("num_documents is too small for" in line for line in lines)


def test_the_order_of_a_sheet_does_not_tell_how_rare_a_stratum_is():
    """Lots of small strata go up to the last one, those of large strata do not."""
    frame = pd.DataFrame({"lot": lots(0, "a", np.arange(100_000)), "order": lots(0, "a\0order", np.arange(100_000))})
    rare, common = frame[:100], frame[100:].nsmallest(100, "lot")
    assert rare["lot"].median() > common["lot"].max()
    assert 0.6 < rare["order"].astype(float).median() / common["order"].astype(float).median() < 1.7


def test_two_people_are_compared_with_each_other_in_every_tier(spec):
    draw(plan(spec))
    first = fill(spec, lambda row: "" if int(row["number"]) % 10 == 0 else TIERS[int(row["number"]) % 3], "first.csv")
    second = fill(spec, lambda row: TIERS[int(row["number"]) % 3], "second.csv")
    found = agreement(replace(spec, labels=(first, second)))
    (pair,) = found["between"]
    assert (pair["num_documents"], pair["kappa"]) == (54, 1.0)
    assert [(each["of"], each["kappa"]) for each in pair["by_tier"]] == [(tier, 1.0) for tier in TIERS]
    assert [person["num_labelled"] for person in found["people"]] == [54, 60]


def test_a_filled_sheet_of_json_lines_is_read_too_with_any_text(spec):
    spec = replace(spec, num_documents=NUM_DOCUMENTS)
    draw(plan(spec))
    tiers = {row["number"]: row["tier"] for row in read_csv(Path(spec.output) / "key.csv")}
    path = Path(spec.output) / "sheet.jsonl"
    rows = [json.loads(line) for line in path.read_text().split("\n")[:-1]]
    write_jsonl(path, [row | {"label": tiers[str(row["number"])]} for row in rows])
    (person,) = agreement(replace(spec, labels=(str(path),)))["people"]
    assert person["kappa"]["value"] == 1.0


@pytest.mark.parametrize(
    ("label", "said"),
    [("best", "'best' is no tier; write one of high, medium, low"), ("", "nobody has written a label")],
)
def test_labels_that_mean_nothing_are_refused(spec, label, said):
    draw(plan(spec))
    fill(spec, lambda _: label)
    with pytest.raises(ConfigError, match=said):
        agreement(spec)


def test_the_script_draws_and_reads_back(spec, scored, tmp_path):
    arguments = [f"run={scored / 'run'}", f"output={tmp_path / 'audit'}", f"cluster.address={spec.cluster.address}"]
    command = [sys.executable, "pipelines/audit.py", "configs/audit.toml", *arguments, "cluster.kind=existing"]
    drawn = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=120)
    assert (drawn.returncode, drawn.stderr) == (0, "")
    assert "Drawn: 60 documents" in drawn.stdout
    fill(spec, lambda row: row["tier"])
    back = subprocess.run(
        [*command, "--agreement"], cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=120
    )
    assert (back.returncode, back.stderr) == (0, "")
    assert "60 of 60 labelled, kappa 1.00 [1.00, 1.00], 100.0% in the same tier" in back.stdout
