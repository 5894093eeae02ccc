"""A config → a classifier directory: judged on hosts that were held out, then packaged."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from curation.config import Kinds, dump, one_of
from curation.core.errors import ConfigError
from curation.core.extras import missing
from curation.data.storage import local_path
from curation.evaluation.metrics import Measured, evaluate
from curation.execution.lock import hold
from curation.training import card, thresholds
from curation.training.annotations import Annotations, read
from curation.training.baselines import baseline_of
from curation.training.encoder import EncoderRecipe
from curation.training.fasttext import FastTextRecipe
from curation.training.finetuning import FinetuneRecipe
from curation.training.heads import Descent, Method, Ridge
from curation.training.pooler import Pooler
from curation.training.recipe import Choice, Learner, Recipe, Say, Values
from curation.training.selection import Folding, Judged, judge, packaged
from curation.training.splits import num_parts

_ABOUT = 0.011
"""How far from a part of several equal ones a share may be: 0.33 is a third."""


@dataclass(frozen=True)
class TrainingSpec:
    """What is trained on what, and where it goes.

    `data` is a Parquet or JSON Lines file with columns id, url, text and labels, or ``embedded:NAME``; `about` says in
    a sentence where it comes from, for the model card. Documents are split by host: models are judged on `num_folds`
    folds, and choose on the `hold_out` share of the documents that they are given; 0 stands for folds of these. With
    0 folds the held-out documents judge too.
    """

    name: str
    data: str
    about: str
    output: str
    recipe: Recipe
    licence: str = "Apache-2.0"
    num_folds: int = 5
    hold_out: float = 0.0
    seed: int = 0

    def mistakes(self) -> list[str]:
        """Everything that is wrong with the settings themselves, without looking at data."""
        found = []
        if "…" in self.about:
            found.append("about: has a gap, …; say where the data comes from, for the model card repeats it.")
        if self.num_folds < 0 or self.num_folds == 1:
            found.append(f"num_folds: {self.num_folds} is no number of folds; 2 or more are, or 0 for none.")
        if not 0 <= self.hold_out <= 0.5:  # NaN is refused too
            found.append(f"hold_out: {self.hold_out:g} is not a share from 0 to 0.5.")
        elif self.hold_out and abs(self.hold_out * num_parts(self.hold_out) - 1) > _ABOUT:
            nearest = num_parts(self.hold_out)
            found.append(
                f"hold_out: {self.hold_out:g} is not one of several equal parts, such as 0.1, 0.2, 0.25 or 0.5; the "
                f"nearest is {1 / nearest:.4g}."
            )
        elif not self.hold_out and not self.num_folds:
            found.append("hold_out: without folds some documents must be held out to judge by; 0.1 is usual.")
        elif not self.hold_out and self.recipe.needs_hold_out:
            found.append("hold_out: this recipe chooses on documents that are held out; give their share, such as 0.1.")
        return found + self.recipe.mistakes()

    @property
    def least_hosts(self) -> int:
        """Fewer cannot be split."""
        return 2 * max(self.num_folds, num_parts(self.hold_out) if self.hold_out else 0)


KINDS: Kinds = {
    Recipe: one_of("recipe", EncoderRecipe, FinetuneRecipe, FastTextRecipe),
    Method: one_of("method", Descent, Pooler, Ridge),
}
"""For `config.parse`."""


@dataclass(frozen=True, eq=False)
class Plan:
    """The documents that a spec trains on, checked; printed, it says what will be done."""

    spec: TrainingSpec
    annotations: Annotations
    targets: Values

    @property
    def folding(self) -> Folding:
        """How they are split."""
        return Folding(self.annotations.hosts, self.spec.num_folds, self.spec.seed, self.spec.hold_out)

    @property
    def _held_out(self) -> str:
        """How many documents the share comes to, hosts being whole."""
        if not self.spec.hold_out:
            return ""
        _, held_out = self.folding.held_out(self.targets, np.arange(len(self.targets)))
        return f" Of all documents {len(held_out)} are held out."

    def __str__(self) -> str:
        spec, annotations = self.spec, self.annotations
        labels = " and ".join(column.name for column in spec.recipe.columns)
        target = f"mean {self.targets.mean():.3f}"
        return (
            f"{spec.name}: {len(self.targets)} documents of {spec.data} from {annotations.num_hosts} hosts, "
            f"{annotations.num_without_host} without a host, {annotations.num_duplicates} exact duplicates dropped, "
            f"{annotations.num_unlabelled} without a label and {annotations.num_blank} without a word left out.\n"
            f"Target: {labels}, {f'{len(annotations.classes)} classes' if annotations.classes else target}.\n"
            f"{spec.recipe.summary[0].upper()}{spec.recipe.summary[1:]}.\n"
            f"{card.judging(spec.num_folds, spec.hold_out)}{self._held_out} It goes to {spec.output}.\n"
            f"The model card will say of the data: {spec.about} Licence: {spec.licence}."
        )


def plan(spec: TrainingSpec) -> Plan:
    """What `train` needs. Raises ConfigError with everything that would go wrong later."""
    if absent := missing("train", "sklearn"):
        raise ConfigError(*absent)  # the splits need it
    mistakes = spec.mistakes() + card.output_mistakes(Path(spec.output).resolve())
    try:
        annotations = read(local_path(spec.data), spec.recipe.columns)
    except ConfigError as error:
        raise ConfigError(*mistakes, *error.mistakes) from None
    targets = spec.recipe.targets(annotations)
    if annotations.num_hosts < spec.least_hosts:
        mistakes.append(
            f"num_folds: {annotations.num_hosts} hosts are too few for {spec.num_folds} folds and {spec.hold_out:g} "
            f"held out, which need {spec.least_hosts}. Add documents of other hosts, or lower num_folds, to 2 at least."
        )
    if np.ptp(targets) == 0:
        labels = " and ".join(column.name for column in spec.recipe.columns)
        mistakes.append(f"recipe: by {labels} all documents of {spec.data} are equal.")
    if mistakes:
        raise ConfigError(*mistakes)
    return Plan(spec, annotations, targets)


def train(planned: Plan, say: Say) -> Path:
    """Judge every learner on hosts that it never saw, fit the best and write its directory.

    What is slow to make is kept in a folder `.cache` beside the output, and found again by what it depends on. Raises
    ClusterError when another training writes to the same output.
    """
    spec = planned.spec
    output = Path(spec.output).resolve()
    scratch = output.with_name(".cache")
    scratch.mkdir(parents=True, exist_ok=True)
    with hold(str(scratch / f"{output.name}.lock")):
        _train(planned, output, scratch, say)
    return Path(spec.output)


def _train(planned: Plan, output: Path, scratch: Path, say: Say) -> None:
    spec, annotations, recipe = planned.spec, planned.annotations, planned.spec.recipe
    learners = recipe.learners(annotations, scratch, say)
    judged = {name: _judge(name, learner, planned, say) for name, learner in learners.items()}
    measured = {name: _measured(planned, each) for name, each in judged.items()}
    best = max(measured, key=lambda name: np.nan_to_num(measured[name][recipe.headline].value, nan=-np.inf))
    baseline, learner = baseline_of(annotations, planned.targets)
    measured[baseline] = _measured(planned, _judge(baseline, learner, planned, say))
    for name, figures in measured.items():
        value, low, high = figures[recipe.headline]
        say(f"{name}: {recipe.headline} on hosts that it never saw {value:.3f} [{low:.3f}, {high:.3f}]")
    if not measured[best][recipe.headline].low > measured[baseline][recipe.headline].high:
        say(f"{best}: caution, this is not clearly better than {baseline}.")
    model, choice = packaged(learners[best], planned.folding, judged[best])
    say(f"{best}: packaged with {choice}")
    content = _card(planned, measured, judged[best], best, choice)
    card.write(output, recipe, dump(spec), lambda directory: learners[best].save(model, directory), content)


def _judge(name: str, learner: Learner, planned: Plan, say: Say) -> Judged:
    """Scores of documents whose hosts the models never saw."""
    judged = judge(learner, planned.folding)
    say(f"{name}: chosen were {'; '.join(map(str, judged.choices))}")
    return judged


def _measured(planned: Plan, judged: Judged) -> dict[str, Measured]:
    """The metrics of these scores."""
    hosts = planned.annotations.hosts[judged.places]
    return evaluate(planned.spec.recipe.metrics, planned.targets[judged.places], judged.scores, hosts)


def _card(
    planned: Plan,
    measured: Mapping[str, Mapping[str, Measured]],
    judged: Judged,
    best: str,
    choice: Choice,
) -> dict[str, Any]:
    spec, annotations = planned.spec, planned.annotations
    return {
        "format": 1,
        "kind": spec.recipe.kind,
        "name": spec.name,
        **spec.recipe.card(Path(spec.output).resolve()),
        "licence": spec.licence,
        "recipe": {
            **dump(spec.recipe),
            "num_folds": spec.num_folds,
            "hold_out": spec.hold_out,
            "fold_seed": spec.seed,
            "packaged": best,
            "chosen": str(choice),
        },
        "data": {
            "about": spec.about,
            "fingerprint": annotations.fingerprint(),
            "num_documents": len(annotations.texts),
            "num_duplicates_dropped": annotations.num_duplicates,
            "num_unlabelled": annotations.num_unlabelled,
            "num_blank": annotations.num_blank,
            "num_hosts": annotations.num_hosts,
            "num_without_host": annotations.num_without_host,
            "num_judged": len(judged.places),
            "target_mean": None if annotations.classes else round(float(planned.targets.mean()), 4),
        },
        "metrics": {
            name: {metric: _rounded(each) for metric, each in figures.items()} for name, figures in measured.items()
        },
        "thresholds": [
            {name: round(value, 4) for name, value in asdict(cut).items()}
            for cut in thresholds.cuts(planned.targets[judged.places], judged.scores, spec.recipe.cuts)
        ],
    }


def _rounded(measured: Measured) -> list[float | None] | None:
    """[value, low, high] to three decimals, for more would pretend; None for what is not defined."""
    if not np.isfinite(measured.value):
        return None
    return [round(each, 3) if np.isfinite(each) else None for each in measured]
