"""A stage adds columns to a frame; a pipeline is stages in order, and itself a stage.

There are three uses and no adapter: ``stage(df)`` in a notebook, ``ddf.map_partitions(stage,
meta=stage.meta(ddf._meta))`` in a Dask graph, and inside the task of a run.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from curation.core import frames
from curation.core.errors import ColumnError

if TYPE_CHECKING:
    from curation.core.frames import Frame, Schema


class Stage(ABC):
    """A pure function of a frame that appends columns: it never drops, reorders or edits rows.

    Subclasses are frozen dataclasses: hashable, picklable, comparable by value.
    """

    @property
    @abstractmethod
    def reads(self) -> tuple[str, ...]:
        """The columns that must be there."""

    @property
    @abstractmethod
    def adds(self) -> "Schema":
        """The columns that are appended, in order, with their dtypes."""

    @abstractmethod
    def compute(self, frame: "Frame") -> Mapping[str, Any]:
        """The columns of `adds`, each as long as the frame and in its order: all that an author writes.

        Host arrays, lists, or columns of the frame's own library.
        """

    def __call__(self, frame: "Frame") -> "Frame":
        """`frame` with the columns of `adds` appended.

        Raises ColumnError when a column is missing or would be overwritten, or when `compute` breaks its promise.
        """
        self._check(tuple(frame.columns))
        columns = self.compute(frame)
        who = type(self).__name__
        if set(columns) != set(self.adds):
            raise ColumnError(f"{who} promised columns {list(self.adds)} and computed {list(columns)}.")
        for name, values in columns.items():
            if len(values) != len(frame):
                raise ColumnError(f"{who} computed {len(values)} values of {name!r} for {len(frame)} rows.")
        result = frames.append(frame, columns, self.adds)
        for name, dtype in self.adds.items():
            if (got := frames.dtype_name(result, name)) != dtype:
                raise ColumnError(f"{who} promised {name!r} as {dtype} and computed it as {got}.")
        return result

    def meta(self, frame: "Frame") -> "Frame":
        """An empty frame with the columns and dtypes of the result. Loads no model."""
        self._check(tuple(frame.columns))
        empty = {name: np.empty(0, dtype=None if dtype == "str" else dtype) for name, dtype in self.adds.items()}
        return frames.append(frame.iloc[:0], empty, self.adds)

    def _check(self, present: tuple[str, ...]) -> None:
        who = type(self).__name__
        if missing := [name for name in self.reads if name not in present]:
            raise ColumnError(f"{who} reads the columns {missing}, which the frame lacks; it has {list(present)}.")
        if taken := [name for name in self.adds if name in present]:
            raise ColumnError(f"{who} would overwrite the columns {taken}; rename them, or drop them first.")


@dataclass(frozen=True)
class Pipeline(Stage):
    """Stages in order. The columns are checked when it is made.

    Raises ColumnError when two stages add the same column, or one reads what a later one adds.
    """

    stages: tuple[Stage, ...]

    def __post_init__(self) -> None:
        added: set[str] = set()
        for place, stage in enumerate(self.stages):
            who = type(stage).__name__
            later = {name for other in self.stages[place:] for name in other.adds} - added
            if early := [name for name in stage.reads if name in later]:
                raise ColumnError(f"{who} reads {early} before a stage has added it; change the order of the stages.")
            if twice := [name for name in stage.adds if name in added]:
                raise ColumnError(f"{who} adds {twice}, which a stage before it has added already.")
            added.update(stage.adds)

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns that the stages read and none of them adds."""
        return tuple(dict.fromkeys(name for stage in self.stages for name in stage.reads if name not in self.adds))

    @property
    def adds(self) -> "Schema":
        """The columns of all stages, in order."""
        return {name: dtype for stage in self.stages for name, dtype in stage.adds.items()}

    def compute(self, frame: "Frame") -> Mapping[str, Any]:
        """The columns that the stages add, one after the other."""
        for stage in self.stages:
            frame = stage(frame)
        return {name: frame[name].to_numpy() for name in self.adds}

    def __call__(self, frame: "Frame") -> "Frame":
        """`frame` with the columns of every stage appended."""
        for stage in self.stages:
            frame = stage(frame)
        return frame
