"""Where everything lies in the directory of a run, and the columns of what lies there."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from curation.core.frames import Schema
from curation.data.storage import SCRATCH, join

_TYPES = {
    "string": pa.string(),
    "str": pa.string(),
    "bool": pa.bool_(),
    "int8": pa.int8(),
    "int16": pa.int16(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float32": pa.float32(),
    "float64": pa.float64(),
}
_CLASSIFIER_FOLDER = re.compile(r"(.+)-([0-9a-f]{8})")
_POSITION = pa.field("position", pa.int64(), nullable=False)

QUARANTINE_SCHEMA = pa.schema(
    [_POSITION, pa.field("reason", pa.string(), nullable=False), pa.field("raw", pa.binary(), nullable=False)]
)


def rows_schema(carried: Mapping[str, str]) -> pa.Schema:
    """The columns of rows/: what is known of every row without its text, and the carried columns."""
    fixed = [
        _POSITION,
        pa.field("id", pa.string(), nullable=False),
        pa.field("n_bytes", pa.int64(), nullable=False),
        pa.field("n_chars", pa.int64(), nullable=False),
        pa.field("n_tokens", pa.int64(), nullable=False),
        pa.field("state", pa.string(), nullable=False),
    ]
    return pa.schema([*fixed, *(pa.field(name, _TYPES[kind]) for name, kind in carried.items())])


def documents_schema(carried: Mapping[str, str]) -> pa.Schema:
    """The columns of documents/: those of the input that were read."""
    strings = [pa.field(name, pa.string(), nullable=False) for name in ("id", "text")]
    return pa.schema([_POSITION, *strings, *(pa.field(name, _TYPES[kind]) for name, kind in carried.items())])


def columns_schema(columns: Schema) -> pa.Schema:
    """The columns of scores/ and tiers/: the position, and what stages or classifiers add."""
    return pa.schema([_POSITION, *(pa.field(name, _TYPES[dtype]) for name, dtype in columns.items())])


def schema_of_columns(schema: pa.Schema) -> tuple[tuple[str, str], ...]:
    """The columns of a sidecar but the position, with their types in the words of `columns_schema`."""
    words = {kind: word for word, kind in _TYPES.items()}
    return tuple((field.name, words[field.type]) for field in schema if field.name != "position")


def classifier_folder(name: str, fingerprint: str) -> str:
    """The folder of a classifier's scores: another fingerprint gets another folder, so nothing of two models mixes."""
    return f"{name}-{fingerprint[:8]}"


def classifier_of(folder: str) -> tuple[str, str] | None:
    """The name and the beginning of the fingerprint in a folder's name; None where it is no `classifier_folder`."""
    match = _CLASSIFIER_FOLDER.fullmatch(folder)
    return (match[1], match[2]) if match else None


@dataclass(frozen=True)
class Layout:
    """The paths of one run below `root`, a folder on any fsspec path. A shard is given by its name."""

    root: str

    @property
    def config_json(self) -> str:
        """The resolved config."""
        return join(self.root, "config.json")

    @property
    def lock_json(self) -> str:
        """Who writes here."""
        return join(self.root, "lock.json")

    @property
    def inputs_json(self) -> str:
        """What the inputs held when they were last read."""
        return join(self.root, "inputs.json")

    @property
    def precision_json(self) -> str:
        """In which precision each classifier scores, and what was measured of it."""
        return join(self.root, "precision.json")

    @property
    def shards(self) -> str:
        """The plan: the only list of shards."""
        return join(self.root, "shards.parquet")

    @property
    def scratch(self) -> str:
        """Files that are not complete yet."""
        return join(self.root, SCRATCH)

    def rows(self, shard: str) -> str:
        """What is known of every row of a shard, without its text."""
        return join(self.root, "rows", f"{shard}.parquet")

    def scores(self, classifier_folder: str, shard: str) -> str:
        """What one classifier scored; see `classifier_folder`."""
        return join(self.root, "scores", classifier_folder, f"{shard}.parquet")

    def quarantine(self, shard: str) -> str:
        """The rows of a shard that could not be read."""
        return join(self.root, "quarantine", f"{shard}.parquet")

    def tiering(self, name: str = "default") -> str:
        """The folder of one set of opinions."""
        return join(self.root, "tierings", name)

    def spec(self, tiering: str = "default") -> str:
        """What a tiering was asked to do."""
        return join(self.tiering(tiering), "spec.json")

    def thresholds(self, tiering: str = "default") -> str:
        """The cuts of every classifier, with their provenance."""
        return join(self.tiering(tiering), "thresholds.json")

    def description(self, tiering: str = "default") -> str:
        """What a tiering holds, counted."""
        return join(self.tiering(tiering), "description.json")

    def tiers(self, tiering: str, shard: str) -> str:
        """Buckets, quality and tier of every row of a shard."""
        return join(self.tiering(tiering), "tiers", f"{shard}.parquet")

    def documents(self, tier: str, shard: str) -> str:
        """The documents of one tier of a shard, with their text."""
        return join(self.root, "documents", f"quality={tier}", "kind=actual", "kind2=actual", f"{shard}.parquet")

    def log(self, number: int) -> str:
        """What happened in run number `number`."""
        return join(self.root, "log", f"{number}.jsonl")

    def report(self, name: str) -> str:
        """A file of the report, such as index.html or report.json."""
        return join(self.root, "report", name)
