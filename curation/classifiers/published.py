"""What was published of a classifier, held against the weights that are here."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from curation.classifiers import catalog
from curation.classifiers.encoder import Encoder
from curation.core.classifier import Classifier
from curation.core.errors import ModelError


@dataclass(frozen=True)
class Verdict:
    """What came of the published cases, in a sentence, and one more for each that does not hold."""

    said: str
    failures: tuple[str, ...] = ()


def judge(classifier: Classifier, *, is_here: bool) -> Verdict:
    """Run the published cases of a classifier's model, in exact precision, or say why none is run."""
    entry = catalog.entry_of(classifier)
    if entry is None:
        return Verdict("no published case was run: the catalog has no entry for its model, read as here")
    if not is_here:
        return Verdict("no published case was run: its model is not here as it was fetched")
    exact = replace(classifier, precision="exact") if isinstance(classifier, Encoder) else classifier
    try:
        others = tuple(label_differences(entry, exact))
        if not entry.case:
            return Verdict(f"no published case was run, for the catalog has none. {entry.unproven}", others)
        verdict = run(exact, entry.case)
    except ModelError as error:
        return Verdict("no published case was run: its model cannot be loaded", (str(error),))
    return Verdict(verdict.said, (*others, *verdict.failures))


def label_differences(entry: catalog.Entry, classifier: Classifier) -> Iterator[str]:
    """What the catalog says of labels and the model's config.json does not, in whatever order. Raises ModelError."""
    if not (entry.labels and isinstance(classifier, Encoder)):
        return
    if missing := sorted(set(entry.labels) - set(classifier.labels)):
        yield f"the model has no label {', '.join(missing)}, which the catalog names"
    if unknown := sorted(set(classifier.labels) - set(entry.labels)):
        yield f"the model has the label {', '.join(unknown)}, which the catalog does not name"


def run(classifier: Classifier, cases: Sequence[catalog.Case]) -> Verdict:
    """Score the texts of cases on the CPU and compare. Raises ModelError when the model cannot be loaded."""
    columns = classifier.load("cpu")([case.text for case in cases])
    scores = columns[classifier.score_column].tolist()
    labels = columns[classifier.name].tolist()
    differences = [abs(score - case.score) for case, score in zip(cases, scores, strict=True) if case.score is not None]
    failures = tuple(
        f"{case.text!r} is {label if case.label else round(score, 6)}, published is {_expected(case)} ({case.source})"
        for case, score, label in zip(cases, scores, labels, strict=True)
        if not _holds(case, score, label)
    )
    largest = f", scores within {max(differences):.2g}" if differences else ""
    return Verdict(f"{len(cases) - len(failures)} of {len(cases)} published cases hold{largest}", failures)


def _holds(case: catalog.Case, score: float, label: str | float) -> bool:
    return label == case.label if case.score is None else abs(score - case.score) <= case.tolerance


def _expected(case: catalog.Case) -> str:
    return case.label if case.score is None else f"{case.score} within {case.tolerance}"
