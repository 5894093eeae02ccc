"""What scores are held against: a column of scores, and the labels that it should agree with."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from curation.evaluation.metrics import Matrix

Columns = Mapping[str, NDArray[Any]]
Figures = dict[str, float]


@dataclass(frozen=True)
class Judged(ABC):
    """A column of scores and the labels that it is held against: a `[[judged]]` table of a config.

    `name` is a classifier of the config, or one of `columns`. Missing labels are NaN, or None where they are strings.
    """

    kind: ClassVar[str]
    name: str

    @property
    @abstractmethod
    def labels(self) -> tuple[str, ...]:
        """The columns of the data that it is held against."""

    @property
    @abstractmethod
    def question(self) -> str:
        """What is asked of the scores, in words."""

    @abstractmethod
    def mistakes(self) -> list[str]:
        """What is wrong with the settings themselves."""

    @abstractmethod
    def truth(self, columns: Columns) -> NDArray[Any]:
        """What scores should agree with, one for each document."""

    @abstractmethod
    def unusable(self, truth: NDArray[Any]) -> str:
        """Why nothing can be judged by these labels, none of which is missing; "" when it can."""

    @abstractmethod
    def cut(self, truth: NDArray[Any], scores: NDArray[Any]) -> float:
        """The threshold, or the best one on these documents where none is given."""

    @abstractmethod
    def matrix(self, truth: NDArray[Any], scores: NDArray[Any], cut: float) -> Matrix:
        """Documents by true class (rows) and scored class (columns)."""

    @abstractmethod
    def classes(self, truth: NDArray[Any], scores: NDArray[Any]) -> tuple[str, ...]:
        """The names of the matrix's classes."""

    @abstractmethod
    def present(self, truth: NDArray[Any], scores: NDArray[Any]) -> NDArray[Any]:
        """The classes that are true or scored somewhere, which averages are over; in every resample all of them."""

    @abstractmethod
    def figures(self, truth: NDArray[Any], scores: NDArray[Any], cut: float, among: NDArray[Any]) -> Figures:
        """Every figure that has an interval, of documents or a resample of them; `among` are those of `present`."""

    @abstractmethod
    def length_alone(
        self,
        truth: NDArray[Any],
        scores: NDArray[Any],
        cut: float,
        lengths: NDArray[np.int64],
    ) -> tuple[NDArray[Any], float]:
        """Scores that follow from length alone, and their cut.

        It is chosen as the classifier's is; where that was given, it keeps as many documents.
        """

    @abstractmethod
    def details(self, truth: NDArray[Any], scores: NDArray[Any], alone: NDArray[Any], cut: float) -> dict[str, Any]:
        """What else there is to say, as JSON; `alone` are the scores by length."""
