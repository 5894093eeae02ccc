"""A run directory of format 1 stays readable. The first version wrote these files; nobody writes them again."""

from pathlib import Path

from curation.data.fingerprints import KnownInput, read_inputs
from curation.data.layout import QUARANTINE_SCHEMA, Layout, columns_schema, rows_schema
from curation.data.shards import Shard, read_shards
from curation.data.sidecar import iter_columns, read_columns, read_record

LAYOUT = Layout(str(Path(__file__).parent / "format-1"))
SHARD = "web/a.jsonl.bytes-0-120"
INPUT = "d1f6f2a4c5b60718293a4b5c6d7e8f90"
ABOUT = {"format": 1, "shard": SHARD, "input": INPUT}
ROWS = ABOUT | {"kind": "rows", "num_rows": 4, "read": 5, "ok": 2, "blank": 1, "not_selected": 1, "quarantined": 1}


def test_rows_of_format_1_are_read():
    assert read_record(LAYOUT.rows(SHARD)) == ROWS
    table = read_columns(LAYOUT.rows(SHARD))
    assert table.schema.equals(rows_schema({"lang": "string", "year": "int64", "share": "float64", "seen": "bool"}))
    assert table.to_pydict() == {
        "position": [0, 30, 55, 99],
        "id": ["one", "zwei-ß", "a#55", "四"],
        "n_bytes": [11, 0, 7, 3_000_000_000],
        "n_chars": [11, 0, 5, 1_000_000_000],
        "n_tokens": [3, 0, 2, 750_000_000],
        "state": ["ok", "blank", "not_selected", "ok"],
        "lang": ["en", None, "de", "zh"],
        "year": [2024, None, -1, 9_223_372_036_854_775_807],
        "share": [0.1, None, -0.0, 1e-300],
        "seen": [True, None, False, True],
    }


def test_scores_of_format_1_are_read_bit_by_bit():
    url = LAYOUT.scores("edu-0123abcd", SHARD)
    assert read_record(url) == ABOUT | {
        "kind": "scores",
        "classifier": "0123abcd" * 8,
        "num_rows": 4,
        "num_nonfinite": 1,
    }
    table = read_columns(url)
    assert table.schema.equals(columns_schema({"edu": "float32", "edu_label": "str"}))
    assert table["position"].to_pylist() == [0, 30, 55, 99]
    assert [None if score is None else score.hex() for score in table["edu"].to_pylist()] == [
        "0x1.99999a0000000p+1",
        None,
        "-0x0.0p+0",
        "0x1.0000000000000p-149",
    ]
    assert table["edu_label"].to_pylist() == ["high", None, "low", "low"]


def test_tiers_of_format_1_are_read_by_row_group():
    url = LAYOUT.tiers("default", SHARD)
    assert read_record(url) == ABOUT | {"kind": "tiers", "opinion": "ff" * 32, "num_rows": 4}
    assert [table.to_pydict() for table in iter_columns(url, ["edu_bucket", "quality", "tier"])] == [
        {"edu_bucket": [19, -1], "quality": [19, -1], "tier": ["high", "unscored"]},
        {"edu_bucket": [0, 7], "quality": [0, 7], "tier": ["low", "medium-low"]},
    ]


def test_quarantine_of_format_1_is_read():
    assert read_record(LAYOUT.quarantine(SHARD)) == ABOUT | {"kind": "quarantine", "num_rows": 1}
    table = read_columns(LAYOUT.quarantine(SHARD))
    assert table.schema.equals(QUARANTINE_SCHEMA)
    assert table.to_pylist() == [{"position": 70, "reason": "bad UTF-8 in the text", "raw": b'{"text": "\xff"}'}]


def test_a_plan_of_format_1_is_read():
    assert read_shards(LAYOUT.shards) == (
        Shard(SHARD, "/data/web/a.jsonl", "web/a.jsonl", "jsonl", "", 0, 120, 0, 0, 120, -1),
        Shard("b.parquet.rows-0-9", "s3://bucket/b.parquet", "b.parquet", "parquet", "", 0, 9, 0, 2, 4096, 9),
        Shard("c.jsonl.gz", "/data/c.jsonl.gz", "c.jsonl.gz", "jsonl", "gzip", 0, 77, 0, 0, 77, -1),
    )


def test_what_format_1_knew_of_inputs_is_read():
    assert read_inputs(LAYOUT.inputs_json) == {"web/a.jsonl": KnownInput(120, "1795261001591138000", {SHARD: INPUT})}
