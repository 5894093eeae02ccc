"""What an annotation run will do, and what it will cost, before anything is asked."""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from curation.annotation import endpoint, sample
from curation.annotation.endpoint import AnnotatorSpec
from curation.annotation.replies import Question, Replies
from curation.annotation.rubric import Rubric, RubricSpec
from curation.annotation.sample import Document, Sample, SampleSpec
from curation.core.errors import ConfigError
from curation.core.words import can_name_folder
from curation.data import storage
from curation.data.inputs import InputSpec, find
from curation.data.preview import preview
from curation.data.reader import where_mistakes
from curation.data.shards import split_all

BYTES_A_TOKEN = 4
"""A guess for plans, until there are replies to measure by."""

_TAKEN = ("id", "url", "text", "lang")


@dataclass(frozen=True)
class AnnotationSpec:
    """A config of `pipelines/annotate.py`: which documents are judged, by which rubrics, by whom, and how often.

    `output` is a directory on this machine; `plan` makes it, and `replies`, a path from the root. With several `rounds`
    a document keeps its label, their mean, when all were read and max - min is below `spread_below`. `max_chars`: what
    a model is shown of a text. `replies`: the file of all replies, which several configs may share, one after the
    other; by default one in `output`. When an endpoint leaves `max_failures` requests in a row without a reply the run
    stops.
    """

    output: str
    input: InputSpec
    rubric: tuple[RubricSpec, ...]
    annotator: tuple[AnnotatorSpec, ...]
    sample: SampleSpec = SampleSpec()
    rounds: int = 1
    spread_below: float = 2.0
    max_chars: int = 8_000
    replies: str = ""
    max_failures: int = 100

    def mistakes(self) -> list[str]:
        """Everything that is wrong with the settings themselves, without looking at the input."""
        found = []
        for setting, value in (("output", self.output), ("replies", self.replies_path)):
            if not value:
                found.append(f"{setting}: is empty; name a path on this machine.")
            elif not storage.is_local(value):
                found.append(f"{setting}: {value!r} is not on this machine; replies are appended to a local file.")
        found += [f"{name}: at least one [[{name}]] table is needed." for name in self._empty()]
        for setting, least in (("rounds", 1), ("max_chars", 1), ("max_failures", 1)):
            if getattr(self, setting) < least:
                found.append(f"{setting}: {getattr(self, setting)} is below {least}.")
        if not 0 < self.spread_below < math.inf:
            found.append(f"spread_below: {self.spread_below:g} is not a number above 0.")
        for annotator in self.annotator:
            found += annotator.mistakes()
        found += [
            f"annotator: {one.name!r} and {other.name!r} have one model and equal parameters: every question would be "
            "asked once, and the two agree perfectly. Give one another model, or another seed."
            for one, other in itertools.combinations(self.annotator, 2)
            if (one.model, one.parameters(0)) == (other.model, other.parameters(0))
        ]
        labels = self.labels()
        found += [
            f"rubric: two columns of labels would be named {label!r}; give each rubric a label, each "
            "annotator a name of its own."
            for label in sorted({label for label in labels if labels.count(label) > 1})
        ]
        found += [
            f"rubric: a column of labels cannot be named {label!r}; letters, digits, dots, hyphens and underscores "
            f"only, and none of {', '.join(_TAKEN)}."
            for label in labels
            if not can_name_folder(label) or label in _TAKEN
        ]
        return found + self.input.mistakes() + where_mistakes(self.input) + self.sample.mistakes(self.input.carried)

    @property
    def replies_path(self) -> str:
        """Where the replies are."""
        return self.replies or (storage.join(self.output, "replies.jsonl") if self.output else "")

    def labels(self) -> list[str]:
        """The names of the label columns, by rubric, then by annotator."""
        columns = [rubric.label or Path(rubric.name).stem for rubric in self.rubric]
        return [self._label(column, annotator.name) for column in columns for annotator in self.annotator]

    def _label(self, column: str, annotator: str) -> str:
        """One annotator: the rubric's column. One rubric: the annotators' names. Several of both: both names."""
        if len(self.annotator) == 1:
            return column
        return annotator if len(self.rubric) == 1 else f"{column}-{annotator}"

    def _empty(self) -> list[str]:
        return [name for name in ("rubric", "annotator") if not getattr(self, name)]


