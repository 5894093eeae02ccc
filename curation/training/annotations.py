"""Documents with labels, as trainers take them."""

import math
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
Scale = tuple[float, float]

ADDITIVE: Scale = (0.0, 5.0)
"""The scale of the published rubrics: five points that add up."""
ANY_NUMBER: Scale = (-math.inf, math.inf)


@dataclass(frozen=True)
class Column:
    """A column of labels: numbers on a scale, or with no scale the names of classes."""

    name: str
    scale: Scale | None = ADDITIVE


@dataclass(frozen=True, eq=False)
class Annotations:
    """Distinct texts, their labels by column, and the number of the host that each comes from.

    Where labels are names, the column holds their places in `classes`.
    """

    texts: Sequence[str]
    labels: Labels
    hosts: NDArray[np.int64]
    num_duplicates: int
    num_unlabelled: int = 0
    classes: tuple[str, ...] = ()

    @property
    def num_hosts(self) -> int:
        """How many groups there are that must stay on one side of a split."""
        return int(self.hosts.max()) + 1

    def fingerprint(self) -> str:
        """The identity of texts, labels and grouping."""
        labels = {name: values.tolist() for name, values in self.labels.items()}
        content = {"texts": list(self.texts), "labels": labels, "hosts": self.hosts.tolist()}
        return fingerprint(content | ({"classes": list(self.classes)} if self.classes else {}))


def read(path: Path, columns: Sequence[Column]) -> Annotations:
    """The documents of a Parquet or JSON Lines file with columns id, url, text and these labels.

    A document that lacks one of the labels is left out and counted; then exact duplicates are, of which the first
    stays. A missing url makes a document its own host. At most one column may hold names.
    Raises ConfigError when the file or a column is missing, a text is no string, a label is not what its column holds,
    or nothing is left.
    """
    frame = _frame(path)
    labels = [column.name for column in columns]
    if absent := [name for name in ("id", "url", "text", *labels) if name not in frame]:
        raise ConfigError(f"data: {path} lacks the columns {absent}; it has {list(frame)}.")
    labelled = frame[frame[labels].notna().all(axis=1)]
    mistakes = [
        f"data: {column.name} of {path}: {mistake}"
        for column in columns
        if (mistake := _label_mistake(frame[column.name], column.scale))
    ]
    if strange := sum(not isinstance(text, str) for text in frame["text"]):
        mistakes.append(f"data: text of {path}: {strange} values are missing or no strings; every document needs one.")
    if not len(labelled):
        mistakes.append(f"data: no document of {path} has {' and '.join(labels)}.")
    if mistakes:
        raise ConfigError(*mistakes)
    kept = labelled.iloc[first_of_equal(labelled["text"].tolist())]
    urls = [url if isinstance(url, str) else None for url in kept["url"]]
    named = [column.name for column in columns if column.scale is None]
    classes = tuple(sorted(set(kept[named[0]]))) if named else ()
    values = {name: kept[name].map(classes.index) if name in named else kept[name] for name in labels}
    return Annotations(
        texts=kept["text"].tolist(),
        labels={name: each.to_numpy(np.float32) for name, each in values.items()},
        hosts=groups(urls, kept["id"].astype(str).tolist()),
        num_duplicates=len(labelled) - len(kept),
        num_unlabelled=len(frame) - len(labelled),
        classes=classes,
    )


def _frame(path: Path) -> "pd.DataFrame":
    import pandas as pd

    if not path.is_file():
        raise ConfigError(f"data: there is no file {path}; name a Parquet or JSON Lines file of labelled documents.")
    try:
        return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_json(path, lines=True, dtype=False)
    except (OSError, ValueError) as error:
        raise ConfigError(f"data: {path} cannot be read as Parquet or JSON Lines: {error}.") from None


def _label_mistake(values: "pd.Series[Any]", scale: Scale | None) -> str | None:
    present = values.dropna()
    if scale is None:
        strange = sum(not isinstance(value, str) for value in present)
        return f"{strange} values are no strings; names of classes are wanted." if strange else None
    if len(present) and present.dtype.kind not in "iuf":
        return f"values are {values.dtype}, not numbers."
    outside = int((~present.between(*scale)).sum())
    return f"{outside} values are outside {scale[0]:g} to {scale[1]:g}." if outside else None
