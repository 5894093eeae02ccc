"""Everything that a report says, but for single documents: a few files of a run directory, as they lie there."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from curation.core.errors import ConfigError
from curation.core.words import can_name_folder
from curation.data import storage
from curation.data.explaining import redacted
from curation.data.layout import Layout
from curation.execution.summary import RECONCILED
from curation.pages import drawing
from curation.stages.tier import REJECTED, UNSCORED

_FORMAT = 1
_UNEXPECTED = re.compile(r"[A-Za-z_]\w*(?=: )")
"""How a message begins that is not this package's own: with the type of the error."""
_WITHOUT_RANGE = {UNSCORED: "none", REJECTED: "by the rule"}

Tier = Mapping[str, Any]


def buckets(tier: Tier) -> str:
    """The quality of a tier's documents: "12 to 17"; of tiers that are no range, why."""
    low, high = tier["lowest"], tier["highest"]
    if tier["name"] in _WITHOUT_RANGE:
        return _WITHOUT_RANGE[tier["name"]]
    return f"{low}" if low == high else f"{low} to {high}"


@dataclass(frozen=True)
class Facts:
    """One tiering of a run directory. What a run that has not ended, or not tiered, has not written yet is empty.

    `ended` is report.json, `described` description.json, `config` config.json and `opinion` spec.json. Credentials in
    addresses are left out of all but `config`, by which the input is read: see `without_credentials`.
    """

    layout: Layout
    tiering: str
    ended: Mapping[str, Any]
    described: Mapping[str, Any]
    config: Mapping[str, Any]
    opinion: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What the run is called: the last part of its directory."""
        root = redacted(self.layout.root)
        return root.rstrip("/").rpartition("/")[2] or root

    @property
    def weights(self) -> str:
        """What the tiering weighs by: bytes, tokens or documents."""
        return str(self.described.get("weights", "bytes"))

    @property
    def tiers(self) -> Sequence[Tier]:
        """The tiers that hold something, and those that could; best first, whatever their order in the config."""
        found = [
            each for each in self.described.get("tiers", ()) if each["documents"] or each["name"] not in _WITHOUT_RANGE
        ]
        return sorted(found, key=lambda each: -1 if each["lowest"] is None else each["lowest"], reverse=True)

    @property
    def ranges(self) -> Sequence[Tier]:
        """The tiers that are ranges of quality, best first."""
        return [each for each in self.tiers if each["name"] not in _WITHOUT_RANGE]

    @property
    def colors(self) -> Mapping[str, str]:
        """The colour of each tier, from the best to the worst; of those without a rank a pale one."""
        names = [each["name"] for each in self.ranges]
        last = max(1, len(names) - 1)
        shades = {name: drawing.tone(place / last) for place, name in enumerate(names)}
        return shades | {UNSCORED: drawing.MUTED, REJECTED: drawing.OUT}

    @property
    def total(self) -> Mapping[str, int]:
        """Documents, bytes and tokens of all tiers together."""
        return {what: sum(each[what] for each in self.tiers) for what in ("documents", "bytes", "tokens")}

    @property
    def is_maximum(self) -> bool:
        """Whether the quality is the highest bucket of any classifier."""
        return bool(self.opinion.get("ensemble", "max") == "max")

    @property
    def is_calibrated_here(self) -> bool:
        """Whether each bucket of a classifier holds a twentieth, by the weights: the cuts are those of these scores."""
        return not self.is_frozen and not bool(self.opinion.get("group"))

    @property
    def is_frozen(self) -> bool:
        """Whether the cuts were found elsewhere."""
        calibrate, named = self.opinion.get("calibrate", ""), self.opinion.get("thresholds", "")
        return bool(calibrate == "frozen" or (not calibrate and named))

    @property
    def is_former(self) -> bool:
        """Whether the tiers are those of an earlier state: the last run has not come to forming its own."""
        if not self.ended or not self.described or self.tiering != "default":
            return False
        return bool(self.ended["outcome"] != RECONCILED and not self.ended["tiers"])

    def share(self, tier: Tier) -> float:
        """The part of all weight that a tier holds."""
        total = self.total[self.weights]
        return float(tier[self.weights] / total) if total else 0.0


def read(root: str, tiering: str = "default") -> Facts:
    """The facts of a run directory. Raises ConfigError when it is none, or a file of it is damaged."""
    layout = Layout(storage.from_root(root))
    if not storage.exists(layout.config_json):
        raise ConfigError(f"{root!r} is no directory of a run: it has no config.json.")
    if tiering != "default" and not (can_name_folder(tiering) and storage.exists(layout.spec(tiering))):
        raise ConfigError(f"tiering: there is no {tiering!r} in {root!r}; form it with pipelines/retier.py.")
    return Facts(
        layout,
        tiering,
        without_credentials(_read_format_1(layout.report("report.json"))),
        without_credentials(_read_format_1(layout.description(tiering))),
        _read(layout.config_json),
        without_credentials(_read(layout.spec(tiering))),
    )


def without_credentials(document: Any) -> Any:
    """What is in a file of JSON, without the credentials that addresses in its strings hold."""
    if isinstance(document, str):
        return redacted(document)
    if isinstance(document, Mapping):
        return {redacted(key): without_credentials(value) for key, value in document.items()}
    return [without_credentials(each) for each in document] if isinstance(document, list) else document


def without_quotes(facts: Facts) -> Facts:
    """The same facts, whose messages quote no document: of an error that is not this package's own only the type."""
    if not facts.ended:
        return facts
    failed = {shard: _told(error) for shard, error in facts.ended["failed"].items()}
    return replace(facts, ended={**facts.ended, "failed": failed, "why": _told(facts.ended["why"])})


def _told(error: str) -> str:
    found = _UNEXPECTED.match(error)
    return f"{found[0]}; what it says is in log/." if found else error


def _read(url: str) -> dict[str, Any]:
    """A file of JSON, empty where there is none."""
    if not storage.exists(url):
        return {}
    try:
        return dict(json.loads(storage.read_bytes(url)))
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{url}: is damaged: {error}. Remove it and run the same command again.") from None


def _read_format_1(url: str) -> dict[str, Any]:
    """The same of a file that says its format; one that does not is of a version that told too little."""
    document = _read(url)
    if document.get("format", _FORMAT) != _FORMAT:
        raise ConfigError(f"{url}: has format {document['format']!r}; a newer version of this package wrote it.")
    return document if "format" in document else {}