@dataclass(frozen=True)
class Column:
    """One column of labels: who judges by which rubric."""

    label: str
    rubric: Rubric
    annotator: AnnotatorSpec


@dataclass(frozen=True)
class Due:
    """A question about a document that no reply is known to."""

    question: Question
    document: str


@dataclass(frozen=True)
class Plan:
    """The documents, the questions, and what is known of the replies; printed, it says what will be done."""

    spec: AnnotationSpec
    columns: tuple[Column, ...]
    sample: Sample
    sample_identity: str
    notes: tuple[str, ...]

    def questions(self, column: Column, document: Document) -> list[Question]:
        """The questions of all rounds."""
        text = document.text[: self.spec.max_chars]
        return [Question(column.annotator, column.rubric, text, number) for number in range(self.spec.rounds)]

    def asked(self, annotator: AnnotatorSpec) -> Iterator[Due]:
        """All questions to an annotator, paid or not; one that several columns or documents share comes once."""
        keys: set[str] = set()
        columns = [column for column in self.columns if column.annotator == annotator]
        for column, document in itertools.product(columns, self.sample.documents):
            for question in self.questions(column, document):
                if question.key not in keys:
                    keys.add(question.key)
                    yield Due(question, document.id)

    def due(self, replies: Replies) -> list[tuple[AnnotatorSpec, Iterator[Due]]]:
        """The questions without a reply, for each annotator."""
        return [(each, _without_reply(self.asked(each), replies)) for each in self.spec.annotator]

    @cached_property
    def num_cut(self) -> int:
        """Documents of which a model is shown the beginning alone."""
        return sum(len(document.text) > self.spec.max_chars for document in self.sample.documents)

    def __str__(self) -> str:
        spec, documents = self.spec, self.sample.documents
        drawn = ", ".join(f"{name} {count:,}" for name, count in self.sample.available.items())
        rubrics = ", ".join(f"{each.name} (version {each.version})" for each in self._rubrics())
        cut = f"; {self.num_cut:,} are longer, and cut" if self.num_cut else ""
        replies = Replies(Path(spec.replies_path))
        needed = [_needed(annotator, self.asked(annotator), replies) for annotator in spec.annotator]
        num_asked, num_due = sum(each.num_asked for each in needed), sum(each.num_due for each in needed)
        counted = ((spec.annotator, "annotator"), (spec.rubric, "rubric"), (range(spec.rounds), "round"))
        asked = ", ".join(_many(things, name) for things, name in counted)
        lines = [
            f"{len(documents):,} documents, drawn from: {drawn}.",
            f"{asked}: {num_asked:,} replies; {num_asked - num_due:,} are paid, {num_due:,} are due.",
            f"Rubrics: {rubrics}. At most {spec.max_chars:,} characters of a text are shown{cut}.",
            *(str(each) for each in needed if each.num_due),
            f"Replies are kept in {spec.replies_path}, labels go to {spec.output}.",
            *(f"Note: {note}" for note in (*self.notes, *self.sample.notes, *self._damaged(replies))),
        ]
        return "\n".join(lines)

    def _rubrics(self) -> list[Rubric]:
        return list(dict.fromkeys(column.rubric for column in self.columns))

    @staticmethod
    def _damaged(replies: Replies) -> list[str]:
        return [f"{replies.num_damaged:,} damaged lines of replies count as absent."] if replies.num_damaged else []


