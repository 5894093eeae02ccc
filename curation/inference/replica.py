"""The replica of a worker: all its classifiers loaded together, every text tokenised once and every trunk run once."""

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from itertools import chain
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.core.classifier import Classifier, EncoderParts, Scorer
from curation.core.errors import ColumnError, ConfigError, ModelError
from curation.inference.forward import forward
from curation.inference.groups import Groups, Pass, groups
from curation.inference.tokens import Tokenizer, Tokens

__all__ = ["Groups", "Replica", "ScoringSpec", "Tally", "groups", "load_replica", "replica_for", "schema_of"]

Columns = Mapping[str, NDArray[Any]]

_DEVICE = re.compile(r"cpu|cuda(:\d+)?")


@dataclass(frozen=True)
class ScoringSpec:
    """How texts are scored on one worker.

    `token_budget` bounds the padded tokens of a batch; `compute_threads` are torch's, which are part of the result: a
    sum runs in the same order only with the same number of threads.
    """

    device: str = "cpu"
    token_budget: int = 4096
    compute_threads: int = 1

    def __post_init__(self) -> None:
        small = [name for name in ("token_budget", "compute_threads") if getattr(self, name) < 1]
        wrong = [f"scoring.{name}: {getattr(self, name)} is below 1." for name in small]
        if not _DEVICE.fullmatch(self.device):
            wrong.append(f'scoring.device: {self.device!r} is none of "cpu", "cuda", "cuda:<number>".')
        if wrong:
            raise ConfigError(*wrong)


@dataclass(frozen=True)
class Tally:
    """What one classifier has scored since the last count.

    `num_tokens` are those that its model saw, special tokens included; a text with more counts as truncated. A score
    that was not finite is missing; one above the classifier's `highest` is kept.
    """

    num_scored: int = 0
    num_truncated: int = 0
    num_tokens: int = 0
    num_non_finite: int = 0
    num_above_highest: int = 0
    num_out_of_memory: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(Tally)))


@dataclass(frozen=True, eq=False)
class _Loaded:
    """A forward pass with its models."""

    about: Pass
    trunk: Callable[..., Any]
    heads: tuple[Callable[..., Any], ...]
    readouts: tuple[Callable[[NDArray[np.float32]], Columns], ...]


class Replica:
    """Texts → the columns of all classifiers. Made by `load_replica`; itself a scorer.

    A text that is None or blank gets missing values: NaN, or None in a str column. Several threads may call it; they
    take turns.
    """

    def __init__(self, classifiers: Sequence[Classifier], spec: ScoringSpec) -> None:
        self.classifiers = tuple(classifiers)
        self.schema = schema_of(self.classifiers)
        self.spec = spec
        self._lock = Lock()
        self._tallies = dict.fromkeys(self._names, Tally())
        parts = {each.name: part for each in self.classifiers if (part := each.parts()) is not None}
        self._tokenizers: dict[str, Tokenizer] = {}
        for part in parts.values():
            if part.tokenizer not in self._tokenizers:
                self._tokenizers[part.tokenizer] = part.load_tokenizer()
        self._passes = [_loaded(each, parts, spec.device) for each in groups(self.classifiers).passes]
        self._alone: dict[str, Scorer] = {
            each.name: each.load(spec.device) for each in self.classifiers if each.name not in parts
        }

    @property
    def _names(self) -> list[str]:
        return [each.name for each in self.classifiers]

    @property
    def build(self) -> str:
        """The torch that computes here and what makes the ids, for logs."""
        import torch

        num_packed = sum(getattr(each.trunk, "is_packed", False) for each in self._passes)
        packed = f"{num_packed} of {len(self._passes)} trunks packed"
        ids = sorted({f"ids by {each.how}" for each in self._tokenizers.values()})
        return "; ".join([f"torch {torch.__version__} on {self.spec.device}, {packed}", *ids])

    def __call__(self, texts: Sequence[str | None]) -> dict[str, NDArray[Any]]:
        """The columns of all classifiers, each as long as `texts` and in their order.

        Raises ModelError when a text does not fit into memory by itself, or, after memory ran out, when a canary is
        not reproduced any more.
        """
        rows = np.array([row for row, text in enumerate(texts) if text is not None and text.strip()], np.int64)
        present = [text for row in rows if (text := texts[row]) is not None]
        with self._lock:
            columns, tallies = self._score(present)
            for name, tally in tallies.items():
                self._tallies[name] += tally
            if any(tally.num_out_of_memory for tally in tallies.values()):
                self._check_canaries()
        return {name: _spread(columns.get(name), rows, len(texts), dtype) for name, dtype in self.schema.items()}

    def take_tallies(self) -> dict[str, Tally]:
        """What each classifier has scored since the last call, by name."""
        with self._lock:
            taken, self._tallies = self._tallies, dict.fromkeys(self._names, Tally())
        return taken

    def check_canaries(self) -> None:
        """Raises ModelError when a classifier does not give its canary's scores; nothing is counted."""
        with self._lock:
            self._check_canaries()

    def _check_canaries(self) -> None:
        for each in self.classifiers:
            if (canary := each.canary()) is None:
                continue
            got = self._score(canary.texts)[0][each.score_column]
            for number, expected in enumerate(canary.scores):
                if not abs(float(got[number]) - expected) <= canary.tolerance:
                    raise ModelError(
                        f"{each.name}: canary text {number} scores {got[number]:.8g} here, expected {expected:.8g} "
                        f"within {canary.tolerance:g}. The model's files, torch or the device compute something else; "
                        "fetch the model again, or see whether a fresh environment reproduces it."
                    )

    def _score(self, texts: Sequence[str]) -> tuple[dict[str, NDArray[Any]], dict[str, Tally]]:
        """Columns of texts that are there, and what was counted on the way."""
        columns: dict[str, NDArray[Any]] = {}
        tallies: dict[str, Tally] = {}
        if not texts:
            return columns, tallies
        for name, found, tally in chain(self._run_passes(texts), self._run_alone(texts)):
            columns |= {column: _finite(values) for column, values in found.items()}
            tallies[name] = tally
        for each in self.classifiers:
            score = columns[each.score_column]
            tallies[each.name] += Tally(
                num_scored=len(texts),
                num_non_finite=int(np.isnan(score).sum()),
                num_above_highest=int((score > each.highest).sum()),
            )
        return columns, tallies

    def _run_passes(self, texts: Sequence[str]) -> Iterator[tuple[str, Columns, Tally]]:
        tokens = self._tokenise(texts)
        for each in self._passes:
            template = self._tokenizers[each.about.tokenizer].template
            seen = tokens[each.about.tokenizer].cut(each.about.max_tokens - template.num_special)
            outputs = forward(
                each.trunk,
                each.heads,
                seen,
                template,
                token_budget=self.spec.token_budget,
                device=self.spec.device,
            )
            tally = Tally(
                num_truncated=int(seen.truncated.sum()),
                num_tokens=len(seen.ids) + template.num_special * len(seen),
                num_out_of_memory=outputs.num_out_of_memory,
            )
            for name, readout, values in zip(each.about.names, each.readouts, outputs.heads, strict=True):
                yield name, readout(values), tally

    def _run_alone(self, texts: Sequence[str]) -> Iterator[tuple[str, Columns, Tally]]:
        for name, scorer in self._alone.items():
            yield name, scorer(texts), Tally()

    def _tokenise(self, texts: Sequence[str]) -> dict[str, Tokens]:
        """The tokens of each tokenizer, as many as the pass that wants most of them."""
        longest: dict[str, int] = {}
        for about in (each.about for each in self._passes):
            longest[about.tokenizer] = max(about.max_tokens, longest.get(about.tokenizer, 0))
        return {
            key: self._tokenizers[key].encode(texts, max_tokens - self._tokenizers[key].template.num_special)
            for key, max_tokens in longest.items()
        }


