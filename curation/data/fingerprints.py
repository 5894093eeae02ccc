"""Whether an input still holds what it held: hashes of shards, and the memory of them in inputs.json.

A Parquet shard is known by the hash of its file's footer (an edit that leaves the footer equal is not seen), a shard of
JSON Lines by the hash of its bytes as they lie in the file.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import xxhash

from curation.core.errors import ShardError
from curation.core.fingerprint import canonical_json
from curation.data import jsonl, parquet, storage
from curation.data.explaining import explaining
from curation.data.inputs import InputFile
from curation.data.shards import Shard


@dataclass(frozen=True)
class KnownInput:
    """What a file held when it was last read: where it lay, its size, its stamp, and shard name → hash."""

    url: str
    num_bytes: int
    stamp: str
    shards: Mapping[str, str]


def hash_shard(shard: Shard) -> str:
    """The xxh3 of what a shard holds now, 32 hexadecimal digits, equal to the fingerprint that its reader takes.

    Raises ShardError when the file cannot be read, or no longer has the shard's boundaries.
    """
    is_parquet = shard.format == "parquet"
    reading = {"block_bytes": storage.PEEK_BYTES} if is_parquet else {}
    with storage.opened(shard.url, **reading) as file, explaining(shard.url, "read"):
        if is_parquet:
            return parquet.footer_hash(file, shard.url)
        digest = xxhash.xxh3_128()
        for block in jsonl.byte_range(file, shard.url, shard.start, shard.stop):
            digest.update(block)
        return digest.hexdigest()


def is_unchanged(file: InputFile, known: KnownInput | None) -> bool:
    """Whether place, size and stamp say that a file is as it was; if not, `hash_shard` finds out."""
    now = (file.url, file.num_bytes, file.stamp)
    return known is not None and bool(file.stamp) and now == (known.url, known.num_bytes, known.stamp)


def know(file: InputFile, shards: Sequence[Shard]) -> KnownInput:
    """Hash the shards of a file as they are now; one that cannot be read has the hash "", which no record has."""
    return KnownInput(file.url, file.num_bytes, file.stamp, {shard.name: _hash(shard) for shard in shards})


def read_inputs(url: str) -> dict[str, KnownInput]:
    """Relative path → what is known of the file. Empty where nothing was kept, or damaged: hashing finds it again."""
    if not storage.exists(url):
        return {}
    try:
        return {relative: KnownInput(**known) for relative, known in json.loads(storage.read_bytes(url)).items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def _hash(shard: Shard) -> str:
    try:
        return hash_shard(shard)
    except ShardError:
        return ""


def write_inputs(url: str, inputs: Mapping[str, KnownInput]) -> None:
    """Keep what is known of the files."""
    storage.write_bytes(url, canonical_json({name: vars(known) for name, known in inputs.items()}))
