"""New opinions over old scores: calibrate and tier every row of a run again. Prints JSON.

Writes the directory of a run whose sidecars hold drawn scores of three classifiers, then forms tierings of it with
`pipelines/retier.py`: with other weights, with thresholds for each language, and with those of another tiering. Seconds
are those of the whole command, `cpu_s` what all its processes have computed, which other work on the machine changes
less; memory is the peak of the driver with its scheduler, and of the largest worker.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from curation.data.layout import Layout, columns_schema, rows_schema
from curation.data.shards import Shard, write_shards
from curation.data.sidecar import SidecarWriter

SCRIPT = Path(__file__).parents[1] / "pipelines" / "retier.py"
CLASSIFIERS = ("mixtral-edu", "nemotron-4-edu", "dclm")
LANGUAGES = ("de", "en", "fr", "zh")
LOOK_EVERY_S = 0.2
_ROWS = {"kind": "rows", "reading": "drawn", "tokens": "drawn", "made_ids": 0, "carry_nulls": 0}


def write_run(root: Path, num_shards: int, rows_per_shard: int) -> None:
    """Shards, rows and scores, as a run that has scored them leaves them."""
    layout = Layout(str(root))
    draw = np.random.default_rng(0)
    names = [f"part-{number:05}.parquet" for number in range(num_shards)]
    num_bytes = draw.integers(200, 20_000, rows_per_shard)
    write_shards(
        layout.shards,
        [
            Shard(
                name,
                f"file:///drawn/{name}",
                name,
                "parquet",
                "",
                0,
                rows_per_shard,
                0,
                1,
                int(num_bytes.sum()),
                rows_per_shard,
            )
            for name in names
        ],
    )
    positions = np.arange(rows_per_shard)
    schema, score_schemas = (
        rows_schema({"lang": "string"}),
        {name: columns_schema({name: "float32"}) for name in CLASSIFIERS},
    )
    for name in names:
        about = {"shard": name, "input": "drawn", "num_rows": rows_per_shard}
        rows = {
            "position": positions,
            "id": np.char.add(f"{name}#", positions.astype(str)),
            "n_bytes": num_bytes,
            "n_chars": num_bytes,
            "n_tokens": num_bytes // 4,
            "state": np.full(rows_per_shard, "ok", object),
            "lang": np.asarray(LANGUAGES, object)[draw.integers(0, len(LANGUAGES), rows_per_shard)],
        }
        counts = {"read": rows_per_shard, "ok": rows_per_shard, "blank": 0, "not_selected": 0, "quarantined": 0}
        with SidecarWriter(layout.rows(name), schema) as writer:
            writer.write(rows)
            writer.finish(about | counts | _ROWS)
        for place, classifier in enumerate(CLASSIFIERS):
            scores = draw.beta(1, 4 + place, rows_per_shard).astype(np.float32)
            with SidecarWriter(layout.scores(f"{classifier}-{place:08}", name), score_schemas[classifier]) as writer:
                writer.write({"position": positions, classifier: scores})
                writer.finish(about | {"kind": "scores", "classifier": f"{place:064}", "num_scored": rows_per_shard})


def command(root: Path, name: str, *overrides: str) -> dict[str, Any]:
    """Seconds and peaks of memory of one tiering, from the shell."""
    config = root.with_name(f"{name}.json")
    config.write_text(json.dumps({"run": str(root), "name": name, "cluster": {"kind": "cpu", "workers": 2}}))
    start, cpu_before_s = time.perf_counter(), cpu_s()
    with subprocess.Popen(
        [sys.executable, str(SCRIPT), str(config), *overrides],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        peaks = {"driver": 0.0, "worker": 0.0}
        ended = threading.Event()
        looking = threading.Thread(target=look, args=(process.pid, peaks, ended))
        looking.start()
        said, _ = process.communicate()
        ended.set()
        looking.join()
    if process.returncode:
        sys.exit(said)
    seconds = {"s": round(time.perf_counter() - start, 1), "cpu_s": round(cpu_s() - cpu_before_s, 1)}
    return seconds | {f"{who}_mb": round(mb) for who, mb in peaks.items()}


def cpu_s() -> float:
    """What the processes that have ended below this one have computed."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def look(pid: int, peaks: dict[str, float], ended: threading.Event) -> None:
    """Keep the largest resident memory of a process and of those below it."""
    driver = psutil.Process(pid)
    while not ended.wait(LOOK_EVERY_S):
        try:
            peaks["driver"] = max(peaks["driver"], driver.memory_info().rss / 1e6)
            for worker in driver.children(recursive=True):
                peaks["worker"] = max(peaks["worker"], worker.memory_info().rss / 1e6)
        except psutil.NoSuchProcess:
            continue


def measure(num_shards: int, rows_per_shard: int, place: str | None) -> dict[str, Any]:
    """Seconds of the three tierings."""
    with tempfile.TemporaryDirectory(dir=place) as folder:
        root = Path(folder) / "run"
        write_run(root, num_shards, rows_per_shard)
        store_bytes = sum(path.stat().st_size for path in root.rglob("*.parquet"))
        tokens = command(root, "tokens", "tiering.weights=tokens")
        frozen = root / "tierings" / "tokens" / "thresholds.json"
        found = {
            "own_thresholds": tokens,
            "frozen_thresholds": command(root, "frozen", f"tiering.thresholds={frozen}"),
            "thresholds_by_language": command(root, "language", "tiering.group=lang"),
        }
    num_rows = num_shards * rows_per_shard
    for each in found.values():
        each["rows_per_s"] = round(num_rows / each["s"])
    return {"num_rows": num_rows, "num_shards": num_shards, "store_mb": round(store_bytes / 1e6)} | found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-shards", type=int, default=2_500)
    parser.add_argument("--rows-per-shard", type=int, default=40_000)
    parser.add_argument("--place", help="where the temporary folder is made; the default is that of the system")
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.num_shards, arguments.rows_per_shard, arguments.place), indent=1))


if __name__ == "__main__":
    main()
