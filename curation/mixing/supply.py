"""Where tokens come from: the tiers of runs, counted in their sidecars, and counts from elsewhere."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from curation.core.errors import ConfigError, ShardError
from curation.core.fingerprint import fingerprint, fingerprint_each
from curation.core.words import counted
from curation.data import storage
from curation.data.layout import Layout
from curation.data.shards import Shard, read_shards
from curation.data.sidecar import NULLABLE, Record, read_columns, read_record
from curation.execution.retier import carried_columns, stored_scores
from curation.execution.spec import GroupColumn
from curation.mixing.solving import Source
from curation.mixing.spec import QUALITY, CountedSupply, RunSupply
from curation.stages.bucket import group_codes
from curation.stages.tier import REJECTED, UNSCORED

MOST_SOURCES = 10_000
"""Of one run: more are no kinds of documents that anybody could weigh."""

_READ_THREADS = 16
_COUNT_THREADS = 4
_MISSING = "none"
NO_SUPPLY = (UNSCORED, REJECTED)
"""The tiers that are no supply unless they are named."""

Key = tuple[str, ...]
"""The tier of a source, and the values of its supply's columns, "" for a missing one."""


@dataclass(frozen=True)
class Column:
    """A column that tells sources apart; the quality lies with the tiers, others where `GroupColumn` says."""

    name: str
    where: GroupColumn | None


@dataclass(frozen=True)
class Sidecars:
    """Where the sidecars of a supply lie, and by which of their columns sources are told apart, beside the tier."""

    supply: RunSupply
    layout: Layout
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class Tiered:
    """A tiering of a run as supply: its shards, what their footers say of the tiers, how its tokens were counted.

    `num_left_out` shards beside these have no tiers. `made_of` says for each shard what its rows and tiers follow from,
    `identity` all that decides which documents are in which source.
    """

    sidecars: Sidecars
    shards: tuple[Shard, ...]
    num_left_out: int
    made_of: tuple[str, ...]
    totals: tuple[Mapping[str, Mapping[str, int]], ...]
    tokens: str
    identity: str

    @property
    def supply(self) -> RunSupply:
        """The settings."""
        return self.sidecars.supply


@dataclass(frozen=True)
class SourceRows:
    """The rows of a shard that can be drawn: `places` in its sidecars, and for each its key among `keys`."""

    places: NDArray[np.intp]
    keys: tuple[Key, ...]
    codes: NDArray[np.intp]
    num_tokens: NDArray[np.int64]
    num_bytes: NDArray[np.int64]


def counted_source(supply: CountedSupply) -> Source:
    """The source that is known by its count alone."""
    return Source(supply.name, int(supply.tokens), dict(supply.labels), supply.path)


def tiered(supply: RunSupply) -> Tiered:
    """Look at the footers of a run's sidecars. Raises ConfigError when its tiers are not there, or not of its rows."""
    layout = Layout(storage.from_root(supply.path))
    where = f"run.{supply.name}"
    if not storage.exists(layout.shards):
        raise ConfigError(f"{where}.path: {supply.path!r} is no directory of a run: it has no shards.parquet.")
    listed = read_shards(layout.shards)
    with ThreadPoolExecutor(_READ_THREADS) as threads:
        rows = list(threads.map(lambda shard: read_record(layout.rows(shard.name)), listed))
        tiers = list(threads.map(lambda shard: read_record(layout.tiers(supply.tiering, shard.name)), listed))
    if not any(tiers):
        raise ConfigError(f"{where}.tiering: there is no tiering {supply.tiering!r} in {layout.root}.")
    complete = [
        (shard, row, tier)
        for shard, row, tier in zip(listed, rows, tiers, strict=True)
        if row and tier and _belong(row, tier)
    ]
    shards, known = tuple(shard for shard, *_ in complete), [(row, tier) for _, row, tier in complete]
    num_left_out = len(listed) - len(shards)
    if num_left_out and not (known and supply.allow_partial):
        raise ConfigError(
            f"{where}: {counted(num_left_out, 'shard')} of {layout.root} have no tiers, or tiers of what they held "
            "before. Form them with the command that made the others, or leave them out with allow_partial = true."
        )
    told = {"opinions": {tier["opinion"] for _, tier in known}, "counts": {row["tokens"] for row, _ in known}}
    if mixed := [what for what, kinds in told.items() if len(kinds) > 1]:
        raise ConfigError(
            f"{where}: its shards hold {' and '.join(mixed)} of several settings; run again what made them."
        )
    totals = tuple(tier["tiers"] for _, tier in known)
    if unknown := set(supply.tiers) - {tier for each in totals for tier in each}:
        there = sorted({tier for each in totals for tier in each})
        raise ConfigError(f"{where}.tiers: no document is {' or '.join(sorted(unknown))}; the tiers are {there}.")
    columns = tuple(_column(supply, layout, shards, name) for name in supply.by)
    facts = (
        [shard.name, row["input"], row["reading"], tier["opinion"]]
        for shard, (row, tier) in zip(shards, known, strict=True)
    )
    told_by = [[*supply.by], [each.where.folder if each.where else "" for each in columns], [*supply.tiers]]
    return Tiered(
        Sidecars(supply, layout, columns),
        shards,
        num_left_out,
        tuple(_made_of(*each) for each in known),
        totals,
        str(known[0][0]["tokens"]),
        fingerprint_each(chain([told_by], facts)),
    )


