"""log/<n>.jsonl: what run number n did, when. With report/ the only place that holds times."""

import json
import logging
import posixpath
import time
from types import TracebackType
from typing import Any, Self

from curation.core.errors import ShardError
from curation.data import storage
from curation.data.layout import Layout

_PUT_EVERY_S = 30.0
_warn = logging.getLogger("curation").warning


class RunLog:
    """One writer, one event a line. Locally each line is appended; elsewhere the file is put again every 30 s.

    A line that cannot be written, because the disk is full or the store does not answer, waits for the next one: the
    run itself meets the same trouble, and says it. What is never written is told at the end.
    """

    def __init__(self, layout: Layout) -> None:
        folder = posixpath.dirname(layout.log(0))
        numbers = [int(stem) for name in storage.list_files(folder) if (stem := name.removesuffix(".jsonl")).isdigit()]
        self.number = max(numbers, default=0) + 1
        self._url = layout.log(self.number)
        self._is_local = storage.is_local(self._url)
        self._lines: list[bytes] = []
        self._num_written = 0
        self._put_at = 0.0

    def event(self, event: str, **facts: Any) -> None:
        """Write one line: when, what, and the facts."""
        line = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "event": event} | facts
        self._lines.append(json.dumps(line, ensure_ascii=False).encode() + b"\n")
        if self._is_local or time.monotonic() - self._put_at > _PUT_EVERY_S:
            self._write()

    def _write(self) -> str:
        """Write what waits; gives why that is not possible."""
        self._put_at = time.monotonic()
        try:
            if self._is_local:
                storage.append_bytes(self._url, b"".join(self._lines))
                self._lines.clear()
            else:
                storage.write_bytes(self._url, b"".join(self._lines))
        except ShardError as error:
            return str(error)
        self._num_written = len(self._lines)
        return ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.event("error", kind=type(error).__name__, message=str(error))
        if len(self._lines) > self._num_written and (problem := self._write()):
            _warn(f"{len(self._lines) - self._num_written} lines of the log are lost: {problem}")
