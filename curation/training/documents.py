"""Documents as evaluation takes them: texts with what a file says of each, labels and scores."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from curation.core.errors import ConfigError
from curation.training.splits import first_of_equal, groups

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Documents:
    """Distinct texts with what is known of them: labels and scores by column, and the number of each one's host."""

    ids: Sequence[str]
    urls: Sequence[str | None]
    texts: Sequence[str]
    columns: Mapping[str, NDArray[Any]]
    hosts: NDArray[np.int64]
    num_duplicates: int

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Characters of each text."""
        return np.fromiter(map(len, self.texts), np.int64, len(self.texts))

    @property
    def num_bytes(self) -> NDArray[np.int64]:
        """UTF-8 bytes of each text."""
        return np.fromiter((len(text.encode()) for text in self.texts), np.int64)


def read(path: Path, numbers: Collection[str], strings: Collection[str]) -> Documents:
    """The documents of a Parquet or JSON Lines file with columns id, url, text and the named ones.

    Exact duplicates are dropped, the first stays. Missing numbers are NaN, missing strings None; a missing url makes a
    document its own host. Raises ConfigError with everything that is wrong.
    """
    frame = _frame(path)
    if absent := [name for name in ("id", "url", "text", *numbers, *strings) if name not in frame]:
        raise ConfigError(f"data: {path} lacks the columns {absent}; it has {list(frame)}.")
    mistakes = [
        f"data: {name} of {path}: values are {frame[name].dtype}, not numbers."
        for name in numbers
        if frame[name].dtype.kind not in "iufb"
    ]
    if strange := sum(not _is_text(text) for text in frame["text"]):
        mistakes.append(f"data: text of {path}: {strange} values are missing or no strings; every document needs one.")
    if mistakes:
        raise ConfigError(*mistakes)
    kept = frame.iloc[first_of_equal(frame["text"].tolist())]
    ids = kept["id"].astype(str).tolist()
    urls = [url if isinstance(url, str) else None for url in kept["url"]]
    return Documents(
        ids=ids,
        urls=urls,
        texts=kept["text"].tolist(),
        columns={name: kept[name].to_numpy(float) for name in numbers}
        | {name: _strings(kept[name]) for name in strings},
        hosts=groups(urls, ids),
        num_duplicates=len(frame) - len(kept),
    )


def _frame(path: Path) -> "pd.DataFrame":
    import pandas as pd

    if not path.is_file():
        raise ConfigError(f"data: there is no file {path}; name a Parquet or JSON Lines file of documents.")
    try:
        return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_json(path, lines=True, dtype=False)
    except (OSError, ValueError) as error:
        raise ConfigError(f"data: {path} cannot be read as Parquet or JSON Lines: {error}.") from None


def _strings(values: "pd.Series[Any]") -> NDArray[Any]:
    """Values as objects, missing ones None."""
    return np.asarray(
        [None if missing else value for value, missing in zip(values, values.isna(), strict=True)], object
    )


def _is_text(value: Any) -> bool:
    """Whether a value is a string that UTF-8 can say."""
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:
        return False
