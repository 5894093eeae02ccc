"""Recipe of kind "fasttext": words and bigrams, worth keeping against the rest."""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from curation.classifiers.fasttext import FastText, normalise
from curation.training import evaluation
from curation.training.annotations import Annotations
from curation.training.recipe import Choice, Learner, Places, Recipe, Setting, Values

KEEP = "__label__keep"
REST = "__label__rest"
_LEAST_ROWS = 256  # fastText quantises no matrix with fewer


@dataclass(frozen=True)
class FastTextRecipe(Recipe):
    """A quantised model of words, bigrams and, with `char_ngrams`, pieces of words (shortest and longest).

    A document is worth keeping when one of the labels of `keep` reaches its least value. Learning rate and number of
    epochs are chosen by ROC-AUC.
    """

    kind: ClassVar[str] = "fasttext"
    metrics: ClassVar[Mapping[str, evaluation.Metric]] = evaluation.PROBABILITY
    headline: ClassVar[str] = "roc_auc"
    metric_notes: ClassVar[str] = (
        "`macro_f1` is the mean of both classes' F1 at a probability of one half, `positive_f1` that of documents "
        "worth keeping."
    )
    limits: ClassVar[str] = (
        "It sees words and their neighbours, not what a text says. The probability is that of the training data's mix "
        "and overconfident: use it to rank. Languages that do not separate words by blanks are read badly."
    )
    keep: tuple[tuple[str, float], ...]
    learning_rate: tuple[float, ...] = (0.1,)
    num_epochs: tuple[int, ...] = (5,)
    dim: int = 100
    min_count: int = 1
    num_buckets: int = 2_000_000
    char_ngrams: tuple[int, int] = (0, 0)
    seed: int = 42

    @property
    def summary(self) -> str:
        """What it reads."""
        pieces = "words, bigrams and pieces of words" if any(self.char_ngrams) else "words and bigrams"
        return f"a quantised fastText model of {pieces}"

    @property
    def labels(self) -> tuple[str, ...]:
        """The columns of the rule."""
        return tuple(name for name, _ in self.keep)

    @property
    def rule(self) -> str:
        """What makes a document worth keeping, in words."""
        return " or ".join(f"{name} ≥ {least:g}" for name, least in self.keep)

    def mistakes(self) -> list[str]:
        """What is wrong with the settings."""
        least = {"dim": 1, "min_count": 1, "num_buckets": _LEAST_ROWS}
        given = {name: getattr(self, name) for name in least}
        found = [
            f"recipe.{name}: {given[name]} is below {value}." for name, value in least.items() if given[name] < value
        ]
        if not 0 <= self.char_ngrams[0] <= self.char_ngrams[1]:
            found.append(
                f"recipe.char_ngrams: {list(self.char_ngrams)} is not [shortest, longest], or [0, 0] for none."
            )
        if not self.keep:
            found.append("recipe.keep: no label is named; write for example quality = 3.")
        if not (self.learning_rate and self.num_epochs):
            found.append("recipe: learning_rate and num_epochs need at least one value each.")
        return found

    def targets(self, annotations: Annotations) -> Values:
        """1 for a document worth keeping, 0 for the rest."""
        kept = [annotations.labels[name] >= least for name, least in self.keep]
        return np.asarray(np.any(kept, axis=0), np.float32)

    def learners(self, annotations: Annotations, scratch: Path) -> Mapping[str, Learner]:
        """The one there is, on texts normalised as scoring does it."""
        lines = [normalise(text) for text in annotations.texts]
        return {"fasttext": FastTextLearner(self, lines, self.targets(annotations), scratch)}

    def card(self) -> Mapping[str, Any]:
        """The label whose probability is the score, and what is done to a text before."""
        return {
            "label": KEEP,
            "normalisation": "dclm",
            "score": {"unit": f"probability that {self.rule}", "scale": [0, 1]},
        }

    def classifier(self, name: str, directory: Path) -> FastText:
        """The model in its directory."""
        return FastText(name=name, model=str(directory), label=KEEP)


class FastTextLearner(Learner):
    """fastText on normalised lines, in one thread, so that equal input gives an equal model."""

    def __init__(self, recipe: FastTextRecipe, lines: Sequence[str], targets: Values, scratch: Path) -> None:
        self.recipe = recipe
        self.lines = lines
        self.targets = targets
        self.scratch = scratch
        pairs = product(recipe.learning_rate, recipe.num_epochs)
        self.settings = [{"learning_rate": rate, "num_epochs": epochs} for rate, epochs in pairs]

    def trace(self, train: Places, held_out: Places, setting: Setting) -> Values:
        """Scores of a model that is not quantised: quantising takes longer than training and moves scores little."""
        return self.scores(self._train(train, setting, quantised=False), held_out)[np.newaxis]

    def merit(self, targets: Values, scores: Values) -> float:
        """ROC-AUC."""
        return evaluation.roc_auc(targets > 0, scores)

    def fit(self, places: Places, choice: Choice) -> Any:
        """The quantised model."""
        return self._train(places, choice.setting, quantised=True)

    def scores(self, model: Any, places: Places) -> Values:
        """Probabilities of `__label__keep` among both labels, as the model reports them."""
        labels, probabilities = model.predict([self.lines[place] for place in places], k=-1)
        pairs = zip(labels, probabilities, strict=True)
        return np.asarray([dict(zip(*pair, strict=True)).get(KEEP, 0.0) for pair in pairs], np.float32)

    def files(self, model: Any) -> Mapping[str, bytes]:
        """`model.ftz`."""
        with tempfile.TemporaryDirectory(dir=self.scratch) as folder:
            path = Path(folder) / "model.ftz"
            model.save_model(os.fspath(path))
            return {path.name: path.read_bytes()}

    def _train(self, places: Places, setting: Setting, *, quantised: bool) -> Any:
        import fasttext

        shortest, longest = self.recipe.char_ngrams
        with tempfile.TemporaryDirectory(dir=self.scratch) as folder:
            path = Path(folder) / "train.txt"
            path.write_text("".join(self._labelled(places)), encoding="utf-8")
            model = fasttext.train_supervised(
                input=os.fspath(path),
                lr=setting["learning_rate"],
                epoch=int(setting["num_epochs"]),
                dim=self.recipe.dim,
                minCount=self.recipe.min_count,
                bucket=self.recipe.num_buckets,
                wordNgrams=2,
                minn=shortest,
                maxn=longest,
                seed=self.recipe.seed,
                thread=1,
                verbose=0,
            )
            if quantised:
                model.quantize(input=os.fspath(path), qnorm=True, thread=1, verbose=0)
            return model

    def _labelled(self, places: Places) -> Iterator[str]:
        for place in places:
            yield f"{KEEP if self.targets[place] else REST} {self.lines[place]}\n"
