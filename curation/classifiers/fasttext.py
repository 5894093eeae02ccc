"""fastText: the probability of one label of a supervised model, as DCLM scores documents."""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from curation.classifiers.canary import read_canary, write_canary
from curation.classifiers.source import resolve
from curation.core.classifier import Canary, Classifier, Scorer
from curation.core.errors import ModelError
from curation.core.fingerprint import fingerprint
from curation.inference.files import once, sha256

if TYPE_CHECKING:
    from curation.core.frames import Schema

NORMALISATION = "strip, splitlines, join with a blank"
_ENDINGS = (".bin", ".ftz")
_MAGIC = 793712314
_SUPERVISED = 3
_HEAD = struct.Struct("<i4xi24xi24xi4xi16x")  # magic, dim, model, entries, labels; the format is told at _labels
_ENTRY_END = 9  # after a word and its NUL: a count and a type
_OUTPUT = struct.Struct("<?qq")
_BLOCK = 1 << 20
_MOST_LABELS = 8
_TEXTS_PER_CALL = 256  # the binding holds the interpreter's lock for a whole call

_TINY_SENTENCES = {
    "__label__hq": (
        "the water cycle describes how water moves between the sea the air and the land",
        "a triangle has three sides and its angles add up to two right angles",
        "to find the area of a circle multiply the square of the radius by pi",
        "the treaty ended the war and moved the border to the river",
        "plants turn light water and air into sugar",
        "a prime number is divided only by one and by itself",
    ),
    "__label__cc": (
        "buy cheap shoes now free shipping on all orders",
        "click here to win a prize today only",
        "home about contact login register cart checkout",
        "best deals best prices best shoes click now",
        "sign up for our newsletter and get a free gift",
        "you will not believe what happened next click here",
    ),
}
_TINY_CANARY = ("the water moves to the sea", "click here for cheap shoes", "a number and a circle", "free prize now",
                "plants need light", "login or register", "zebra", "the border of the land")  # fmt: skip


def normalise(text: str) -> str:
    """`text` on one line, as DCLM's scoring does it: every break that `str.splitlines` knows becomes a blank."""
    return " ".join(text.strip().splitlines())


@dataclass(frozen=True)
class FastText(Classifier):
    """A supervised fastText model (.bin or .ftz).

    `model` is what `source.resolve` takes: the file, or a folder that holds one. The float32 column `name` is the
    probability of `label` among all labels as the model reports it: fastText adds 1e-5 to every probability, so it may
    lie above 1; such scores are kept, and counted. Unknown words count through the n-grams that they are part of; a
    text without any word (NULs, say) gets what the model gives to an empty line. NUL separates words like white space,
    and nothing after a word ``</s>`` is read: both as fastText does it.
    """

    highest: ClassVar[float] = 1.0

    name: str
    model: str
    label: str
    revision: str = ""
    bundles: str = "models"

    @property
    def columns(self) -> "Schema":
        """One float32 column."""
        return {self.name: "float32"}

    def fingerprint(self) -> str:
        """See `Classifier.fingerprint`."""
        return fingerprint(
            {"kind": "fasttext", "sha256": sha256(self._file()), "label": self.label, "normalisation": NORMALISATION}
        )

    def load(self, device: str) -> Scorer:  # noqa: ARG002 - fastText computes on the CPU whatever the others do
        """The model in memory. Raises ModelError when it cannot be read."""
        return FastTextScorer(self.name, self._file(), self.label)

    @property
    def reading(self) -> Mapping[str, Any]:
        """The label."""
        return {"label": self.label}

    @property
    def host_bytes(self) -> int:
        """The size of its file: the binding reads all of it into each process. Raises ModelError."""
        return self._file().stat().st_size

    def canary(self) -> Canary | None:
        """The canary.json beside the model, where it was measured with this label."""
        return read_canary(self._file().parent, self.reading)

    @classmethod
    def tiny(cls, directory: Path) -> Self:
        """A model of bigrams over a dozen sentences."""
        directory.mkdir(parents=True, exist_ok=True)
        _train(directory / "tiny.bin", _TINY_SENTENCES)
        recipe = cls(name="tiny", model=str(directory), label="__label__hq")
        scores = recipe.load("cpu")(_TINY_CANARY)["tiny"]
        write_canary(directory, Canary(_TINY_CANARY, tuple(map(float, scores)), tolerance=1e-4), recipe.reading)
        return recipe

    def _file(self) -> Path:
        path = resolve(self.model, self.revision, self.bundles)
        if path.is_dir():
            found = [file for file in sorted(path.iterdir()) if file.suffix in _ENDINGS]
            if len(found) != 1:
                raise ModelError(
                    f"{self.name}: {path} holds {len(found)} fastText models (.bin, .ftz): "
                    f"{[file.name for file in found]}; one is right, or name the file."
                )
            path = found[0]
        if self.label not in (labels := _labels(path)):
            some = ", ".join(sorted(labels)[:_MOST_LABELS])
            raise ModelError(f"{self.name}: {path} has no label {self.label!r}; its labels are {some}.")
        return path


