"""Whole runs with one worker and with two: how busy they are, and how far from what the machine itself allows.

Prints JSON. Documents are split into shards of about 100 kB and scored by the command itself, once with one worker and
once with two. The ceiling is measured beside them, in the same rounds: one process that scores the same documents in a
bare loop, without Dask, files or records; and two such processes at once, with half of the documents each. Two
processes share caches, memory and clock, so two of them are hardly ever twice as fast.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

SCRIPT = Path(__file__).parents[1] / "pipelines" / "run_ensemble.py"
CONFIG = Path(__file__).parents[1] / "configs" / "embedded.toml"
SHARD_BYTES = 100_000

BARE = """
import json, sys, time
from curation.classifiers.encoder import Encoder
from curation.classifiers.fasttext import FastText
from curation.inference.replica import ScoringSpec, load_replica

path, precision, part, parts = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
texts = [json.loads(line)["text"] for line in open(path, encoding="utf-8")][part::parts]
replica = load_replica([
    Encoder("educational-value", "embedded:models/educational-value", precision=precision),
    Encoder("text-quality", "embedded:models/quality", precision=precision),
    FastText("worth-keeping", "embedded:models/worth-keeping", "__label__keep"),
], ScoringSpec(device="cpu"))
print("ready", flush=True)
sys.stdin.readline()
start = time.perf_counter()
for first in range(0, len(texts), 40):
    replica(texts[first : first + 40])
print(time.perf_counter() - start, flush=True)
"""


def run(documents: Path, output: Path, precision: str, num_workers: int) -> dict[str, float]:
    """Seconds of scoring, and the share of the workers' time that the models had, by the run's own report."""
    command = [sys.executable, str(SCRIPT), str(CONFIG), f"input.path={documents}", f"output={output}", "calibrate=own"]
    settings = [f"cluster.workers={num_workers}", f"shard_bytes={SHARD_BYTES}", "scoring.token_budget=2048"]
    settings += [f"classifier.{name}.precision={precision}" for name in ("educational-value", "text-quality")]
    start = time.perf_counter()
    subprocess.run([*command, *settings], check=True, capture_output=True)
    whole_s = time.perf_counter() - start
    report = json.loads((output / "report" / "report.json").read_text())
    times = report["times"]
    return {"wall_s": times["wall_s"], "busy_share": times["shares"]["forward"], "whole_s": whole_s, **times["shares"]}


def bare(documents: Path, precision: str, num_processes: int) -> float:
    """Seconds until all processes have scored their part."""
    environ = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), "1")
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", BARE, str(documents), precision, str(part), str(num_processes)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ,
        )
        for part in range(num_processes)
    ]  # fmt: skip
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return max(float(process.communicate()[0]) for process in processes)


def measure(texts: list[str], precision: str, num_rounds: int) -> dict[str, Any]:
    """One and two workers, bare loops beside them, in turns."""
    with tempfile.TemporaryDirectory() as name:
        documents = Path(name) / "documents.jsonl"
        documents.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
        rounds: list[dict[str, Any]] = [
            {
                "bare_1_s": bare(documents, precision, 1),
                "one": run(documents, Path(name) / f"one-{number}", precision, 1),
                "bare_2_s": bare(documents, precision, 2),
                "two": run(documents, Path(name) / f"two-{number}", precision, 2),
            }
            for number in range(num_rounds)
        ]
    return {
        "num_documents": len(texts),
        "precision": precision,
        "busy_share_1": median(each["one"]["busy_share"] for each in rounds),
        "busy_share_2": median(each["two"]["busy_share"] for each in rounds),
        "speed_up": median(each["one"]["wall_s"] / each["two"]["wall_s"] for each in rounds),
        "ceiling": median(each["bare_1_s"] / each["bare_2_s"] for each in rounds),
        "of_the_ceiling": median(
            each["one"]["wall_s"] / each["two"]["wall_s"] / (each["bare_1_s"] / each["bare_2_s"]) for each in rounds
        ),
        "slower_than_bare_1": median(each["one"]["wall_s"] / each["bare_1_s"] for each in rounds),
        "slower_than_bare_2": median(each["two"]["wall_s"] / each["bare_2_s"] for each in rounds),
        "rounds": rounds,
    }


def median(values: Any) -> float:
    """To four places."""
    return round(float(statistics.median(values)), 4)


def main() -> None:
    """Read the texts, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", nargs="+", required=True, help="Parquet files with a column text")
    parser.add_argument("--num-documents", type=int, default=2000)
    parser.add_argument("--num-rounds", type=int, default=1)
    parser.add_argument("--precision", default="exact", choices=("exact", "fast"))
    arguments = parser.parse_args()
    texts = [text for path in arguments.texts for text in pq.read_table(path, columns=["text"])["text"].to_pylist()]
    print(json.dumps(measure(texts[: arguments.num_documents], arguments.precision, arguments.num_rounds), indent=1))


if __name__ == "__main__":
    main()
