"""Recipe of kind "fasttext": words and bigrams, positives against negatives."""

import math
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from curation.classifiers.fasttext import FastText, normalise
from curation.data.labelled import ANY_NUMBER, Column
from curation.evaluation.metrics import PROBABILITY, Metric, roc_auc
from curation.training.annotations import Annotations
from curation.training.recipe import Choice, Learner, Places, QuickLearner, Recipe, Say, Setting, Values

KEEP = "__label__keep"
REST = "__label__rest"
_LABEL, _END = "__label__", "</s>"
_SEPARATORS = re.compile(r"[ \n\r\t\v\f\0]")
_SEARCHED = ("learning_rate", "num_epochs", "dim", "num_buckets", "char_ngrams")
_LEAST_ROWS = 256  # fastText quantises no matrix with fewer


@dataclass(frozen=True)
class FastTextRecipe(Recipe):
    """A model of words, bigrams and, with `char_ngrams`, pieces of words (shortest and longest); by default DCLM's.

    A document is worth keeping when one of the labels of `keep` reaches its least value: ``keep = { positive = 1 }``
    for positives against negatives. Learning rate and number of epochs are chosen by ROC-AUC; with `autotune_s`
    fastText's own search has so many seconds for these and the rest, and looks at the held-out documents' F1.
    With `quantised` the model is a tenth as large. More than one of `num_threads` never give the same model twice.
    """

    kind: ClassVar[str] = "fasttext"
    metrics: ClassVar[Mapping[str, Metric]] = PROBABILITY
    headline: ClassVar[str] = "roc_auc"
    cuts: ClassVar[tuple[float, ...]] = (0.5,)
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
    quantised: bool = False
    autotune_s: int = 0
    num_threads: int = 1
    seed: int = 42

    @property
    def needs_hold_out(self) -> bool:
        """Autotune wants documents to look at."""
        return self.autotune_s > 0

    @property
    def metric_notes(self) -> str:
        """Where to cut, and what no two models share."""
        notes = (
            "`macro_f1` is the mean of both classes' F1 at a probability of one half, `positive_f1` that of documents "
            "worth keeping."
        )
        if self.autotune_s:
            notes += " Every fold's model was found by a search of its own, and so was the one for all documents."
        if self.num_threads > 1:
            notes += " It was trained in several threads, which never give the same model twice."
        return notes

    @property
    def summary(self) -> str:
        """What it reads."""
        pieces = "words, bigrams and pieces of words" if any(self.char_ngrams) else "words and bigrams"
        return f"a {'quantised ' if self.quantised else ''}fastText model of {pieces}"

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of the rule."""
        return tuple(Column(name, ANY_NUMBER) for name, _ in self.keep)

    @property
    def rule(self) -> str:
        """What makes a document worth keeping, in words."""
        return " or ".join(f"{name} ≥ {least:g}" for name, least in self.keep)

    def mistakes(self) -> list[str]:
        """What is wrong with the settings."""
        rows = _LEAST_ROWS if self.quantised else 1
        least = {"dim": 1, "min_count": 1, "num_buckets": rows, "autotune_s": 0, "num_threads": 1}
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
        found += [
            f"recipe.learning_rate: {rate:g} is no number above 0."
            for rate in self.learning_rate
            if not 0 < rate < math.inf
        ]
        found += [f"recipe.num_epochs: {number} is below 1." for number in self.num_epochs if number < 1]
        if self.autotune_s:
            found += [
                f"recipe.{name}: is searched for in autotune_s = {self.autotune_s}; leave it out."
                for name in _SEARCHED
                if getattr(self, name) != getattr(FastTextRecipe, name)
            ]
        return found

    def targets(self, annotations: Annotations) -> Values:
        """1 for a document worth keeping, 0 for the rest."""
        kept = [annotations.labels[name] >= least for name, least in self.keep]
        return np.asarray(np.any(kept, axis=0), np.float32)

    def learners(self, annotations: Annotations, scratch: Path, say: Say) -> Mapping[str, Learner]:
        """The one there is, on texts normalised as scoring does it."""
        lines = [as_read(normalise(text)) for text in annotations.texts]
        if odd := sum(line != normalise(text) for line, text in zip(lines, annotations.texts, strict=True)):
            say(f"{odd} documents hold __label__… or </s>: learnt without that, which is how fastText scores them.")
        return {"fasttext": FastTextLearner(self, lines, self.targets(annotations), scratch)}

    def card(self, output: Path) -> Mapping[str, Any]:  # noqa: ARG002
        """The label whose probability is the score, and what is done to a text before."""
        return {
            "label": KEEP,
            "normalisation": "dclm",
            "score": {"unit": f"probability that {self.rule}", "scale": [0, 1]},
        }

    def classifier(self, name: str, directory: Path) -> FastText:
        """The model in its directory."""
        return FastText(name=name, model=str(directory), label=KEEP)


def as_read(line: str) -> str:
    """What fastText reads of a line when it scores: nothing after a word ``</s>``, and no word that looks like a label.

    In a line to learn from such words would be a second label, or begin another document.
    """
    words = _SEPARATORS.split(line)
    if _END not in words and not any(word.startswith(_LABEL) for word in words):
        return line
    until = words.index(_END) if _END in words else len(words)
    return " ".join(word for word in words[:until] if not word.startswith(_LABEL))


class FastTextLearner(QuickLearner):
    """fastText on normalised lines; in one thread equal input gives an equal model."""

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
        return roc_auc(targets > 0, scores)

    def best(self, train: Places, held_out: Places) -> tuple[Any, Choice]:
        """See `Learner.best`; with `autotune_s` what fastText's own search found in that time."""
        if not self.recipe.autotune_s:
            return super().best(train, held_out)
        model = self._train(train, self.settings[0], quantised=self.recipe.quantised, held_out=held_out)
        found = model.f.getArgs()
        setting = {"learning_rate": found.lr, "num_epochs": found.epoch, "dim": found.dim, "ngrams": found.wordNgrams}
        setting |= {"num_buckets": found.bucket, "shortest": found.minn, "longest": found.maxn}
        return model, Choice(setting, 1, self.merit(self.targets[held_out], self.scores(model, held_out)))

    def fit(self, places: Places, choice: Choice) -> Any:
        """The model, quantised where the recipe says so."""
        return self._train(places, choice.setting, quantised=self.recipe.quantised)

    def scores(self, model: Any, places: Places) -> Values:
        """Probabilities of `__label__keep` among both labels, as the model reports them."""
        labels, probabilities = model.predict([self.lines[place] for place in places], k=-1)
        pairs = zip(labels, probabilities, strict=True)
        return np.asarray([dict(zip(*pair, strict=True)).get(KEEP, 0.0) for pair in pairs], np.float32)

    def save(self, model: Any, directory: Path) -> None:
        """`model.bin`, or `model.ftz` when it is quantised."""
        model.save_model(os.fspath(directory / ("model.ftz" if self.recipe.quantised else "model.bin")))

    def _train(self, places: Places, setting: Setting, *, quantised: bool, held_out: Places | None = None) -> Any:
        import fasttext

        recipe = self.recipe
        with tempfile.TemporaryDirectory(dir=self.scratch) as folder:
            path = self._lines(Path(folder) / "train.txt", places)
            # What is given here is not searched for.
            given: dict[str, Any] = {
                "minCount": recipe.min_count,
                "seed": recipe.seed,
                "thread": recipe.num_threads,
                "verbose": 0,
            }
            if held_out is not None:
                validation = self._lines(Path(folder) / "held-out.txt", held_out)
                given |= {"autotuneValidationFile": validation, "autotuneDuration": recipe.autotune_s}
            else:
                shortest, longest = recipe.char_ngrams
                given |= {"lr": setting["learning_rate"], "epoch": int(setting["num_epochs"]), "dim": recipe.dim}
                given |= {"bucket": recipe.num_buckets, "wordNgrams": 2, "minn": shortest, "maxn": longest}
            model = fasttext.train_supervised(input=path, **given)
            if quantised:
                model.quantize(input=path, qnorm=True, thread=recipe.num_threads, verbose=0)
            return model

    def _lines(self, path: Path, places: Places) -> str:
        """Write documents with their labels as fastText reads them; gives the path."""
        path.write_text("".join(self._labelled(places)), encoding="utf-8")
        return os.fspath(path)

    def _labelled(self, places: Places) -> Iterator[str]:
        for place in places:
            yield f"{KEEP if self.targets[place] else REST} {self.lines[place]}\n"
