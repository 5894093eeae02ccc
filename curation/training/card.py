"""Writes a classifier directory: model, card.json, canary.json, recipe.toml, README.md; all of it or nothing."""

import json
import shutil
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from curation.classifiers.canary import write_canary
from curation.core.classifier import Canary
from curation.core.errors import ConfigError
from curation.data.storage import rename_folder, why_not_writable, write_bytes
from curation.training.recipe import Recipe

CANARY_TEXTS = (
    "Rain falls on the hills, gathers in streams and runs down to the sea, where the sun lifts it up again.",
    "To add two fractions, first write both with the same denominator; then add the numerators and simplify.",
    "HUGE SALE!!! Click here now and save 70 % on all phone cases, free shipping today only!!!",
    "Home | About | Contact | Login | Cart (0)",
    "I think the second season was better than the first one, but my sister says the ending spoils it.",
    "def area(radius):\n    return 3.14159 * radius ** 2\n\nprint(area(2))",
    "光合作用把水和二氧化碳变成糖和氧气。",
    "ok",
)
TOLERANCE = 1e-4
"""How far a replica's canary scores may be off: beyond float noise between machines, below what moves a bucket."""

_README = """\
# {name}

This is {summary}. Score: {score[unit]}; scale {score[scale]}, given raw. Licence: {licence}.

## Data

{data[about]} {data[num_documents]} documents from {data[num_hosts]} hosts, {data[num_without_host]} without a host, of
which each stands for itself; {data[num_duplicates_dropped]} exact duplicates dropped, {data[num_unlabelled]} without a
label and {data[num_blank]} without a word left out{mean}. Fingerprint `{data[fingerprint]}`.

## Recipe

Packaged: {recipe[packaged]}, {recipe[chosen]}. `recipe.toml` is the config that made it. {judging}

## Metrics

On {data[num_judged]} documents of hosts that the model which scored them never saw. In brackets 95 % bootstrap
intervals, drawing hosts. Where there are several ways to train, the packaged one was picked by its `{headline}` here,
which flatters it a little; and what the recipe fixes may have been found on the same documents.

{table}

{metric_notes}

{thresholds}## Limits

{limits}
"""

_WHOSE_SCORES = (
    "The scores are those of the packaged model.",
    (
        "The scores are those of the models that judged, one for each fold; the packaged model, which learnt from "
        "other documents, may spread its own more or less. The share holds for it too: cut its scores of documents "
        "like these where so many pass."
    ),
)
"""Of what is judged without folds, and with them."""


def write(
    output: Path, recipe: Recipe, config: Mapping[str, Any], save: Callable[[Path], None], card: Mapping[str, Any]
) -> None:
    """Write a classifier directory, in place of one that is there; `save` writes the model's files into a folder.

    The canary's scores are what the written files score when they are loaded as any classifier is. Raises ConfigError
    when what is there is no classifier directory: nothing else is ever replaced.
    """
    if mistakes := output_mistakes(output):
        raise ConfigError(*mistakes)
    scratch = output.with_name(f".{output.name}.scratch")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    save(scratch)
    texts = {
        "card.json": json.dumps(card, indent=1, ensure_ascii=False) + "\n",
        "README.md": readme(recipe, card),
        "recipe.toml": toml(config),
    }
    for name, text in texts.items():
        write_bytes(str(scratch / name), text.encode())
    classifier = recipe.classifier(card["name"], scratch)
    scores = classifier.load("cpu")(CANARY_TEXTS)[classifier.score_column]
    write_canary(scratch, Canary(CANARY_TEXTS, tuple(map(float, scores)), TOLERANCE), classifier.reading)
    former = scratch.with_suffix(".former")
    if output.exists():
        shutil.rmtree(former, ignore_errors=True)
        output.rename(former)
    rename_folder(scratch, output)
    shutil.rmtree(former, ignore_errors=True)


def output_mistakes(output: Path) -> list[str]:
    """Why no classifier directory can be written to a path: a file is in the way, or files that are no classifier's."""
    if reason := why_not_writable(str(output)) or why_not_writable(str(output.parent)):
        return [f"output: {output} cannot be written: {reason}; choose another."]
    if output.is_dir() and any(output.iterdir()) and not _is_trained(output):
        return [
            f"output: {output} holds files and no card.json of a training; all of them would go. Name another folder."
        ]
    return []


