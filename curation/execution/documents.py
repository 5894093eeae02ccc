"""Documents copied into one folder for each tier, in the layout of Nemotron-CC."""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from curation.core.errors import ShardError
from curation.data import storage
from curation.data.layout import Layout, documents_schema
from curation.data.reader import read
from curation.data.shards import Shard
from curation.data.sidecar import SidecarWriter, read_columns, read_record
from curation.execution.spec import RunSpec

DOCUMENTS = "documents"
NAME = "default"
"""The run's own tiering."""


def write_documents(spec: RunSpec, shard: Shard, tiers: Mapping[str, Any]) -> None:
    """Copy the documents of a shard into a file for each tier that it has any of; `tiers` is the record of its tiers.

    A file has the shard's name, so a retry replaces and never duplicates; what is there and follows from the same
    tiers stays, and what a former opinion left in another tier is removed. Documents without a tier are not copied.
    Raises ShardError when the input is not what was scored.
    """
    layout = Layout(spec.output)
    about = {"kind": "documents"} | {key: tiers[key] for key in ("shard", "input", "reading", "opinion")}
    urls = {tier: layout.documents(tier, shard.name) for tier, _ in spec.tiering.tiers}
    wanted = {tier: url for tier, url in urls.items() if tier in tiers["tiers"]}
    for tier in urls.keys() - wanted.keys():
        storage.remove(urls[tier])
    if not all(_follows(url, about) for url in wanted.values()):
        _copy(spec, shard, wanted, about)


def remove_former(spec: RunSpec) -> None:
    """Remove the documents of tiers that the spec does not name any more: each document lies in one tier only."""
    folder = storage.join(spec.output, DOCUMENTS)
    wanted = {f"quality={tier}" for tier, _ in spec.tiering.tiers}
    for name in storage.list_files(folder):
        if name.partition("/")[0] not in wanted:
            storage.remove(storage.join(folder, name))


def _follows(url: str, about: Mapping[str, Any]) -> bool:
    record = read_record(url)
    return record is not None and about.items() <= record.items()


def _copy(spec: RunSpec, shard: Shard, urls: Mapping[str, str], about: Mapping[str, Any]) -> None:
    names = read_columns(Layout(spec.output).tiers(NAME, shard.name), ["tier"])["tier"].to_numpy()
    counts = dict.fromkeys(urls, 0)
    start = 0
    with ExitStack() as stack:
        schema = documents_schema(spec.input.carried)
        writers = {tier: stack.enter_context(SidecarWriter(url, schema)) for tier, url in urls.items()}
        reader = read(shard, spec.input)
        for partition in reader:
            frame = partition.frame
            tiers = names[start : start + len(frame)]
            start += len(frame)
            for tier, writer in writers.items():
                chosen = frame[(tiers == tier) & (frame["state"] == "ok")]
                counts[tier] += len(chosen)
                writer.write(chosen)
        if reader.fingerprint != about["input"]:
            raise ShardError(f"{shard.url}: has changed since it was scored; run again to score this shard anew.")
        for tier, writer in writers.items():
            writer.finish(dict(about) | {"tier": tier, "num_rows": counts[tier]})
