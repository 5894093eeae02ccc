"""Every reply that was ever paid for, in one file that only grows."""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from curation.annotation.endpoint import AnnotatorSpec, Reply
from curation.annotation.rubric import Rubric
from curation.core.errors import ShardError
from curation.core.fingerprint import canonical_json, fingerprint
from curation.data.explaining import explaining


@dataclass(frozen=True)
class Question:
    """One request: who is asked what about which document, in which round.

    `key` is equal when it would be the same question to the same model again. It holds neither the address nor the
    names of a config: a model may move to another machine, a document may be met again in another file.
    """

    annotator: AnnotatorSpec
    rubric: Rubric
    text: str
    number: int

    @property
    def key(self) -> str:
        """The identity of what is asked."""
        text = hashlib.sha256(self.text.encode()).hexdigest()
        return fingerprint(
            [self.annotator.model, self.rubric.identity, self.annotator.parameters(self.number), text, self.number]
        )


@dataclass(frozen=True)
class StoredReply:
    """A line of the file: the key of the question, what a person wants to know of it, and the raw reply."""

    key: str
    id: str
    model: str
    rubric: str
    version: int
    number: int
    text: str
    finish: str
    prompt_tokens: int
    completion_tokens: int

    @classmethod
    def of(cls, question: Question, document: str, reply: Reply) -> Self:
        """The reply to a question about the document of this id."""
        rubric = question.rubric
        return cls(
            question.key, document, question.annotator.model, rubric.name, rubric.version, question.number, *reply
        )


class Replies:
    """The replies in a file, one line of JSON each; one process writes.

    A reply is there when `append` returns: written, synced. A line that a kill cut off is no reply, and is overwritten;
    any other that cannot be read is counted in `num_damaged`, and its question is asked again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._places: dict[bytes, int] = {}
        self._end = 0
        self.num_damaged = 0
        self.models: set[str] = set()
        if path.exists():
            self._load()

    def __contains__(self, key: str) -> bool:
        return bytes.fromhex(key) in self._places

    def __len__(self) -> int:
        return len(self._places)

    def get(self, keys: Sequence[str]) -> Iterator[StoredReply | None]:
        """The replies to questions, in order; None where there is none."""
        if not self._places:
            yield from (None for _ in keys)
            return
        with explaining(str(self._path), "read"), self._path.open("rb") as file:
            for key in keys:
                place = self._places.get(bytes.fromhex(key))
                if place is None:
                    yield None
                else:
                    file.seek(place)
                    yield StoredReply(**json.loads(file.readline()))

    def append(self, replies: Sequence[StoredReply]) -> None:
        """Add replies, so that neither a kill nor a power cut can take them back. Raises ShardError."""
        lines = [canonical_json(asdict(reply)) + b"\n" for reply in replies]
        with explaining(str(self._path), "written"):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("r+b" if self._path.exists() else "xb") as file:
                file.truncate(self._end)
                file.seek(self._end)
                file.write(b"".join(lines))
                file.flush()
                os.fsync(file.fileno())
        for reply, line in zip(replies, lines, strict=True):
            self._places[bytes.fromhex(reply.key)] = self._end
            self.models.add(reply.model)
            self._end += len(line)

    def _load(self) -> None:
        with explaining(str(self._path), "read"), self._path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                try:
                    reply = StoredReply(**json.loads(line))
                    self._places[bytes.fromhex(reply.key)] = self._end
                    self.models.add(reply.model)
                except (ValueError, TypeError):
                    self.num_damaged += 1
                self._end += len(line)
        if self.num_damaged and not self._places:
            raise ShardError(f"{self._path}: holds no replies of this package; name another file, or none.")
