"""A double of cuDF 26.10 for machines without a GPU: what this project uses of its frames, and what they refuse.

Values lie in pandas, of which nothing shows: what a class here does not define is no attribute of it. Each refusal
names the place in cuDF that it mirrors. Missing values are nulls, as there: a float column has no NaN beside them.
"""

import operator

import numpy as np
import pandas as pd
import pyarrow as pa

__version__ = "26.10.2"


class MixedTypeError(TypeError):
    """cudf/errors.py."""


class _NotIterable:
    def __iter__(self):
        # cudf/core/mixins/notiterable.py: a Series and an Index cannot be iterated over
        raise TypeError(
            f"{type(self).__name__} object is not iterable. Consider using `.to_arrow()`, `.to_pandas()` or "
            "`.to_numpy()` if you wish to iterate over the values."
        )


class _OnDevice:
    """What frames, columns and indexes share: they come to the host only when asked to by name."""

    def __len__(self):
        return len(self._host)

    def __array__(self, dtype=None, copy=None):
        # cudf/core/frame.py, Frame.__array__: np.asarray() is refused
        raise TypeError("Implicit conversion to a host NumPy array via __array__ is not allowed")

    def __arrow_array__(self, type=None):  # noqa: A002 - Arrow's own name
        # cudf/core/frame.py, Frame.__arrow_array__: pa.array() is refused
        raise TypeError("Implicit conversion to a host PyArrow object via __arrow_array__ is not allowed")

    def __bool__(self):
        # cudf/core/frame.py, Frame.__bool__
        raise ValueError(f"The truth value of a {type(self).__name__} is ambiguous.")

    def to_pandas(self):
        return self._host.copy()

    def copy(self, deep=True):
        return type(self)(self._host.copy(deep=deep))

    def __dask_tokenize__(self):
        return type(self).__name__, pa.Table.from_pandas(pd.DataFrame(self._host)).to_pydict()


class _DeviceArray:
    """What `values` gives: an array of CuPy, of which NumPy gets nothing but by `get`."""

    def __init__(self, host):
        self._host = host

    def __array__(self, dtype=None, copy=None):
        # cupy/_core/core.pyx, ndarray.__array__
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")

    def get(self):
        return self._host


class Index(_NotIterable, _OnDevice):
    def __init__(self, values):
        self._host = pd.Index(_host(values))

    def equals(self, other):
        return self._host.equals(_host(other))


class Series(_NotIterable, _OnDevice):
    def __init__(self, data=None, index=None, dtype=None, name=None):
        column = _column([] if data is None else data, dtype)
        given = getattr(data, "index", None) if isinstance(data, Series | pd.Series) else None
        own = pd.RangeIndex(len(column)) if given is None else _host(given)
        self._host = pd.Series(column, index=own, name=name if name is not None else getattr(data, "name", None))
        if index is not None and given is None:
            self._host.index = _host(index)  # as pandas, this refuses an index of another length
        elif index is not None:
            self._host = self._host.reindex(_host(index))

    @property
    def dtype(self):
        return self._host.dtype

    @property
    def name(self):
        return self._host.name

    @property
    def index(self):
        return Index(self._host.index)

    @property
    def iloc(self):
        return _Places(self)

    @property
    def str(self):
        return _Strings(self)

    @property
    def values(self):
        # cudf/core/single_column_frame.py, SingleColumnFrame.values: dtypes that are not NumPy's, with nulls
        if not isinstance(self._host.dtype, np.dtype) and self._host.isna().any():
            raise ValueError(f"cannot convert to '{self.dtype}'-dtype NumPy array with missing values.")
        # cudf/core/column/string.py, StringColumn.values: strings have no array on the device
        if self._host.dtype.kind not in "iufb":
            raise TypeError(f"cupy does not support {self.dtype}")
        return _DeviceArray(self._host.to_numpy())

    def tolist(self):
        # cudf/core/single_column_frame.py, SingleColumnFrame.tolist
        raise TypeError("cuDF does not support conversion to host memory via the `tolist()` method.")

    to_list = tolist

    def to_numpy(self, dtype=None, copy=True):
        if not copy:
            # cudf/core/frame.py, Frame.to_numpy
            raise ValueError("copy=False is not supported because conversion to a numpy array always copies the data.")
        if dtype is not None and self._host.isna().any():
            # cudf/core/frame.py, Frame._to_array: a dtype with nulls needs an na_value
            raise ValueError(f"cannot convert to '{dtype}'-dtype NumPy array with missing values.")
        if self._host.dtype.name == "boolean" and self._host.isna().any():
            # cudf/core/column/numerical.py, NumericalColumn.values
            raise ValueError(f"Column must have no nulls for dtype={self.dtype}")
        return self._host.to_numpy(dtype=dtype, copy=True)  # integers with nulls come as float64 in both libraries

    def to_arrow(self):
        return pa.array(self._host, from_pandas=True)

    def isna(self):
        return _wrapped(self._host.isna())

    def where(self, cond, other=None):
        # cudf/core/series.py, Series.where: callables are not supported
        if callable(cond):
            raise TypeError(f"{type(cond).__name__} must be an iterable or sequence.")
        return _wrapped(self._host.where(_host(cond), np.nan if other is None else other))

    def fillna(self, value):
        return _wrapped(self._host.fillna(value))

    def astype(self, dtype):
        return _wrapped(self._host.astype(dtype))

    def __getitem__(self, key):
        return _wrapped(self._host[_host(key)])


