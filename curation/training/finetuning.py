"""Recipe of kind "finetune": all weights of a trunk and a fresh head, by transformers' Trainer."""

import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from curation.classifiers.encoder import Encoder
from curation.config import dump
from curation.core.extras import missing
from curation.core.fingerprint import fingerprint
from curation.data.labelled import ADDITIVE, Column, Scale
from curation.data.storage import rename_folder
from curation.evaluation.metrics import MacroF1, Metric
from curation.execution.lock import hold
from curation.inference.tokens import tokenizer_fingerprint
from curation.inference.weights import tensor_digests, trunk_fingerprint
from curation.training import scales
from curation.training.annotations import Annotations
from curation.training.recipe import Choice, Learner, Places, Say, TrunkRecipe, Values

_CHOICE = "choice.json"
_NO_MATTER = ("trunk", "revision", "bundles", "accumulation")
"""What makes no other recipe: where the trunk lies, and in how many parts a step passes the device.

So what ran out of memory goes on with more parts. They change the draws of dropout, and no more.
"""


@dataclass(frozen=True)
class FinetuneRecipe(TrunkRecipe):
    """A sequence classifier of which every weight is trained: for the mean squared error of a score, or for classes.

    `task` says which: with "regression" the column `label` holds numbers on `scale`, with "labels" the names of
    classes. The learning rate falls linearly to zero. The model is looked at after each epoch, or every
    `checkpoint_steps`, and the best one on held-out documents is kept: by mean squared error, or macro F1 of classes.

    `batch_size` documents make one step; `accumulation` says in how many parts they pass the device, whose memory
    bounds a part. `class_weights` "balanced" lets a rare class weigh as much as a common one. It computes in bfloat16
    where the device has it, else in float32. A checkpoint is left wherever the model was looked at, and the same
    command goes on from there.
    """

    kind: ClassVar[str] = "finetune"
    limits: ClassVar[str] = (
        "Only the first tokens of a document are read. What neither the trunk nor the training data knew, such as a "
        "language, is scored all the same. Scores rank documents; a cut on them is to be found on data like yours."
    )
    label: str
    trunk: str
    task: Literal["regression", "labels"] = "regression"
    scale: Scale = ADDITIVE
    learning_rate: float = 1e-5
    num_epochs: int = 3
    batch_size: int = 64
    accumulation: int = 1
    max_tokens: int = 512
    class_weights: Literal["none", "balanced"] = "none"
    checkpoint_steps: int = 0
    seed: int = 0
    revision: str = ""
    bundles: str = "models"

    @property
    def needs_hold_out(self) -> bool:
        """Folds within folds would take days."""
        return True

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """Those of the scale, or of classes."""
        return CLASSES if self.task == "labels" else scales.metrics(self.scale)

    @property
    def headline(self) -> str:
        """Macro F1 of classes, or that of the scale."""
        return "macro_f1" if self.task == "labels" else scales.HEADLINE

    @property
    def metric_notes(self) -> str:
        """Those of the scale, or of classes."""
        about_classes = "`macro_f1` is the plain mean over the classes that are true or found somewhere."
        return about_classes if self.task == "labels" else scales.notes(self.scale)

    @property
    def cuts(self) -> tuple[float, ...]:
        """Those of the scale; none of classes."""
        return () if self.task == "labels" else scales.cuts(self.scale)

    @property
    def summary(self) -> str:
        """The trunk, what it reads, and what it says."""
        what = "class" if self.task == "labels" else "score"
        return f"all of `{self.trunk}` fine-tuned to give a {what}; it reads the first {self.max_tokens} tokens"

    @property
    def columns(self) -> tuple[Column, ...]:
        """The one label."""
        return (Column(self.label, None if self.task == "labels" else self.scale),)

    def mistakes(self) -> list[str]:
        """What is wrong with the settings, among them a trunk that is not there or reads less."""
        least = {"num_epochs": 1, "batch_size": 1, "accumulation": 1, "checkpoint_steps": 0}
        given = {name: getattr(self, name) for name in least}
        found = [
            f"recipe.{name}: {given[name]} is below {value}." for name, value in least.items() if given[name] < value
        ]
        if not 0 < self.learning_rate < math.inf:
            found.append(f"recipe.learning_rate: {self.learning_rate:g} is no number above 0.")
        if self.accumulation > 0 and self.batch_size % self.accumulation:
            found.append(f"recipe.accumulation: {self.batch_size} documents make no {self.accumulation} equal parts.")
        return found + missing("train", "accelerate") + scales.mistakes(self.scale) + self.trunk_mistakes()

    def targets(self, annotations: Annotations) -> Values:
        """The label; of a class its place among the classes."""
        return annotations.labels[self.label]

    def learners(self, annotations: Annotations, scratch: Path, say: Say) -> Mapping[str, Learner]:
        """The one there is."""
        return {"finetune": FinetuneLearner(self, annotations, scratch, say)}

    def card(self, output: Path) -> Mapping[str, Any]:  # noqa: ARG002 - everything lies in the directory itself
        """Where it comes from, and what its outputs mean."""
        regression = {"unit": f"{self.label}, as annotated", "scale": scales.plain(self.scale)}
        classes = {"unit": f"probability of the most probable {self.label}", "scale": [0, 1]}
        return {
            "trunk": self.trunk,
            "trunk_fingerprint": trunk_fingerprint(self.folder),
            **({"trunk_revision": self.pinned} if self.pinned else {}),
            "max_tokens": self.max_tokens,
            "score": classes if self.task == "labels" else regression,
        }

    def classifier(self, name: str, directory: Path) -> Encoder:
        """The checkpoint in its directory."""
        return Encoder(name=name, model=str(directory))


