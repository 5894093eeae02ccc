"""How settings are chosen, and models judged: on documents of other hosts, which had no say in it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.training.recipe import Choice, Learner, Places, QuickLearner, Setting
from curation.training.splits import folds, hold_out


@dataclass(frozen=True, eq=False)
class Folding:
    """How documents are split: always by host, by this seed.

    Models are judged on `num_folds` folds; with 0, on the documents that are held out for choosing. Settings are chosen
    on the `hold_out` share of the documents at hand, which the model then never learns from; with 0, on folds of them,
    and the model learns from all.
    """

    hosts: NDArray[np.int64]
    num_folds: int
    seed: int
    hold_out: float = 0.0

    def split(self, targets: NDArray[np.float32], places: Places) -> Iterator[tuple[Places, Places]]:
        """(train, held out) among the documents at `places`, as places in the whole."""
        for train, held_out in folds(targets[places], self.hosts[places], self.num_folds, self.seed):
            yield places[train], places[held_out]

    def held_out(self, targets: NDArray[np.float32], places: Places) -> tuple[Places, Places]:
        """(train, held out) among the documents at `places`, for choosing."""
        train, held_out = hold_out(targets[places], self.hosts[places], self.hold_out, self.seed)
        return places[train], places[held_out]


@dataclass(frozen=True, eq=False)
class Judged:
    """Scores of the documents at `places` by models that never learnt from them, and what was chosen for each model.

    `model` is the one that judged, where there was one alone.
    """

    places: Places
    scores: NDArray[np.float32]
    choices: list[Choice]
    model: Any = None


def fitted(learner: Learner, folding: Folding, places: Places) -> tuple[Any, Choice]:
    """The finished model of the documents at `places`, and the setting and epoch that were chosen on them."""
    if folding.hold_out:
        return learner.best(*folding.held_out(learner.targets, places))
    if not isinstance(learner, QuickLearner):
        raise TypeError(f"{type(learner).__name__} chooses on held-out documents only")
    choice = choose(learner, folding, places)
    return learner.fit(places, choice), choice


def judge(learner: Learner, folding: Folding) -> Judged:
    """Scores of finished models for documents whose hosts they never saw.

    Without folds those are the held-out documents, and the best epoch was chosen on them.
    """
    everything = np.arange(len(learner.targets))
    if not folding.num_folds:
        train, held_out = folding.held_out(learner.targets, everything)
        model, choice = learner.best(train, held_out)
        return Judged(held_out, learner.scores(model, held_out), [choice], model)
    scores, choices = np.zeros(len(everything), np.float32), []
    for train, held_out in folding.split(learner.targets, everything):
        model, choice = fitted(learner, folding, train)
        scores[held_out] = learner.scores(model, held_out)
        choices.append(choice)
    return Judged(everything, scores, choices)


def packaged(learner: Learner, folding: Folding, judged: Judged) -> tuple[Any, Choice]:
    """The model to give out, and what was chosen for it: the one that judged, or after folds one of all documents."""
    if judged.model is not None:
        return judged.model, judged.choices[0]
    return fitted(learner, folding, np.arange(len(learner.targets)))


def choose(learner: QuickLearner, folding: Folding, places: Places) -> Choice:
    """The setting and epoch whose held-out scores, over all folds of the documents at `places`, have most merit.

    The first of equals wins: of two epochs the earlier one.
    """
    choices = [
        Choice(setting, epoch, learner.merit(learner.targets[places], scores[places]))
        for setting in learner.settings
        for epoch, scores in enumerate(_held_out(learner, folding, places, setting), start=1)
    ]
    return max(choices, key=lambda choice: choice.merit)


def _held_out(learner: QuickLearner, folding: Folding, places: Places, setting: Setting) -> NDArray[np.float32]:
    """Scores [E, N] after each epoch; those outside `places` are 0 and mean nothing."""
    traces = []
    for train, held_out in folding.split(learner.targets, places):
        trace = learner.trace(train, held_out, setting)
        full = np.zeros((len(trace), len(learner.targets)), np.float32)
        full[:, held_out] = trace
        traces.append(full)
    return np.asarray(np.sum(traces, axis=0), np.float32)
