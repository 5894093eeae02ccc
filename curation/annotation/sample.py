"""Which documents are annotated: a sample by the hash of ids, the same whatever the order of files and rows."""

import heapq
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

from curation.config import dump
from curation.core.errors import ConfigError
from curation.core.fingerprint import fingerprint
from curation.data import sidecar
from curation.data.inputs import Found, InputSpec
from curation.data.reader import read
from curation.data.shards import Shard
from curation.statistics import evenly

_ALL = "all"
_MISSING = "(none)"


@dataclass(frozen=True)
class SampleSpec:
    """The `[sample]` table.

    `strata`: a carried column; every value of it gives equally many documents, one that has too few leaves its places
    to the others. With `percents` the column is a number, and the strata are the ranges between these percentiles of
    it: ``[50, 90, 99]`` takes as many documents from the best hundredth as from the worse half. `languages`: shares by
    `language_column`, such as ``{ zh = 1, en = 1 }``; other languages are left out, and the sample is smaller rather
    than out of proportion; each has percentiles of its own. `url_column`, `language_column`: carried columns that
    become url and lang; "" for none.
    """

    num_documents: int = 1_000
    strata: str = ""
    percents: tuple[float, ...] = ()
    languages: tuple[tuple[str, float], ...] = ()
    url_column: str = "url"
    language_column: str = "lang"
    seed: int = 0

    def mistakes(self, carried: Mapping[str, str]) -> list[str]:
        """What is wrong with the settings, given the input's carried columns and their types."""
        found = [] if self.num_documents > 0 else [f"num_documents: {self.num_documents} is below 1."]
        columns = {"strata": self.strata, "url_column": self.url_column, "language_column": self.language_column}
        found += [
            f"{setting}: {name!r} is not carried; add it to input.carry{hint}."
            for setting, name in columns.items()
            if name and name not in carried
            for hint in ["" if setting == "strata" else ', or write "" if there is none']
        ]
        if self.percents and not self.strata:
            found.append("percents: there is no column to take percentiles of; name it in strata.")
        elif self.percents and carried.get(self.strata, "float64") not in {"int64", "float64"}:
            found.append(f'percents: {self.strata!r} is carried as a string; carry "{self.strata}:float64".')
        if list(self.percents) != sorted(set(self.percents)) or not all(0 < each < 100 for each in self.percents):
            found.append(f"percents: {list(self.percents)} do not rise between 0 and 100.")
        if self.languages and not self.language_column:
            found.append("languages: needs a language_column.")
        found += [f"languages.{name}: {share:g} is not above 0." for name, share in self.languages if not share > 0]
        return [f"[sample] {mistake}" for mistake in found]


class Document(NamedTuple):
    """A document of the sample, and the stratum it was drawn from; a url or language that is missing is ""."""

    id: str
    url: str
    text: str
    lang: str
    stratum: str


@dataclass(frozen=True)
class Sample:
    """The documents in the order of their hashes; what they were drawn from, by stratum; what was left out, and why."""

    documents: tuple[Document, ...]
    available: Mapping[str, int]
    notes: tuple[str, ...]


class _Place(NamedTuple):
    """Where a document is, in the order in which documents are taken."""

    by_id: int
    by_text: int
    shard: int
    position: int


def identity(spec: SampleSpec, reading: InputSpec, found: Found) -> str:
    """Equal when the same sample would be drawn from the same files."""
    files = [[file.url, file.num_bytes, file.stamp] for file in found.files]
    return fingerprint([dump(spec), dump(reading), files])


def draw(spec: SampleSpec, reading: InputSpec, shards: Sequence[Shard]) -> Sample:
    """The sample of all documents that are selected and not blank.

    The text is read twice: once for the places of candidates, of which at most `num_documents` are in memory for each
    stratum, and once for the texts of those that are taken. Percentiles need one more look, and four bytes a document.
    """
    cuts = _cuts(spec, reading, shards) if spec.percents else {}
    places, available, num_others = _places(spec, reading, shards, cuts)
    if not available:
        raise ConfigError("[sample] no document can be drawn: all are blank, not selected, or of other languages.")
    taken, notes = _taken(spec, places, available)
    documents = tuple(_fetched(spec, reading, shards, taken))
    repeated = len(documents) - len({document.id for document in documents})
    unique = {document.id: document for document in reversed(documents)}
    documents = tuple(unique[key] for key in dict.fromkeys(document.id for document in documents))
    if repeated:
        notes.append(f"{repeated:,} of them repeat an id, and are left out.")
    if num_others:
        notes.append(f"{num_others:,} documents are of languages that are not asked for.")
    named = {_name(cell): count for cell, count in sorted(available.items())}
    return Sample(documents, named, tuple(notes))


