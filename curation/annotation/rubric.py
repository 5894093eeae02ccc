"""Rubrics: how a model is asked about a document, and how its reply is read."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from curation import config
from curation.core.errors import ConfigError
from curation.core.fingerprint import fingerprint

_FOLDER = Path(__file__).parent / "rubrics"
_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
_OWN = {"document", "mark"}
_PLAIN: dict[int, int | None] = dict.fromkeys(map(ord, "*_`")) | {wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)}
_AROUND = " \t\u00a0\u3000#~=-"
_CONTROL = re.compile(r"(?:\s*(?:<\|\w+\|>|</s>))+\s*$")  # tokens that a server let into the text
_NUMBER = re.compile(r"(?P<points>-?\d+(?:\.\d+)?)(?:\s*/\s*(?P<of>\d+(?:\.\d+)?))?", re.ASCII)


class Reading(NamedTuple):
    """What a reply says: a value, or None and why there is none."""

    value: float | None
    problem: str = ""


@dataclass(frozen=True)
class Rubric:
    """A question about a document, as data.

    `prompt` holds ``{document}`` once, and ``{mark}`` where it names the markers around it. A reply ends with a line
    that begins with one of `line`, a colon, and one of `answers`. These are numbers, each its own value, or else words,
    each of which has its place as its value.
    `version` is raised with every change to what is asked.
    """

    name: str
    version: int
    line: tuple[str, ...]
    answers: tuple[str, ...]
    prompt: str

    def __post_init__(self) -> None:
        found = []
        if (count := self.prompt.count("{document}")) != 1:
            found.append(f"prompt: holds {{document}} {count} times; the document stands in it once.")
        if "{mark}" not in self.prompt:
            found.append("prompt: does not hold {mark}; say between which markers the document stands.")
        if not self.line or not all(self.line):
            found.append("line: is empty; name the words that the last line of a reply begins with.")
        if 0 < sum(map(_is_number, self.answers)) < len(self.answers):
            found.append(f"answers: {list(self.answers)} are neither all numbers nor all words.")
        elif min(len(set(map(str.casefold, self.answers))), len(set(self.values))) < max(2, len(self.answers)):
            found.append(f"answers: {list(self.answers)} are not two or more different ones.")
        found = found or [
            f"{line!r} with the answer {answer!r} could not be read from a reply: markup such as * _ ` #, full-width "
            "letters and a stop at the end are taken for decoration; leave them out."
            for line in self.line
            for answer in self.answers
            if self.parse(f"{line}: {answer}").value is None
        ]
        if found:
            raise ConfigError(*(f"rubric {self.name!r}, {mistake}" for mistake in found))

    @cached_property
    def identity(self) -> list[str | int]:
        """Name, version and the hash of what is asked."""
        return [self.name, self.version, fingerprint(self.prompt)]

    @property
    def values(self) -> tuple[float, ...]:
        """What a reply can say, in the order of `answers`."""
        return tuple(float(answer if _is_number(answer) else place) for place, answer in enumerate(self.answers))

    def nearest(self, labels: NDArray[np.floating]) -> NDArray[np.intp]:
        """The place among `answers` that each label is nearest to; between two of them, that of the first."""
        places: NDArray[np.intp] = np.abs(np.subtract.outer(labels, np.asarray(self.values))).argmin(axis=1)
        return places

    def ask(self, text: str) -> str:
        """The prompt about a text, which stands between markers that it does not contain."""
        mark = _mark(text)
        document = f"<{mark}>\n{text}\n</{mark}>"
        before, after = (part.replace("{mark}", mark) for part in self.prompt.split("{document}"))
        return f"{before}{document}{after}".strip()

    def parse(self, reply: str) -> Reading:
        """What the last line of a reply says, bold or not, in any case: "3", "3.0" and "3/5" are one answer.

        Nothing else is read: not a line that others follow, not a quotation after ">", not a value outside the scale.
        What a reply quotes from the document in a sentence, or before its end, so cannot become its answer.
        """
        whole = _CONTROL.sub("", reply)
        lines = [plain for line in whole.splitlines() if (plain := line.translate(_PLAIN).strip(_AROUND))]
        if not lines:
            return Reading(None, "the reply is empty")
        if match := self._last_line.fullmatch(lines[-1]):
            return self._value(match["answer"])
        if any(map(self._last_line.fullmatch, lines)):
            return Reading(None, f"text follows the line {self.line[0]!r}")
        return Reading(None, f"the reply does not end with a line {self.line[0]!r}")

    @cached_property
    def _last_line(self) -> re.Pattern[str]:
        names = "|".join(r"\s+".join(map(re.escape, name.split())) for name in self.line)
        return re.compile(rf"(?:{names})\s*:\s*(?P<answer>.*?)[.\u3002]?", re.IGNORECASE)

    def _value(self, answer: str) -> Reading:
        values = dict(zip(map(str.casefold, self.answers), self.values, strict=True))
        if answer.casefold() in values:
            return Reading(values[answer.casefold()])
        numbers = all(map(_is_number, self.answers))
        number, best = _NUMBER.fullmatch(answer) if numbers else None, max(self.values)
        if number and (value := float(number["points"])) in self.values and float(number["of"] or best) == best:
            return Reading(value)
        scale = f"{self.answers[0]} to {self.answers[-1]}" if numbers else " or ".join(self.answers)
        return Reading(None, f"{answer[:40]!r} is not one of {scale}")


@dataclass(frozen=True)
class RubricSpec:
    """A `[[rubric]]` table: a packaged rubric by `name`, or the path of a TOML file like those.

    `fill` gives the words that its prompt leaves open, such as ``{ domain = "renewable energy" }``. `label` names the
    column of its labels; the rubric's own name by default.
    """

    name: str
    fill: tuple[tuple[str, str], ...] = ()
    label: str = ""

    def load(self) -> Rubric:
        """The rubric, with nothing left open. Raises ConfigError."""
        path = Path(self.name) if self.name.endswith(".toml") else _FOLDER / f"{self.name}.toml"
        if path.parent == _FOLDER and not path.is_file():
            raise ConfigError(
                f"rubric: there is none of the name {self.name!r}; there are {', '.join(packaged())}. "
                "One of your own is named by the path of its .toml file."
            )
        return filled(config.parse(Rubric, config.load(path)), self.fill)


def packaged() -> list[str]:
    """The names of the rubrics that come with the package."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def filled(rubric: Rubric, fill: Sequence[tuple[str, str]]) -> Rubric:
    """A rubric with the words that its prompt leaves open. Raises ConfigError unless they are exactly those."""
    needed, given = set(_PLACEHOLDER.findall(rubric.prompt)) - _OWN, dict(fill)
    mistakes = [
        f'rubric {rubric.name!r}, fill: {name} is missing; write fill = {{ {name} = "…" }}.'
        for name in sorted(needed - set(given))
    ]
    mistakes += [
        f"rubric {rubric.name!r}, fill: its prompt has no {{{name}}} to fill." for name in sorted(set(given) - needed)
    ]
    if mistakes:
        raise ConfigError(*mistakes)
    known = {f"{{{name}}}": value for name, value in given.items()}
    prompt = _PLACEHOLDER.sub(lambda match: known.get(match[0], match[0]), rubric.prompt)
    return replace(rubric, prompt=prompt)


def _is_number(answer: str) -> bool:
    match = _NUMBER.fullmatch(answer)
    return match is not None and match["of"] is None


def _mark(text: str) -> str:
    """A word that a text does not contain, and that whoever wrote the text could not foresee in it."""
    count = 0
    while (mark := f"document-{hashlib.sha256(f'{count} {text}'.encode()).hexdigest()[:16]}") in text:
        count += 1
    return mark
