"""A worker's memory while it scores a file many times larger than its partitions."""

import gzip
import json
import subprocess
import sys

import pytest
from run_files import SENTENCES

PARTITION_BYTES = 4 << 20
LARGEST_DOCUMENT = 1 << 20

TASK = """
import resource, sys
from dataclasses import dataclass
from typing import ClassVar
import numpy as np
from curation.core.classifier import Classifier
from curation.data.inputs import InputSpec, find
from curation.data.shards import split_all
from curation.execution.scoring import ScoreTask, score_shard
from curation.execution.spec import Pinned, RunSpec

@dataclass(frozen=True)
class Constant(Classifier):
    name: str = "constant"
    @property
    def columns(self): return {self.name: "float32"}
    def fingerprint(self): return "0" * 64
    def load(self, device): return lambda texts: {self.name: np.ones(len(texts), np.float32)}
    @classmethod
    def tiny(cls, directory): return cls()

def score(path, output):
    spec = RunSpec(output, InputSpec(path=(path,), partition_bytes=int(sys.argv[4])), (Constant(),))
    for shard in split_all(find(spec.input).files, spec.input).shards:
        score_shard(ScoreTask(spec, shard, (Pinned(Constant(), "0" * 64),), writes_rows=True))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

small, large, output, _ = sys.argv[1:]
before = score(small, output + "/small")
print(score(large, output + "/large") - before)
"""


def generate(path, num_bytes):
    """Compressed JSON Lines, one shard: documents of every size up to `LARGEST_DOCUMENT`."""
    with gzip.open(path, "wt", compresslevel=1) as file:
        written = number = 0
        while written < num_bytes:
            size = LARGEST_DOCUMENT if number % 500 == 0 else 500 + 37 * (number % 100)
            text = (SENTENCES[number % len(SENTENCES)] + " ") * (size // 80)
            written += file.write(json.dumps({"id": str(number), "text": text}) + "\n")
            number += 1


def growth(tmp_path, num_bytes):
    """Bytes by which a process that has scored a small file grows while it scores a large one."""
    small, large = tmp_path / "small.jsonl.gz", tmp_path / "large.jsonl.gz"
    generate(small, 6 * PARTITION_BYTES)
    generate(large, num_bytes)
    arguments = [str(small), str(large), str(tmp_path), str(PARTITION_BYTES)]
    done = subprocess.run([sys.executable, "-c", TASK, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.parametrize("num_bytes", [200 << 20, pytest.param(2 << 30, marks=pytest.mark.long)])
def test_a_worker_grows_by_less_than_four_partitions_whatever_the_size_of_the_file(tmp_path, num_bytes):
    assert growth(tmp_path, num_bytes) < 4 * max(PARTITION_BYTES, LARGEST_DOCUMENT)