def write(url: str, sample: Sample, sample_identity: str) -> None:
    """Keep a sample, so that the same config goes on with it without reading its input again."""
    record = {"kind": "sample", "identity": sample_identity, "available": sample.available, "notes": sample.notes}
    with sidecar.SidecarWriter(url, _SCHEMA) as writer:
        columns = zip(*sample.documents, strict=True)
        writer.write(dict(zip(Document._fields, map(list, columns), strict=True)))
        writer.finish(record)


def kept(url: str, sample_identity: str) -> Sample | None:
    """The sample that was kept, if it is of this identity."""
    record = sidecar.read_record(url)
    if not record or record.get("identity") != sample_identity:
        return None
    rows = sidecar.read_columns(url).to_pylist()
    return Sample(tuple(Document(**row) for row in rows), record["available"], tuple(record["notes"]))


_SCHEMA = pa.schema([pa.field(name, pa.large_string(), nullable=False) for name in Document._fields])
_Cell = tuple[str, str]
"""A language ("" where none is asked for) and a stratum in it."""
_Cuts = Mapping[str, tuple[float, ...]]
"""The percentiles of each language."""


def _candidates(reading: InputSpec, shards: Sequence[Shard]) -> Iterator[tuple[int, Any]]:
    """The frames of documents that may be drawn, with the number of their shard."""
    for number, shard in enumerate(shards):
        for partition in read(shard, reading):
            frame = partition.frame
            yield number, frame[frame["state"] == "ok"]


def _cuts(spec: SampleSpec, reading: InputSpec, shards: Sequence[Shard]) -> _Cuts:
    """The percentiles of the column, for each language over every document that has a value."""
    parts: dict[str, list[NDArray[np.float32]]] = defaultdict(list)
    for _, frame in _candidates(reading, shards):
        values = frame[spec.strata].to_numpy(np.float32, na_value=np.nan)
        languages = np.asarray(_languages(spec, frame), object)
        for language in set(languages) - {None}:
            here = values[languages == language]
            parts[language].append(here[np.isfinite(here)])
    of_language = {language: np.concatenate(each) for language, each in parts.items()}
    if not any(map(len, of_language.values())):
        raise ConfigError(f"[sample] strata: no document has a number in {spec.strata!r}.")
    return {
        language: tuple(np.percentile(values, spec.percents, method="inverted_cdf").tolist())
        for language, values in of_language.items()
        if len(values)
    }


def _places(
    spec: SampleSpec, reading: InputSpec, shards: Sequence[Shard], cuts: _Cuts
) -> tuple[dict[_Cell, list[_Place]], Counter[_Cell], int]:
    """The first places of every cell, how many documents each has, and how many documents are in none."""
    places: dict[_Cell, list[_Place]] = defaultdict(list)
    available: Counter[_Cell] = Counter()
    num_others = 0
    for number, frame in _candidates(reading, shards):
        cells = _cells(spec, frame, cuts)
        rows = zip(cells, frame["id"], frame["text"], frame["position"], strict=True)
        for cell, document, text, position in rows:
            if cell is None:
                num_others += 1
                continue
            by_id = xxhash.xxh3_64_intdigest(document.encode(), spec.seed)
            places[cell].append(_Place(by_id, xxhash.xxh3_64_intdigest(text.encode()), number, position))
            available[cell] += 1
            if len(places[cell]) > 2 * spec.num_documents + 1_000:
                places[cell] = sorted(places[cell])[: spec.num_documents]
    return {cell: sorted(each)[: spec.num_documents] for cell, each in places.items()}, available, num_others


def _languages(spec: SampleSpec, frame: Any) -> list[str | None]:
    """The language of every row, "" where none is asked for; None for one that is not asked for."""
    if not (asked := dict(spec.languages)):
        return [""] * len(frame)
    return [each if each in asked else None for each in _strings(frame, spec.language_column)]


