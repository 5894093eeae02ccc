"""Where tokens come from: the tiers of runs, counted in their sidecars, and counts from elsewhere."""

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pandas as pd

from curation.core.errors import ConfigError
from curation.data import storage
from curation.data.layout import Layout
from curation.data.shards import Shard, read_shards
from curation.data.sidecar import NULLABLE, read_columns, read_record
from curation.execution.retier import carried_columns, stored_scores
from curation.execution.spec import GroupColumn
from curation.mixing.solving import Source
from curation.mixing.spec import MixSpec, RunSupply
from curation.stages.bucket import group_codes
from curation.stages.tier import REJECTED, UNSCORED

_THREADS = 4
_OF_TIERS = "quality"


def sources(spec: MixSpec) -> list[Source]:
    """Every source of a mix, in the order of the config, those of a run by name. Raises ConfigError."""
    counted = [Source(each.name, int(each.tokens), dict(each.labels), each.path) for each in spec.source]
    return [source for run in spec.run for source in _of_run(run)] + counted


def _of_run(run: RunSupply) -> Iterator[Source]:
    layout = Layout(storage.from_root(run.path))
    if not storage.exists(layout.shards):
        raise ConfigError(f"run.{run.name}: {run.path!r} is no directory of a run: it has no shards.parquet.")
    shards = read_shards(layout.shards)
    there = [shard for shard in shards if storage.exists(layout.tiers(run.tiering, shard.name))]
    if not there:
        raise ConfigError(f"run.{run.name}: there is no tiering {run.tiering!r} in {layout.root}.")
    if len(there) < len(shards):
        raise ConfigError(f"run.{run.name}: {len(shards) - len(there):,} shards have no tiers; form them first.")
    columns = {name: _column(run, layout, shards, name) for name in run.by}
    with ThreadPoolExecutor(_THREADS) as threads:
        counts = threads.map(lambda shard: _count(layout, run, shard, columns), shards)
        total: Counter[tuple[str, ...]] = sum(counts, Counter())
    for key, num_tokens in sorted(total.items()):
        labels = {**dict(run.labels), **dict(zip(("tier", *run.by), key, strict=True))}
        yield Source("/".join((run.name, *(value or "none" for value in key))), num_tokens, labels, layout.root)


def _column(run: RunSupply, layout: Layout, shards: Sequence[Shard], name: str) -> GroupColumn | None:
    """Where a column is; None for the quality, which lies with the tiers."""
    if name == _OF_TIERS:
        return None
    if name in dict(carried_columns(layout, shards)):
        return GroupColumn(name)
    for scores in stored_scores(layout, shards):
        if dict(scores.columns).get(name) == "str":
            return GroupColumn(name, scores.folder)
    raise ConfigError(f"run.{run.name}.by: {name!r} is neither carried, nor a label of a classifier, nor quality.")


def _count(
    layout: Layout, run: RunSupply, shard: Shard, columns: dict[str, GroupColumn | None]
) -> Counter[tuple[str, ...]]:
    """Tokens of a shard by tier and columns; documents without a tier, or rejected, are no supply."""
    url = layout.tiers(run.tiering, shard.name)
    if not columns and (record := read_record(url)):
        totals = {(tier,): held["tokens"] for tier, held in record["tiers"].items()}
    else:
        tiers = read_columns(url, ["tier", *([_OF_TIERS] if _OF_TIERS in columns else [])]).to_pandas()
        rows = read_columns(layout.rows(shard.name), ["n_tokens", "state"]).to_pandas()
        keys = pd.DataFrame({"tier": tiers["tier"]})
        for name, column in columns.items():
            keys[name] = tiers[name].astype(str) if column is None else _strings(layout, shard, column)
        totals = rows["n_tokens"][rows["state"] == "ok"].groupby([keys[name] for name in keys]).sum().to_dict()
        totals = {key if isinstance(key, tuple) else (key,): value for key, value in totals.items()}
    return Counter({key: int(value) for key, value in totals.items() if key[0] not in {UNSCORED, REJECTED} and value})


def _strings(layout: Layout, shard: Shard, column: GroupColumn) -> list[str]:
    frame = read_columns(column.url(layout, shard.name), [column.column]).to_pandas(types_mapper=NULLABLE.get)
    codes, values = group_codes(frame, column.column)
    return [values[code] for code in codes]
