"""What every test may use: one small cluster for the whole session, frames of both libraries, real data if there is."""

import functools
import importlib.util
import os
import sys
from pathlib import Path

import pytest

from curation.core import frames
from curation.execution.cluster.connect import connect
from curation.execution.cluster.spec import ClusterSpec
from curation.inference.replica import ScoringSpec

DOUBLES = str(Path(__file__).parent / "doubles")


def pytest_addoption(parser):
    parser.addoption("--rewrite-golden", action="store_true", help="write the golden files that differ, and pass")


@pytest.fixture
def golden(request):
    """A function (file in tests/golden, text) → the text that is expected there."""

    def expected(name, text):
        path = Path(__file__).parent / "golden" / name
        if request.config.getoption("rewrite_golden"):
            path.write_text(text)
        return path.read_text()

    return expected


@pytest.fixture(scope="session")
def client():
    """A client of two worker processes, shared by the tests that leave it as they found it."""
    with connect(ClusterSpec(kind="cpu", workers=2), ScoringSpec()) as client:
        yield client


@pytest.fixture
def cudf_double(monkeypatch):
    """In this test, and in no other, ``import cudf`` gives the double."""
    if "cudf" not in sys.modules and importlib.util.find_spec("cudf"):
        pytest.skip("cuDF itself is installed; pytest -m gpu tests with it")
    monkeypatch.syspath_prepend(DOUBLES)
    for name, module in _doubles().items():
        monkeypatch.setitem(sys.modules, name, module)


@functools.cache
def _doubles():
    """Imported once: Dask keeps what it has registered for their classes."""
    names = ("cudf", "dask_cudf")
    try:
        return {name: importlib.import_module(name) for name in names}
    finally:
        for name in names:
            sys.modules.pop(name, None)


@pytest.fixture
def real_cudf():
    """The library itself, on a GPU; without one it can be imported, and fails at the first frame."""
    if not pytest.importorskip("torch").cuda.is_available():
        pytest.skip("torch finds no CUDA device here")
    return pytest.importorskip("cudf", reason="cuDF is not installed", exc_type=ImportError)


DOUBLE, REAL = "cudf double", pytest.param("cudf", marks=pytest.mark.gpu)


def _to_cudf(request):
    request.getfixturevalue("cudf_double" if request.param == DOUBLE else "real_cudf")
    return functools.partial(frames.of, "cudf")


@pytest.fixture(params=[DOUBLE, REAL])
def to_cudf(request):
    """A function pandas frame → cuDF frame: of the double, and of cuDF itself where it is asked for."""
    return _to_cudf(request)


@pytest.fixture(params=["pandas", DOUBLE, REAL])
def to_frame(request):
    """A function pandas frame → frame, of each library."""
    return functools.partial(frames.of, "pandas") if request.param == "pandas" else _to_cudf(request)


@pytest.fixture(scope="session")
def real_data():
    """The folder of real web text and annotations."""
    folder = os.environ.get("CURATION_TEST_DATA")
    if not folder:
        pytest.skip("real data is read from the folder named by CURATION_TEST_DATA, which is not set")
    return Path(folder)
