"""Filled sheets of an audit → how far people and the pipeline agree, by tier and by deciding classifier."""

import csv
import io
import itertools
import json
import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from curation.analysis.audit.sheet import ABOUT, KEY, SHEET_CSV, AuditSpec
from curation.core.errors import ConfigError
from curation.data import storage
from curation.statistics import bootstrap_intervals, weighted_kappa

AGREEMENT = "agreement.json"
_FEWEST = 2
_KEY_TYPES: Mapping[Hashable, Any] = {"id": str, "tier": str, "decided_by": str}
_MOST_NAMED = 5


@dataclass(frozen=True, eq=False)
class _Judged:
    """Documents with the place of their tier and of each person's label, -1 where there is none, from the best.

    `strata` number the strata of the documents, of which `there` says how many documents each has.
    """

    tiers: Sequence[str]
    tier: NDArray[np.intp]
    decided_by: NDArray[Any]
    strata: NDArray[np.intp]
    there: NDArray[np.int64]
    labels: Mapping[str, NDArray[np.intp]]

    def weights(self, here: NDArray[np.bool_]) -> NDArray[np.float64]:
        """How many documents of the run each of these stands for: those of its stratum, shared by all of it here."""
        counts = np.bincount(self.strata[here], minlength=len(self.there))
        return np.asarray((self.there / np.maximum(counts, 1))[self.strata[here]])


def agreement(spec: AuditSpec) -> dict[str, Any]:
    """What the filled sheets say, from the folder of the sheet alone.

    For every person: kappa with squared distances between tiers, with a 95 % bootstrap interval, and the share of
    documents in the tier that the person gives; both for the run, where a labelled document stands for its part of the
    documents of its stratum. `covered_share` of the run's documents are in a stratum with a label. By tier: how many of
    its documents the person leaves there, how many tiers higher (+) or lower (-) the person puts them on average, and
    the kappa of that tier against all others. Between two people: kappa on the sheet, over all documents and over those
    of each tier. Raises ConfigError when something cannot be read, or nobody has written a label.
    """
    if not storage.exists(spec.url(ABOUT)):
        raise ConfigError(f"output: there is no {ABOUT} in {spec.output}, so there is no sheet; draw one first.")
    about = json.loads(storage.read_bytes(spec.url(ABOUT)))
    tiers = about["tiers"]
    key = pd.read_csv(io.BytesIO(storage.read_bytes(spec.url(KEY))), dtype=_KEY_TYPES, keep_default_na=False)
    urls = spec.labels or (spec.url(SHEET_CSV),)
    found = {url: _labels(url, key, tiers) for url in urls}
    if not any((each >= 0).any() for each in found.values()):
        raise ConfigError(f"labels: nobody has written a label on {', '.join(urls)}; there may be {', '.join(tiers)}.")
    places = {(each["tier"], each["by"]): place for place, each in enumerate(about["strata"])}
    judged = _Judged(
        tiers,
        np.asarray([tiers.index(tier) for tier in key["tier"]], np.intp),
        key["decided_by"].to_numpy(object),
        np.asarray([places[each] for each in zip(key["tier"], key["decided_by"], strict=True)], np.intp),
        np.asarray([each["there"] for each in about["strata"]], np.int64),
        found,
    )
    return {
        "tiers": tiers,
        "people": [_person(judged, url) for url in urls if (found[url] >= 0).any()],
        "between": [_between(judged, *pair) for pair in itertools.combinations(urls, 2)],
    }


def say(found: Mapping[str, Any], console: Console) -> None:
    """Print it."""
    for person in found["people"]:
        kappa = person["kappa"]
        console.print(
            f"{person['labels']}: {person['num_labelled']:,} of {person['num_documents']:,} labelled, kappa "
            f"{_told(kappa['value'])} [{_told(kappa['low'])}, {_told(kappa['high'])}], "
            f"{person['same_share']:.1%} in the same tier"
        )
        if person["covered_share"] < 1:
            console.print(
                f"  on strata of {person['covered_share']:.1%} of all documents; of the others nothing is labelled"
            )
        for of, rows in (("tier", person["by_tier"]), ("decided by", person["by_decider"])):
            table = Table()
            table.add_column(of)
            for heading in ("labelled", "left there", "shift in tiers", "kappa"):
                table.add_column(heading, justify="right")
            for row in rows:
                shift = "-" if row["shift"] is None else f"{row['shift']:+.2f}"
                share = "-" if row["same_share"] is None else f"{row['same_share']:.1%}"
                table.add_row(row["of"] or "all", f"{row['num_labelled']:,}", share, shift, _told(row["kappa"]))
            console.print(table)
    for pair in found["between"]:
        by_tier = ", ".join(f"{each['of']} {_told(each['kappa'])}" for each in pair["by_tier"])
        kappa = f"kappa {_told(pair['kappa'])} on {pair['num_documents']:,}"
        console.print(f"{pair['first']} and {pair['second']}: {kappa}; {by_tier}")


