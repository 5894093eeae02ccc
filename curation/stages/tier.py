"""Quality buckets → named tiers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from curation.core import frames
from curation.core.errors import ColumnError, ConfigError
from curation.core.stage import Stage
from curation.core.words import can_name_folder

if TYPE_CHECKING:
    from curation.core.frames import Frame, Schema

Tiers = tuple[tuple[str, tuple[int, int]], ...]
"""(name, (lowest bucket, highest bucket)), best tier first."""

NEMOTRON_CC: Tiers = (
    ("high", (19, 19)),
    ("medium-high", (18, 18)),
    ("medium", (12, 17)),
    ("medium-low", (7, 11)),
    ("low", (0, 6)),
)
"""The tiers of Nemotron-CC (arXiv 2412.02595, Table 2)."""

UNSCORED = "unscored"
"""The tier of quality -1."""
REJECTED = "rejected"
"""The tier of documents that a rule does not keep."""

_TAKEN = {UNSCORED: "without a score", REJECTED: "that a rule does not keep"}
_NUM_BUCKETS = 20


@dataclass(frozen=True)
class Tier(Stage):
    """Adds `tier`, the name of the range that the quality lies in; quality -1 is "unscored".

    With `has_rule`, a document that is scored and not `kept` is "rejected".

    Raises ConfigError when the ranges do not cover 0 to 19 exactly once.
    """

    tiers: Tiers = NEMOTRON_CC
    has_rule: bool = False

    def __post_init__(self) -> None:
        if mistakes := tier_mistakes(self.tiers):
            raise ConfigError(*(f"Tier: {mistake}" for mistake in mistakes))

    @property
    def reads(self) -> tuple[str, ...]:
        """The quality bucket, and whether it is kept."""
        return ("quality", "kept") if self.has_rule else ("quality",)

    @property
    def adds(self) -> "Schema":
        """The tier's name."""
        return {"tier": "str"}

    def compute(self, frame: "Frame") -> Mapping[str, NDArray[Any]]:
        """The tier of every row. Raises ColumnError when a quality is not a whole number from -1 to 19."""
        quality = frames.array(frame, "quality")
        if quality.dtype.kind not in "iu" or ((quality < -1) | (quality >= _NUM_BUCKETS)).any():
            raise ColumnError(
                f"Tier reads 'quality' as {quality.dtype}; it must hold whole numbers from -1 to 19 only."
            )
        name_of = {bucket: name for name, (low, high) in self.tiers for bucket in range(low, high + 1)} | {-1: UNSCORED}
        names = np.array([name_of[bucket] for bucket in range(-1, _NUM_BUCKETS)], dtype=object)
        tiers = names[quality.astype(np.intp) + 1]
        if self.has_rule:
            tiers[(quality >= 0) & ~frames.array(frame, "kept").astype(bool)] = REJECTED
        return {"tier": tiers}


def tier_mistakes(tiers: Tiers) -> list[str]:
    """Why the ranges do not cover the buckets 0 to 19 exactly once under distinct usable names; empty if they do."""
    mistakes = []
    names = [name for name, _ in tiers]
    for name in dict.fromkeys(names):
        if names.count(name) > 1:
            mistakes.append(f"the tier {name!r} is there {names.count(name)} times; a tier is one range.")
        if name in _TAKEN:
            mistakes.append(f"{name!r} is the tier of documents {_TAKEN[name]}; choose another name.")
        elif not can_name_folder(name):
            mistakes.append(f"the tier {name!r} must name a folder: letters, digits, dots, hyphens and underscores.")
    for name, (low, high) in tiers:
        if not 0 <= low <= high < _NUM_BUCKETS:
            mistakes.append(f"the tier {name!r} is {low} to {high}; write the lowest and highest bucket, from 0 to 19.")
    owners = {bucket: [name for name, (low, high) in tiers if low <= bucket <= high] for bucket in range(_NUM_BUCKETS)}
    if gaps := [bucket for bucket, names in owners.items() if not names]:
        mistakes.append(f"no tier holds {_ranges(gaps)}; every bucket from 0 to 19 needs one.")
    for pair in dict.fromkeys(tuple(names) for names in owners.values() if len(names) > 1):
        shared = [bucket for bucket, names in owners.items() if tuple(names) == pair]
        mistakes.append(
            f"the tiers {' and '.join(map(repr, pair))} both hold {_ranges(shared)}; a bucket has one tier."
        )
    return mistakes


def _ranges(buckets: list[int]) -> str:
    """[3, 4, 5, 9] → "buckets 3 to 5, 9"."""
    starts = [bucket for bucket in buckets if bucket - 1 not in buckets]
    ends = [bucket for bucket in buckets if bucket + 1 not in buckets]
    spans = [str(start) if start == end else f"{start} to {end}" for start, end in zip(starts, ends, strict=True)]
    return f"bucket{'s' if len(buckets) > 1 else ''} {', '.join(spans)}"
