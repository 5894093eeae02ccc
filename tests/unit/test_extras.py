import sys

from curation.core.extras import missing


def test_a_package_that_is_not_installed_is_named_with_the_extra_that_brings_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert missing("evaluate", "numpy", "matplotlib", "no_such_package") == [
        "matplotlib and no_such_package: not installed; run pip install '.[evaluate]'."
    ]


def test_nothing_is_said_where_nothing_is_missing():
    assert missing("evaluate", "numpy", "scipy") == []
