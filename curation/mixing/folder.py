"""Where everything of a mix lies below its output, and how a plan is kept there."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from curation import config
from curation.core.errors import ConfigError
from curation.data import storage
from curation.mixing import exports
from curation.mixing.plan import FILE, MixPlan, same_documents, taken


@dataclass(frozen=True)
class MixFolder:
    """The paths of a mix below `root`, a folder on any fsspec path."""

    root: str

    @property
    def config_json(self) -> str:
        """The settings, from which the same mix is planned and written."""
        return storage.join(self.root, "config.json")

    @property
    def plan_json(self) -> str:
        """What is drawn of every source."""
        return storage.join(self.root, FILE)

    @property
    def draw_json(self) -> str:
        """At which keys the phases end, and what all documents here follow from."""
        return storage.join(self.root, "draw.json")

    @property
    def manifest_json(self) -> str:
        """What has been written, when all is."""
        return storage.join(self.root, "manifest.json")

    @property
    def files_parquet(self) -> str:
        """Every file of documents, and what it holds."""
        return storage.join(self.root, "files.parquet")

    def export(self, of: str, name: str) -> str:
        """A file for a trainer: of the sources as `planned`, or of the documents as `written`."""
        return storage.join(self.root, "exports", of, name)

    def phase(self, phase: str) -> str:
        """The documents of a phase."""
        return storage.join(self.root, "documents", phase)

    def documents(self, phase: str, epoch: int, run: str, shard: str) -> str:
        """The documents that a phase draws from a shard for the epoch-th time."""
        return storage.join(self.phase(phase), f"epoch-{epoch}", run, f"{shard}.parquet")


def keep(plan: MixPlan) -> str:
    """Write a plan, its settings, and its exports; gives the folder.

    Raises ConfigError when documents of another plan lie there, or a run, or anything else with settings.
    """
    folder = MixFolder(plan.spec.output)
    if mistakes := taken(folder.root):
        raise ConfigError(*mistakes)
    if storage.exists(folder.draw_json) and not same_documents(_kept(folder), plan):
        raise ConfigError(
            f"output: {folder.root} holds documents of another plan. Choose another output, or remove that folder."
        )
    former = set(storage.list_files(folder.export("planned", "")))
    for at, phase in enumerate(plan.spec.phase):
        former -= export(folder, "planned", phase.name, int(plan.tokens[:, at].sum()), exports.parts(plan, at))
    for name in former:  # of phases that are no more
        storage.remove(folder.export("planned", name))
    storage.write_bytes(folder.plan_json, plan.to_json())  # first: a config without a plan is that of something else
    storage.write_bytes(folder.config_json, as_json(config.dump(plan.spec)))
    return folder.root


def _kept(folder: MixFolder) -> MixPlan:
    return MixPlan.from_json(storage.read_bytes(folder.plan_json), folder.plan_json)


def export(folder: MixFolder, of: str, phase: str, num_tokens: int, parts: Sequence[exports.Part]) -> set[str]:
    """Write a phase in the words of every trainer; gives the names of the files."""
    texts = dict(exports.files(phase, num_tokens, parts))
    for name, text in texts.items():
        storage.write_bytes(folder.export(of, name), text.encode())
    return set(texts)


def as_json(value: Any) -> bytes:
    """A value for people and programs."""
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
