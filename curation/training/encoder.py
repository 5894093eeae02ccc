"""Recipe of kind "encoder": a linear head on a frozen trunk."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from curation.classifiers.encoder import Encoder
from curation.classifiers.source import resolve
from curation.core.fingerprint import fingerprint
from curation.data.storage import committed
from curation.inference.files import sha256
from curation.training import evaluation
from curation.training.annotations import Annotations
from curation.training.heads import Head, Method
from curation.training.recipe import Choice, Learner, Places, Recipe, Setting, Values


@dataclass(frozen=True)
class EncoderRecipe(Recipe):
    """Pooled outputs of a frozen trunk, computed once, and a head fitted to one label 0 to 5.

    Every method is judged; the head of the best is packaged.
    """

    kind: ClassVar[str] = "encoder"
    metrics: ClassVar[Mapping[str, evaluation.Metric]] = evaluation.REGRESSION
    headline: ClassVar[str] = "spearman"
    metric_notes: ClassVar[str] = (
        "`macro_f1` is over the rounded classes that occur. `macro_f1_at_3` is the mean of the positive and the "
        "negative class's F1 of the question whether the class is 3 or higher, `positive_f1_at_3` the positive "
        "class's alone."
    )
    limits: ClassVar[str] = (
        "The score ranks documents. It is pulled towards the mean: few reach 3, so a cut at 3 finds less than the "
        "labels do. Only the first tokens of a document are read. A text much shorter than those it was trained on, "
        "such as a line, is scored wildly. What the trunk does not understand, such as a language that it was not "
        "trained on, the head does not understand either."
    )
    label: str
    trunk: str
    method: tuple[Method, ...]
    pooling: Literal["mean", "cls"] = "mean"
    max_tokens: int = 512

    @property
    def summary(self) -> str:
        """The trunk and what it reads."""
        return (
            f"a linear head on the {self.pooling}-pooled outputs of the "
            f"frozen trunk `{self.trunk}`, which reads the first {self.max_tokens} tokens"
        )

    @property
    def labels(self) -> tuple[str, ...]:
        """The one label."""
        return (self.label,)

    def mistakes(self) -> list[str]:
        """What is wrong with the settings, those of the methods included."""
        found = [mistake for method in self.method for mistake in method.mistakes()]
        if not self.method:
            found.append("recipe.method: a head needs at least one [[recipe.method]] table.")
        if len({method.kind for method in self.method}) < len(self.method):
            found.append("recipe.method: two methods are of one kind; give one several settings to choose from.")
        if self.max_tokens < 3:
            found.append(f"recipe.max_tokens: {self.max_tokens} leaves no room for text between special tokens.")
        return found

    def targets(self, annotations: Annotations) -> Values:
        """The label."""
        return annotations.labels[self.label]

    def learners(self, annotations: Annotations, scratch: Path) -> Mapping[str, Learner]:
        """One for each method, on the same features."""
        features = self._features(annotations, scratch)
        targets = self.targets(annotations)
        return {method.kind: HeadLearner(method, features, targets) for method in self.method}

    def card(self) -> Mapping[str, Any]:
        """The trunk, by content, and what turns its hidden states into the head's input."""
        return {
            "trunk": self.trunk,
            "trunk_sha256": sha256(resolve(self.trunk) / "model.safetensors"),
            "pooling": self.pooling,
            "max_tokens": self.max_tokens,
            "score": {"unit": f"{self.label}, as annotated", "scale": [0, 5]},
        }

    def classifier(self, name: str, directory: Path) -> Encoder:
        """The head in its directory."""
        return Encoder(name=name, model=str(directory))

    def _features(self, annotations: Annotations, scratch: Path) -> NDArray[np.float32]:
        """The trunk's pooled outputs [n, D], by the code that scores; kept by the identity of what they depend on."""
        from curation.inference.features import pooled

        card = self.card()
        identity = fingerprint([list(annotations.texts), card["trunk_sha256"], self.pooling, self.max_tokens])
        path = scratch / f"features-{identity[:16]}.npy"
        if not path.exists():
            with committed(str(path)) as file:
                np.save(file, pooled(annotations.texts, resolve(self.trunk), self.pooling, self.max_tokens))
        return np.asarray(np.load(path), np.float32)


class HeadLearner(Learner):
    """A method and the features that it fits a head to."""

    def __init__(self, method: Method, features: NDArray[np.float32], targets: Values) -> None:
        self.method = method
        self.features = features
        self.targets = targets
        self.settings = method.settings

    def trace(self, train: Places, held_out: Places, setting: Setting) -> Values:
        """Scores of the held-out documents after each epoch."""
        heads = self.method.heads(self.features[train], self.targets[train], setting)
        return np.stack([head(self.features[held_out]) for head in heads])

    def merit(self, targets: Values, scores: Values) -> float:
        """What the method chooses by."""
        return self.method.merit(targets, scores)

    def fit(self, places: Places, choice: Choice) -> Head:
        """The head after the chosen epoch, on the schedule of all epochs."""
        heads = self.method.heads(self.features[places], self.targets[places], choice.setting)
        return next(head for epoch, head in enumerate(heads, start=1) if epoch == choice.num_epochs)

    def scores(self, model: Head, places: Places) -> Values:
        """Scores from the features at hand."""
        return model(self.features[places])

    def files(self, model: Head) -> Mapping[str, bytes]:
        """`head.safetensors`: weight float32 [1, D] and bias float32 [1]."""
        from safetensors.numpy import save

        tensors = {"weight": model.weight[np.newaxis].copy(), "bias": np.asarray([model.bias], np.float32)}
        return {"head.safetensors": save(tensors)}
