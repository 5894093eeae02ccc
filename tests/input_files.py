"""Input files for the tests of curation.data, and what a reader makes of them."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from curation.data.inputs import InputSpec, find
from curation.data.reader import read
from curation.data.shards import split_all


def json_lines(*rows):
    """One line for each row: bytes as they are, anything else as JSON."""
    lines = [row if isinstance(row, bytes) else json.dumps(row, ensure_ascii=False).encode() for row in rows]
    return b"".join(line + b"\n" for line in lines)


def documents(count, start=0):
    return [{"id": f"d{place}", "text": f"Document number {place}."} for place in range(start, start + count)]


def zstd(data):
    return pa.Codec("zstd").compress(data, asbytes=True)


def compressed(data, extension):
    return {".jsonl": bytes, ".jsonl.gz": gzip.compress, ".jsonl.zst": zstd}[extension](data)


def write_parquet(path, columns, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(columns if isinstance(columns, pa.Table) else pa.table(columns), path, **options)
    return path


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def spec_of(path, **settings):
    return InputSpec((str(path),), **settings)


def shards_of(spec):
    found = find(spec)
    assert found.mistakes == ()
    split = split_all(found.files, spec)
    assert split.mistakes == ()
    return split.shards


class Everything:
    """What the readers of all shards of an input gave."""

    def __init__(self, spec):
        self.shards = shards_of(spec)
        self.readers = [read(shard, spec) for shard in self.shards]
        partitions = [(shard, list(reader)) for shard, reader in zip(self.shards, self.readers, strict=True)]
        self.frames = [partition.frame for _, each in partitions for partition in each]
        self.quarantined = [row for _, each in partitions for partition in each for row in partition.quarantined]

    def column(self, name):
        return [value for frame in self.frames for value in frame[name].tolist()]

    @property
    def texts(self):
        return self.column("text")

    @property
    def reasons(self):
        return [row.reason for row in self.quarantined]

    def count(self, name):
        return sum(getattr(reader.counts, name) for reader in self.readers)

    @property
    def states(self):
        return [self.count(state) for state in ("ok", "blank", "not_selected", "quarantined")]


def read_bytes_as(path: Path, data, **settings):
    """Everything in one file that holds these bytes."""
    return Everything(spec_of(write(path, data), **settings))


def with_settings(spec, **settings):
    return replace(spec, **settings)
