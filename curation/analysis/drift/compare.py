"""Two tierings, or two sets of thresholds, held against each other: figures and a page. Reads no text and no scores."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from curation.analysis.drift.page import html
from curation.calibration.description import Description
from curation.calibration.drift import Side, drift
from curation.calibration.flagging import Limits
from curation.calibration.thresholds import Thresholds
from curation.core.errors import ConfigError
from curation.core.words import counted
from curation.data import storage
from curation.data.layout import Layout
from curation.execution.documents import NAME

FIGURES, PAGE = "drift.json", "drift.html"
WITHIN, PAST, BROKEN = 0, 1, 3
"""Exit codes: nothing is past a limit; something is; it broke off. As diff's: 2 is a mistake."""


@dataclass(frozen=True)
class DriftSpec:
    """What is compared, into the folder `output`.

    `before` and `after` are each the directory of a run, whose own tiering is meant; the folder of any tiering,
    `runs/mine/tierings/strict`; or a thresholds file, of which cuts alone are compared.
    """

    before: str
    after: str
    output: str
    limits: Limits = Limits()


@dataclass(frozen=True)
class DriftPlan:
    """Both sides, read."""

    spec: DriftSpec
    before: Side
    after: Side

    def lines(self) -> Iterator[str]:
        """The plan for people."""
        for word, side in (("before", self.before), ("after", self.after)):
            names = ", ".join(each.name for each in side.classifiers)
            what = "thresholds alone"
            if side.description:
                what = counted(int(side.description.tiers[0].sum()), "document")
            yield f"{word}: {side.name}, {what}, of {names}"
        yield f"output: {self.spec.output}"


def plan(spec: DriftSpec) -> DriftPlan:
    """Read both sides. Raises ConfigError with all mistakes."""
    mistakes = spec.limits.mistakes()
    sides = []
    for key, path in (("before", spec.before), ("after", spec.after)):
        try:
            sides.append(_side(key, path))
        except ConfigError as error:
            mistakes += error.mistakes
    if mistakes:
        raise ConfigError(*mistakes)
    return DriftPlan(spec, *sides)


def compare(planned: DriftPlan) -> dict[str, Any]:
    """Compare both sides and write figures and page; gives the figures. Raises ConfigError as `drift`."""
    found = drift(planned.before, planned.after, planned.spec.limits)
    folder = storage.from_root(planned.spec.output)
    text = json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    storage.write_bytes(storage.join(folder, FIGURES), text.encode())
    storage.write_bytes(storage.join(folder, PAGE), html(found).encode())
    return found


def told(found: dict[str, Any]) -> Iterator[str]:
    """What has been found, for people."""
    yield from (f"note: {note}" for note in found["notes"])
    for each in found["findings"]:
        word = "past its limit" if each["level"] == "past" else "worth a look"
        yield f"{word}: {each['says']} (limits.{each['figure']} = {each['limit']:g})"
    if not found["findings"]:
        yield "Nothing is past a limit."


def exit_code(found: dict[str, Any]) -> int:
    """What a command ends with."""
    return PAST if any(each["level"] == "past" for each in found["findings"]) else WITHIN


def _side(key: str, path: str) -> Side:
    """A run, a tiering or thresholds, as a path says. Raises ConfigError when there is none of them."""
    root = storage.from_root(path)
    if path.endswith(".json"):
        if not storage.exists(root):
            raise ConfigError(f"{key}: there is no thresholds file {path}.")
        return Side(path, Thresholds.from_json(storage.read_bytes(root), path))
    tiering = Layout(root).tiering(NAME) if storage.exists(Layout(root).shards) else root
    thresholds, description = (storage.join(tiering, f"{name}.json") for name in ("thresholds", "description"))
    if not storage.exists(thresholds):
        raise ConfigError(
            f"{key}: {path!r} is no run that has been tiered, no folder of a tiering and no thresholds file; name one "
            "of them, such as runs/mine, runs/mine/tierings/default or thresholds.json."
        )
    if not storage.exists(description):
        raise ConfigError(
            f"{key}: the tiering in {tiering} has no description: it is not complete, or an earlier version formed it. "
            f"Run the command that formed it again, which adds one, or name {thresholds} to compare cuts alone."
        )
    return Side(
        path,
        Thresholds.from_json(storage.read_bytes(thresholds), thresholds),
        Description.from_json(storage.read_bytes(description), description),
    )
