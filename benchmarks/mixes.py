"""Mixes of a large store: count what can be drawn, and find which documents are. Prints JSON.

Writes the directory of a run as `tierings.py` does, forms its tiers with `pipelines/retier.py`, then plans mixes of
them with `pipelines/plan_mix.py`, by tier, by tier and language, and by tier, language and quality; and finds the keys
at which the phases of the last one end, as `pipelines/write_mix.py` does before it copies. Seconds are those of whole
commands, and of that search; memory is the peak of the process, and after the search that of its driver.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from tierings import command, look, write_run

from curation.execution.cluster.connect import connect
from curation.execution.cluster.spec import ClusterSpec
from curation.execution.window import run_window
from curation.inference.replica import ScoringSpec
from curation.mixing.cuts import find_cuts
from curation.mixing.plan import look as look_at_runs
from curation.mixing.plan import plan
from curation.mixing.spec import Limit, MixSpec, Phase, RunSupply

SCRIPT = Path(__file__).parents[1] / "pipelines" / "plan_mix.py"
BYS = ((), ("lang",), ("lang", "quality"))


def planned(root: Path, by: tuple[str, ...], num_tokens: float) -> dict[str, Any]:
    """Seconds and peak of memory of one plan, from the shell."""
    config = root.with_name(f"{'-'.join(('mix', *by))}.json")
    run = {"path": str(root), "name": "drawn", "tiering": "tokens", "by": list(by)}
    phases = [{"name": "1", "tokens": num_tokens}, {"name": "2", "tokens": num_tokens / 2}]
    config.write_text(json.dumps({"output": str(root.with_name("mix")), "phase": phases, "run": [run]}))
    start = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, str(SCRIPT), str(config)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
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
    return {"s": round(time.perf_counter() - start, 1), "mb": round(peaks["driver"])}


def searched(root: Path, num_tokens: float) -> dict[str, Any]:
    """Seconds of both passes over the sidecars that find where phases end, without those that start the workers."""
    phases = (Phase("1", num_tokens), Phase("2", num_tokens / 2))
    run = RunSupply(str(root), "drawn", "tokens", BYS[-1])
    spec = MixSpec(str(root.with_name("mix")), phases, (run,), limit=(Limit(4.0),))
    found, runs = plan(spec), look_at_runs(spec)
    with connect(ClusterSpec(kind="cpu", workers=2), ScoringSpec(device="cpu")) as client:
        start = time.perf_counter()
        drawn = find_cuts(partial(run_window, client), found, runs, 0, lambda: False)
        seconds = time.perf_counter() - start
    if drawn is None:
        sys.exit("The search was stopped.")
    return {"s": round(seconds, 1), "mb": round(psutil.Process().memory_info().rss / 1e6), "sources": len(drawn.cuts)}


def measure(num_shards: int, rows_per_shard: int, place: str | None) -> dict[str, Any]:
    """Seconds of plans, and of the search."""
    num_rows = num_shards * rows_per_shard
    with tempfile.TemporaryDirectory(dir=place) as folder:
        root = Path(folder) / "run"
        write_run(root, num_shards, rows_per_shard)
        command(root, "tokens", "tiering.weights=tokens")
        found = {"by_" + ("_and_".join(by) or "tier"): planned(root, by, 1_000.0 * num_rows) for by in BYS}
        found["where_phases_end"] = searched(root, 1_000.0 * num_rows)
    for each in found.values():
        each["rows_per_s"] = round(num_rows / each["s"])
    return {"num_rows": num_rows, "num_shards": num_shards} | found


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
