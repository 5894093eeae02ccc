"""A Parquet or JSON Lines file → documents with what it says of each: labels, scores."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from curation.core.errors import ConfigError
from curation.core.fingerprint import fingerprint
from curation.data.hosts import groups, host

if TYPE_CHECKING:
    import pandas as pd

Scale = tuple[float, float]

ADDITIVE: Scale = (0.0, 5.0)
"""The scale of the published rubrics: five points that add up."""
ANY_NUMBER: Scale = (-math.inf, math.inf)


@dataclass(frozen=True)
class Column:
    """A column of labels or scores: numbers on a scale, or with no scale strings."""

    name: str
    scale: Scale | None = ADDITIVE


@dataclass(frozen=True, eq=False)
class Documents:
    """Distinct texts, what is known of them by column, and the number of the host that each comes from.

    Columns of numbers are float64 with NaN for what is missing, columns of strings are objects with None.
    """

    ids: Sequence[str]
    urls: Sequence[str | None]
    texts: Sequence[str]
    columns: Mapping[str, NDArray[Any]]
    hosts: NDArray[np.int64]
    num_duplicates: int
    num_incomplete: int = 0
    num_blank: int = 0

    @property
    def num_hosts(self) -> int:
        """How many groups there are that must stay together; a document without a url is a group."""
        return len(np.unique(self.hosts))

    @property
    def num_without_host(self) -> int:
        """How many documents have no url, or one that names no host."""
        return sum(host(url) is None for url in self.urls)

    def fingerprint(self) -> str:
        """The identity of all that is known of them."""
        columns = {name: [_json(value) for value in values.tolist()] for name, values in self.columns.items()}
        return fingerprint([list(self.ids), list(self.urls), list(self.texts), columns])

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Characters of each text."""
        return np.fromiter(map(len, self.texts), np.int64, len(self.texts))

    @property
    def num_bytes(self) -> NDArray[np.int64]:
        """UTF-8 bytes of each text."""
        return np.fromiter((len(text.encode()) for text in self.texts), np.int64)


def read(path: Path, columns: Sequence[Column], *, complete: bool = False) -> Documents:
    """The documents of a Parquet or JSON Lines file with columns id, url, text and these.

    If `complete`, a document that lacks one of the columns is left out and counted, and so is one without a word. Then
    exact duplicates are dropped, of which the first stays. Raises ConfigError with everything that is wrong: the file
    or a column is missing, a text is no string, a value is not what its column holds, nothing is left.
    """
    frame = _frame(path)
    names = [column.name for column in columns]
    if absent := [name for name in ("id", "url", "text", *names) if name not in frame]:
        raise ConfigError(f"data: {path} lacks the columns {absent}; it has {list(frame)}.")
    labelled = frame[frame[names].notna().all(axis=1)] if complete else frame
    is_blank = [isinstance(text, str) and not text.strip() for text in labelled["text"]]
    kept = labelled[~np.asarray(is_blank, bool)] if complete else labelled
    mistakes = [
        f"data: {column.name} of {path}: {mistake}"
        for column in columns
        if (mistake := _column_mistake(frame[column.name], column.scale))
    ]
    if strange := sum(not _is_text(text) for text in frame["text"]):
        mistakes.append(f"data: text of {path}: {strange} values are missing or no strings; every document needs one.")
    if not len(kept):
        mistakes.append(
            f"data: no document of {path} has {' and '.join(names)}."
            if len(frame)
            else f"data: {path} has no document."
        )
    if mistakes:
        raise ConfigError(*mistakes)
    distinct = kept.iloc[first_of_equal(kept["text"].tolist())]
    ids = distinct["id"].astype(str).tolist()
    urls = [url if isinstance(url, str) else None for url in distinct["url"]]
    return Documents(
        ids=ids,
        urls=urls,
        texts=distinct["text"].tolist(),
        columns={column.name: _values(distinct[column.name], column.scale) for column in columns},
        hosts=groups(urls, ids),
        num_duplicates=len(kept) - len(distinct),
        num_incomplete=len(frame) - len(labelled),
        num_blank=len(labelled) - len(kept),
    )


def first_of_equal(texts: Sequence[str]) -> NDArray[np.int64]:
    """Where each distinct text stands for the first time; exact duplicates are what is left out."""
    places: dict[str, int] = {}
    for place, text in enumerate(texts):
        places.setdefault(text, place)
    return np.fromiter(places.values(), dtype=np.int64)


def _frame(path: Path) -> "pd.DataFrame":
    import pandas as pd

    if not path.is_file():
        raise ConfigError(f"data: there is no file {path}; name a Parquet or JSON Lines file of documents.")
    try:
        return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_json(path, lines=True, dtype=False)
    except (OSError, ValueError) as error:
        raise ConfigError(f"data: {path} cannot be read as Parquet or JSON Lines: {error}.") from None


def _column_mistake(values: "pd.Series[Any]", scale: Scale | None) -> str | None:
    present = values.dropna()
    if scale is None:
        strange = sum(not isinstance(value, str) for value in present)
        return f"{strange} values are no strings." if strange else None
    if len(present) and present.dtype.kind not in "iufb":
        return f"values are {values.dtype}, not numbers."
    outside = int((~present.between(*scale)).sum())
    return f"{outside} values are outside {scale[0]:g} to {scale[1]:g}." if outside else None


def _values(values: "pd.Series[Any]", scale: Scale | None) -> NDArray[Any]:
    if scale is not None:
        return values.to_numpy(np.float64, na_value=np.nan)
    return np.asarray(
        [None if missing else value for value, missing in zip(values, values.isna(), strict=True)], object
    )


def _json(value: Any) -> Any:
    """A value of a column; None, not NaN or infinity, for one that is no number."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _is_text(value: Any) -> bool:
    """Whether a value is a string that UTF-8 can say."""
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:
        return False
