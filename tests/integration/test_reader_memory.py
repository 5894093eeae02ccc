"""However large a file is, reading it takes memory in proportion to a partition, not to the file."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.data.inputs import InputSpec, find
from curation.data.reader import read
from curation.data.shards import split_all

MIB = 1 << 20
PARTITION_BYTES = InputSpec.partition_bytes
BLOCK = [f"{place} " + "a document of some length \n" * (place * 7919 % 300) for place in range(2000)]
BLOCK_BYTES = sum(map(len, BLOCK))
HUGE = "one document of fifty megabytes; " * (50 * MIB // 33)


def lines_of(texts):
    return b"".join(
        json.dumps({"id": place, "text": text, "rest": [1, 2]}).encode() + b"\n" for place, text in enumerate(texts)
    )


def write_lines(path, compress, num_bytes, tail):
    """The same block again and again: members of a .gz, frames of a .zst, lines of a plain file."""
    block = compress(lines_of(BLOCK))
    with path.open("wb") as file:
        for _ in range(num_bytes // BLOCK_BYTES + 1):
            file.write(block)
        file.write(compress(lines_of(tail)))


def write_parquet(path, num_bytes, tail, *, one_group):
    """One row group of the whole file, or a row group for each block."""
    count = num_bytes // BLOCK_BYTES + 1
    block = pa.table({"id": pa.array(range(len(BLOCK))), "text": pa.array(BLOCK, pa.large_string())})
    last = pa.table({"id": pa.array(range(len(tail))), "text": pa.array(tail, pa.large_string())})
    with pq.ParquetWriter(path, block.schema, use_dictionary=False, compression="zstd") as writer:
        if one_group:
            writer.write_table(pa.concat_tables([block] * count + [last]), row_group_size=10**9)
            return
        for _ in range(count):
            writer.write_table(block)
        writer.write_table(last)


WRITERS = {
    "a.jsonl": lambda path, size, tail: write_lines(path, bytes, size, tail),
    "a.jsonl.gz": lambda path, size, tail: write_lines(path, lambda data: gzip.compress(data, 1), size, tail),
    "a.jsonl.zst": lambda path, size, tail: write_lines(path, pa.Codec("zstd").compress, size, tail),
    "groups.parquet": lambda path, size, tail: write_parquet(path, size, tail, one_group=False),
    "one_group.parquet": lambda path, size, tail: write_parquet(path, size, tail, one_group=True),
}


def measured_growth(path):
    """How many bytes a fresh process grows by at most while it reads a file, with the allocator of a Dask worker."""
    environment = os.environ | {"MALLOC_TRIM_THRESHOLD_": "65536"}
    done = subprocess.run(
        [sys.executable, __file__, str(path)], env=environment, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def check(path, num_bytes, tail):
    WRITERS[path.name](path, num_bytes, tail)
    measured = measured_growth(path)
    path.unlink()
    assert measured["n_bytes"] > num_bytes
    chunk = 0 if path.name != "one_group.parquet" else measured["n_bytes"]
    assert measured["growth"] < 4 * max(PARTITION_BYTES, *map(len, tail), chunk)


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("tail", [["short"], [HUGE, "short"]], ids=["", "with a document of 50 MB"])
def test_reading_200_mb_takes_the_memory_of_a_few_partitions(tmp_path, name, tail):
    check(tmp_path / name, 200 * MIB, tail)


@pytest.mark.long
@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("tail", [["short"], [HUGE, "short"]], ids=["", "with a document of 50 MB"])
def test_reading_2_gb_takes_the_memory_of_a_few_partitions(tmp_path, name, tail):
    check(tmp_path / name, 2048 * MIB, tail)


def read_all(path):
    """The bytes of text in a file, by a scorer that takes no time."""
    spec = InputSpec((str(path),))
    shards = split_all(find(spec).files, spec).shards
    return sum(int(partition.frame["n_bytes"].sum()) for shard in shards for partition in read(shard, spec))


def memory_now(field):
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith(field)))


def main(path):
    """Read a small file of each kind, then `path`, and print what the latter took."""
    for name, write in WRITERS.items():
        small = Path(path).with_name(f"small-{name}")
        write(small, 0, ["short"])
        read_all(small)
        small.unlink()
    before = memory_now("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak counts from here
    n_bytes = read_all(path)
    sys.stdout.write(json.dumps({"n_bytes": n_bytes, "growth": memory_now("VmHWM") - before}))


if __name__ == "__main__":
    main(sys.argv[1])
