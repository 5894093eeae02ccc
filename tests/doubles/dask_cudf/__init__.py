"""A double of dask-cudf: what Dask imports when it first meets a frame of cuDF, and registers what it needs of one."""

import cudf
import pandas as pd
from dask.dataframe.backends import DataFrameBackendEntrypoint
from dask.dataframe.dask_expr import from_map
from dask.dataframe.dask_expr._backends import dataframe_creation_dispatch, get_collection_type
from dask.dataframe.dask_expr._collection import DataFrame, Series
from dask.dataframe.dispatch import concat_dispatch, get_parallel_type, make_meta_dispatch


@get_collection_type.register(cudf.DataFrame)
@get_parallel_type.register(cudf.DataFrame)
def _frames(_):
    return DataFrame


@get_collection_type.register(cudf.Series)
@get_parallel_type.register(cudf.Series)
def _columns(_):
    return Series


@make_meta_dispatch.register((cudf.DataFrame, cudf.Series))
def _meta(frame, index=None):  # noqa: ARG001 - Dask names it
    return frame.iloc[:0]


@concat_dispatch.register((cudf.DataFrame, cudf.Series))
def _concat(parts, *_args, **_kwargs):
    return cudf.concat(parts)


class _Backend(DataFrameBackendEntrypoint):
    """What ``dataframe.backend = "cudf"`` names; dask-cudf offers it as an entry point of its distribution."""

    @staticmethod
    def from_dict(data, npartitions, **_kwargs):
        host = pd.DataFrame(data)
        step = -(-len(host) // npartitions)
        parts = [cudf.DataFrame(host.iloc[start : start + step]) for start in range(0, len(host), step)]
        return from_map(lambda part: part, parts, meta=parts[0].iloc[:0])


dataframe_creation_dispatch.register_backend("cudf", _Backend())
