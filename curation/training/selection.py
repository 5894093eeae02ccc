"""Nested cross-validation: settings are chosen inside a fold, and judged on documents that had no say in it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curation.training.recipe import Choice, Learner, Places, Setting
from curation.training.splits import folds


@dataclass(frozen=True, eq=False)
class Folding:
    """How documents are split: by host, into so many folds, by this seed."""

    hosts: NDArray[np.int64]
    num_folds: int
    seed: int

    def split(self, targets: NDArray[np.float32], places: Places) -> Iterator[tuple[Places, Places]]:
        """(train, held out) among the documents at `places`, as places in the whole."""
        for train, held_out in folds(targets[places], self.hosts[places], self.num_folds, self.seed):
            yield places[train], places[held_out]


def choose(learner: Learner, folding: Folding, places: Places) -> Choice:
    """The setting and epoch whose held-out scores, over all folds of the documents at `places`, have most merit.

    The first of equals wins: of two epochs the earlier one.
    """
    choices = [
        Choice(setting, epoch, learner.merit(learner.targets[places], scores[places]))
        for setting in learner.settings
        for epoch, scores in enumerate(_held_out(learner, folding, places, setting), start=1)
    ]
    return max(choices, key=lambda choice: choice.merit)


def out_of_fold(learner: Learner, folding: Folding) -> tuple[NDArray[np.float32], list[Choice]]:
    """A score for every document from a finished model that saw neither it nor its host; what each fold chose."""
    everything = np.arange(len(learner.targets))
    scores, choices = np.zeros(len(everything), np.float32), []
    for train, held_out in folding.split(learner.targets, everything):
        choice = choose(learner, folding, train)
        scores[held_out] = learner.scores(learner.fit(train, choice), held_out)
        choices.append(choice)
    return scores, choices


def _held_out(learner: Learner, folding: Folding, places: Places, setting: Setting) -> NDArray[np.float32]:
    """Scores [E, N] after each epoch; those outside `places` are 0 and mean nothing."""
    traces = []
    for train, held_out in folding.split(learner.targets, places):
        trace = learner.trace(train, held_out, setting)
        full = np.zeros((len(trace), len(learner.targets)), np.float32)
        full[:, held_out] = trace
        traces.append(full)
    return np.asarray(np.sum(traces, axis=0), np.float32)
