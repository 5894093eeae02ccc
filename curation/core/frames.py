"""The few places where pandas and cuDF differ.

A *frame* is a pandas or a cuDF DataFrame. Code elsewhere uses the methods that both have, and these functions.
"""

import importlib.util
from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from curation.core.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

    Frame = pd.DataFrame

Schema = Mapping[str, str]
"""Column name → dtype name: "float32", "int8", "int64", "str", …"""

Library = Literal["pandas", "cudf"]
"""Whose frames: in the memory of the host, or in that of a GPU."""

MAX_STRING_BYTES = (1 << 31) - 1
"""The most bytes that a string column of cuDF holds with offsets of 32 bits."""


def library(frame: "Frame") -> ModuleType:
    """The module that `frame` comes from: pandas or cudf."""
    if type(frame).__module__.partition(".")[0] == "cudf":
        import cudf  # type: ignore[import-not-found,unused-ignore]

        return cudf  # type: ignore[no-any-return,unused-ignore]
    import pandas as pd

    return pd


def why_not(name: Library) -> str:
    """Why frames of a library cannot be made by this Python; "" when nothing is seen against it.

    Nothing is imported, and no GPU is looked for: whoever plans a run need not have one.
    """
    if importlib.util.find_spec(name) is None:
        return f"{name} is not installed here; pip install '.[cuda13]', on the workers too"
    return ""


def of(name: Library, host: "pd.DataFrame") -> "Frame":
    """A pandas frame as a frame of `name`: itself, or a copy in the memory of this process's GPU.

    Raises ConfigError when cuDF cannot be used here.
    """
    if name == "pandas":
        return host
    try:
        import cudf

        return cudf.DataFrame(host)  # type: ignore[no-any-return,unused-ignore]
    except MemoryError:
        raise
    except Exception as error:  # without a GPU cuDF can be imported, and fails in ways of its own at the first frame
        raise ConfigError(
            f'[input] frame: "cudf" cannot be used in this process: {type(error).__name__}: {error}. '
            'Install cuDF beside a GPU that it supports, or write frame = "pandas".'
        ) from error


def on_host(frame: "Frame") -> "pd.DataFrame":
    """A frame as a pandas frame: itself, or a copy in the memory of the host."""
    if library(frame).__name__ == "pandas":
        return frame
    return frame.to_pandas()  # type: ignore[operator,no-any-return]


def texts(frame: "Frame", column: str) -> list[str | None]:
    """The strings of a column on the host; None where a value is missing."""
    values = frame[column]
    host = values.to_arrow().to_pylist() if hasattr(values, "to_arrow") else values.tolist()
    return [value if isinstance(value, str) else None for value in host]


def array(frame: "Frame", column: str) -> NDArray[Any]:
    """A numeric column as a NumPy array on the host; where values are missing they are NaN, and the column floats."""
    return np.asarray(frame[column].to_numpy())


def where(frame: "pd.DataFrame", expression: str) -> NDArray[np.bool_]:
    """Where a pandas expression over the columns of a frame is true; what is missing is not.

    Raises whatever a wrong expression raises.
    """
    import pandas as pd

    found: Any = frame.eval(expression, engine="python", local_dict={}, global_dict={})
    if not isinstance(found, pd.Series) or found.dtype.name not in {"bool", "boolean"} or len(found) != len(frame):
        raise TypeError("it does not give true or false for each row")
    return found.to_numpy(dtype=bool, na_value=False)


def append(frame: "Frame", columns: Mapping[str, Any], schema: Schema) -> "Frame":
    """A new frame: `frame` and, after its columns, those of `schema` with the values given in `columns`.

    Values are host arrays, lists or columns of `frame`'s library, as long as the frame and in its order whatever their
    index. The given frame is not changed.
    """
    series = library(frame).Series
    result = frame.copy(deep=False)
    for name, dtype in schema.items():
        result[name] = series(_host_array(columns[name], dtype), index=frame.index)
    return result


def dtype_name(frame: "Frame", column: str) -> str:
    """The dtype of a column in the words of `Schema`; every kind of string column is "str"."""
    name = str(frame[column].dtype)
    return "str" if name in {"object", "string", "str"} else name


def _host_array(values: Any, dtype: str) -> Any:
    """Values as what both libraries make a column of: of NumPy's objects, cuDF refuses those that are all missing."""
    host = values.to_numpy() if hasattr(values, "to_numpy") else values
    if dtype != "str":
        return np.asarray(host)
    import pandas as pd

    return pd.array(host, dtype="str")
