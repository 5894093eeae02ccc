"""The published classifiers by name: a TOML file of this folder is an entry, and says where each of its facts is from.

A config names one, ``classifier = ["nemotron-4-edu"]``; what a run resolves holds the entry's settings and no name.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from curation import classifiers, config
from curation.core.classifier import Classifier
from curation.core.errors import ConfigError

_FOLDER = Path(__file__).parent
_KINDS: config.Kinds = {Classifier: classifiers.kind}


@dataclass(frozen=True)
class Threshold:
    """A cut on the score that its makers use, and what it means to them."""

    score: float
    means: str


@dataclass(frozen=True)
class Case:
    """A text with the score, or the label, that was published for it, and where."""

    text: str
    source: str
    score: float | None = None
    tolerance: float = 0.0
    label: str = ""

    def __post_init__(self) -> None:
        if (self.score is None) == (self.label == ""):
            raise ConfigError(f"case: {self.text!r} needs a score or a label, and not both.")


@dataclass(frozen=True)
class Entry:
    """A published classifier: the recipe, what its scores mean, and what may be known of them without its weights.

    `unproven` says what has not been seen to be so. The revision of a recipe is "" where it is not known: it is then
    resolved when the model is fetched, and recorded in its bundle.
    """

    classifier: Classifier
    about: str
    licence: str
    languages: tuple[str, ...]
    scale: str
    normalisation: str
    unproven: str
    labels: tuple[str, ...] = ()
    threshold: tuple[Threshold, ...] = ()
    case: tuple[Case, ...] = ()

    @property
    def name(self) -> str:
        """The name that a config gives."""
        return self.classifier.name


@dataclass(frozen=True)
class _Named:
    classifier: tuple[Classifier, ...]


@lru_cache(maxsize=1)
def names() -> tuple[str, ...]:
    """The names of all entries, in order."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))


def table(name: str) -> dict[str, Any]:
    """The [[classifier]] table that a name stands for. Raises ConfigError that names the nearest."""
    return dict(_tables(name)["classifier"])


def entry(name: str) -> Entry:
    """All that the catalog says under a name. Raises ConfigError that names the nearest."""
    return config.parse(Entry, _tables(name), kinds=_KINDS)


def entry_of(classifier: Classifier) -> Entry | None:
    """The entry of the model that a classifier takes from the hub, where it is read as the entry reads it."""
    same = (each for each in map(entry, names()) if _read(each.classifier) == _read(classifier))
    return next(same, None)


def chosen(named: Sequence[str], overrides: Sequence[str] = ()) -> tuple[Classifier, ...]:
    """The classifiers of these names, after the overrides. Raises ConfigError with every mistake."""
    return config.parse(_Named, {"classifier": list(named)}, overrides, _KINDS, {Classifier: table}).classifier


def _tables(name: str) -> dict[str, Any]:
    if name not in names():
        raise ConfigError(f"the catalog has no {name!r}; {config.nearest(name, names())}")
    tables = config.load(_FOLDER / f"{name}.toml")
    return tables | {"classifier": {"kind": tables["classifier"]["kind"], "name": name} | tables["classifier"]}


def _read(classifier: Classifier) -> tuple[Any, ...]:
    return tuple(getattr(classifier, key, "") for key in ("kind", "model", "label", "long_documents"))