@dataclass(frozen=True)
class _Needed:
    """What it takes to ask an annotator: questions, those without a reply, and the bytes of their prompts."""

    annotator: AnnotatorSpec
    num_asked: int
    num_due: int
    num_bytes: int

    def __str__(self) -> str:
        annotator, prompt = self.annotator, self.num_bytes // BYTES_A_TOKEN
        completion = self.num_due * annotator.longest_reply
        cost = f", cost about {annotator.cost(prompt, completion):,.2f}" if annotator.cost(1, 1) else ""
        return (
            f"{annotator.name}: {self.num_due:,} requests to {annotator.model} at {annotator.base_url}, "
            f"{annotator.concurrency} at a time; about {prompt:,} tokens in (at {BYTES_A_TOKEN} bytes each), at most "
            f"{completion:,} out{cost}."
        )


def _needed(annotator: AnnotatorSpec, asked: Iterable[Due], replies: Replies) -> _Needed:
    num_asked = num_due = num_bytes = 0
    for each in asked:
        num_asked += 1
        if each.question.key not in replies:
            num_due += 1
            num_bytes += len(each.question.rubric.ask(each.question.text).encode())
    return _Needed(annotator, num_asked, num_due, num_bytes)


def _without_reply(asked: Iterable[Due], replies: Replies) -> Iterator[Due]:
    return (each for each in asked if each.question.key not in replies)


def plan(spec: AnnotationSpec) -> Plan:
    """What `annotate` needs. Draws the sample, or finds the one that is kept. Raises ConfigError with every mistake."""
    mistakes = spec.mistakes()
    try:
        endpoint.check_installed()
    except ConfigError as error:
        mistakes += error.mistakes
    rubrics = []
    for each in spec.rubric:
        try:
            rubrics.append(each.load())
        except ConfigError as error:
            mistakes += error.mistakes
    mistakes += [
        f"spread_below: {spec.spread_below:g} is more than the answers of the rubric {rubric.name!r} can lie apart "
        f"({span:g}), so that no document would ever fall out. Write {span:g} or less."
        for rubric in rubrics
        if spec.rounds > 1 and spec.spread_below > (span := max(rubric.values) - min(rubric.values))
    ]
    if spec.input.mistakes():
        raise ConfigError(*mistakes)
    found = find(spec.input)
    split = split_all(found.files, spec.input)
    looked = preview(split.shards, spec.input)
    if mistakes := [*mistakes, *found.mistakes, *split.mistakes, *split.unreadable, *looked.mistakes]:
        raise ConfigError(*mistakes)
    spec = replace(spec, output=storage.from_root(spec.output), replies=storage.from_root(spec.replies_path))
    pairs = [(rubric, annotator) for rubric in rubrics for annotator in spec.annotator]
    columns = tuple(Column(label, *pair) for label, pair in zip(spec.labels(), pairs, strict=True))
    identity = sample.identity(spec.sample, spec.input, found)
    documents = sample.kept(sample_url(spec), identity) or sample.draw(spec.sample, spec.input, split.shards)
    return Plan(spec, columns, documents, identity, (*looked.notes, *_notes(spec)))


def _many(things: Sequence[object], name: str) -> str:
    return f"{len(things)} {name}" if len(things) == 1 else f"{len(things)} {name}s"


def sample_url(spec: AnnotationSpec) -> str:
    """Where the sample is kept."""
    return storage.join(spec.output, "sample.parquet")


def _notes(spec: AnnotationSpec) -> Iterator[str]:
    """What is no mistake, but may be none of the user's intentions."""
    if not spec.sample.url_column:
        yield "no url is carried, so that training will not keep pages of one host together."
    if spec.rounds == 1 and spec.spread_below != AnnotationSpec.spread_below:
        yield f"spread_below is {spec.spread_below:g}, which has no effect on a single round."
    for annotator in spec.annotator:
        if spec.rounds > 1 and annotator.temperature == 0:
            yield f"annotator.{annotator.name}.temperature is 0, where several rounds hardly differ."