def _cells(spec: SampleSpec, frame: Any, cuts: _Cuts) -> list[_Cell | None]:
    """The cell of every row; None for a language that is not asked for."""
    languages = _languages(spec, frame)
    if not spec.strata:
        strata = [_ALL] * len(frame)
    elif spec.percents:
        values = frame[spec.strata].to_numpy(np.float64, na_value=np.nan)
        strata = [
            _MISSING if language is None or not math.isfinite(value) else _range(spec, value, cuts[language])
            for language, value in zip(languages, values, strict=True)
        ]
    else:
        strata = [each or _MISSING for each in _strings(frame, spec.strata)]
    return [
        None if language is None else (language, stratum) for language, stratum in zip(languages, strata, strict=True)
    ]


def _range(spec: SampleSpec, value: float, cuts: tuple[float, ...]) -> str:
    """The percentiles that a value lies between; one that equals a cut lies above it."""
    edges = [0.0, *spec.percents, 100.0]
    place = int(np.searchsorted(cuts, np.float32(value), side="right"))
    return f"{edges[place]:g}-{edges[place + 1]:g} %"


def _strings(frame: Any, column: str) -> list[str]:
    """A carried column as strings; "" where a value is missing or there is no column."""
    if not column:
        return [""] * len(frame)
    values = frame[column]
    return ["" if is_missing else str(value) for value, is_missing in zip(values, values.isna(), strict=True)]


def _taken(
    spec: SampleSpec, places: Mapping[_Cell, Sequence[_Place]], available: Mapping[_Cell, int]
) -> tuple[dict[_Place, _Cell], list[str]]:
    """The places that are taken, with their cells; and what there is to say about it."""
    shares = dict(spec.languages) or {"": 1.0}
    by_language = {language: sum(n for (of, _), n in available.items() if of == language) for language in shares}
    total = sum(shares.values())
    possible = min(math.floor(by_language[language] * total / share + 1e-9) for language, share in shares.items())
    num_documents = min(spec.num_documents, possible)
    notes = []
    if not num_documents:
        raise ConfigError(f"[sample] languages: a language has no document at all; there are {_counts(by_language)}.")
    if num_documents < spec.num_documents:
        has = f" in the proportions of languages; there are {_counts(by_language)}" if spec.languages else ""
        notes.append(f"{num_documents:,} documents are all that can be drawn{has}.")
    taken = {}
    for language, quota in _rounded_shares(shares, num_documents).items():
        here = {cell: count for cell, count in available.items() if cell[0] == language}
        for cell, count in evenly(here, quota).items():
            taken.update(dict.fromkeys(places[cell][:count], cell))
    return taken, notes


def _rounded_shares(shares: Mapping[str, float], count: int) -> dict[str, int]:
    """`count` divided in proportion by the method of Webster: a larger count gives nobody less."""
    counts = dict.fromkeys(shares, 0)
    waiting = [(-share, name) for name, share in shares.items()]
    heapq.heapify(waiting)
    for _ in range(count):
        name = waiting[0][1]
        counts[name] += 1
        heapq.heapreplace(waiting, (-shares[name] / (2 * counts[name] + 1), name))
    return counts


def _fetched(
    spec: SampleSpec, reading: InputSpec, shards: Sequence[Shard], taken: Mapping[_Place, _Cell]
) -> Iterator[Document]:
    """The documents at places, in the order of places."""
    wanted = {(place.shard, place.position): place for place in taken}
    numbers = sorted({place.shard for place in taken})
    found: dict[_Place, Document] = {}
    for number, frame in _candidates(reading, [shards[number] for number in numbers]):
        keys = [(numbers[number], position) for position in frame["position"]]
        rows = zip(
            keys,
            frame["id"],
            _strings(frame, spec.url_column),
            frame["text"],
            _strings(frame, spec.language_column),
            strict=True,
        )
        for key, document, url, text, language in rows:
            if place := wanted.get(key):
                found[place] = Document(document, url, text, language, _name(taken[place]))
    return (found[place] for place in sorted(taken))


def _name(cell: _Cell) -> str:
    language, stratum = cell
    return language if language and stratum == _ALL else f"{language} {stratum}".strip()


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} of {name}" for name, count in sorted(counts.items()))
