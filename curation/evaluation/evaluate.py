"""A config → a directory that says how far to trust classifiers: scores, figures, a report."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation import classifiers
from curation.classifiers import catalog
from curation.config import Catalogs, Kinds, dump, one_of
from curation.core.classifier import Classifier
from curation.core.errors import ConfigError, ModelError
from curation.core.extras import missing
from curation.data.labelled import ANY_NUMBER, Column, Documents, read
from curation.data.storage import local_path, why_not_writable, write_bytes
from curation.evaluation import report, scored
from curation.evaluation.comparison import Compared, compare
from curation.evaluation.judged import Judged
from curation.evaluation.judging import judge, mistake, present
from curation.evaluation.labels import Labels
from curation.evaluation.probability import Probability
from curation.evaluation.regression import Regression
from curation.inference.replica import ScoringSpec
from curation.inference.tokens import TokensSpec, count_tokens

Say = Callable[[str], None]


@dataclass(frozen=True)
class EvaluationSpec:
    """What is evaluated on what, and where it goes.

    `data` is a Parquet or JSON Lines file with columns id, url, text and labels, or ``embedded:NAME``. Each
    `classifier` scores its texts; `columns` are scores that it holds already. `judged` says which of them are held
    against which labels. All that rank are compared, each keeping its best documents up to `keep_share` of all tokens;
    `tokens` says how these are counted. Without `texts` the report quotes no document.
    """

    output: str
    data: str
    classifier: tuple[Classifier, ...] = ()
    columns: tuple[str, ...] = ()
    judged: tuple[Judged, ...] = ()
    keep_share: tuple[float, ...] = (0.1, 0.25)
    tokens: TokensSpec = TokensSpec()
    texts: bool = True
    scoring: ScoringSpec = ScoringSpec()

    def mistakes(self) -> list[str]:
        """Everything that is wrong with the settings themselves, without looking at data or models."""
        names = [*(each.name for each in self.classifier), *self.columns]
        found = [f"{name}: two classifiers or columns have this name." for name in sorted(_twice(names))]
        if "id" in names:
            found.append(
                "id: is the column of scores.parquet that names documents; call the classifier something else."
            )
        if not names:
            found.append("classifier: nothing is evaluated; write a [[classifier]] table, or columns = […].")
        if not self.judged and len(names) == 1:
            found.append("judged: one classifier is neither judged nor compared; write a [[judged]] table.")
        found += [
            f"judged.{each.name}: is no classifier and no column of scores; there are {', '.join(names)}."
            for each in self.judged
            if each.name not in names
        ]
        found += [
            f"keep_share: {share:g} is not a whole percentage between 0 and 1, such as 0.1."
            for share in self.keep_share
            if not 0 < share < 1 or abs(100 * share - round(100 * share)) > 1e-9
        ]
        return found + [mistake for each in self.judged for mistake in each.mistakes()]


KINDS: Kinds = {Classifier: classifiers.kind, Judged: one_of("judgement", Regression, Probability, Labels)}
CATALOGS: Catalogs = {Classifier: catalog.table}
"""For `config.parse`."""


@dataclass(frozen=True, eq=False)
class Plan:
    """The documents that a spec evaluates on, checked; printed, it says what will be done."""

    spec: EvaluationSpec
    documents: Documents

    def __str__(self) -> str:
        spec, documents = self.spec, self.documents
        num_hosts = documents.num_hosts
        lines = [
            f"{spec.data}: {len(documents.ids):,} documents, {num_hosts:,} hosts.",
            f"Without a host, each for itself: {documents.num_without_host:,}.",
            f"Exact duplicates dropped: {documents.num_duplicates:,}.",
            *(f"Scored here: {each.name}, fingerprint {each.fingerprint()[:8]}." for each in spec.classifier),
            *(f"Scores in the data: {name}." for name in spec.columns),
            *(f"Judged: {each.name} {each.question}." for each in spec.judged),
        ]
        if len(ranked := _ranked(spec)) > 1:
            lines.append(f"Compared: {', '.join(ranked)}.")
        return "\n".join([*lines, f"Goes to {spec.output}."])


def plan(spec: EvaluationSpec) -> Plan:
    """What `evaluate` needs. Raises ConfigError with everything that would go wrong later."""
    mistakes = spec.mistakes() + missing("evaluate", "sklearn")
    if reason := why_not_writable(spec.output):
        mistakes.append(f"output: {spec.output} cannot be written: {reason}; choose another.")
    for each in spec.classifier:
        try:
            each.fingerprint()
            mistakes += _kind_mistakes(each, spec)
        except ModelError as error:
            mistakes.append(f"classifier.{each.name}: {error}")
    try:
        spec.tokens.identity()
    except ModelError as error:
        mistakes.append(f"tokens.count_tokenizer: {error}")
    try:
        documents = read(local_path(spec.data), _wanted(spec))
    except ConfigError as error:
        raise ConfigError(*mistakes, *error.mistakes) from None
    if not mistakes:
        mistakes = [
            f"judged.{each.name}: {why}" for each in spec.judged if (why := _cannot_judge(each, spec, documents))
        ]
    if mistakes:
        raise ConfigError(*mistakes)
    return Plan(spec, documents)


def _wanted(spec: EvaluationSpec) -> list[Column]:
    """The columns of the data that are read."""
    as_labels = {each.name for each in spec.judged if isinstance(each, Labels)} & {*spec.columns}
    strings = {name for each in spec.judged if isinstance(each, Labels) for name in each.labels}
    numbers = {name for each in spec.judged if not isinstance(each, Labels) for name in each.labels}
    numbers |= {*spec.columns} - as_labels
    return [Column(name, ANY_NUMBER) for name in sorted(numbers)] + [
        Column(name, scale=None) for name in sorted(strings | as_labels)
    ]


def _kind_mistakes(classifier: Classifier, spec: EvaluationSpec) -> list[str]:
    """A classifier that gives labels is judged as labels, and no other is."""
    gives = "labels" if classifier.columns[classifier.name] == "str" else "a score"
    return [
        f'judged.{each.name}: kind is "{each.kind}", but the classifier gives {gives}.'
        for each in spec.judged
        if each.name == classifier.name and isinstance(each, Labels) != (gives == "labels")
    ]


def _cannot_judge(each: Judged, spec: EvaluationSpec, documents: Documents) -> str:
    """Why these labels cannot judge, as far as it can be known before anything is scored."""
    truth = each.truth(documents.columns)
    here = present(truth) & np.asarray([bool(text.strip()) for text in documents.texts])
    if each.name in spec.columns:
        here &= present(documents.columns[each.name])
    return mistake(each, truth[here], documents.hosts[here])


def evaluate(planned: Plan, say: Say) -> Path:
    """Score what is not scored yet, judge, compare, and write the directory; gives the report's path.

    Equal data, classifiers and settings give equal files.
    """
    spec, documents = planned.spec, planned.documents
    output = Path(spec.output)
    output.mkdir(parents=True, exist_ok=True)
    write_bytes(str(output / "config.json"), _json(dump(spec)))
    scores = dict(documents.columns)
    scores |= scored.score(
        output / scored.FILE_NAME, spec.classifier, documents.ids, documents.texts, spec=spec.scoring, say=say
    )
    figures = _figures(planned, scores, say)
    write_bytes(str(output / "metrics.json"), _json(figures))
    write_bytes(
        str(output / report.FILE_NAME),
        report.html(figures, documents if spec.texts else None).encode("utf-8", "backslashreplace"),
    )
    return output / report.FILE_NAME


def _figures(planned: Plan, scores: Mapping[str, NDArray[Any]], say: Say) -> dict[str, Any]:
    spec, documents = planned.spec, planned.documents
    found: dict[str, Any] = {
        "format": 1,
        "data": {
            "name": Path(spec.data).name,
            "fingerprint": documents.fingerprint(),
            "num_documents": len(documents.ids),
            "num_hosts": documents.num_hosts,
            "num_without_host": documents.num_without_host,
            "num_duplicates": documents.num_duplicates,
        },
        "classifiers": {each.name: each.fingerprint() for each in spec.classifier},
        "judged": [],
    }
    for each in spec.judged:
        say(f"{each.name}: judging {each.question}")
        found["judged"].append(judge(each, documents.columns, scores[each.name], documents.lengths, documents.hosts))
    if len(ranked := _ranked(spec)) > 1:
        compared = Compared.of(
            {name: scores[name] for name in ranked}, count_tokens(spec.tokens, documents.texts, documents.num_bytes)
        )
        if len(compared.places) < 2:
            raise ConfigError(f"{' and '.join(ranked)}: fewer than two documents have all these scores.")
        found["comparison"] = {"tokens": spec.tokens.how, **compare(compared, spec.keep_share)}
        for pair in found["comparison"]["disagreements"]:
            for example in (*pair["first_prefers"], *pair["second_prefers"]):
                example.update(_known(example["place"], spec, documents))
    return found


def _known(place: int, spec: EvaluationSpec, documents: Documents) -> dict[str, Any]:
    """What the data says of one document; labels that are missing are left out."""
    names = dict.fromkeys(name for each in spec.judged for name in each.labels)
    labels = {name: documents.columns[name][place : place + 1] for name in names}
    return {
        "id": documents.ids[place],
        "labels": {name: values.tolist()[0] for name, values in labels.items() if present(values).all()},
    }


def _ranked(spec: EvaluationSpec) -> list[str]:
    """The scores that can be compared, by name: not the labels that a classifier finds likeliest."""
    as_labels = {each.name for each in spec.judged if isinstance(each, Labels)}
    scoring = [each.name for each in spec.classifier if each.columns[each.name] == "float32"]
    return [*scoring, *(name for name in spec.columns if name not in as_labels)]


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _twice(names: list[str]) -> set[str]:
    return {name for name in names if names.count(name) > 1}
