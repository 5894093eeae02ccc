"""What an earlier run of the same directory has left: its shard boundaries, and what it knows of the inputs."""

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from curation import config
from curation.data import storage
from curation.data.fingerprints import KnownInput, is_unchanged, know, read_inputs
from curation.data.inputs import InputFile, InputSpec
from curation.data.layout import Layout
from curation.data.shards import Shard, read_shards, split_all

_HASH_THREADS = 16


@dataclass(frozen=True)
class Division:
    """The shards of a run, and by relative path what is known of the files they are part of."""

    shards: tuple[Shard, ...]
    inputs: Mapping[str, KnownInput]
    mistakes: tuple[str, ...]
    unreadable: tuple[str, ...]

    def agrees(self, shard: Shard, recorded: str) -> bool:
        """Whether a shard still holds what a record says.

        No hash is known of a shard whose file has been as it is since before the record was written, or that had none.
        """
        return self.inputs[shard.relative].shards.get(shard.name, recorded) == recorded

    def learn(self, recorded: Mapping[str, str]) -> dict[str, KnownInput]:
        """What is known of the inputs after a run that has recorded the hashes of these shards."""
        learnt: dict[str, dict[str, str]] = defaultdict(dict)
        for shard in self.shards:
            found = recorded.get(shard.name) or self.inputs[shard.relative].shards.get(shard.name)
            if found is not None:
                learnt[shard.relative][shard.name] = found
        return {name: replace(known, shards=learnt[name]) for name, known in self.inputs.items()}


def divide(layout: Layout, files: Sequence[InputFile], spec: InputSpec) -> Division:
    """Shards of all files: those of an earlier run where a file is what it was, others anew.

    A file with another stamp, or in another place, is hashed: the same content keeps its shards, other content is split
    anew. What lies in the run directory under the name of a shard is believed only when its content is known.
    """
    before, known = _former_shards(layout), read_inputs(layout.inputs_json)
    with ThreadPoolExecutor(_HASH_THREADS) as threads:
        still = threads.map(
            lambda file: _still(file, _here(before.get(file.relative, ()), file), known.get(file.relative)), files
        )
        kept = {file.relative: found for file, found in zip(files, still, strict=True) if found}
        others = [file for file in files if file.relative not in kept]
        fresh = split_all(others, spec)
        shards: dict[str, list[Shard]] = defaultdict(list)
        for shard in fresh.shards:
            shards[shard.relative].append(shard)
        recorded = _recorded(layout) if others else set()
        seen = threads.map(lambda file: _first_seen(file, shards[file.relative], recorded), others)
        inputs = {file.relative: each for file, each in zip(others, seen, strict=True)}
    everything = [*fresh.shards, *(shard for former, _ in kept.values() for shard in former)]
    checked = fresh if _same_reading(layout, spec) else split_all(files, spec)
    return Division(
        tuple(sorted(everything, key=lambda shard: (shard.relative, shard.start))),
        inputs | {name: now for name, (_, now) in kept.items()},
        checked.mistakes,
        fresh.unreadable,
    )


def former_config(layout: Layout) -> Mapping[str, Any]:
    """The config.json of the run so far; empty when there is none, or none that can be read."""
    if not storage.exists(layout.config_json):
        return {}
    try:
        former = json.loads(storage.read_bytes(layout.config_json))
    except ValueError:
        return {}
    return former if isinstance(former, dict) else {}


def _former_shards(layout: Layout) -> Mapping[str, tuple[Shard, ...]]:
    by_file = defaultdict(list)
    if storage.exists(layout.shards):
        for shard in read_shards(layout.shards):
            by_file[shard.relative].append(shard)
    return {relative: tuple(shards) for relative, shards in by_file.items()}


def _here(shards: Sequence[Shard], file: InputFile) -> tuple[Shard, ...]:
    """Former shards of a file where it lies now; none when it is read in another way now."""
    return tuple(
        replace(shard, url=file.url)
        for shard in shards
        if (shard.format, shard.compression) == (file.format, file.compression)
    )


def _still(
    file: InputFile, shards: tuple[Shard, ...], known: KnownInput | None
) -> tuple[tuple[Shard, ...], KnownInput] | None:
    """The former shards of a file whose content is what it was, and what is known of it; None when it is not."""
    if not shards or known is None:
        return None
    if is_unchanged(file, known):
        return shards, known
    if file.num_bytes != known.num_bytes:  # lines added at the end leave every hash as it was
        return None
    now = know(file, shards)
    return (shards, now) if now.shards == known.shards else None


def _first_seen(file: InputFile, shards: Sequence[Shard], recorded: Collection[str]) -> KnownInput:
    """A new file is hashed while it is read; at once where records lie under its name, for they may be of another."""
    return know(file, shards if any(shard.name in recorded for shard in shards) else ())


def _recorded(layout: Layout) -> set[str]:
    """The names of all shards that have a file under rows/ or scores/."""
    rows = storage.list_files(storage.join(layout.root, "rows"))
    scores = (name.partition("/")[2] for name in storage.list_files(storage.join(layout.root, "scores")))
    return {name.removesuffix(".parquet") for name in (*rows, *scores)}


def _same_reading(layout: Layout, spec: InputSpec) -> bool:
    """Whether the kept shards were checked against this very [input] table."""
    return bool(former_config(layout).get("input", config.dump(spec)) == config.dump(spec))
