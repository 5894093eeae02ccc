"""Reading the small and the large files of a model once in each process."""

import json
from collections.abc import Callable
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any, TypeVar

from curation.core.errors import ModelError
from curation.core.fingerprint import file_sha256

Value = TypeVar("Value")


def once(read: Callable[[Path], Value]) -> Callable[[Path], Value]:
    """`read`, called again for a path only when the file's size or time of change differs."""

    @lru_cache(maxsize=256)
    def remembered(path: Path, _num_bytes: int, _changed_ns: int) -> Value:
        return read(path)

    @wraps(read)
    def read_once(path: Path) -> Value:
        try:
            stat = path.stat()
        except OSError as error:
            raise ModelError(f"{path}: cannot be read: {error.strerror or error}.") from None
        return remembered(path, stat.st_size, stat.st_mtime_ns)

    return read_once


def parse_json(path: Path) -> dict[str, Any]:
    """The object that a JSON file holds. Raises ModelError."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path}: is not JSON: {error}. Fetch the model again.") from None
    if not isinstance(value, dict):
        raise ModelError(f"{path}: holds a JSON {type(value).__name__}, not an object. Fetch the model again.")
    return value


read_json = once(parse_json)
"""The object of a JSON file, shared by all callers: do not change it."""


sha256 = once(file_sha256)
"""The sha256 of a file's bytes, in hexadecimal."""
