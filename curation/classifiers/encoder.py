"""Encoders: Hugging Face sequence classifiers, wrapped ones too, or a head of this project on a frozen trunk."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from curation.classifiers.canary import read_canary, write_canary
from curation.classifiers.card import FILE_NAME as CARD
from curation.classifiers.card import Card, read_card
from curation.classifiers.source import resolve
from curation.core.classifier import Canary, Classifier, EncoderParts, LongDocuments, Precision, Scorer
from curation.core.errors import ConfigError, ModelError
from curation.core.fingerprint import fingerprint
from curation.inference import precut
from curation.inference.files import sha256
from curation.inference.readouts import BestLabel, Probability, Raw, Readout
from curation.inference.replica import ScoringSpec, load_replica
from curation.inference.tokens import Tokenizer, max_length, tokenizer_fingerprint
from curation.inference.weights import (
    base_model,
    behaviour,
    model_config,
    rounded_trunk,
    tensor_digests,
    trunk_digests,
    trunk_fingerprint,
    trunk_prefix,
)

if TYPE_CHECKING:
    from curation.core.frames import Schema

_UNKNOWN_MAX_TOKENS = 512
_FEWEST_TOKENS = 4
# These count positions from the padding id on, so the table of positions holds fewer than its size says.
_POSITIONS_AFTER_PADDING = {
    "camembert", "data2vec-text", "esm", "ibert", "longformer", "luke", "mpnet", "roberta", "roberta-prelayernorm",
    "xlm-roberta", "xlm-roberta-xl", "xmod",
}  # fmt: skip


@dataclass(frozen=True)
class Encoder(Classifier):
    """A transformers encoder with a classification head.

    `model` is what `source.resolve` takes: a checkpoint (config.json, safetensors, tokenizer), also a wrapped one as
    `curation.inference.weights` describes them, beside which a card.json only tells people what it is; or a head
    directory.
    A head with one output gives it raw as the float32 column `name`. A head with labels gives the best label (`name`,
    str) and its softmax probability (``name_probability``), or, with `label`, that label's probability alone (`name`).

    Texts are read up to `max_tokens`, special tokens included, which is at most the positions that the model has. 0
    stands for the card's number, or else for the smaller of these and the tokenizer's model_max_length; 512 where
    neither is said.

    `precision` is said in `curation.inference.precision`; "auto" is exact until a run has measured on its own documents
    that fast does as well. `long_documents` is what is read of a text with more than `max_tokens`: its head, as the
    published classifiers do, or all of it in chunks of that length, one score for each; needs a head with one score.
    """

    name: str
    model: str
    revision: str = ""
    bundles: str = "models"
    max_tokens: int = 0
    label: str = ""
    precision: Literal["auto", "exact", "fast", "bfloat16"] = "auto"
    long_documents: LongDocuments = "head"

    def __post_init__(self) -> None:
        if self.max_tokens != 0 and self.max_tokens < _FEWEST_TOKENS:
            raise ConfigError(
                f"classifier.{self.name}.max_tokens: {self.max_tokens} is below {_FEWEST_TOKENS}, which special tokens "
                "may take alone; 0 means the model's own."
            )

    @property
    def columns(self) -> "Schema":
        """See the class; found from config.json. Raises ModelError when the model is not there."""
        return self._readout(self._files()).columns

    @property
    def labels(self) -> tuple[str, ...]:
        """One for each output, as the model's config.json names them. Raises ModelError when the model is not there."""
        return self._files().labels()

    def fingerprint(self) -> str:
        """See `Classifier.fingerprint`."""
        parts = self.parts()
        return fingerprint(
            {
                "kind": "encoder",
                "trunk": parts.trunk,
                "head": self._files().head_identity(),
                "label": self.label,
                "tokenizer": parts.tokenizer,
                "max_tokens": parts.max_tokens,
                "normalisation": "none",
                "precut": precut.RULE,
                "long_documents": parts.long_documents,
                "precision": parts.precision,
            }
        )

    def parts(self) -> EncoderParts:
        """Its tokenizer, trunk and head. Raises ModelError when a file is missing or not what it should be."""
        files = self._files()
        precision: Precision = "exact" if self.precision == "auto" else self.precision
        return EncoderParts(
            directory=files.trunk,
            tokenizer=tokenizer_fingerprint(files.trunk),
            trunk=trunk_fingerprint(files.trunk),
            trunk_config=fingerprint(behaviour(model_config(files.trunk))),
            max_tokens=self._max_tokens(files),
            precision=precision,
            long_documents=self.long_documents,
            rounded=partial(rounded_trunk, files.trunk),
            load_tokenizer=partial(Tokenizer, files.trunk),
            load_trunk=partial(_load_trunk, files.trunk, precision),
            load_head=partial(files.load_head, precision),
            read=self._readout(files),
        )

    def load(self, device: str) -> Scorer:
        """A replica that holds this classifier alone."""
        return load_replica((self,), ScoringSpec(device=device))

    @property
    def reading(self) -> Mapping[str, Any]:
        """The label, and which tokens it reads. Raises ModelError when the model is not there."""
        reading = {"label": self.label, "max_tokens": self._max_tokens(self._files())}
        return reading if self.long_documents == "head" else reading | {"long_documents": self.long_documents}

    def canary(self) -> Canary | None:
        """The canary.json of the model's directory, where it was measured with this label and length."""
        return read_canary(resolve(self.model, self.revision, self.bundles), self.reading)

    @classmethod
    def tiny(cls, directory: Path) -> Self:
        """A random BERT with one output, two layers of width 16, and a vocabulary of letters and a few words."""
        from curation.classifiers import tiny_bert

        tiny_bert.write(directory)
        recipe = cls(name="tiny", model=str(directory))
        scores = recipe.load("cpu")(tiny_bert.CANARY_TEXTS)["tiny"]
        write_canary(
            directory, Canary(tiny_bert.CANARY_TEXTS, tuple(map(float, scores)), tolerance=1e-4), recipe.reading
        )
        return recipe

    def _files(self) -> "_Files":
        directory = resolve(self.model, self.revision, self.bundles)
        is_head = (directory / CARD).is_file() and not (directory / "config.json").is_file()
        return _Files(directory, read_card(directory, self.bundles) if is_head else None)

    def _max_tokens(self, files: "_Files") -> int:
        positions = _positions(files.trunk)
        wanted = self.max_tokens or (files.card.max_tokens if files.card else most_tokens(files.trunk))
        if positions is not None and wanted > positions:
            raise ModelError(
                f"{self.name}: max_tokens is {wanted}; the model in {files.trunk} reads at most {positions}."
            )
        return wanted

    def _readout(self, files: "_Files") -> Readout:
        labels, problem = files.labels(), files.problem()
        if problem == "multi_label_classification" or (problem == "regression" and len(labels) > 1):
            raise ModelError(f"{self.name}: heads for {problem} with {len(labels)} outputs are not supported.")
        if len(labels) == 1:
            if self.label:
                raise ModelError(f"{self.name}: label is {self.label!r}, but the model has one output and no labels.")
            return Raw(self.name)
        if not self.label:
            if self.long_documents != "head":
                raise ModelError(
                    f"{self.name}: long_documents is {self.long_documents!r}, and labels of chunks cannot be put "
                    "together. Name a label, whose probability is then a score, or read the head."
                )
            return BestLabel(self.name, labels)
        if self.label not in labels:
            raise ModelError(f"{self.name}: the model has no label {self.label!r}; its labels are {', '.join(labels)}.")
        return Probability(self.name, labels.index(self.label))


