"""What an earlier run of the same directory has left: its shard boundaries, and what it knows of the inputs."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from curation import config
from curation.core.errors import ShardError
from curation.data import storage
from curation.data.fingerprints import KnownInput, is_unchanged, know, read_inputs
from curation.data.inputs import InputFile, InputSpec
from curation.data.layout import Layout
from curation.data.shards import Shard, Split, read_shards, split_all


@dataclass(frozen=True)
class Division:
    """The shards of a run, and by relative path what is known of the files they are part of."""

    shards: tuple[Shard, ...]
    inputs: Mapping[str, KnownInput]
    mistakes: tuple[str, ...]
    unreadable: tuple[str, ...]

    def agrees(self, shard: Shard, recorded: str) -> bool:
        """Whether a shard still holds what a record says; a file whose stamp did not change was not read again."""
        return self.inputs[shard.relative].shards.get(shard.name, recorded) == recorded

    def learn(self, recorded: Mapping[str, str]) -> dict[str, KnownInput]:
        """What is known of the inputs after a run has recorded the hashes of these shards."""
        learnt: dict[str, dict[str, str]] = defaultdict(dict)
        for shard in self.shards:
            if shard.name in recorded:
                learnt[shard.relative][shard.name] = recorded[shard.name]
        return {name: replace(known, shards=learnt[name]) for name, known in self.inputs.items()}


def divide(layout: Layout, files: Sequence[InputFile], spec: InputSpec) -> Division:
    """Shards of all files: those of an earlier run where a file is what it was, others anew.

    A file with another stamp is hashed; the same content keeps its shards, other content is split anew.
    """
    before = _former_shards(layout)
    known = read_inputs(layout.inputs_json)
    kept: dict[str, tuple[Shard, ...]] = {}
    inputs: dict[str, KnownInput] = {}
    for file in files:
        if file.relative in before and (now := _still(file, before[file.relative], known.get(file.relative))):
            kept[file.relative], inputs[file.relative] = before[file.relative], now
    fresh = split_all([file for file in files if file.relative not in kept], spec)
    for file in files:
        if file.relative not in kept:
            inputs[file.relative] = _first_seen(file, fresh, anew=file.relative in before)
    checked = fresh if _same_reading(layout, spec) else split_all(files, spec)
    shards = [*fresh.shards, *(shard for shards in kept.values() for shard in shards)]
    return Division(
        tuple(sorted(shards, key=lambda shard: (shard.relative, shard.start))),
        inputs,
        checked.mistakes,
        fresh.unreadable,
    )


def _former_shards(layout: Layout) -> Mapping[str, tuple[Shard, ...]]:
    by_file: dict[str, tuple[Shard, ...]] = {}
    if storage.exists(layout.shards):
        for shard in read_shards(layout.shards):
            by_file[shard.relative] = (*by_file.get(shard.relative, ()), shard)
    return by_file


def _still(file: InputFile, shards: tuple[Shard, ...], known: KnownInput | None) -> KnownInput | None:
    """What is known of a file whose content is that of the earlier run; None when it is not, or cannot be said."""
    if known is None or is_unchanged(file, known):
        return known
    if file.num_bytes != known.num_bytes:  # lines added at the end leave every hash as it was
        return None
    try:
        now = know(file, shards)
    except ShardError:
        return None
    return now if now.shards == known.shards else None


def _first_seen(file: InputFile, fresh: Split, *, anew: bool) -> KnownInput:
    """A new file is hashed while it is read; a changed one at once, so that equal parts of it need no new scores."""
    shards = [shard for shard in fresh.shards if shard.relative == file.relative]
    if anew:
        try:
            return know(file, shards)
        except ShardError:
            pass
    return KnownInput(file.num_bytes, file.stamp, {})


def _same_reading(layout: Layout, spec: InputSpec) -> bool:
    """Whether the kept shards were checked against this very [input] table."""
    if not storage.exists(layout.config_json):
        return True
    former = json.loads(storage.read_bytes(layout.config_json)).get("input")
    return bool(former == config.dump(spec))
