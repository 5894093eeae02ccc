"""Recipe of kind "encoder": a head on a frozen trunk."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from curation.classifiers.encoder import Encoder
from curation.classifiers.source import is_hub_id
from curation.core.fingerprint import fingerprint
from curation.data.labelled import ADDITIVE, Column, Scale
from curation.data.storage import committed, write_bytes
from curation.evaluation.metrics import Metric
from curation.inference.files import sha256
from curation.inference.replica import ScoringSpec, prepare_torch
from curation.inference.tokens import tokenizer_fingerprint
from curation.inference.weights import trunk_fingerprint
from curation.training import scales
from curation.training.annotations import Annotations
from curation.training.heads import FittedHead, Method
from curation.training.recipe import Choice, Learner, Places, QuickLearner, Say, Setting, TrunkRecipe, Values

_TEXTS_PER_PART = 4096


@dataclass(frozen=True)
class EncoderRecipe(TrunkRecipe):
    """Pooled outputs of a frozen trunk, computed once, and a head fitted to one label.

    Every method is judged; the head of the best is packaged. `scale` bounds the labels.
    """

    kind: ClassVar[str] = "encoder"
    headline: ClassVar[str] = scales.HEADLINE
    limits: ClassVar[str] = (
        "The score ranks documents. It is pulled towards the mean: few reach a high label, so a cut there finds less "
        "than the labels do. Only the first tokens of a document are read. A text much shorter than those it was "
        "trained on, such as a line, is scored wildly. What the trunk does not understand, such as a language that it "
        "was not trained on, the head does not understand either."
    )
    label: str
    trunk: str
    method: tuple[Method, ...]
    pooling: Literal["mean", "cls"] = "mean"
    max_tokens: int = 512
    scale: Scale = ADDITIVE
    revision: str = ""
    bundles: str = "models"

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """Those of the scale."""
        return scales.metrics(self.scale)

    @property
    def metric_notes(self) -> str:
        """Those of the scale."""
        return scales.notes(self.scale)

    @property
    def cuts(self) -> tuple[float, ...]:
        """Those of the scale."""
        return scales.cuts(self.scale)

    @property
    def summary(self) -> str:
        """The trunk and what it reads."""
        return (
            f"a head on the {self.pooling}-pooled outputs of the "
            f"frozen trunk `{self.trunk}`, which reads the first {self.max_tokens} tokens"
        )

    @property
    def columns(self) -> tuple[Column, ...]:
        """The one label."""
        return (Column(self.label, self.scale),)

    def mistakes(self) -> list[str]:
        """What is wrong with the settings, those of the methods included."""
        found = [mistake for method in self.method for mistake in method.mistakes()] + scales.mistakes(self.scale)
        if not self.method:
            found.append("recipe.method: a head needs at least one [[recipe.method]] table.")
        if len({method.kind for method in self.method}) < len(self.method):
            found.append("recipe.method: two methods are of one kind; give one several settings to choose from.")
        return found + self.trunk_mistakes()

    def targets(self, annotations: Annotations) -> Values:
        """The label."""
        return annotations.labels[self.label]

    def learners(self, annotations: Annotations, scratch: Path, say: Say) -> Mapping[str, Learner]:
        """One for each method, on the same features."""
        prepare_torch(ScoringSpec())  # whether or not the features are there already: as many threads, equal heads
        features = self._features(annotations, scratch, say)
        targets = self.targets(annotations)
        return {method.kind: HeadLearner(method, features, targets, self.scale) for method in self.method}

    def card(self, output: Path) -> Mapping[str, Any]:
        """The trunk, by content, and what turns its hidden states into the head's input."""
        return {
            "trunk": named_from(output, self.trunk),
            "trunk_sha256": sha256(self.folder / "model.safetensors"),
            **({"trunk_revision": self.pinned} if self.pinned else {}),
            "pooling": self.pooling,
            "max_tokens": self.max_tokens,
            "score": {"unit": f"{self.label}, as annotated", "scale": scales.plain(self.scale)},
        }

    def classifier(self, name: str, directory: Path) -> Encoder:
        """The head in its directory."""
        return Encoder(name=name, model=str(directory), bundles=self.bundles)

    def _features(self, annotations: Annotations, scratch: Path, say: Say) -> NDArray[np.float32]:
        """The trunk's pooled outputs [n, D], by the code that scores.

        They are kept in parts, each by the identity of what it depends on, so that a kill costs one part at most.
        """
        from curation.inference.features import pooled

        texts, folder = annotations.texts, self.folder
        reading = [trunk_fingerprint(folder), tokenizer_fingerprint(folder), self.pooling, self.max_tokens]
        parts = []
        for first in range(0, len(texts), _TEXTS_PER_PART):
            part = list(texts[first : first + _TEXTS_PER_PART])
            path = scratch / f"features-{fingerprint([part, reading])[:16]}.npy"
            if not path.exists():
                say(f"{self.trunk} reads documents {first + 1:,} to {first + len(part):,} of {len(texts):,}, once.")
                with committed(str(path)) as file:
                    np.save(file, pooled(part, folder, self.pooling, self.max_tokens))
            parts.append(np.asarray(np.load(path), np.float32))
        return np.concatenate(parts)


class HeadLearner(QuickLearner):
    """A method and the features that it fits a head to."""

    def __init__(self, method: Method, features: NDArray[np.float32], targets: Values, scale: Scale = ADDITIVE) -> None:
        self.method = method
        self.features = features
        self.targets = targets
        self.scale = scale
        self.settings = method.settings

    def trace(self, train: Places, held_out: Places, setting: Setting) -> Values:
        """Scores of the held-out documents after each epoch."""
        heads = self.method.heads(self.features[train], self.targets[train], setting)
        return np.stack([head(self.features[held_out]) for head in heads])

    def merit(self, targets: Values, scores: Values) -> float:
        """What the method chooses by."""
        return self.method.merit(targets, scores, self.scale)

    def fit(self, places: Places, choice: Choice) -> FittedHead:
        """The head after the chosen epoch, on the schedule of all epochs."""
        heads = self.method.heads(self.features[places], self.targets[places], choice.setting)
        return next(head for epoch, head in enumerate(heads, start=1) if epoch == choice.num_epochs)

    def scores(self, model: FittedHead, places: Places) -> Values:
        """Scores from the features at hand."""
        return model(self.features[places])

    def save(self, model: FittedHead, directory: Path) -> None:
        """`head.safetensors`."""
        from safetensors.numpy import save

        write_bytes(str(directory / "head.safetensors"), save(dict(model.tensors())))


def named_from(output: Path, trunk: str) -> str:
    """How a card in the directory `output` names a trunk: a folder by the way that leads to it from there."""
    is_folder = ":" not in trunk and not is_hub_id(trunk)
    return os.path.relpath(Path(trunk).expanduser().resolve(), output.resolve()) if is_folder else trunk
