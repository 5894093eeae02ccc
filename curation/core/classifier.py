"""A classifier is the recipe for a scorer: a small frozen value that travels. The model it names does not."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from numpy.typing import NDArray

if TYPE_CHECKING:
    from curation.core.frames import Schema

Scorer = Callable[[Sequence[str]], Mapping[str, NDArray[Any]]]
"""n texts → columns of length n, in the order of the texts."""

Precision = Literal["exact", "fast", "bfloat16"]
"""How an encoder computes: in float32; the matrices of its layers in 16 bits; or everything in bfloat16."""

LongDocuments = Literal["head", "chunks:max", "chunks:mean"]
"""What is read of a text that is longer than a model: its head, or all of it in chunks, whose scores are put together.

"chunks:max" takes the highest, "chunks:mean" the mean weighted by the chunks' tokens.
"""


@dataclass(frozen=True)
class Canary:
    """Texts whose scores are known: a replica that cannot reproduce them must not score anything else."""

    texts: tuple[str, ...]
    scores: tuple[float, ...]
    tolerance: float


@dataclass(frozen=True)
class EncoderParts:
    """What an encoder classifier is made of, by fingerprint, so that equal parts are loaded and run once.

    The fingerprints are found from files without torch; the loaders import it. `trunk` covers the stored tensors in
    float32 and the config; two classifiers share a forward pass when `tokenizer`, `trunk`, `max_tokens`, `precision`
    and what is read of long documents are equal. Trunks that differ though their `trunk_config` is equal have the same
    shape and other weights; `rounded` tells whether they would be equal in bfloat16. `load_trunk` takes a device and
    whether its heads read the first token alone; `read` turns a head's float32 outputs [n, C] into the classifier's
    columns. `directory` holds the config, the trunk and the tokenizer.
    """

    directory: Path
    tokenizer: str
    trunk: str
    trunk_config: str
    max_tokens: int
    precision: Precision
    long_documents: LongDocuments
    rounded: Callable[[], str]
    load_tokenizer: Callable[[], Any]
    load_trunk: Callable[[str, bool], Any]
    load_head: Callable[[str], Any]
    read: Callable[[NDArray[Any]], Mapping[str, NDArray[Any]]]


class Classifier(ABC):
    """The recipe for a scorer. Subclasses are frozen dataclasses, one file in `curation/classifiers/` each.

    The file's name is the kind that a config names.
    """

    kind: ClassVar[str]
    """The word that a config chooses it by."""

    name: str
    """Names its score column, its folder under scores/ and its line in every table."""

    precision: str = ""
    """How it computes, where it can in several ways: a `Precision`, or "auto", which a run replaces by one."""

    highest: ClassVar[float] = math.inf
    """The highest score that its model can mean; a score above it is kept as it is, and counted."""

    def __init_subclass__(cls) -> None:
        cls.kind = cls.__module__.rpartition(".")[2]

    @property
    @abstractmethod
    def columns(self) -> "Schema":
        """The columns that its scorer gives, with dtypes; the first float32 column is the score."""

    @property
    def score_column(self) -> str:
        """The column that calibration reads."""
        return next(name for name, dtype in self.columns.items() if dtype == "float32")

    @abstractmethod
    def fingerprint(self) -> str:
        """64 hexadecimal digits over everything that can change a score, and nothing else (no name, path or device).

        Reads the model's files; raises ModelError when they are missing or not what they should be.
        """

    @abstractmethod
    def load(self, device: str) -> Scorer:
        """The scorer, on a torch device ("cpu", "cuda"). Slow; called once in each worker process."""

    @classmethod
    @abstractmethod
    def tiny(cls, directory: Path) -> Self:
        """Write the smallest working model into a directory and return its recipe, for tests without downloads."""

    def parts(self) -> EncoderParts | None:
        """What can be shared with other classifiers; None when it is scored on its own through `load`."""
        return None

    @property
    def reading(self) -> Mapping[str, Any]:
        """The settings, as JSON, that make one model's files give other scores; a canary was measured with some."""
        return {}

    @property
    def host_bytes(self) -> int:
        """About what it takes of the memory of each worker process, beside the device's; 0 for not worth saying."""
        return 0

    def canary(self) -> Canary | None:
        """The texts that a replica must reproduce before it scores; None when there are none for its reading."""
        return None
