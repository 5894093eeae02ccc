"""Very many tiny shards through the whole runner: what grows with them, and what must not."""

import tracemalloc
from types import SimpleNamespace

import pytest
from run_files import documents, execute, write_jsonl

from curation.execution.plan import make_plan
from curation.execution.run import RECONCILED

FILES_PER_FOLDER = 100
BYTES_PER_SHARD = 6_000
"""What planning may hold of a shard at most, its records included."""


def held(client):
    """What the scheduler holds that could grow with what it has done."""
    return client.run_on_scheduler(
        lambda dask_scheduler: (
            len(dask_scheduler.tasks),
            len(dask_scheduler.task_groups),
            sorted(dask_scheduler.task_prefixes),
        )
    )


@pytest.fixture(scope="module", params=[2_000, pytest.param(100_000, marks=pytest.mark.long)])
def many(request, tmp_path_factory, models, client):
    """A run of three shards, then one of very many; what the scheduler held after each."""

    def run(num_shards):
        folder = tmp_path_factory.mktemp("scale")
        for number in range(num_shards):
            path = folder / "corpus" / f"{number // FILES_PER_FOLDER:04}" / f"{number:06}.jsonl"
            write_jsonl(path, documents(1 + number % 2, number))
        return execute(
            {
                "output": str(folder / "run"),
                "input": {"path": str(folder / "corpus")},
                "classifier": [models["keep"]],
                "cluster": {"kind": "existing", "address": client.scheduler.address},
            }
        )

    run(3)
    before = held(client)
    return SimpleNamespace(num_shards=request.param, before=before, done=run(request.param), after=held(client))


def test_every_one_of_very_many_shards_is_scored_and_tiered(many):
    tiers = many.done.folder / "tierings" / "default" / "tiers"
    assert (many.done.code, sum(1 for _ in tiers.rglob("*.parquet"))) == (RECONCILED, many.num_shards)


def test_a_scheduler_holds_no_more_after_very_many_shards_than_after_three(many):
    assert many.after == many.before


def planned(tables):
    """A plan, and the most that making it held, beside what the process allocates meanwhile."""
    tracemalloc.start()
    try:
        return make_plan(tables), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.long  # after a whole suite in one process, garbage that nobody has collected yet counts too
def test_the_memory_of_a_plan_is_a_few_kilobytes_a_shard(many):
    plans, peaks = zip(*(planned(many.done.plan.asked) for _ in range(3)), strict=True)
    assert (len(plans[0].shards), plans[0].missing.tasks) == (many.num_shards, ())
    assert min(peaks) < BYTES_PER_SHARD * many.num_shards
