"""The replica of a worker: all its classifiers loaded together, every text tokenised once and every trunk run once."""

import contextlib
import gc
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import chain
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from curation.core.classifier import Classifier, EncoderParts, Scorer
from curation.core.errors import ColumnError, ConfigError, DeviceError, ModelError
from curation.core.fingerprint import fingerprint
from curation.core.stopwatch import spent
from curation.inference.budget import find_budget, usual_budget
from curation.inference.chunks import Chunks
from curation.inference.forward import Limit, forward
from curation.inference.groups import Groups, Pass, groups, passes
from curation.inference.tokens import Tokenizer, Tokens

if TYPE_CHECKING:
    from curation.inference.heads import Head

__all__ = ["Groups", "Replica", "ScoringSpec", "Tally", "groups", "load_replica", "replica_for", "schema_of"]

Columns = Mapping[str, NDArray[Any]]

AUTO = "auto"

_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")
_WHOLE = 1 << 30
_LOW_PRECISION_SLACK = 0.15  # measured on web text: bfloat16 throughout moves no score by more than 0.06


@dataclass(frozen=True)
class ScoringSpec:
    """How texts are scored on one worker.

    `device` is "cpu", "cuda", "cuda:<number>", or "auto": in a run what its cluster has, elsewhere a GPU where torch
    sees one.
    `token_budget` bounds the padded tokens of a batch; 0 stands for what a run measures before its first shard, and
    elsewhere for 2,048 on CPUs and 32,768 on GPUs. `compute_threads` are torch's, which are part of the result: a sum
    runs in the same order only with the same number of threads. `compiled` compiles packed trunks on GPUs.
    """

    device: str = AUTO
    token_budget: int = 0
    compute_threads: int = 1
    compiled: bool = False

    def __post_init__(self) -> None:
        wrong = []
        if self.token_budget < 0:
            wrong.append(f"scoring.token_budget: {self.token_budget} is below 0; 0 means that it is measured.")
        if self.compute_threads < 1:
            wrong.append(f"scoring.compute_threads: {self.compute_threads} is below 1.")
        if self.compiled and self.device == "cpu":
            wrong.append("scoring.compiled: has no effect on a CPU, where nothing is gained by it; leave it out.")
        if not _DEVICE.fullmatch(self.device):
            wrong.append(f'scoring.device: {self.device!r} is none of "auto", "cpu", "cuda", "cuda:<number>".')
        if wrong:
            raise ConfigError(*wrong)

    @property
    def budget(self) -> int:
        """The token budget, or what stands for 0."""
        return self.token_budget or usual_budget(self.device)


@dataclass(frozen=True)
class Tally:
    """What one classifier has scored since the last count.

    `num_tokens` are those that its model saw, special tokens included; a text with more counts as truncated. A score
    that was not finite is missing; one above the classifier's `highest` is kept. A text that overflowed 16 bits was
    computed again in float32.
    """

    num_scored: int = 0
    num_truncated: int = 0
    num_tokens: int = 0
    num_non_finite: int = 0
    num_above_highest: int = 0
    num_out_of_memory: int = 0
    num_overflowed: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(Tally)))


@dataclass(frozen=True, eq=False)
class _Loaded:
    """A forward pass with its models, and what its batches have met."""

    about: Pass
    trunk: Any
    heads: tuple["Head", ...]
    parts: tuple[EncoderParts, ...]
    limit: Limit


@dataclass(frozen=True, eq=False)
class Prepared:
    """Texts on their way through a replica: tokenised once, and scored by all that needs no device.

    `rows` are the places of those that are there, among `num_texts`.
    """

    num_texts: int
    rows: NDArray[np.int64]
    tokens: Mapping[str, Tokens]
    columns: Mapping[str, Columns]


