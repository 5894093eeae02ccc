import pytest

from curation.data.hosts import groups, host


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://www.Example.org/a?b=c", "example.org"),
        ("http://example.org:8080/", "example.org"),
        ("https://user:word@blog.example.org/x", "blog.example.org"),
        ("//example.org/x", "example.org"),
        ("example.org/a", "example.org"),
        ("www.example.org", "example.org"),
        ("blog.example.org:8080?b=c", "blog.example.org"),
        ("mailto:someone@example.org", None),
        ("not a url", None),
        ("not a url/of.a/page", None),
        ("http://[broken/", None),
        ("http://www./", None),
        ("", None),
        (None, None),
    ],
)
def test_the_host_of_a_url(url, name):
    assert host(url) == name


def test_pages_of_one_host_are_one_group_and_pages_without_a_host_stand_alone():
    urls = ["https://a.org/1", None, "http://www.a.org/2", "https://b.org/", None]
    assert groups(urls, ["1", "2", "3", "4", "5"]).tolist() == [0, 1, 0, 2, 3]


def test_an_id_that_looks_like_a_host_is_no_host():
    assert groups(["https://a.org/", None], ["1", "a.org"]).tolist() == [0, 1]
