"""Every reply that was ever paid for, in one file that only grows."""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Self

from curation.annotation.endpoint import AnnotatorSpec, Reply, count
from curation.annotation.rubric import Reading, Rubric
from curation.core.errors import ShardError
from curation.core.fingerprint import canonical_json, fingerprint
from curation.data.explaining import explaining

FORMAT = 1
"""Of a line; one that says none is of the first."""

_CUT = "length"
_NATURAL_ENDS = {"", "stop", "eos_token", "stop_sequence"}  # the last two of TGI's; "" where a server says none


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

    @cached_property
    def key(self) -> str:
        """The identity of what is asked."""
        text = hashlib.sha256(self.text.encode()).hexdigest()
        return fingerprint(
            [self.annotator.model, self.rubric.identity, self.annotator.parameters(self.number), text, self.number]
        )

    def read(self, text: str, finish: str) -> Reading:
        """What a reply says: nothing unless it came to a natural end, whatever its last line is."""
        if finish == _CUT:
            return Reading(None, "the reply was cut at max_tokens")
        if finish not in _NATURAL_ENDS:
            return Reading(None, f"the reply ended with finish_reason {finish[:40]!r}")
        return self.rubric.parse(text)


@dataclass(frozen=True)
class StoredReply:
    """A line of the file: the key of the question, what a person wants to know of it, and the raw reply."""

    key: str
    text: str
    finish: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    id: str = ""
    model: str = ""
    rubric: str = ""
    version: int = 0
    number: int = 0

    @classmethod
    def of(cls, question: Question, document: str, reply: Reply) -> Self:
        """The reply to a question about the document of this id."""
        rubric = question.rubric
        return cls(
            question.key, *reply, document, question.annotator.model, rubric.name, rubric.version, question.number
        )

    @classmethod
    def parse(cls, line: bytes) -> Self:
        """What a line of the file holds. Raises ShardError when it is of a newer format, ValueError when of none."""
        said = json.loads(line)
        if not isinstance(said, dict) or not all(isinstance(said.get(name), str) for name in ("key", "text")):
            raise ValueError("it is no reply")
        if said.get("format", FORMAT) != FORMAT:
            raise ShardError(
                f"is of format {said['format']}; this version of the package knows {FORMAT}. Use a newer one."
            )
        said |= {name: count(said.get(name)) for name in ("prompt_tokens", "completion_tokens")}
        said["finish"] = str(said.get("finish") or "")
        return cls(**{field.name: said[field.name] for field in fields(cls) if field.name in said})

    @property
    def line(self) -> bytes:
        """Its line of the file."""
        return canonical_json({"format": FORMAT} | asdict(self)) + b"\n"


class Replies:
    """The replies in a file that only grows, one line of JSON each; one process writes.

    A reply is there when `append` returns: written, synced. A line that cannot be read, such as one that a kill cut
    off, is counted in `num_damaged`, and its question is asked again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._places: dict[bytes, int] = {}
        self._end = 0
        self._is_torn = False
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
                    yield StoredReply.parse(file.readline())

    def append(self, replies: Sequence[StoredReply]) -> None:
        """Add replies, so that neither a kill nor a power cut can take them back. Raises ShardError.

        Nothing that is in the file is ever taken out: another run may have taken it over while this one slept. What is
        paid is added then, too, and the error says that there are two.
        """
        lines = [reply.line for reply in replies]
        data = b"\n" * self._is_torn + b"".join(lines)
        expected, self._is_torn = self._end + len(data), True
        with explaining(str(self._path), "written"):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab", buffering=0) as file:
                while data:
                    data = data[file.write(data) :]
                os.fsync(file.fileno())
                self._end = file.tell()
        self._is_torn = False
        place = self._end - sum(map(len, lines))
        for reply, line in zip(replies, lines, strict=True):
            self._note(reply, place)
            place += len(line)
        if self._end != expected:
            raise ShardError(
                f"{self._path}: another run writes here. What was paid is kept; start one of the two again when the "
                "other has ended."
            )

    def _note(self, reply: StoredReply, place: int) -> None:
        self._places[bytes.fromhex(reply.key)] = place
        self.models.add(reply.model)

    def _load(self) -> None:
        with explaining(str(self._path), "read"), self._path.open("rb") as file:
            for line in file:
                self._is_torn = not line.endswith(b"\n")
                try:
                    if line.strip() and not self._is_torn:
                        self._note(StoredReply.parse(line), self._end)
                except ValueError:
                    self.num_damaged += 1
                except ShardError as error:
                    raise ShardError(f"{self._path}: {error}") from None
                self._end += len(line)
        if self.num_damaged and not self._places:
            raise ShardError(f"{self._path}: holds no replies of this package; name another file, or none.")
