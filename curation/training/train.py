"""A config → a classifier directory: judged out of fold, fitted on all documents."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from curation.config import Kinds, dump
from curation.core.errors import ConfigError
from curation.data.storage import local_path
from curation.training import card
from curation.training.annotations import Annotations, read
from curation.training.encoder import EncoderRecipe, HeadLearner
from curation.training.evaluation import Measured, evaluate
from curation.training.fasttext import FastTextRecipe
from curation.training.heads import Descent, Method, Ridge
from curation.training.recipe import Choice, Learner, Recipe, Values
from curation.training.selection import Folding, choose, out_of_fold

Say = Callable[[str], None]


@dataclass(frozen=True)
class TrainingSpec:
    """What is trained on what, and where it goes.

    `data` is a Parquet or JSON Lines file with columns id, url, text and labels, or ``embedded:NAME``; `about` says in
    a sentence where it comes from, for the model card. Documents are split by host into `num_folds`.
    """

    name: str
    data: str
    about: str
    output: str
    recipe: Recipe
    licence: str = "Apache-2.0"
    num_folds: int = 5
    seed: int = 0

    def mistakes(self) -> list[str]:
        """Everything that is wrong with the settings themselves, without looking at data."""
        found = [] if self.num_folds > 1 else [f"num_folds: {self.num_folds} is below 2."]
        return found + self.recipe.mistakes()


def _one_of(what: str, *classes: type) -> Callable[[str], type]:
    """The function that finds a class by its kind."""
    by_kind = {cls.kind: cls for cls in classes}  # type: ignore[attr-defined]

    def find(kind: str) -> type:
        if kind not in by_kind:
            raise ConfigError(f"there is no {what} of kind {kind!r}; the kinds are {', '.join(by_kind)}.")
        return by_kind[kind]

    return find


KINDS: Kinds = {
    Recipe: _one_of("recipe", EncoderRecipe, FastTextRecipe),
    Method: _one_of("method", Descent, Ridge),
}
"""For `config.parse`."""


@dataclass(frozen=True, eq=False)
class Plan:
    """The documents that a spec trains on, checked; printed, it says what will be done."""

    spec: TrainingSpec
    annotations: Annotations
    targets: Values

    def __str__(self) -> str:
        spec, annotations = self.spec, self.annotations
        return (
            f"{spec.name}: {len(self.targets)} documents of {spec.data} from {annotations.num_hosts} hosts, "
            f"{annotations.num_duplicates} exact duplicates dropped.\n"
            f"Target: {' and '.join(spec.recipe.labels)}, mean {self.targets.mean():.3f}.\n"
            f"{spec.recipe.summary[0].upper()}{spec.recipe.summary[1:]}.\n"
            f"{spec.num_folds} folds by host, then all documents; goes to {spec.output}.\n"
            f"The model card will say of the data: {spec.about} Licence: {spec.licence}."
        )


def plan(spec: TrainingSpec) -> Plan:
    """What `train` needs. Raises ConfigError with everything that would go wrong later."""
    mistakes = spec.mistakes()
    try:
        annotations = read(local_path(spec.data), spec.recipe.labels)
    except ConfigError as error:
        raise ConfigError(*mistakes, *error.mistakes) from None
    targets = spec.recipe.targets(annotations)
    if annotations.num_hosts < 2 * spec.num_folds:
        mistakes.append(
            f"num_folds: {annotations.num_hosts} hosts are too few for {spec.num_folds} folds within folds, which need "
            f"{2 * spec.num_folds}. Add documents of other hosts, or lower num_folds, to 2 at least."
        )
    if np.ptp(targets) == 0:
        mistakes.append(f"recipe: by {' and '.join(spec.recipe.labels)} all documents of {spec.data} are equal.")
    if mistakes:
        raise ConfigError(*mistakes)
    return Plan(spec, annotations, targets)


def train(planned: Plan, say: Say) -> Path:
    """Judge every learner out of fold, fit the best on all documents and write its directory.

    Features are kept in a folder `.cache` beside the output, and found again by what they depend on.
    """
    spec, annotations, recipe = planned.spec, planned.annotations, planned.spec.recipe
    output = Path(spec.output)
    scratch = output.with_name(".cache")
    scratch.mkdir(parents=True, exist_ok=True)
    folding = Folding(annotations.hosts, spec.num_folds, spec.seed)
    learners = recipe.learners(annotations, scratch)
    judged = {name: _judge(name, learner, recipe, folding, say) for name, learner in learners.items()}
    best = max(judged, key=lambda name: np.nan_to_num(judged[name][recipe.headline].value, nan=-np.inf))
    judged["length alone"] = _judge("length alone", _length_alone(planned), recipe, folding, say)
    if not judged[best][recipe.headline].low > judged["length alone"][recipe.headline].high:
        say(f"{best}: caution, this is not clearly better than the length of a document alone.")
    everything = np.arange(len(planned.targets))
    choice = choose(learners[best], folding, everything)
    say(f"{best}: fitted on all documents with {choice}")
    files = learners[best].files(learners[best].fit(everything, choice))
    card.write(output, recipe, files, _card(planned, judged, best, choice))
    return output


def _length_alone(planned: Plan) -> Learner:
    """What the logarithm of a document's length in characters knows: every classifier must do better."""
    lengths = np.asarray([len(text) for text in planned.annotations.texts], np.float32)
    return HeadLearner(Ridge(l2=(0.0,)), np.log1p(lengths)[:, np.newaxis], planned.targets)


def _judge(name: str, learner: Learner, recipe: Recipe, folding: Folding, say: Say) -> dict[str, Measured]:
    """The metrics of scores out of fold."""
    scores, choices = out_of_fold(learner, folding)
    measured = evaluate(recipe.metrics, learner.targets, scores, folding.hosts)
    value, low, high = measured[recipe.headline]
    say(f"{name}: folds chose {'; '.join(map(str, choices))}")
    say(f"{name}: {recipe.headline} out of fold {value:.3f} [{low:.3f}, {high:.3f}]")
    return measured


def _card(planned: Plan, judged: Mapping[str, Mapping[str, Measured]], best: str, choice: Choice) -> dict[str, Any]:
    spec, annotations = planned.spec, planned.annotations
    return {
        "format": 1,
        "kind": spec.recipe.kind,
        "name": spec.name,
        **spec.recipe.card(),
        "licence": spec.licence,
        "recipe": {
            **dump(spec.recipe),
            "num_folds": spec.num_folds,
            "fold_seed": spec.seed,
            "packaged": best,
            "chosen": str(choice),
        },
        "data": {
            "about": spec.about,
            "fingerprint": annotations.fingerprint(),
            "num_documents": len(annotations.texts),
            "num_duplicates_dropped": annotations.num_duplicates,
            "num_hosts": annotations.num_hosts,
            "target_mean": round(float(planned.targets.mean()), 4),
        },
        "metrics": {
            name: {metric: _rounded(each) for metric, each in measured.items()} for name, measured in judged.items()
        },
    }


def _rounded(measured: Measured) -> list[float] | None:
    """[value, low, high] to three decimals, for more would pretend; None where it is not defined."""
    return [round(each, 3) for each in measured] if np.isfinite(measured).all() else None