class DataFrame(_OnDevice):
    def __init__(self, data=None, index=None):
        if isinstance(data, DataFrame | pd.DataFrame):
            host = _host(data)
            index, columns = host.index, {name: host[name] for name in host.columns}
        else:
            columns = data or {}
        made = {name: _column(values, None) for name, values in columns.items()}
        self._host = pd.DataFrame(made, index=None if index is None else _host(index))

    @property
    def columns(self):
        return self._host.columns  # cudf/core/dataframe.py, DataFrame.columns: an Index of pandas, on the host

    @property
    def dtypes(self):
        return self._host.dtypes

    @property
    def index(self):
        return Index(self._host.index)

    @property
    def shape(self):
        return self._host.shape

    @property
    def iloc(self):
        return _Places(self)

    def __iter__(self):
        return iter(self._host.columns)

    def __getitem__(self, key):
        return _wrapped(self._host[_host(key)])

    def __setitem__(self, name, value):
        # cudf/core/dataframe.py, DataFrame._insert: a column with an index is aligned to the frame's, and two
        # different indexes of which one has repetitions are refused
        if isinstance(value, Series):
            value = value._host
            if not value.index.equals(self._host.index) and not (value.index.is_unique and self._host.index.is_unique):
                raise ValueError("Cannot align indices with non-unique values")
        elif not np.isscalar(value):
            value = _column(value, None)
        self._host[name] = value

    def assign(self, **columns):
        result = self.copy(deep=False)
        for name, value in columns.items():
            result[name] = value
        return result

    def drop(self, *, columns):
        return _wrapped(self._host.drop(columns=columns))

    def rename(self, *, columns):
        return _wrapped(self._host.rename(columns=columns))

    def get(self, name, default=None):
        return self[name] if name in self._host.columns else default

    def astype(self, dtype):
        return _wrapped(self._host.astype(dtype))

    def head(self, n=5):
        return self.iloc[:n]

    def _not_in_the_double(self, *_args, **_kwargs):
        raise NotImplementedError("cuDF has it and this project does not use it")

    groupby = merge = mean = _not_in_the_double  # by these Dask knows a frame


class _Places:
    def __init__(self, frame):
        self._frame = frame

    def __getitem__(self, key):
        found = self._frame._host.iloc[_host(key)]
        return _wrapped(found) if isinstance(found, pd.DataFrame | pd.Series) else found


class _Strings:
    def __init__(self, series):
        self._host = series._host

    def len(self):
        return _wrapped(self._host.str.len().astype("int32"))  # int32, where pandas gives int64


def from_pandas(host):
    return _wrapped(host)


def concat(parts):
    return _wrapped(pd.concat([part._host for part in parts]))


def _comparison(name):
    compare = getattr(operator, name)
    return lambda self, other: _wrapped(compare(self._host, _host(other)))


for _name in ("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"):
    setattr(Series, _name, _comparison(_name))


def _host(value):
    return value._host if isinstance(value, _OnDevice) else value


def _wrapped(host):
    return (DataFrame if isinstance(host, pd.DataFrame) else Series)(host)


def _column(values, dtype):
    """Host or device values as a column: cudf/core/column/column.py, as_column."""
    values = _host(values)
    if isinstance(values, np.ndarray) and values.dtype.kind == "O" and len(values) and pd.isna(values).all():
        raise MixedTypeError("Cannot have all NaN values with object dtype.")
    if getattr(values, "dtype", None) == np.float16:
        raise TypeError("Unsupported type float16")
    if getattr(values, "dtype", None) == np.dtype(object):
        kind = pd.api.types.infer_dtype(values, skipna=True)
        if kind.startswith("mixed-integer"):
            raise MixedTypeError("Cannot create column with mixed types")
        if dtype is None and kind not in {"mixed", "decimal", "string", "empty", "boolean"}:
            raise MixedTypeError(f"Cannot convert a {kind} of object type")
    if isinstance(values, pd.Series | pd.Index):
        values = values.array
    return pd.array(values, dtype=dtype if dtype is not None else getattr(values, "dtype", None))
