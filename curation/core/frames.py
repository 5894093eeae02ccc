"""The few places where pandas and cuDF differ.

A *frame* is a pandas or a cuDF DataFrame. Code elsewhere uses the methods that both have, and these functions.
"""

from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

    Frame = pd.DataFrame

Schema = Mapping[str, str]
"""Column name → dtype name: "float32", "int8", "int64", "str", …"""


def library(frame: "Frame") -> ModuleType:
    """The module that `frame` comes from: pandas or cudf."""
    if type(frame).__module__.partition(".")[0] == "cudf":
        import cudf  # type: ignore[import-not-found,unused-ignore]

        return cudf  # type: ignore[no-any-return,unused-ignore]
    import pandas as pd

    return pd


def texts(frame: "Frame", column: str) -> list[str | None]:
    """The strings of a column on the host; None where a value is missing."""
    values = frame[column]
    host = values.to_arrow().to_pylist() if hasattr(values, "to_arrow") else values.tolist()
    return [value if isinstance(value, str) else None for value in host]


def array(frame: "Frame", column: str) -> NDArray[Any]:
    """A numeric column as a NumPy array on the host; missing floats are NaN."""
    return np.asarray(frame[column].to_numpy())


def append(frame: "Frame", columns: Mapping[str, Any], schema: Schema) -> "Frame":
    """A new frame: `frame` and, after its columns, those of `schema` with the values given in `columns`.

    Values are host arrays or lists as long as the frame. The given frame is not changed.
    """
    series = library(frame).Series
    result = frame.copy(deep=False)
    for name, dtype in schema.items():
        values = columns[name]
        result[name] = series(values, index=frame.index, dtype="str" if dtype == "str" else np.asarray(values).dtype)
    return result


def dtype_name(frame: "Frame", column: str) -> str:
    """The dtype of a column in the words of `Schema`; every kind of string column is "str"."""
    name = str(frame[column].dtype)
    return "str" if name in {"object", "string", "str"} else name