def _is_trained(folder: Path) -> bool:
    try:
        card = json.loads((folder / "card.json").read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(card, dict) and {"format", "kind", "recipe", "metrics"} <= card.keys()


def judging(num_folds: int, hold_out: float) -> str:
    """How models are judged and what the packaged one learns from, in two sentences."""
    share = f"{100 * hold_out:g} %"
    if not num_folds:
        return (
            f"{share} of the documents, of hosts of their own, are held out: they choose the epoch, which flatters the "
            "figures, and they judge. The packaged model is the one that they judge."
        )
    if hold_out:
        return (
            f"Every way to train is judged on {num_folds} folds; in each, and for the packaged model among all "
            f"documents, {share} are held out and choose the epoch. No host is on two sides."
        )
    return (
        f"Every way to train is judged on {num_folds} folds, no host on both sides, settings chosen inside each. The "
        "best is fitted on all documents, with the settings that cross-validation over all of them chooses."
    )


def toml(tables: Mapping[str, Any]) -> str:
    """Settings as a TOML file: what `curation.config.load` reads back."""
    plain = {name: value for name, value in tables.items() if value is not None}
    nested = {name: value for name, value in plain.items() if isinstance(value, Mapping)}
    lines = [f"{name} = {_toml_value(value)}" for name, value in plain.items() if name not in nested]
    for name, table in nested.items():
        lines += ["", f"[{name}]"]
        lines += [f"{key} = {_toml_value(value)}" for key, value in table.items() if value is not None]
    return "\n".join(lines) + "\n"


def _toml_value(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{key} = {_toml_value(each)}' for key, each in value.items())} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml_value, value))}]"
    return json.dumps(value, ensure_ascii=False)  # a JSON string, number or boolean is one of TOML


def readme(recipe: Recipe, card: Mapping[str, Any]) -> str:
    """The model card as Markdown."""
    text = _README.format(
        **{**card, "thresholds": _thresholds(card["thresholds"], card["recipe"]["num_folds"])},
        summary=recipe.summary,
        headline=recipe.headline,
        judging=judging(card["recipe"]["num_folds"], card["recipe"]["hold_out"]),
        mean="" if (mean := card["data"]["target_mean"]) is None else f"; mean target {mean}",
        table=_table(card["metrics"]),
        metric_notes=recipe.metric_notes,
        limits=recipe.limits,
    )
    return "\n\n".join(map(_wrapped, text.split("\n\n"))) + "\n"


def _wrapped(paragraph: str) -> str:
    """A paragraph at a width to read; headings and tables as they are."""
    return (
        paragraph
        if paragraph.startswith(("#", "|"))
        else textwrap.fill(" ".join(paragraph.split()), 118, break_on_hyphens=False)
    )


def _table(metrics: Mapping[str, Mapping[str, Sequence[float | None] | None]]) -> str:
    """One row a metric, one column a way to train."""
    names = list(metrics)
    head = [["metric", *names], ["---"] * (len(names) + 1)]
    body = [[f"`{metric}`", *(_cell(metrics[name][metric]) for name in names)] for metric in metrics[names[0]]]
    return "\n".join(f"| {' | '.join(row)} |" for row in [*head, *body])


def _thresholds(cuts: Sequence[Mapping[str, float]], num_folds: int) -> str:
    """The section on cuts; nothing where there are none."""
    if not cuts:
        return ""
    head = ["| target | score | `macro_f1` | share above |", "| --- | --- | --- | --- |"]
    rows = ["| ≥ {label:g} | ≥ {score:.3f} | {macro_f1:.3f} | {share_above:.3f} |".format(**cut) for cut in cuts]
    about = (
        "The cut on the score that best agrees with a cut on the target, by macro F1 on the documents above, and the "
        f"share of them that passes. {_WHOSE_SCORES[num_folds > 0]}"
    )
    table = "\n".join([*head, *rows])
    return f"## Thresholds\n\n{about}\n\n{table}\n\n"


def _cell(measured: Sequence[float | None] | None) -> str:
    """A metric with its interval, each as far as it is defined."""
    if not measured:
        return "not defined"
    value, low, high = ("not defined" if each is None else f"{each:.3f}" for each in measured)
    return f"{value} [{low}, {high}]"