class FastTextScorer:
    """A loaded model: texts → the probability of one label."""

    def __init__(self, name: str, file: Path, label: str) -> None:
        self.name = name
        self.label = label
        self.model = _open(file)

    def __call__(self, texts: Sequence[str]) -> Mapping[str, NDArray[Any]]:
        """One float32 column."""
        lines = [normalise(text) for text in texts]
        calls = (lines[start : start + _TEXTS_PER_CALL] for start in range(0, len(lines), _TEXTS_PER_CALL))
        scores = chain.from_iterable(map(self._probabilities, calls))
        return {self.name: np.fromiter(scores, np.float32, len(lines))}

    def _probabilities(self, lines: list[str]) -> list[float]:
        # k = -1 asks for all labels; with a threshold of 0 none is left out, however unlikely
        replies = zip(*self.model.predict(lines, k=-1, threshold=0.0), strict=True)
        return [probabilities[labels.index(self.label)] for labels, probabilities in replies]


def _open(file: Path) -> Any:
    import fasttext

    try:
        return fasttext.load_model(str(file))
    except (ValueError, RuntimeError, MemoryError) as error:
        raise ModelError(f"{file}: fastText cannot load it: {error}") from error


@once
def _labels(file: Path) -> tuple[str, ...]:
    """The labels of a model, without loading it, which may take gigabytes.

    Raises ModelError unless the file is a whole supervised model: fastText hangs on some that are cut short.

    The format: magic, version, dim, ws, epoch, minCount, neg, wordNgrams, loss, model, bucket, minn, maxn, lrUpdateRate
    as int32, t as float64; the dictionary: the numbers of entries, words and labels as int32, of tokens and of kept
    n-grams as int64, then words before labels, each ended by NUL, a count as int64 and a type as int8; and at the very
    end a byte that says whether the output is quantised, its rows and columns as int64, its values as float32.
    """
    with file.open("rb") as stream:
        head = stream.read(_HEAD.size).ljust(_HEAD.size, b"\0")
        magic, dim, model, num_entries, num_labels = _HEAD.unpack(head)
        if magic != _MAGIC or model != _SUPERVISED:
            raise ModelError(f"{file}: is not a supervised fastText model, or a damaged one. Fetch it again.")
        expected = _OUTPUT.pack(False, num_labels, dim)
        stream.seek(max(0, file.stat().st_size - _OUTPUT.size - 4 * num_labels * dim))
        if stream.read(_OUTPUT.size) != expected:
            raise ModelError(f"{file}: is cut short, or its output matrix is quantised (qout). Fetch it again.")
        stream.seek(_HEAD.size)
        return tuple(_entries(stream, num_entries))[num_entries - num_labels :]


def _entries(stream: BinaryIO, num_entries: int) -> Iterator[str]:
    """The words of a dictionary, which begins where the stream stands."""
    data, start = b"", 0
    for _ in range(num_entries):
        while (end := data.find(b"\0", start)) < 0 or end + _ENTRY_END >= len(data):
            if not (block := stream.read(_BLOCK)):
                return
            data, start = data[start:] + block, 0
        yield data[start:end].decode("utf-8", "replace")
        start = end + 1 + _ENTRY_END


def _train(file: Path, sentences: Mapping[str, Sequence[str]]) -> None:
    """Train a small model, the same each time, and write it."""
    import fasttext

    lines = file.with_suffix(".txt")
    lines.write_text(
        "".join(f"{label} {line}\n" for label, each in sentences.items() for line in each), encoding="utf-8"
    )
    settings = {"dim": 4, "epoch": 50, "lr": 0.5, "minCount": 1, "wordNgrams": 2, "bucket": 100, "seed": 1}
    fasttext.train_supervised(str(lines), **settings, thread=1, verbose=0).save_model(str(file))
    lines.unlink()
