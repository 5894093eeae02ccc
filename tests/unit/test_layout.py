import pytest

from curation.data.layout import Layout, classifier_folder


@pytest.mark.parametrize("root", ["/data/run", "memory://run", "s3://bucket/run"])
def test_every_file_of_a_run_has_its_place(root):
    layout, shard = Layout(root), "a/b.jsonl.bytes-0-9"
    assert [
        layout.config_json,
        layout.lock_json,
        layout.inputs_json,
        layout.shards,
        layout.scratch,
        layout.rows(shard),
        layout.scores(classifier_folder("edu", "0123456789abcdef"), shard),
        layout.quarantine(shard),
        layout.spec(),
        layout.thresholds("mine"),
        layout.tiers("mine", shard),
        layout.documents("high", shard),
        layout.log(3),
        layout.report("index.html"),
    ] == [
        f"{root}/config.json",
        f"{root}/lock.json",
        f"{root}/inputs.json",
        f"{root}/shards.parquet",
        f"{root}/.scratch",
        f"{root}/rows/a/b.jsonl.bytes-0-9.parquet",
        f"{root}/scores/edu-01234567/a/b.jsonl.bytes-0-9.parquet",
        f"{root}/quarantine/a/b.jsonl.bytes-0-9.parquet",
        f"{root}/tierings/default/spec.json",
        f"{root}/tierings/mine/thresholds.json",
        f"{root}/tierings/mine/tiers/a/b.jsonl.bytes-0-9.parquet",
        f"{root}/documents/quality=high/kind=actual/kind2=actual/a/b.jsonl.bytes-0-9.parquet",
        f"{root}/log/3.jsonl",
        f"{root}/report/index.html",
    ]
