"""Replies → labels: what was read, what was not and why, and how far rounds lay apart."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.annotation.plan import Column, Plan
from curation.annotation.replies import Replies, StoredReply
from curation.annotation.rubric import Reading

_NOT_ASKED = "not asked yet: the run was stopped"

Values = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Labels:
    """One column: a label for every document, NaN where there is none, and the failures with their raw replies.

    `num_incomplete` documents lack a round that could be read, `num_apart` have rounds too far apart; the others are
    labelled. Tokens and cost are those of all replies behind the column, whenever they were paid.
    """

    column: Column
    values: Values
    num_incomplete: int
    num_apart: int
    prompt_tokens: int
    completion_tokens: int
    failures: tuple[Mapping[str, Any], ...]

    @property
    def num_labelled(self) -> int:
        """Documents that have a label."""
        return int(np.isfinite(self.values).sum())

    @property
    def cost(self) -> float:
        """Of all its replies."""
        return self.column.annotator.cost(self.prompt_tokens, self.completion_tokens)


def labels(planned: Plan, column: Column, replies: Replies, unanswered: Mapping[str, str]) -> Labels:
    """The labels of a column. `unanswered` gives the reason by key for what this run asked in vain."""
    documents, rounds = planned.sample.documents, planned.spec.rounds
    values = np.full((len(documents), rounds), np.nan)
    paid: dict[str, tuple[int, int]] = {}
    failures: list[Mapping[str, Any]] = []
    for row, document in enumerate(documents):
        keys = [question.key for question in planned.questions(column, document)]
        for number, (key, reply) in enumerate(zip(keys, replies.get(keys), strict=True)):
            value, problem = _read(column, reply, unanswered.get(key, _NOT_ASKED))
            if reply:
                paid[key] = (reply.prompt_tokens, reply.completion_tokens)
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
    prompt_tokens, completion_tokens = (sum(counts) for counts in zip((0, 0), *paid.values(), strict=True))
    return Labels(
        column, means, int(incomplete.sum()), int(apart.sum()), prompt_tokens, completion_tokens, tuple(failures)
    )


def _read(column: Column, reply: StoredReply | None, reason: str) -> Reading:
    if reply is None:
        return Reading(None, reason)
    value, problem = column.rubric.parse(reply.text)
    if value is None and reply.finish == "length":
        problem = f"the reply was cut at max_tokens = {column.annotator.max_tokens}"
    return Reading(value, problem)


def counts(found: Labels) -> Iterator[tuple[str, int]]:
    """How many documents have each label, rounded to the nearest answer of the rubric; halves go to the even one."""
    nearest = np.rint(found.values[np.isfinite(found.values)])
    for value in found.column.rubric.values:
        yield f"{value:g}", int((nearest == value).sum())
