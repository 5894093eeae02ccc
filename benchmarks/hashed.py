"""A kind of classifier that costs nothing, in a module that worker processes can import."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from curation.core.classifier import Classifier, Scorer
from curation.core.fingerprint import fingerprint


@dataclass(frozen=True)
class Hashed(Classifier):
    """Scores a text by its CRC-32, between 0 and 1; there is no model."""

    name: str = "hashed"

    @property
    def columns(self) -> dict[str, str]:
        """One float32 column."""
        return {self.name: "float32"}

    def fingerprint(self) -> str:
        """See `Classifier.fingerprint`."""
        return fingerprint("crc32")

    def load(self, device: str) -> Scorer:  # noqa: ARG002 - nothing is computed on it
        """The scorer."""
        return self._score

    def _score(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        return {self.name: np.array([zlib.crc32(text.encode()) / 2**32 for text in texts], np.float32)}

    @classmethod
    def tiny(cls, directory: Path) -> Self:  # noqa: ARG003 - there is nothing to write
        """The recipe itself."""
        return cls()
