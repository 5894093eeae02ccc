"""A rule → whether a document is kept, whatever its quality."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from curation.core import frames
from curation.core.errors import ColumnError
from curation.core.stage import Stage

if TYPE_CHECKING:
    from curation.core.frames import Frame, Schema

_NAMES = re.compile(r"`([^`]+)`|([^\W\d]\w*)")


@dataclass(frozen=True)
class Keep(Stage):
    """Adds `kept`: whether `rule`, a pandas expression over `columns`, is true. What is missing is not.

    A name that is no Python name stands between backticks: ``quality >= 18 or `text-quality` >= 0.5``.
    """

    rule: str
    columns: tuple[str, ...]

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns of the rule."""
        return self.columns

    @property
    def adds(self) -> "Schema":
        """Whether a document is kept."""
        return {"kept": "bool"}

    def compute(self, frame: "Frame") -> Mapping[str, NDArray[np.bool_]]:
        """The truth of every row. Raises ColumnError when the rule cannot be evaluated."""
        try:
            return {"kept": frames.where(frames.on_host(frame[list(self.columns)]), self.rule)}
        except Exception as error:
            raise ColumnError(f"Keep: {self.rule!r} cannot be evaluated over {list(self.columns)}: {error}.") from error


def named_in(rule: str, columns: Sequence[str]) -> tuple[str, ...]:
    """The columns that a rule names, in its order."""
    names = (quoted or plain for quoted, plain in _NAMES.findall(rule))
    return tuple(dict.fromkeys(name for name in names if name in columns))
