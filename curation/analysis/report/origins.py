"""Where the documents of a tier come from: hosts and other values that are there more, or less, than their share."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from curation.analysis.report.drawn import Drawn
from curation.data.hosts import host
from curation.statistics import wilson_interval

FEWEST = 5
"""Documents of a value that is told of by itself."""
MOST_VALUES = 24
"""Rows of a table of values; a column of more than ten times as many is told of like hosts."""
CONFIDENCE = 0.99

_MOST_STANDING_OUT = 5


@dataclass(frozen=True)
class Value:
    """A value of a column, and its documents: `num_in_tier` of `num_documents` are in the tier in question.

    `lift` is that share as a multiple of the tier's share of all documents.
    """

    name: str
    num_in_tier: int
    num_documents: int
    lift: float


@dataclass(frozen=True)
class StandingOut:
    """The values that a tier has surely more of, or surely less of, than its share; strongest first."""

    more: tuple[Value, ...]
    less: tuple[Value, ...]


@dataclass(frozen=True, eq=False)
class Column:
    """A column of documents: `is_host` says that its values are the hosts of addresses."""

    name: str
    told: "pd.Series[str]"
    is_host: bool

    @property
    def has_many(self) -> bool:
        """Whether it has too many values for a table of all."""
        return self.is_host or self.told.nunique() > 10 * MOST_VALUES


def columns(drawn: Drawn, *, with_addresses: bool = True) -> list[Column]:
    """What documents can be told apart by: hosts of addresses, other strings, whole numbers and truth values.

    Of a column that holds addresses for the most part only their hosts are told; without `with_addresses` the addresses
    among other strings count as missing.
    """
    found = []
    for name, kind in drawn.columns.items():
        if kind in {"float32", "float64"}:
            continue
        values = drawn.frame[name]
        is_string = kind in {"string", "str"}
        addresses = [is_string and isinstance(value, str) and _is_address(value) for value in values]
        is_address = 2 * sum(addresses) > values.notna().sum()
        told = values.map(host, na_action="ignore") if is_address else values.dropna().map(str).reindex(values.index)
        if not (is_address or with_addresses):
            told = told.mask(np.asarray(addresses, bool))
        if len(told.dropna().unique()) > 1:
            found.append(Column(name, told, bool(is_address)))
    return sorted(found, key=lambda column: (not column.is_host, column.has_many))


def crossed(column: Column, tiers: "pd.Series[str]", names: list[str]) -> pd.DataFrame:
    """Documents by value and tier, the commonest values first, without those of a few documents."""
    counts = pd.crosstab(column.told, tiers).reindex(columns=names, fill_value=0)
    counts = counts[counts.sum(axis=1) >= FEWEST]
    order = np.lexsort([np.asarray(counts.index, str), -counts.sum(axis=1).to_numpy()])
    return counts.iloc[order]


def standing_out(counts: pd.DataFrame, tier: str, expected: float) -> StandingOut:
    """The values whose share in `tier` is surely not `expected`: that lies outside of the 99 % interval of the share.

    They are ranked by the end of the interval that is nearer to what is expected, so that few documents prove little.
    """
    seen, totals = counts[tier].to_numpy(), counts.sum(axis=1).to_numpy()
    low, high = wilson_interval(seen, totals, confidence=CONFIDENCE)

    def values(places: "np.ndarray[tuple[int], np.dtype[np.intp]]") -> tuple[Value, ...]:
        return tuple(
            Value(str(counts.index[p]), int(seen[p]), int(totals[p]), float(seen[p] / totals[p] / expected))
            for p in places[:_MOST_STANDING_OUT]
        )

    more, less = np.argsort(-low, kind="stable"), np.argsort(high, kind="stable")
    return StandingOut(values(more[low[more] > expected]), values(less[high[less] < expected]))


def from_the_best(counts: pd.DataFrame) -> pd.DataFrame:
    """The same values, those first whose documents are in better tiers; the columns are tiers, best first."""
    places = np.arange(counts.shape[1])
    mean = counts.to_numpy() @ places / np.maximum(counts.sum(axis=1).to_numpy(), 1)
    return counts.iloc[np.argsort(mean, kind="stable")]


def _is_address(value: str) -> bool:
    """Whether a string is an address, of which more than the host may be told of by mistake."""
    return "://" in value or (("/" in value or "?" in value) and host(value) is not None)
