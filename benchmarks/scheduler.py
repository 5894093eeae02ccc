"""What the scheduler costs: very many shards whose scoring does nothing, through the window of a run. Prints JSON.

Two workers. The items are those of a run, each with its spec; the function returns at once.
"""

import argparse
import json
import resource
import time

from curation.classifiers.encoder import Encoder
from curation.data.inputs import InputSpec
from curation.data.shards import Shard
from curation.execution.cluster.connect import connect
from curation.execution.cluster.spec import ClusterSpec
from curation.execution.scoring import ScoreTask, ShardDone
from curation.execution.spec import Pinned, RunSpec
from curation.execution.window import run_window
from curation.inference.replica import ScoringSpec


def nothing(task: ScoreTask) -> ShardDone:
    """A scorer that scores nothing."""
    return ShardDone(task.shard.num_bytes, 0, {"forward": 0.0})


def tasks(num_shards: int) -> list[ScoreTask]:
    """The tasks of a run over so many files."""
    classifier = Encoder("educational-value", "embedded:models/educational-value")
    spec = RunSpec("nowhere", InputSpec(path=("nowhere",)), (classifier,))
    pinned = (Pinned(classifier, "0" * 64),)
    return [ScoreTask(spec, shard(number), pinned, writes_rows=True) for number in range(num_shards)]


def shard(number: int) -> Shard:
    """One of very many files."""
    name = f"crawl/part-{number:06}.parquet"
    return Shard(
        name=name,
        url=f"/data/{name}",
        relative=name,
        format="parquet",
        compression="",
        start=0,
        stop=1000,
        first_group=0,
        stop_group=1,
        num_bytes=1 << 20,
        num_rows=1000,
    )


def main() -> None:
    """Connect, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("num_shards", nargs="?", type=int, default=100_000)
    arguments = parser.parse_args()
    items = tasks(arguments.num_shards)
    with connect(ClusterSpec(kind="cpu", workers=2), ScoringSpec()) as client:
        list(run_window(client, nothing, items[:100]))
        before = client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.transition_counter)
        start = time.perf_counter()
        num_done = sum(outcome.result is not None for outcome in run_window(client, nothing, items))
        seconds = time.perf_counter() - start
        transitions = client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.transition_counter) - before
    print(
        json.dumps(
            {
                "num_shards": arguments.num_shards,
                "num_done": num_done,
                "seconds": round(seconds, 2),
                "milliseconds_per_shard": round(1000 * seconds / arguments.num_shards, 4),
                "scheduler_transitions": transitions,
                "client_peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