class Replica:
    """Texts → the columns of all classifiers. Made by `load_replica`; itself a scorer.

    A text that is None or blank gets missing values: NaN, or None in a str column. Several threads may call it; they
    take turns.
    """

    def __init__(self, classifiers: Sequence[Classifier], spec: ScoringSpec) -> None:
        self.classifiers = tuple(classifiers)
        self.schema = schema_of(self.classifiers)
        self.spec = spec
        self._preparing, self._computing = Lock(), Lock()
        self._tallies = dict.fromkeys(self._names, Tally())
        self._parts = {each.name: part for each in self.classifiers if (part := each.parts()) is not None}
        self._tokenizers: dict[str, Tokenizer] = {}
        for part in self._parts.values():
            if part.tokenizer not in self._tokenizers:
                self._tokenizers[part.tokenizer] = part.load_tokenizer()
        self._passes = [_loaded(each, self._parts, spec) for each in passes(self._parts)]
        self._alone: dict[str, Scorer] = {
            each.name: each.load(spec.device) for each in self.classifiers if each.name not in self._parts
        }

    @property
    def _names(self) -> list[str]:
        return [each.name for each in self.classifiers]

    @property
    def build(self) -> str:
        """The torch that computes here and what makes the ids, for logs."""
        import torch

        compiled = " and compiled" if self.spec.compiled else ""
        num_packed = sum(getattr(each.trunk, "is_packed", False) for each in self._passes)
        packed = f"{num_packed} of {len(self._passes)} trunks packed{compiled}"
        ids = sorted({f"ids by {each.how}" for each in self._tokenizers.values()})
        return "; ".join([f"torch {torch.__version__} on {self.spec.device}, {packed}", *ids])

    def __call__(self, texts: Sequence[str | None]) -> dict[str, NDArray[Any]]:
        """The columns of all classifiers, each as long as `texts` and in their order.

        Raises ModelError when a text does not fit into memory by itself, and DeviceError when the device has failed,
        or does not reproduce a canary any more after memory ran out.
        """
        return self.score(self.prepare(texts))

    def prepare(self, texts: Sequence[str | None]) -> Prepared:
        """All that needs no device: one thread may prepare texts while another scores those before them."""
        rows = np.array([row for row, text in enumerate(texts) if text is not None and text.strip()], np.int64)
        present = [text for row in rows if (text := texts[row]) is not None]
        with self._preparing:
            tokens = self._tokenise(present) if present else {}
            with spent("forward"):
                columns = {name: scorer(present) for name, scorer in self._alone.items()} if present else {}
        return Prepared(len(texts), rows, tokens, columns)

    def score(self, prepared: Prepared) -> dict[str, NDArray[Any]]:
        """The columns of prepared texts. Raises as a call does."""
        with self._computing:
            before = self._num_out_of_memory()
            columns, tallies = self._score(prepared)
            for name, tally in tallies.items():
                self._tallies[name] += tally
            if self._num_out_of_memory() > before:
                try:
                    self._check_canaries()
                except ModelError as error:
                    raise DeviceError(f"After memory ran out on {self.spec.device}: {error}") from error
        return {
            name: _spread(columns.get(name), prepared.rows, prepared.num_texts, dtype)
            for name, dtype in self.schema.items()
        }

    def _num_out_of_memory(self) -> int:
        return sum(each.limit.num_out_of_memory for each in self._passes)

    def find_budget(self) -> int:
        """The token budget with which the trunks run fastest here, from some seconds of probes or from memory."""
        if not self._passes:
            return self.spec.budget
        about = [each.about for each in self._passes]
        facts = [[each.trunk, each.precision, each.max_tokens] for each in about]
        identity = fingerprint([facts, self.build, self.spec.compute_threads])
        trunks = [each.trunk for each in self._passes]
        return find_budget(trunks, max(each.max_tokens for each in about), self.spec.device, identity)

    def take_tallies(self) -> dict[str, Tally]:
        """What each classifier has scored since the last call, by name."""
        with self._computing:
            taken, self._tallies = self._tallies, dict.fromkeys(self._names, Tally())
        return taken

    def check_canaries(self) -> None:
        """Raises ModelError when a classifier does not give its canary's scores; nothing is counted."""
        with self._computing:
            self._check_canaries()

    def _check_canaries(self) -> None:
        for each in self.classifiers:
            if (canary := each.canary()) is None:
                continue
            got = self._score(self.prepare(canary.texts))[0][each.score_column]
            tolerance = canary.tolerance + self._slack(each.name) * _spread_of(canary.scores)
            for number, expected in enumerate(canary.scores):
                if not abs(float(got[number]) - expected) <= tolerance:
                    raise ModelError(
                        f"{each.name}: canary text {number} scores {got[number]:.8g} here, expected {expected:.8g} "
                        f"within {tolerance:g}. The model's files, torch or the device compute something else; "
                        "fetch the model again, or see whether a fresh environment reproduces it."
                    )

    def _slack(self, name: str) -> float:
        """How far 16 bits may move a canary's scores, which were measured in float32, in units of their spread."""
        part = self._parts.get(name)
        return _LOW_PRECISION_SLACK if part is not None and part.precision != "exact" else 0.0

    def _score(self, prepared: Prepared) -> tuple[dict[str, NDArray[Any]], dict[str, Tally]]:
        """Columns of texts that are there, and what was counted on the way."""
        columns: dict[str, NDArray[Any]] = {}
        tallies: dict[str, Tally] = {}
        if not len(prepared.rows):
            return columns, tallies
        alone = ((name, found, Tally()) for name, found in prepared.columns.items())
        for name, found, tally in chain(self._run_passes(prepared.tokens), alone):
            columns |= {column: _finite(values) for column, values in found.items()}
            tallies[name] = tally
        for each in self.classifiers:
            score = columns[each.score_column]
            tallies[each.name] += Tally(
                num_scored=len(prepared.rows),
                num_non_finite=int(np.isnan(score).sum()),
                num_above_highest=int((score > each.highest).sum()),
            )
        return columns, tallies

    def _run_passes(self, tokens: Mapping[str, Tokens]) -> Iterator[tuple[str, Columns, Tally]]:
        for each in self._passes:
            template = self._tokenizers[each.about.tokenizer].template
            content = each.about.max_tokens - template.num_special
            whole = tokens[each.about.tokenizer]
            chunks = Chunks.of(whole, content) if each.about.in_chunks else None
            seen = chunks.tokens if chunks else whole.cut(content)
            with spent("forward"):
                outputs = forward(
                    each.trunk,
                    each.heads,
                    seen,
                    template,
                    token_budget=self.spec.budget,
                    device=self.spec.device,
                    limit=each.limit,
                )
            tally = Tally(
                num_truncated=int(seen.truncated.sum()),
                num_tokens=len(seen.ids) + template.num_special * len(seen),
                num_out_of_memory=outputs.num_halved,
                num_overflowed=outputs.num_overflowed,
            )
            for name, part, values in zip(each.about.names, each.parts, outputs.heads, strict=True):
                columns = part.read(values)
                if chunks:
                    columns = {column: chunks.join(scores, part.long_documents) for column, scores in columns.items()}
                yield name, columns, tally

    def _tokenise(self, texts: Sequence[str]) -> dict[str, Tokens]:
        """The tokens of each tokenizer, as many as the pass that wants most of them."""
        longest: dict[str, int] = {}
        for about in (each.about for each in self._passes):
            wanted = _WHOLE if about.in_chunks else about.max_tokens
            longest[about.tokenizer] = max(wanted, longest.get(about.tokenizer, 0))
        with spent("tokenise"):
            return {
                key: self._tokenizers[key].encode(texts, max_tokens - self._tokenizers[key].template.num_special)
                for key, max_tokens in longest.items()
            }


