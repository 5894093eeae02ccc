"""The embedded classifiers on real web pages, through the whole run."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from run_files import REPOSITORY, execute

from curation import config
from curation.calibration.thresholds import Thresholds

NUM_PAGES = 300


@pytest.fixture
def pages(real_data, tmp_path):
    """Real pages as a Parquet file of row groups of a hundred."""
    table = pq.read_table(real_data / "web_en" / "part-00000.parquet").slice(0, NUM_PAGES)
    pq.write_table(table, tmp_path / "pages.parquet", row_group_size=100)
    return tmp_path / "pages.parquet"


def test_real_pages_reconcile_and_are_bucketed_as_numpy_would(pages, client, tmp_path):
    tables = config.load(REPOSITORY / "configs" / "embedded.toml") | {
        "output": str(tmp_path / "run"),
        "input": {"path": str(pages), "shard_bytes": 100_000, "carry": ["url"]},
        "cluster": {"kind": "existing", "address": client.scheduler.address},
    }
    done = execute(tables, "calibrate=own")
    assert done.code == 0
    assert f"rows: {NUM_PAGES} read = {NUM_PAGES} ok" in done.text
    assert len(done.plan.shards) == 3
    rows, tiers = read(done.folder / "rows"), read(done.folder / "tierings" / "default" / "tiers")
    assert rows["n_bytes"].tolist() == [len(text.encode()) for text in pq.read_table(pages)["text"].to_pylist()]
    thresholds = Thresholds.from_json((done.folder / "tierings" / "default" / "thresholds.json").read_bytes())
    buckets = []
    for each in done.plan.pinned:
        scores = read(done.folder / "scores" / each.folder)[each.name].to_numpy()
        cuts = np.percentile(
            scores, range(5, 100, 5), weights=rows["n_bytes"].to_numpy(), method="inverted_cdf"
        ).astype(np.float32)
        assert thresholds.cuts(each.name) == tuple(cuts.astype(float))
        buckets.append(np.digitize(scores, cuts))
    assert tiers["quality"].tolist() == np.max(buckets, axis=0).tolist()


def read(folder):
    """All files of a folder as one frame, in the order of the input."""
    parts = [pd.read_parquet(path) for path in folder.rglob("*.parquet")]
    return pd.concat(parts).sort_values("position", ignore_index=True)
