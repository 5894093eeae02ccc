"""Where documents come from: pages of one host are not independent of one another."""

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

_BARE = re.compile(r"[\w-]+(\.[\w-]+)+(:\d+)?(?:[/?#]|$)")
"""How an address without a scheme begins: names with dots between them."""


def host(url: str | None) -> str | None:
    """The host of a URL in lower case, without user, port and a leading "www."; None when there is none.

    The scheme may be left out, as in ``example.org/page``.
    """
    try:
        name = urlsplit(f"//{url}" if _BARE.match(url or "") else url or "").hostname
    except ValueError:
        return None
    return name.removeprefix("www.") or None if name else None


def groups(urls: Sequence[str | None], ids: Sequence[str]) -> NDArray[np.int64]:
    """For each document the number of its host, in order of appearance; one without a host stands for itself."""
    numbers: dict[tuple[str, str], int] = {}
    keys = [("host", name) if (name := host(url)) else ("id", id_) for url, id_ in zip(urls, ids, strict=True)]
    return np.asarray([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)