def sources_of(run: Tiered) -> Iterator[Source]:
    """The sources of a run by key, with what they hold. Raises ConfigError when there are too many, or none."""
    supply, totals = run.supply, _Totals()
    if not run.sidecars.columns and not set(NO_SUPPLY) & set(
        supply.tiers
    ):  # a blank document is unscored, and no supply
        for tiers in run.totals:
            for tier, sizes in tiers.items():
                if is_supply(supply, tier):
                    totals.add((tier,), sizes["documents"], sizes["tokens"], sizes["bytes"])
    else:
        with ThreadPoolExecutor(_COUNT_THREADS) as threads:
            for found in threads.map(partial(_count, run.sidecars), run.shards, run.made_of):
                for key, *held in found:
                    totals.add(key, *held)
                if len(totals.by_key) > MOST_SOURCES:
                    raise ConfigError(
                        f"run.{supply.name}.by: {list(supply.by)} make more than {MOST_SOURCES:,} sources; name "
                        "columns of few values."
                    )
    if not totals.by_key:
        raise ConfigError(f"run.{supply.name}: no document of {run.sidecars.layout.root} is of a tier that is supply.")
    for key, (num_documents, num_tokens, num_bytes) in sorted(totals.by_key.items()):
        labels = {**dict(supply.labels), **dict(zip(("tier", *supply.by), key, strict=True))}
        name = "/".join((supply.name, *map(_named, key)))
        yield Source(name, num_tokens, labels, "", supply.name, key, num_documents, num_bytes)


def _named(value: str) -> str:
    """A value in the name of a source: the parts of names lie between slashes, and "none" is the missing value."""
    return "%6Eone" if value == _MISSING else value.replace("%", "%25").replace("/", "%2F") or _MISSING


def source_rows(run: Sidecars, shard: str, made_of: str) -> SourceRows:
    """The rows of a shard that can be drawn: documents that were scored, in tiers that are supply, by key.

    Raises ShardError as `planned_records`.
    """
    url = run.layout.tiers(run.supply.tiering, shard)
    tiers = read_columns(url, ["tier", *(QUALITY for each in run.columns if each.where is None)])
    rows = read_columns(run.layout.rows(shard), ["n_tokens", "n_bytes", "state"])
    if len(rows) != len(tiers):
        raise ShardError(f"{url}: has {len(tiers)} rows, and there are {len(rows)} in rows/; form the tiering again.")
    planned_records(run, shard, made_of)
    known = tiers.to_pandas()
    for each in run.columns:
        if each.where is not None:
            table = read_columns(each.where.url(run.layout, shard), [each.name])
            known[each.name] = table.to_pandas(types_mapper=NULLABLE.get)[each.name]
    codes, keys = np.zeros(len(known), np.int64), list[Key]([()])
    for name in ("tier", *(each.name for each in run.columns)):
        codes, keys = _told_apart(codes, keys, known, name)
    is_drawn = np.asarray([is_supply(run.supply, tier) for tier, *_ in keys], bool)[codes]
    places = np.flatnonzero(is_drawn & (rows["state"].to_pandas() == "ok").to_numpy())
    sizes = (rows[name].to_numpy()[places] for name in ("n_tokens", "n_bytes"))
    return SourceRows(places, tuple(keys), codes[places], *sizes)


