"""Which classifiers share what: found from fingerprints, so that a plan can print it without loading a model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from curation.core.classifier import Classifier, EncoderParts, Precision


@dataclass(frozen=True)
class Pass:
    """One forward pass: the classifiers, by name, that read equal tokens through equal trunks in equal precision.

    `in_chunks`: whole texts are read, in chunks of `max_tokens`; else the first `max_tokens`, special ones included.
    """

    trunk: str
    tokenizer: str
    max_tokens: int
    precision: Precision
    in_chunks: bool
    names: tuple[str, ...]

    def __str__(self) -> str:
        read = f"chunks of {self.max_tokens} tokens" if self.in_chunks else f"{self.max_tokens} tokens"
        return f"trunk {self.trunk[:8]}: {', '.join(self.names)} (one forward pass, {read})"


@dataclass(frozen=True)
class Groups:
    """What is shared. `alone` are the classifiers without parts; `alike` the trunks of one shape and other weights.

    The bool of `alike` says that their weights are equal once they are rounded to bfloat16.
    """

    passes: tuple[Pass, ...]
    alone: tuple[str, ...]
    alike: tuple[tuple[str, str, bool], ...]

    def lines(self) -> list[str]:
        """The groups for people."""
        tokenizers: dict[str, list[str]] = {}
        for each in self.passes:
            tokenizers.setdefault(each.tokenizer, []).extend(each.names)
        return [
            *(f"tokenizer {key[:8]}: {', '.join(names)} (texts tokenised once)" for key, names in tokenizers.items()),
            *map(str, self.passes),
            *(f"on its own: {name}" for name in self.alone),
            *(_why_not_shared(*each) for each in self.alike),
        ]


def groups(classifiers: Sequence[Classifier]) -> Groups:
    """Who shares a tokenisation and who a forward pass. Reads the models' files; loads no model."""
    parts = {classifier.name: part for classifier in classifiers if (part := classifier.parts()) is not None}
    trunks = {part.trunk: part for part in parts.values()}
    return Groups(
        passes=passes(parts),
        alone=tuple(classifier.name for classifier in classifiers if classifier.name not in parts),
        alike=tuple(
            (a, b, trunks[a].rounded() == trunks[b].rounded())
            for a, b in combinations(trunks, 2)
            if trunks[a].trunk_config == trunks[b].trunk_config
        ),
    )


def passes(parts: Mapping[str, EncoderParts]) -> tuple[Pass, ...]:
    """The forward passes that these encoders, by name, need."""
    members: dict[tuple[str, str, int, Precision, bool], list[str]] = {}
    for name, part in parts.items():
        members.setdefault(_key(part), []).append(name)
    return tuple(Pass(*key, tuple(names)) for key, names in members.items())


def _key(part: EncoderParts) -> tuple[str, str, int, Precision, bool]:
    return part.trunk, part.tokenizer, part.max_tokens, part.precision, part.long_documents != "head"


def _why_not_shared(a: str, b: str, equal_when_rounded: bool) -> str:
    if equal_when_rounded:
        return (
            f"not shared: trunks {a[:8]} and {b[:8]} are equal only after rounding to bfloat16. If one is a rounded "
            "copy of the other, name the same trunk for both, and they run once."
        )
    return f"not shared: trunks {a[:8]} and {b[:8]} have one shape and other weights"