def load_replica(classifiers: Sequence[Classifier], spec: ScoringSpec) -> Replica:
    """The replica of these classifiers, which has reproduced their canaries. Slow: it loads every model.

    Raises ModelError when a model cannot be loaded or scores something else than it promised.
    """
    spec = here(spec)
    gc.collect()  # models are full of circles: one that nobody holds any more would stay beside the new one
    prepare_torch(spec)
    replica = Replica(classifiers, spec)
    replica.check_canaries()
    return replica


def replica_for(classifiers: Sequence[Classifier], spec: ScoringSpec) -> Replica:
    """The replica that this process holds: loaded at the first call, and anew when a fingerprint changes.

    The one before it is given up first, so that two never share the memory of a device.
    """
    wanted = tuple(classifiers), spec, tuple(each.fingerprint() for each in classifiers)
    with _loading:
        if wanted not in _held:
            _held.clear()
            _held[wanted] = load_replica(classifiers, spec)
        return _held[wanted]


def schema_of(classifiers: Sequence[Classifier]) -> dict[str, str]:
    """All columns of some classifiers. Raises ColumnError when two of them give the same one."""
    schema: dict[str, str] = {}
    for each in classifiers:
        if twice := [name for name in each.columns if name in schema]:
            raise ColumnError(f"The classifier {each.name!r} gives {twice}, as one before it does; rename one of them.")
        schema.update(each.columns)
    return schema


def here(spec: ScoringSpec) -> ScoringSpec:
    """The spec with the device that "auto" stands for in this process."""
    import torch

    return replace(spec, device="cuda" if torch.cuda.is_available() else "cpu") if spec.device == AUTO else spec


def prepare_torch(spec: ScoringSpec) -> None:
    """Give torch the threads of `spec`."""
    import torch

    torch.set_num_threads(spec.compute_threads)
    if torch.get_num_interop_threads() != 1:
        # Torch refuses once it has computed anything; no model here runs operators side by side, so either is right.
        with contextlib.suppress(RuntimeError):
            torch.set_num_interop_threads(1)


_loading = Lock()
_held: dict[tuple[tuple[Classifier, ...], ScoringSpec, tuple[str, ...]], Replica] = {}


def _loaded(about: Pass, parts: Mapping[str, EncoderParts], spec: ScoringSpec) -> _Loaded:
    mine = tuple(parts[name] for name in about.names)
    heads = tuple(part.load_head(spec.device) for part in mine)
    trunk = mine[0].load_trunk(spec.device, all(head.reads_first for head in heads))
    if spec.device != "cpu":
        trunk.fix_shape(max(spec.budget, about.max_tokens), about.max_tokens, compiled=spec.compiled)
    return _Loaded(about, trunk, heads, mine, Limit())


def _finite(values: NDArray[Any]) -> NDArray[Any]:
    """Values with NaN for what is infinite; strings as they are."""
    return values if values.dtype == object else np.where(np.isfinite(values), values, np.float32(np.nan))


def _spread_of(scores: Sequence[float]) -> float:
    """The standard deviation of a canary's scores; of one score its size."""
    return float(np.std(scores)) or abs(scores[0])


def _spread(values: NDArray[Any] | None, rows: NDArray[np.int64], num_texts: int, dtype: str) -> NDArray[Any]:
    """A column with its values at `rows` and missing ones elsewhere."""
    column = np.full(num_texts, None, object) if dtype == "str" else np.full(num_texts, np.nan, dtype)
    if values is not None:
        column[rows] = values
    return column
