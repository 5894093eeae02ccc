"""log/<n>.jsonl: what run number n did, when. With report/ the only place that holds times."""

import json
import posixpath
import time
from types import TracebackType
from typing import Any, Self

from curation.data import storage
from curation.data.layout import Layout

_PUT_EVERY_S = 30.0


class RunLog:
    """One writer, one event a line. Locally each line is appended; elsewhere the file is put again every 30 s."""

    def __init__(self, layout: Layout) -> None:
        folder = posixpath.dirname(layout.log(0))
        numbers = [int(stem) for name in storage.list_files(folder) if (stem := name.removesuffix(".jsonl")).isdigit()]
        self.number = max(numbers, default=0) + 1
        self._url = layout.log(self.number)
        self._lines: list[bytes] = []
        self._put_at = 0.0

    def event(self, event: str, **facts: Any) -> None:
        """Write one line: when, what, and the facts."""
        line = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "event": event} | facts
        self._lines.append(json.dumps(line, ensure_ascii=False).encode() + b"\n")
        if storage.is_local(self._url):
            storage.append_bytes(self._url, self._lines.pop())
        elif time.monotonic() - self._put_at > _PUT_EVERY_S:
            self._put()

    def _put(self) -> None:
        storage.write_bytes(self._url, b"".join(self._lines))
        self._put_at = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.event("error", kind=type(error).__name__, message=str(error))
        if self._lines:
            self._put()