def load_replica(classifiers: Sequence[Classifier], spec: ScoringSpec) -> Replica:
    """The replica of these classifiers, which has reproduced their canaries. Slow: it loads every model.

    Raises ModelError when a model cannot be loaded or scores something else than it promised.
    """
    prepare_torch(spec)
    replica = Replica(classifiers, spec)
    replica.check_canaries()
    return replica


def replica_for(classifiers: Sequence[Classifier], spec: ScoringSpec) -> Replica:
    """The replica that this process holds: loaded at the first call, and anew when a fingerprint changes."""
    classifiers = tuple(classifiers)
    with _loading:
        return _remembered(classifiers, spec, tuple(each.fingerprint() for each in classifiers))


def schema_of(classifiers: Sequence[Classifier]) -> dict[str, str]:
    """All columns of some classifiers. Raises ColumnError when two of them give the same one."""
    schema: dict[str, str] = {}
    for each in classifiers:
        if twice := [name for name in each.columns if name in schema]:
            raise ColumnError(f"The classifier {each.name!r} gives {twice}, as one before it does; rename one of them.")
        schema.update(each.columns)
    return schema


def prepare_torch(spec: ScoringSpec) -> None:
    """Give torch the threads of `spec`."""
    import torch

    torch.set_num_threads(spec.compute_threads)
    if torch.get_num_interop_threads() != 1:
        # Torch refuses once it has computed anything; no model here runs operators side by side, so either is right.
        with contextlib.suppress(RuntimeError):
            torch.set_num_interop_threads(1)


_loading = Lock()


@lru_cache(maxsize=1)
def _remembered(classifiers: tuple[Classifier, ...], spec: ScoringSpec, _fingerprints: tuple[str, ...]) -> Replica:
    return load_replica(classifiers, spec)


def _loaded(about: Pass, parts: Mapping[str, EncoderParts], device: str) -> _Loaded:
    mine = [parts[name] for name in about.names]
    heads = tuple(part.load_head(device) for part in mine)
    return _Loaded(about, mine[0].load_trunk(device), heads, tuple(part.read for part in mine))


def _finite(values: NDArray[Any]) -> NDArray[Any]:
    """Values with NaN for what is infinite; strings as they are."""
    return values if values.dtype == object else np.where(np.isfinite(values), values, np.float32(np.nan))


def _spread(values: NDArray[Any] | None, rows: NDArray[np.int64], num_texts: int, dtype: str) -> NDArray[Any]:
    """A column with its values at `rows` and missing ones elsewhere."""
    column = np.full(num_texts, None, object) if dtype == "str" else np.full(num_texts, np.nan, dtype)
    if values is not None:
        column[rows] = values
    return column
