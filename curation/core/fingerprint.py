"""Identity is content: the sha256 of a canonical form."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_BLOCK_BYTES = 1 << 20


def canonical_json(value: Any) -> bytes:
    """`value` as JSON with sorted keys and no blanks: equal values give equal bytes.

    Raises ValueError for NaN and infinities, TypeError for what JSON cannot say.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def fingerprint(value: Any) -> str:
    """64 hexadecimal digits that are equal exactly when two JSON values are."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def fingerprint_each(values: Iterable[Any]) -> str:
    """The fingerprint of the list of these values, of which one at a time is in memory."""
    digest = hashlib.sha256(b"[")
    for place, value in enumerate(values):
        digest.update(b"," * (place > 0) + canonical_json(value))
    digest.update(b"]")
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """The sha256 of a local file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
