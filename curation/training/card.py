"""Writes a classifier directory: model files, card.json, canary.json, README.md; all of it or nothing."""

import json
import os
import shutil
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from curation.classifiers.canary import write_canary
from curation.core.classifier import Canary
from curation.data.storage import write_bytes
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

{data[about]} {data[num_documents]} documents from {data[num_hosts]} hosts, {data[num_duplicates_dropped]} exact
duplicates dropped; mean target {data[target_mean]}. Fingerprint `{data[fingerprint]}`.

## Recipe

Packaged: {recipe[packaged]}, {recipe[chosen]}. What it was chosen from stands in `card.json`. Every way to train
was judged out of fold; the best was fitted on all documents, with the settings that cross-validation over all of them
chose.

## Metrics

Out of fold: {recipe[num_folds]} folds, no host on both sides, settings chosen inside each fold. In brackets 95 %
bootstrap intervals, drawing hosts. Where there are several ways to train, the packaged one was picked by its
`{headline}` here, which flatters it a little; and what the recipe fixes may have been found on the same documents.

{table}

{metric_notes}

## Limits

{limits}
"""


def write(output: Path, recipe: Recipe, files: Mapping[str, bytes], card: Mapping[str, Any]) -> None:
    """Write a classifier directory, in place of one that is there.

    The canary's scores are what the written files score when they are loaded as any classifier is.
    """
    scratch = output.with_name(f".{output.name}.{os.getpid()}.scratch")
    shutil.rmtree(scratch, ignore_errors=True)
    texts = {"card.json": json.dumps(card, indent=1, ensure_ascii=False) + "\n", "README.md": readme(recipe, card)}
    for name, content in {**files, **{name: text.encode() for name, text in texts.items()}}.items():
        write_bytes(str(scratch / name), content)
    classifier = recipe.classifier(card["name"], scratch)
    scores = classifier.load("cpu")(CANARY_TEXTS)[card["name"]]
    write_canary(scratch, Canary(CANARY_TEXTS, tuple(map(float, scores)), TOLERANCE), classifier.reading)
    former = scratch.with_suffix(".former")
    if output.exists():
        output.rename(former)
    scratch.rename(output)
    shutil.rmtree(former, ignore_errors=True)


def readme(recipe: Recipe, card: Mapping[str, Any]) -> str:
    """The model card as Markdown."""
    text = _README.format(
        **card,
        summary=recipe.summary,
        headline=recipe.headline,
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


def _table(metrics: Mapping[str, Mapping[str, Sequence[float] | None]]) -> str:
    """One row a metric, one column a way to train."""
    names = list(metrics)
    head = [["metric", *names], ["---"] * (len(names) + 1)]
    body = [[f"`{metric}`", *(_cell(metrics[name][metric]) for name in names)] for metric in metrics[names[0]]]
    return "\n".join(f"| {' | '.join(row)} |" for row in [*head, *body])


def _cell(measured: Sequence[float] | None) -> str:
    """A metric with its interval; none where it is not defined."""
    return "{:.3f} [{:.3f}, {:.3f}]".format(*measured) if measured else "not defined"
