import pytest

from curation.core.fingerprint import fingerprint, fingerprint_each


@pytest.mark.parametrize("values", [[], [{"a": 1}], ["ü", None, [1, {"b": 2, "a": "]"}]]])
def test_values_one_after_the_other_have_the_fingerprint_of_their_list(values):
    assert fingerprint_each(iter(values)) == fingerprint(values)
