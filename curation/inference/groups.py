"""Which classifiers share what: found from fingerprints, so that a plan can print it without loading a model."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from curation.core.classifier import Classifier, EncoderParts


@dataclass(frozen=True)
class Pass:
    """One forward pass: the classifiers whose trunk, tokenizer and `max_tokens` are equal, by name."""

    trunk: str
    tokenizer: str
    max_tokens: int
    names: tuple[str, ...]


@dataclass(frozen=True)
class Groups:
    """What is shared. `alone` are the classifiers without parts; `alike` the trunks of one shape and other weights."""

    passes: tuple[Pass, ...]
    alone: tuple[str, ...]
    alike: tuple[tuple[str, str], ...]

    def lines(self) -> list[str]:
        """The groups for people."""
        tokenizers: dict[str, list[str]] = {}
        for each in self.passes:
            tokenizers.setdefault(each.tokenizer, []).extend(each.names)
        return [
            *(f"tokenizer {key[:8]}: {', '.join(names)} (texts tokenised once)" for key, names in tokenizers.items()),
            *(
                f"trunk {each.trunk[:8]}: {', '.join(each.names)} (one forward pass, {each.max_tokens} tokens)"
                for each in self.passes
            ),
            *(f"on its own: {name}" for name in self.alone),
            *(f"not shared: trunks {a[:8]} and {b[:8]} have one shape and other weights" for a, b in self.alike),
        ]


def groups(classifiers: Sequence[Classifier]) -> Groups:
    """Who shares a tokenisation and who a forward pass. Reads the models' files; loads no model."""
    parts = {classifier.name: classifier.parts() for classifier in classifiers}
    members: dict[tuple[str, str, int], list[str]] = {}
    configs: dict[str, str] = {}
    for name, part in parts.items():
        if part is not None:
            members.setdefault(_key(part), []).append(name)
            configs[part.trunk] = part.trunk_config
    return Groups(
        passes=tuple(Pass(*key, tuple(names)) for key, names in members.items()),
        alone=tuple(name for name, part in parts.items() if part is None),
        alike=tuple((a, b) for a, b in combinations(configs, 2) if configs[a] == configs[b]),
    )


def _key(part: EncoderParts) -> tuple[str, str, int]:
    return part.trunk, part.tokenizer, part.max_tokens
