"""Where everything of a mix lies below its output, and how a plan is kept there."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from curation import config
from curation.core.errors import ConfigError
from curation.data import storage
from curation.mixing import exports
from curation.mixing.plan import MixPlan


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
        return storage.join(self.root, "plan.json")

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

    Raises ConfigError when documents of another plan lie there.
    """
    folder = MixFolder(plan.spec.output)
    data = plan.to_json()
    if storage.exists(folder.draw_json) and storage.read_bytes(folder.plan_json) != data:
        raise ConfigError(
            f"output: {folder.root} holds documents of another plan. Choose another output, or remove that folder."
        )
    for at, phase in enumerate(plan.spec.phase):
        export(folder, "planned", phase.name, int(plan.tokens[:, at].sum()), exports.parts(plan, at))
    storage.write_bytes(folder.config_json, as_json(config.dump(plan.spec)))
    storage.write_bytes(folder.plan_json, data)
    return folder.root


def export(folder: MixFolder, of: str, phase: str, num_tokens: int, parts: Sequence[exports.Part]) -> None:
    """Write a phase in the words of every trainer."""
    for name, text in exports.files(phase, num_tokens, parts):
        storage.write_bytes(folder.export(of, name), text.encode())


def as_json(value: Any) -> bytes:
    """A value for people and programs."""
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