class FinetuneLearner(Learner):
    """Runs of the Trainer, each with a folder that its checkpoints and its best model are kept in.

    The folder is found again by what the run depends on, so what was begun is gone on with, and what was done is there.
    """

    def __init__(self, recipe: FinetuneRecipe, annotations: Annotations, scratch: Path, say: Say) -> None:
        self.recipe = recipe
        self.annotations = annotations
        self.targets = recipe.targets(annotations)
        self.scratch = scratch
        self.say = say
        settings = {name: value for name, value in dump(recipe).items() if name not in _NO_MATTER}
        trunk = [tensor_digests(recipe.folder), trunk_fingerprint(recipe.folder), tokenizer_fingerprint(recipe.folder)]
        self.identity = [settings, annotations.fingerprint(), trunk]

    def best(self, train: Places, held_out: Places) -> tuple[Path, Choice]:
        """The directory of the best model."""
        from curation.training import trainer

        folder = self.scratch / f"finetune-{fingerprint([*self.identity, train.tolist(), held_out.tolist()])[:16]}"
        best = folder / "best"
        with hold(str(folder / "lock.json")):
            if not best.is_dir():
                found, choice = trainer.finetune(self.recipe, self.annotations, (train, held_out), folder, self.say)
                (found / _CHOICE).write_text(json.dumps(asdict(choice)), encoding="utf-8")
                rename_folder(found, best)
            for checkpoint in folder.glob("checkpoint-*"):
                shutil.rmtree(checkpoint)
        return best, Choice(**json.loads((best / _CHOICE).read_text(encoding="utf-8")))

    def scores(self, model: Path, places: Places) -> Values:
        """What the saved model gives where it is loaded as any classifier is; of a class its place."""
        texts, classes = self.annotations.texts, self.annotations.classes
        given = Encoder(name="score", model=str(model)).load("auto")([texts[place] for place in places])["score"]
        return np.asarray([classes.index(each) for each in given] if classes else given, np.float32)

    def save(self, model: Path, directory: Path) -> None:
        """The checkpoint: config.json, model.safetensors, tokenizer."""
        for path in model.iterdir():
            if path.name != _CHOICE:
                shutil.copy2(path, directory)


CLASSES: Mapping[str, Metric] = {
    "macro_f1": MacroF1(np.asarray),
    "accuracy": lambda targets, scores: float((targets == scores).mean()),
}
"""What is reported of classes, given by their places."""
