"""Files that are broken in every way: the run reconciles or says what is wrong, and never shows a traceback."""

import gzip
import json

import pandas as pd
import pyarrow.parquet as pq
import pytest
from run_files import REPOSITORY, call, documents, execute, write_jsonl

from curation import config

GOOD = b"".join(json.dumps(row).encode() + b"\n" for row in documents(50))


def zstd(data):
    import pyarrow as pa

    return pa.Codec("zstd").compress(data, asbytes=True)


FAILING = {
    "cut.jsonl.gz": gzip.compress(GOOD)[:-20],
    "cut.jsonl.zst": zstd(GOOD)[:-20],
    "text.jsonl.gz": GOOD,
    "cut.parquet": b"PAR1" + GOOD,
    "empty.parquet": b"",
}
SURVIVING = {
    "empty.jsonl": b"",
    "nul.jsonl": b"\x00\x00\n" + GOOD,
    "crlf.jsonl": GOOD.replace(b"\n", b"\r\n"),
    "surrogate.jsonl": b'{"text": "\\ud800"}\n' + GOOD,
    "latin.jsonl": b'{"text": "caf\xe9"}\n' + GOOD,
    "types.jsonl": b'{"text": {"a": [null]}}\n{"text": []}\n{"text": true}\n[1]\n"x"\nnull\n' + GOOD,
    "nested.jsonl": b'{"text": "x", "more": ' + b"[" * 5000 + b"]" * 5000 + b"}\n" + GOOD,
    "twice.jsonl": GOOD + GOOD,
    "long.jsonl": json.dumps({"text": "A long line of words. " * 2_400_000}).encode() + b"\n" + GOOD,
}


@pytest.mark.parametrize("name", FAILING)
def test_a_file_that_cannot_be_read_to_its_end_fails_beside_the_others(tables, corpus, tmp_path, name):
    (corpus / name).write_bytes(FAILING[name])
    done = call(tables | {"cluster": {"workers": 1}}, tmp_path / "config.json")  # whose log is the script's
    assert done.returncode == 1, done.stdout
    assert f"failed: {name}: " in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert len(list((tmp_path / "run" / "rows").iterdir())) == 12


def test_what_can_be_read_reconciles(tables, corpus):
    for file in corpus.iterdir():
        file.unlink()
    for name, data in SURVIVING.items():
        (corpus / name).write_bytes(data)
    done = execute(tables)
    assert done.code == 0, done.text
    counts = json.loads((done.folder / "report" / "report.json").read_text())["files"]
    states = {name: [counts[name].get(state, 0) for state in ("read", "ok", "quarantined")] for name in SURVIVING}
    assert states == {
        "empty.jsonl": [0, 0, 0],
        "nul.jsonl": [51, 50, 1],
        "crlf.jsonl": [50, 50, 0],
        "surrogate.jsonl": [51, 50, 1],
        "latin.jsonl": [51, 50, 1],
        "types.jsonl": [56, 50, 6],
        "nested.jsonl": states["nested.jsonl"],
        "twice.jsonl": [100, 100, 0],
        "long.jsonl": [51, 51, 0],
    }
    assert states["nested.jsonl"] in ([51, 51, 0], [51, 50, 1])


def test_blank_text_has_no_tier_and_no_bucket(tables, corpus):
    for file in corpus.iterdir():
        file.unlink()
    write_jsonl(corpus / "part.jsonl", [{"id": "a", "text": ""}, {"id": "b", "text": " \n\t"}, *documents(20)])
    done = execute(tables)
    tiers = pd.read_parquet(next((done.folder / "tierings").rglob("part*.parquet")))
    assert (
        tiers.iloc[:2][["edu_bucket", "keep_bucket", "quality", "tier"]].to_numpy().tolist()
        == [[-1, -1, -1, "unscored"]] * 2
    )
    scores = pq.read_table(next((done.folder / "scores").glob("edu-*/part*")))["edu"]
    assert scores[:2].null_count == 2
    assert "22 read = 20 ok + 2 blank" in done.text


def test_the_embedded_hostile_documents_reconcile(client, tmp_path):
    tables = config.load(REPOSITORY / "configs" / "embedded.toml") | {"output": str(tmp_path / "run")}
    tables["cluster"] = {"kind": "existing", "address": client.scheduler.address}
    done = execute(tables, "input.path=embedded:documents/hostile.jsonl", "calibrate=own")
    assert done.code == 0
    assert "rows: 15 read = 8 ok + 2 blank + 0 not selected + 5 quarantined" in done.text
