"""In which precision each classifier of a run scores: asked for, found before, or to be measured.

The choice is made once, before the first shard, and kept in precision.json with the certificate that it rests on: what
is scored later joins what is there.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, cast

from curation.calibration.certificate import Certificate
from curation.calibration.thresholds import Thresholds
from curation.core.classifier import Classifier
from curation.core.errors import ConfigError
from curation.core.fingerprint import canonical_json
from curation.data import storage
from curation.data.layout import Layout, classifier_folder

FORMAT = 1

AUTO, EXACT, FAST, BFLOAT16 = "auto", "exact", "fast", "bfloat16"

_BYTES_PER_SAMPLED = 50_000
FEWEST, MOST = 200, 1000
"""How many documents are measured."""


@dataclass(frozen=True)
class Choice:
    """The precision of one classifier, why it is that, and what was measured of the cheaper one, if anything was."""

    precision: str
    why: str
    certificate: Certificate | None = None

    def __str__(self) -> str:
        measured = f"; {self.certificate}" if self.certificate else ""
        return f"{self.precision} ({self.why}{measured})"


Choices = Mapping[str, Choice]
"""Choices by the fingerprint of the classifier as it was asked for; where it was left open, that of exact precision."""


def read_choices(layout: Layout) -> Choices:
    """What was chosen in this run directory. Raises ConfigError when the file is of a newer format or damaged."""
    url = layout.precision_json
    if not storage.exists(url):
        return {}
    try:
        content = json.loads(storage.read_bytes(url))
        if content["format"] != FORMAT:
            raise ConfigError(f"{url}: has format {content['format']}; a newer version of this package wrote it.")
        return {key: _choice(value) for key, value in content["classifiers"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{url}: is damaged ({error!r}). Restore it, or remove it: precisions are then measured again."
        ) from None


def write_choices(layout: Layout, choices: Choices) -> None:
    """Keep them."""
    content = {"format": FORMAT, "classifiers": {key: asdict(choice) for key, choice in choices.items()}}
    storage.write_bytes(layout.precision_json, canonical_json(content))


def in_precision(classifier: Classifier, precision: str) -> Classifier:
    """The same classifier in another precision."""
    return cast("Classifier", replace(cast("Any", classifier), precision=precision))


def known_choice(
    classifier: Classifier, layout: Layout, choices: Choices, thresholds: Thresholds | None, num_bytes: int
) -> Choice | None:
    """The choice for one classifier as far as it can be made without measuring; None when it has to be measured.

    What was scored before in one precision goes on in it. `thresholds` are frozen ones, which belong to the precision
    that they were found in; `num_bytes` is the whole input.
    """
    if classifier.precision == EXACT:
        return Choice(EXACT, "asked for")
    if classifier.precision != AUTO:
        certificate = _certificate(classifier, choices)
        return Choice(classifier.precision, "asked for", certificate) if certificate else None
    if (chosen := choices.get(classifier.fingerprint())) is not None:
        return chosen
    if len(before := _scored_before(classifier, layout)) == 1:
        return Choice(before[0], "scored so before")
    if found_in := _precision_of(classifier, thresholds):
        return Choice(found_in, "the frozen thresholds were found in it")
    if not sample_size(num_bytes):
        return Choice(EXACT, "the input is too small to be worth measuring")
    return None


def sample_size(num_bytes: int) -> int:
    """How many documents are measured; 0 when that would be a large part of the whole run."""
    wanted = min(MOST, num_bytes // _BYTES_PER_SAMPLED)
    return wanted if wanted >= FEWEST else 0


def same_device(former: Mapping[str, Any], device: str) -> bool:
    """Whether the run directory's config names the same sort of device, or none."""
    before = former.get("scoring", {}).get("device", device)
    return str(before).partition(":")[0] == device.partition(":")[0]


def device_mistakes(former: Mapping[str, Any], device: str, precisions: Collection[str]) -> list[str]:
    """Why scores of another sort of device cannot be added to: 16 bits are bfloat16 on CPUs and float16 on GPUs."""
    if same_device(former, device) or FAST not in precisions:
        return []
    before = former["scoring"]["device"]
    problem = (
        f"scoring.device: this run directory holds fast scores of {before!r}, and those of {device!r} are other numbers"
    )
    return [f"{problem} (bfloat16 on CPUs, float16 on GPUs). Name another output, or score exactly."]


def lines(classifiers: Mapping[str, Choice | None]) -> Iterator[str]:
    """The choices for people."""
    for name, choice in classifiers.items():
        yield f"precision of {name}: {choice or 'not measured yet; measured before the first shard'}"


def _certificate(classifier: Classifier, choices: Choices) -> Certificate | None:
    """What was measured of the precision that is asked for, then or when it was left open."""
    for key in (classifier.fingerprint(), in_precision(classifier, EXACT).fingerprint()):
        chosen = choices.get(key)
        if chosen is not None and chosen.precision == classifier.precision:
            return chosen.certificate
    return None


def _scored_before(classifier: Classifier, layout: Layout) -> list[str]:
    """The precisions in which this classifier has scored something here."""
    folders = {each: in_precision(classifier, each).fingerprint() for each in (EXACT, FAST, BFLOAT16)}
    scores = storage.join(layout.root, "scores")
    return [
        precision
        for precision, found in folders.items()
        if storage.exists(storage.join(scores, classifier_folder(classifier.name, found)))
    ]


def _precision_of(classifier: Classifier, thresholds: Thresholds | None) -> str:
    """The precision that frozen thresholds were found in; "" when they do not say it of this classifier."""
    named = {each.fingerprint for each in thresholds.classifiers} if thresholds else set()
    found = (each for each in (EXACT, FAST) if in_precision(classifier, each).fingerprint() in named)
    return next(found, "")


def _choice(value: Mapping[str, Any]) -> Choice:
    measured = value["certificate"]
    return Choice(value["precision"], value["why"], Certificate(**measured) if measured else None)
