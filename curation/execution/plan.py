"""The plan: everything that can be known, and every mistake that can be seen, without a worker."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console

from curation.calibration.thresholds import Thresholds
from curation.core.errors import ConfigError, CurationError
from curation.data import storage
from curation.data.inputs import Found, find
from curation.data.layout import Layout
from curation.data.preview import preview
from curation.data.shards import Shard
from curation.execution import checks, choices
from curation.execution.choices import Choice
from curation.execution.documents import NAME
from curation.execution.forming import Tiering, frozen_thresholds
from curation.execution.missing import Missing, find_missing
from curation.execution.resume import Division, divide, former_config
from curation.execution.spec import Pinned, RunSpec
from curation.inference.groups import groups

_MOST_LISTED = 8
_KEPT = (
    ("scoring", "token_budget", "scores of both kinds may differ in their last bits"),
    ("scoring", "compute_threads", "scores of both kinds may differ in their last bits"),
    ("input", "shard_bytes", "files that are known keep their shards, others are cut by it"),
)


@dataclass(frozen=True)
class Plan:
    """What a run will do, and why.

    `asked` is the spec as it was given, `spec` with all that is known put into it: precisions and the token budget.
    `precisions` are the choices by classifier, None where one has to be measured before the first shard.
    """

    asked: RunSpec
    spec: RunSpec
    precisions: Mapping[str, Choice | None]
    found: Found
    division: Division
    pinned: tuple[Pinned, ...]
    groups: tuple[str, ...]
    missing: Missing
    tiering: Tiering
    notes: tuple[str, ...]

    @property
    def layout(self) -> Layout:
        """The run directory."""
        return Layout(self.spec.output)

    @property
    def shards(self) -> tuple[Shard, ...]:
        """All shards, those that are done included, in order."""
        return self.division.shards

    @property
    def unmeasured(self) -> tuple[str, ...]:
        """The classifiers whose precision has to be measured."""
        return tuple(name for name, choice in self.precisions.items() if choice is None)

    def say(self, console: Console) -> None:
        """Print it."""
        for line in self.lines():
            console.print(line, highlight=False, markup=False)

    def lines(self) -> Iterator[str]:
        """The plan for people."""
        yield f"input: {len(self.found.files):,} files, {self.found.num_bytes:,} bytes, in {len(self.shards):,} shards"
        yield from listed("ignored", self.found.ignored)
        for each in self.pinned:
            canary = "" if each.classifier.canary() else ", no canary"
            exact = " if exact" if each.name in self.unmeasured else ""
            yield f"classifier {each.name}: {each.classifier.kind}, fingerprint {each.fingerprint[:8]}{exact}{canary}"
        yield from choices.lines(self.precisions)
        yield from self.groups
        if self.precisions:
            budget = self.spec.scoring.token_budget
            yield f"token budget: {budget or 'measured before the first shard'}"
        yield f"cluster: {self.asked.cluster.describe(self.asked.scoring)}"
        yield f"thresholds: {self._thresholds()}"
        num_done = len(self.shards) - len(self.missing.tasks)
        yield f"output: {self.spec.output}, scored already: {num_done:,} of {len(self.shards):,} shards"
        yield from (
            f"to do: {count:,} of {len(self.shards):,} shards: {reason}"
            for reason, count in self.missing.reasons.items()
        )
        yield from listed("unreadable", self.division.unreadable)
        yield from listed("orphan (--prune deletes it)", self.missing.orphans)
        yield from (f"note: {note}" for note in self.notes)

    def _thresholds(self) -> str:
        tiering = self.spec.tiering
        if tiering.frozen:
            return f"frozen, from {tiering.thresholds}"
        return f"exact over all rows, weighted by {tiering.weights}"


def make_plan(spec: RunSpec, known: Sequence[str] = ()) -> Plan:
    """Check everything that needs no worker; reads files and writes none.

    Raises ConfigError with all mistakes: those that are `known` to the caller, and its own.
    """
    output = storage.from_root(spec.output)  # workers may work in other folders
    spec = replace(spec, output=output, cluster=spec.cluster.with_room_for(spec.input.frame))
    scoring, unable = spec.cluster.scoring(spec.scoring)
    asked, mistakes = spec, [*known, *spec.mistakes(), *unable]
    spec = replace(spec, scoring=scoring)
    found = find(spec.input)
    layout = Layout(spec.output)
    try:
        storage.filesystem(output)
        former = former_config(layout)
    except CurationError as error:  # nothing in it can be looked at, and the rest of a plan depends on that
        raise ConfigError(*mistakes, f"output: {error}", *found.mistakes) from error
    frozen = frozen_thresholds(spec.tiering, mistakes)
    precisions = _precisions(spec, frozen, found.num_bytes, mistakes)
    spec = _settled(spec, precisions, former, found.num_bytes)
    mistakes += choices.device_mistakes(former, spec.scoring.device, [each.precision for each in spec.classifier])
    pinned = tuple(_pin(spec, mistakes))
    mistakes += found.mistakes
    division = divide(layout, found.files, spec.input)
    mistakes += division.mistakes
    seen = preview(division.shards, spec.input)
    mistakes += seen.mistakes
    mistakes += checks.columns(spec, pinned)
    scores, carried = tuple(each.scores for each in pinned), tuple(spec.input.carried.items())
    tiering = Tiering(
        layout, NAME, spec.tiering, scores, carried, frozen, spec.input.frame, spec if spec.documents else None
    )
    mistakes += tiering.mistakes()
    mistakes += checks.frame(spec)
    mistakes += checks.tokens(spec)
    mistakes += checks.output(spec, found)
    if mistakes:
        raise ConfigError(*mistakes)
    missing = find_missing(spec, division, pinned)
    return Plan(
        asked=asked,
        spec=spec,
        precisions=precisions,
        found=found,
        division=division,
        pinned=pinned,
        groups=tuple(groups(spec.classifier).lines()),
        missing=missing,
        tiering=tiering,
        notes=(
            *spec.cluster.notes(),
            *seen.notes,
            *_notes(spec, frozen),
            *checks.memory(spec, pinned),
            *_kept_notes(spec, former),
        ),
    )


def _pin(spec: RunSpec, mistakes: list[str]) -> Iterator[Pinned]:
    """The classifiers whose files are there and sound."""
    for classifier in spec.classifier:
        try:
            _ = classifier.columns
            yield Pinned(classifier, classifier.fingerprint())
        except CurationError as error:
            mistakes.append(f"classifier.{classifier.name}: {error}")


def _precisions(
    spec: RunSpec, frozen: Thresholds | None, num_bytes: int, mistakes: list[str]
) -> dict[str, Choice | None]:
    """The choice of every classifier that can compute in several precisions; None where it is to be measured."""
    layout = Layout(spec.output)
    try:
        known = choices.read_choices(layout)
    except CurationError as error:
        mistakes.append(str(error))
        return {}
    found = {}
    for classifier in spec.classifier:
        if classifier.precision:
            with suppress(CurationError):  # a model that is not there is reported where it is pinned
                found[classifier.name] = choices.known_choice(classifier, layout, known, frozen, num_bytes)
    return found


def _settled(
    spec: RunSpec, precisions: Mapping[str, Choice | None], former: Mapping[str, Any], num_bytes: int
) -> RunSpec:
    """The spec with all that is known put into it."""
    classifiers = tuple(
        choices.in_precision(each, choice.precision) if (choice := precisions.get(each.name)) else each
        for each in spec.classifier
    )
    scoring = spec.scoring
    if not scoring.token_budget:
        before = former.get("scoring", {}).get("token_budget", 0) if choices.same_device(former, scoring.device) else 0
        is_measured = precisions and choices.sample_size(num_bytes)
        scoring = replace(scoring, token_budget=before or (0 if is_measured else scoring.budget))
    return replace(spec, classifier=classifiers, scoring=scoring)


def _notes(spec: RunSpec, frozen: Thresholds | None) -> Iterator[str]:
    yield from spec.tiering.notes()
    if frozen is not None:
        yield from frozen.cautions()
    if not {"lang", "language"} & set(spec.input.carried):
        yield (
            "no language column is carried. The published edu and DCLM classifiers read English only: "
            "carry one and select with input.where, if your corpus has others."
        )
    yield f"tokens are {spec.tokens.how}."


def _kept_notes(spec: RunSpec, former: Mapping[str, Any]) -> Iterator[str]:
    """Settings of the run so far that cannot be changed for what it has done."""
    for table, key, effect in _KEPT:
        before, now = former.get(table, {}).get(key), getattr(getattr(spec, table), key)
        if before is not None and before != now:
            yield f"{table}.{key} was {before} so far and is {now} now: {effect}."


def listed(what: str, names: Sequence[str]) -> Iterator[str]:
    """A line for each of the first names, and one that counts the others."""
    yield from (f"{what}: {name}" for name in names[:_MOST_LISTED])
    if len(names) > _MOST_LISTED:
        yield f"{what}: and {len(names) - _MOST_LISTED:,} more"
