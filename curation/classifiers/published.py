"""What was published of a classifier, held against the weights that are here."""

from collections.abc import Sequence
from dataclasses import dataclass

from curation.classifiers import catalog
from curation.core.classifier import Classifier


@dataclass(frozen=True)
class Verdict:
    """What came of the published cases, in a sentence, and one more for each that does not hold."""

    said: str
    failures: tuple[str, ...] = ()


def judge(classifier: Classifier, *, is_here: bool) -> Verdict:
    """Run the published cases of a classifier's model, or say why none is run.

    Raises ModelError when its model cannot be loaded although it `is_here`.
    """
    entry = catalog.entry_of(classifier)
    if entry is None:
        return Verdict("no published case was run: the catalog has no entry for its model, read as here")
    if not entry.case:
        return Verdict(f"no published case was run, for the catalog has none. {entry.unproven}")
    if not is_here:
        return Verdict("no published case was run: its model is not here as it was fetched")
    return run(classifier, entry.case)


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