def _person(judged: _Judged, url: str) -> dict[str, Any]:
    labels = judged.labels[url]
    here = labels >= 0
    tier, label, weight = judged.tier[here], labels[here], judged.weights(here)
    num_tiers = len(judged.tiers)
    confusion = _confusion(tier, label, weight, num_tiers)

    def kappa(tier: NDArray[np.intp], label: NDArray[np.intp], weight: NDArray[np.float64]) -> list[float]:
        return [weighted_kappa(_confusion(tier, label, weight, num_tiers))]

    low, high = bootstrap_intervals(kappa, [tier, label, weight], 0)[0]
    counts = _confusion(tier, label, np.ones_like(weight), num_tiers).astype(int)
    deciders = judged.decided_by[here]
    return {
        "labels": url,
        "num_documents": len(labels),
        "num_labelled": int(here.sum()),
        "covered_share": float(weight.sum() / judged.there.sum()),
        "kappa": {"value": _defined(weighted_kappa(confusion)), "low": _defined(low), "high": _defined(high)},
        "same_share": float(np.trace(confusion) / confusion.sum()),
        "confusion": counts.tolist(),
        "by_tier": [
            {"of": name, **_part(tier == place, tier, label, weight), "kappa": _against_rest(confusion, place)}
            for place, name in enumerate(judged.tiers)
        ],
        "by_decider": [
            {
                "of": name,
                **_part(part := deciders == name, tier, label, weight),
                "kappa": _defined(weighted_kappa(_confusion(tier[part], label[part], weight[part], num_tiers))),
            }
            for name in sorted(set(deciders))
        ],
    }


def _part(
    part: NDArray[np.bool_], tier: NDArray[np.intp], label: NDArray[np.intp], weight: NDArray[np.float64]
) -> dict[str, Any]:
    """What a person does with some documents; places count from the best tier, so a lower one is higher."""
    if not part.any():
        return {"num_labelled": 0, "same_share": None, "shift": None}
    weights = weight[part]
    return {
        "num_labelled": int(part.sum()),
        "same_share": float(np.average(tier[part] == label[part], weights=weights)),
        "shift": float(np.average(tier[part] - label[part], weights=weights)),
    }


def _between(judged: _Judged, first: str, second: str) -> dict[str, Any]:
    one, other = judged.labels[first], judged.labels[second]
    both = (one >= 0) & (other >= 0)

    def kappa(part: NDArray[np.bool_]) -> float | None:
        counts = _confusion(one[part], other[part], np.ones(int(part.sum())), len(judged.tiers))
        return _defined(weighted_kappa(counts)) if part.sum() >= _FEWEST else None

    return {
        "first": first,
        "second": second,
        "num_documents": int(both.sum()),
        "kappa": kappa(both),
        "by_tier": [
            {"of": name, "kappa": kappa(both & (judged.tier == place))} for place, name in enumerate(judged.tiers)
        ],
    }


def _against_rest(confusion: NDArray[np.float64], place: int) -> float | None:
    """The kappa of one tier: in it or not."""
    inside = confusion[place, place]
    row, column = confusion[place].sum() - inside, confusion[:, place].sum() - inside
    return _defined(weighted_kappa([[inside, row], [column, confusion.sum() - inside - row - column]]))


def _confusion(
    tier: NDArray[np.intp], label: NDArray[np.intp], weight: NDArray[np.float64], num_tiers: int
) -> NDArray[np.float64]:
    confusion = np.zeros((num_tiers, num_tiers))
    np.add.at(confusion, (tier, label), weight)
    return confusion


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 4)


def _told(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _labels(url: str, key: pd.DataFrame, tiers: Sequence[str]) -> NDArray[np.intp]:
    """The place of each document's label among the tiers, -1 where none was written."""
    try:
        text = storage.read_bytes(url).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"labels: {url} is not UTF-8; save it as CSV in UTF-8.") from None
    rows = _json_lines(text, url) if url.endswith(".jsonl") else _csv_rows(text, url)
    places = {tier.casefold(): place for place, tier in enumerate(tiers)}
    row_of = {str(number): place for place, number in enumerate(key["number"])}
    found = np.full(len(key), -1, np.intp)
    mistakes = []
    twice = [number for number, times in Counter(str(each["number"]).strip() for each in rows).items() if times > 1]
    mistakes += [f"number {number} is there more than once." for number in twice]
    for each in rows:
        number, label = str(each["number"]).strip(), str(each["label"] or "").strip()
        if number not in row_of:
            mistakes.append(f"number {number!r} is not on the sheet that was drawn.")
        elif label and label.casefold() not in places:
            mistakes.append(f"number {number}: {label!r} is no tier; write one of {', '.join(tiers)}.")
        elif label:
            found[row_of[number]] = places[label.casefold()]
    if mistakes:
        more = [f"… and {len(mistakes) - _MOST_NAMED} more."] if len(mistakes) > _MOST_NAMED else []
        raise ConfigError(*(f"labels: {url}: {mistake}" for mistake in [*mistakes[:_MOST_NAMED], *more]))
    return found


def _csv_rows(text: str, url: str) -> list[dict[str, Any]]:
    """The rows, whatever a spreadsheet has put between the cells."""
    csv.field_size_limit(max(csv.field_size_limit(), len(text) + 1))
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    rows = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))
    if not rows or not {"number", "label"} <= rows[0].keys():
        raise ConfigError(f"labels: {url} has no columns number and label in its first line.")
    return [row for row in rows if any(cell for cell in row.values() if cell)]


def _json_lines(text: str, url: str) -> list[dict[str, Any]]:
    try:
        rows = [json.loads(line) for line in text.split("\n") if line.strip()]
        return [{"number": each["number"], "label": each["label"]} for each in rows]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"labels: {url}: a line is no JSON object with number and label: {error!r}.") from None
