"""Documents with labels, as trainers take them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from curation.core.errors import ConfigError
from curation.core.fingerprint import fingerprint
from curation.training.splits import first_of_equal, groups

if TYPE_CHECKING:
    import pandas as pd

Labels = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Annotations:
    """Distinct texts, their labels by column, and the number of the host that each comes from."""

    texts: Sequence[str]
    labels: Labels
    hosts: NDArray[np.int64]
    num_duplicates: int

    @property
    def num_hosts(self) -> int:
        """How many groups there are that must stay on one side of a split."""
        return int(self.hosts.max()) + 1

    def fingerprint(self) -> str:
        """The identity of texts, labels and grouping."""
        labels = {name: values.tolist() for name, values in self.labels.items()}
        return fingerprint({"texts": list(self.texts), "labels": labels, "hosts": self.hosts.tolist()})


def read(path: Path, labels: Sequence[str]) -> Annotations:
    """The documents of a Parquet or JSON Lines file with columns id, url, text and the named labels, 0 to 5.

    Exact duplicates are dropped, the first stays. A missing url makes a document its own host.
    Raises ConfigError when the file or a column is missing, a text is no string, or a label no number from 0 to 5.
    """
    frame = _frame(path)
    if absent := [name for name in ("id", "url", "text", *labels) if name not in frame]:
        raise ConfigError(f"data: {path} lacks the columns {absent}; it has {list(frame)}.")
    mistakes = [f"data: {name} of {path}: {mistake}" for name in labels if (mistake := _label_mistake(frame[name]))]
    if strange := sum(not isinstance(text, str) for text in frame["text"]):
        mistakes.append(f"data: text of {path}: {strange} values are missing or no strings; every document needs one.")
    if mistakes:
        raise ConfigError(*mistakes)
    kept = frame.iloc[first_of_equal(frame["text"].tolist())]
    urls = [url if isinstance(url, str) else None for url in kept["url"]]
    return Annotations(
        texts=kept["text"].tolist(),
        labels={name: kept[name].to_numpy(np.float32) for name in labels},
        hosts=groups(urls, kept["id"].astype(str).tolist()),
        num_duplicates=len(frame) - len(kept),
    )


def _frame(path: Path) -> "pd.DataFrame":
    import pandas as pd

    if not path.is_file():
        raise ConfigError(f"data: there is no file {path}; name a Parquet or JSON Lines file of labelled documents.")
    try:
        return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_json(path, lines=True, dtype=False)
    except (OSError, ValueError) as error:
        raise ConfigError(f"data: {path} cannot be read as Parquet or JSON Lines: {error}.") from None


def _label_mistake(values: "pd.Series[Any]") -> str | None:
    if values.dtype.kind not in "iuf":
        return f"values are {values.dtype}, not numbers."
    outside = int((~values.between(0, 5)).sum())
    return f"{outside} values are missing or outside 0 to 5." if outside else None