@dataclass(frozen=True)
class _Files:
    """The files of an encoder on this machine: a head directory with its card, or a checkpoint that is all in one."""

    directory: Path
    card: Card | None

    @property
    def trunk(self) -> Path:
        """The directory of the trunk and its tokenizer."""
        return self.card.trunk if self.card else self.directory

    def labels(self) -> tuple[str, ...]:
        """One for each output; transformers writes none when there are two that were never named."""
        if self.card:
            return ("score",)
        config = model_config(self.directory)
        if named := config.get("id2label"):
            return tuple(named[key] for key in sorted(named, key=int))
        return tuple(f"LABEL_{place}" for place in range(config.get("num_labels", 2)))

    def problem(self) -> str | None:
        """What the checkpoint says that its outputs mean."""
        return "regression" if self.card else model_config(self.directory).get("problem_type")

    def head_identity(self) -> dict[str, Any]:
        """All that turns hidden states into outputs, as JSON."""
        if self.card:
            return {"pooling": self.card.pooling, "sha256": sha256(self.directory / "head.safetensors")}
        tensors = tensor_digests(self.directory)
        prefix = trunk_prefix(tensors)
        trunk = {prefix + name for name in trunk_digests(self.directory)}
        head = {name.removeprefix(prefix): digest for name, digest in tensors.items() if name not in trunk}
        pooling = "cls" if base_model(self.directory) else "the model's own"
        return {"pooling": pooling, "tensors": head, "labels": self.labels()}

    def load_head(self, precision: Precision, device: str) -> Any:
        """The head on a device; imports torch."""
        from curation.inference import heads

        if self.card:
            width = model_config(self.card.trunk)["hidden_size"]
            return heads.load_linear_head(self.directory, self.card.pooling, width, device)
        if base_model(self.directory):
            return heads.load_wrapped_head(self.directory, device)
        return heads.load_model_head(self.directory, device, precision)


def _load_trunk(directory: Path, precision: Precision, device: str, first_only: bool) -> Any:
    from curation.inference import trunk

    return trunk.load_trunk(directory, device, precision, first_only=first_only)


def most_tokens(trunk: Path) -> int:
    """The most tokens that a model reads unless more are asked for, special tokens included."""
    known = [number for number in (_positions(trunk), max_length(trunk)) if number is not None and number > 0]
    return min(known, default=_UNKNOWN_MAX_TOKENS)


def _positions(trunk: Path) -> int | None:
    """The most tokens that a model can read; None where it has no table of positions, or does not say."""
    config = model_config(trunk)
    positions: int | None = config.get("max_position_embeddings") or config.get("n_positions")
    if config.get("position_biased_input") is False:  # DeBERTa: distances between tokens alone, far ones alike
        return None
    if positions is not None and config["model_type"] in _POSITIONS_AFTER_PADDING:
        positions -= config.get("pad_token_id", 1) + 1
    return positions
