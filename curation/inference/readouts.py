"""Readouts: the outputs of a head → the columns of a classifier. Chosen from a config.json, without torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from curation.core.frames import Schema


class Readout(Protocol):
    """What a classifier writes of its head's outputs."""

    @property
    def columns(self) -> "Schema":
        """Column → dtype, float32 or str."""

    def __call__(self, outputs: NDArray[np.float32]) -> Mapping[str, NDArray[Any]]:
        """The columns of n texts, from outputs [n, C]."""


@dataclass(frozen=True)
class Raw:
    """The one output of a regression head, as it is."""

    name: str

    @property
    def columns(self) -> "Schema":
        """One float32 column."""
        return {self.name: "float32"}

    def __call__(self, outputs: NDArray[np.float32]) -> Mapping[str, NDArray[Any]]:
        """The output."""
        return {self.name: outputs[:, 0]}


@dataclass(frozen=True)
class Probability:
    """The softmax probability of one label."""

    name: str
    place: int

    @property
    def columns(self) -> "Schema":
        """One float32 column."""
        return {self.name: "float32"}

    def __call__(self, outputs: NDArray[np.float32]) -> Mapping[str, NDArray[Any]]:
        """The probability; NaN where an output is not finite."""
        return {self.name: _softmax(outputs)[:, self.place]}


@dataclass(frozen=True)
class BestLabel:
    """The most probable label, and its softmax probability."""

    name: str
    labels: tuple[str, ...]

    @property
    def columns(self) -> "Schema":
        """A str and a float32 column."""
        return {self.name: "str", f"{self.name}_probability": "float32"}

    def __call__(self, outputs: NDArray[np.float32]) -> Mapping[str, NDArray[Any]]:
        """Label and probability; None and NaN where an output is not finite."""
        probabilities = _softmax(outputs)
        best = outputs.argmax(axis=1)
        labels = np.array(self.labels, dtype=object)[best]
        probability = np.take_along_axis(probabilities, best[:, None], axis=1)[:, 0]
        labels[np.isnan(probability)] = None
        return {self.name: labels, f"{self.name}_probability": probability}


def _softmax(outputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities [n, C]; a row that holds anything not finite is NaN throughout."""
    finite = np.isfinite(outputs).all(axis=1, keepdims=True)
    clean = np.where(finite, outputs, 0.0)
    powers = np.exp(clean - clean.max(axis=1, keepdims=True), dtype=np.float64)
    result: NDArray[np.float32] = np.where(finite, powers / powers.sum(axis=1, keepdims=True), np.nan).astype(
        np.float32
    )
    return result