def planned_records(run: Sidecars, shard: str, made_of: str) -> tuple[Record, Record]:
    """What the footers say of the rows and the tiers of a shard.

    Raises ShardError unless that is what a plan was made with. Ask after reading columns: files are replaced as a
    whole, so what was read before is of the same files.
    """
    rows, tiers = read_record(run.layout.rows(shard)), read_record(run.layout.tiers(run.supply.tiering, shard))
    if rows is None or tiers is None or _made_of(rows, tiers) != made_of:
        raise ShardError(
            f"run.{run.supply.name}: shard {shard} of {run.layout.root} was scored or tiered again since it was "
            "planned with; plan again."
        )
    return rows, tiers


def is_supply(supply: RunSupply, tier: str) -> bool:
    """Whether documents of a tier can be drawn."""
    return tier in supply.tiers if supply.tiers else tier not in NO_SUPPLY


class _Totals:
    def __init__(self) -> None:
        self.by_key: dict[Key, tuple[int, int, int]] = {}

    def add(self, key: Key, num_documents: int, num_tokens: int, num_bytes: int) -> None:
        """Add what a source holds; one without tokens is none."""
        if num_tokens:
            held = self.by_key.get(key, (0, 0, 0))
            self.by_key[key] = (held[0] + num_documents, held[1] + num_tokens, held[2] + num_bytes)


def _belong(rows: Record, tiers: Record) -> bool:
    """Whether tiers are those of the rows that lie beside them."""
    return all(rows[key] == tiers[key] for key in ("input", "reading"))


def _made_of(rows: Record, tiers: Record) -> str:
    """What rows and tiers follow from, in a few bytes, for there are many shards."""
    about = [[rows[key] for key in ("input", "reading", "tokens")]]
    return fingerprint([*about, [tiers[key] for key in ("input", "reading", "opinion")]])[:16]


def _column(supply: RunSupply, layout: Layout, shards: Sequence[Shard], name: str) -> Column:
    if name == QUALITY:
        return Column(name, None)
    if name in dict(carried_columns(layout, shards)):
        return Column(name, GroupColumn(name))
    for scores in stored_scores(layout, shards):
        if dict(scores.columns).get(name) == "str":
            return Column(name, GroupColumn(name, scores.folder))
    raise ConfigError(f"run.{supply.name}.by: {name!r} is neither carried, nor a label of a classifier, nor quality.")


def _told_apart(
    codes: NDArray[np.int64], keys: Sequence[Key], frame: pd.DataFrame, name: str
) -> tuple[NDArray[np.int64], list[Key]]:
    """Rows of `codes` among `keys`, told apart by one column more."""
    more, values = group_codes(frame, name)
    codes, there = pd.factorize(codes * len(values) + more)
    pairs = (divmod(int(each), len(values)) for each in there)
    return codes, [(*keys[place], values[value]) for place, value in pairs]


def _count(run: Sidecars, shard: Shard, made_of: str) -> list[tuple[Key, int, int, int]]:
    """Documents, tokens and bytes of every source in a shard."""
    rows = source_rows(run, shard.name, made_of)
    num_documents = np.bincount(rows.codes, minlength=len(rows.keys))
    num_tokens, num_bytes = np.zeros((2, len(rows.keys)), np.int64)
    np.add.at(num_tokens, rows.codes, rows.num_tokens)
    np.add.at(num_bytes, rows.codes, rows.num_bytes)
    return list(zip(rows.keys, num_documents.tolist(), num_tokens.tolist(), num_bytes.tolist(), strict=True))
