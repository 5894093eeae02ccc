"""What every test may use: one small cluster for the whole session, and the folder of real data if there is one."""

import os
from pathlib import Path

import pytest

from curation.execution.cluster import ClusterSpec, connect
from curation.inference.replica import ScoringSpec


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


@pytest.fixture(scope="session")
def real_data():
    """The folder of real web text and annotations."""
    folder = os.environ.get("CURATION_TEST_DATA")
    if not folder:
        pytest.skip("real data is read from the folder named by CURATION_TEST_DATA, which is not set")
    return Path(folder)
