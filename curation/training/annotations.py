"""Documents with labels, as trainers take them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curation.core.fingerprint import fingerprint
from curation.data import labelled
from curation.data.labelled import Column


@dataclass(frozen=True, eq=False)
class Annotations:
    """Distinct texts, their labels by column, and the number of the host that each comes from.

    Where labels are names, the column holds their places in `classes`.
    """

    texts: Sequence[str]
    labels: Mapping[str, NDArray[np.float32]]
    hosts: NDArray[np.int64]
    num_duplicates: int
    num_unlabelled: int = 0
    num_blank: int = 0
    num_without_host: int = 0
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
    """The documents of a file that have all these labels, of which at most one may be names. Raises ConfigError."""
    documents = labelled.read(path, columns, complete=True)
    named = [column.name for column in columns if column.scale is None]
    classes = tuple(sorted(set(documents.columns[named[0]]))) if named else ()
    labels = dict(documents.columns) | {
        name: np.searchsorted(classes, documents.columns[name].tolist()) for name in named
    }
    return Annotations(
        texts=documents.texts,
        labels={name: values.astype(np.float32) for name, values in labels.items()},
        hosts=documents.hosts,
        num_duplicates=documents.num_duplicates,
        num_unlabelled=documents.num_incomplete,
        num_blank=documents.num_blank,
        num_without_host=documents.num_without_host,
        classes=classes,
    )
