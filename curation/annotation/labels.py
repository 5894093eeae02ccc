"""Replies → labels: what was read, what was not and why, and how far rounds lay apart."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.annotation.plan import Column, Plan
from curation.annotation.replies import Question, Replies, StoredReply
from curation.annotation.rubric import Reading

_NOT_ASKED = "not asked yet: the run was stopped"

Values = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Labels:
    """One column: a label for every document, NaN where there is none, and the failures with their raw replies.

    `num_incomplete` documents lack a round that could be read, `num_apart` have rounds too far apart; the others are
    labelled. Tokens and cost are those of all replies behind the column, whenever they were paid; for `num_uncounted`
    of them the endpoint did not say them.
    """

    column: Column
    values: Values
    num_incomplete: int
    num_apart: int
    prompt_tokens: int
    completion_tokens: int
    num_uncounted: int
    failures: tuple[Mapping[str, Any], ...]

    @property
    def num_labelled(self) -> int:
        """Documents that have a label."""
        return int(np.isfinite(self.values).sum())

    @property
    def num_unanswered(self) -> int:
        """Questions about documents that have no reply."""
        return sum(failure["reply"] is None for failure in self.failures)

    @property
    def num_unreadable(self) -> int:
        """Questions about documents whose reply could not be read."""
        return len(self.failures) - self.num_unanswered

    @property
    def cost(self) -> float:
        """Of all its replies."""
        return self.column.annotator.cost(self.prompt_tokens, self.completion_tokens)


def labels(planned: Plan, column: Column, replies: Replies, unanswered: Mapping[str, str]) -> Labels:
    """The labels of a column. `unanswered` gives the reason by key for what this run asked in vain."""
    documents, rounds = planned.sample.documents, planned.spec.rounds
    values = np.full((len(documents), rounds), np.nan)
    paid: dict[str, tuple[int | None, int | None]] = {}
    failures: list[Mapping[str, Any]] = []
    for row, document in enumerate(documents):
        questions = planned.questions(column, document)
        known = replies.get([question.key for question in questions])
        for number, (question, reply) in enumerate(zip(questions, known, strict=True)):
            value, problem = _read(question, reply, unanswered)
            if reply:
                paid[question.key] = (reply.prompt_tokens, reply.completion_tokens)
            if value is None:
                failures.append(
                    {
                        "id": document.id,
                        "label": column.label,
                        "round": number,
                        "reason": problem,
                        "reply": reply.text if reply else None,
                    }
                )
            else:
                values[row, number] = value
    incomplete = np.isnan(values).any(axis=1)
    apart = np.ptp(values, axis=1) >= planned.spec.spread_below
    means = np.where(incomplete | apart, np.nan, values.mean(axis=1)).astype(np.float32)
    return Labels(
        column,
        means,
        int(incomplete.sum()),
        int(apart.sum()),
        sum(tokens or 0 for tokens, _ in paid.values()),
        sum(tokens or 0 for _, tokens in paid.values()),
        sum(None in each for each in paid.values()),
        tuple(failures),
    )


def _read(question: Question, reply: StoredReply | None, unanswered: Mapping[str, str]) -> Reading:
    if reply is None:
        return Reading(None, unanswered.get(question.key, _NOT_ASKED))
    return question.read(reply.text, reply.finish)


def counts(found: Labels) -> Iterator[tuple[str, int]]:
    """How many documents have each label, taken to the nearest answer of the rubric (`Rubric.nearest`)."""
    rubric = found.column.rubric
    nearest = rubric.nearest(found.values[np.isfinite(found.values)])
    for place, value in enumerate(rubric.values):
        yield f"{value:g}", int((nearest == place).sum())
