"""A whole config as one value."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from curation import classifiers, config
from curation.classifiers import catalog, source
from curation.core.classifier import Classifier
from curation.core.errors import ModelError
from curation.core.fingerprint import fingerprint
from curation.core.words import can_name_folder
from curation.data.inputs import RESERVED, InputSpec
from curation.data.layout import Layout, classifier_folder
from curation.data.reader import where_mistakes
from curation.execution.cluster.spec import ClusterSpec
from curation.inference.replica import ScoringSpec
from curation.inference.tokens import TokensSpec
from curation.stages.tiering import TieringSpec

KINDS: config.Kinds = {Classifier: classifiers.kind}
CATALOGS: config.Catalogs = {Classifier: catalog.table}


@dataclass(frozen=True)
class ReportSpec:
    """What a report may show: without `examples` no text, no id and no address of a document."""

    examples: bool = True


@dataclass(frozen=True)
class RunSpec:
    """A run: what is read, what scores it, what follows from the scores, and where it is done.

    `output` is the run directory. With `documents` the text is copied into one folder for each tier. After
    `max_failures` failed shards the run stops.
    """

    output: str
    input: InputSpec
    classifier: tuple[Classifier, ...]
    tokens: TokensSpec = TokensSpec()
    scoring: ScoringSpec = ScoringSpec()
    tiering: TieringSpec = TieringSpec()
    cluster: ClusterSpec = ClusterSpec()
    documents: bool = False
    max_failures: int = 100
    report: ReportSpec = ReportSpec()

    def mistakes(self) -> list[str]:
        """Everything that is wrong with the settings themselves, without looking at input or models."""
        names = [classifier.name for classifier in self.classifier]
        found = [f"classifier.{name}: two classifiers have this name." for name in sorted(_twice(names))]
        taken = {*RESERVED, *self.input.carried, "quality", "tier"}
        found += [
            f"classifier.{name}: its score column would be one that every row has already; rename it."
            for name in names
            if name in taken
        ]
        found += [
            f"classifier.{name}: names a folder and a column: letters, digits, dots, hyphens and underscores only."
            for name in names
            if not can_name_folder(name)
        ]
        if not self.output:
            found.append("output: is empty; name the directory of the run.")
        if not names:
            found.append("classifier: a run needs at least one [[classifier]] table.")
        if self.max_failures < 1:
            found.append(f"max_failures: {self.max_failures} is below 1.")
        return [
            *found,
            *self.input.mistakes(),
            *where_mistakes(self.input),
            *self.tiering.mistakes(names),
            *self.cluster.mistakes(self.scoring.device),
        ]

    def paths_of_workers(self) -> dict[str, str]:
        """Setting → the path that workers open as it is written; a plan gives those of output and input a root."""
        found = {"tokens.count_tokenizer": self.tokens.count_tokenizer}
        for each in self.classifier:
            key = "bundles" if source.is_hub_id(getattr(each, "model", "")) else "model"
            found[f"classifier.{each.name}.{key}"] = getattr(each, key, "")
        return {key: path for key, path in found.items() if path}

    def rows_identity(self) -> str:
        """Equal when equal input gives equal files under rows/."""
        reading = self.input
        return fingerprint(
            [reading.id_column, reading.text_column, list(reading.carry), reading.where, self.tokens.identity()]
        )

    def text_identity(self) -> str:
        """Equal when the same texts of an input are scored; the type of a column decides what is selected by it."""
        where = self.input.where
        types = {name: kind for name, kind in self.input.carried.items() if name in where}
        return fingerprint([self.input.text_column, where, types])


@dataclass(frozen=True)
class Scores:
    """What one classifier has scored in a run directory: its folder under scores/, the score, the fingerprint.

    `columns` are all that lie there: beside the score the labels, with their types.
    """

    name: str
    folder: str
    column: str
    fingerprint: str
    columns: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class GroupColumn:
    """A column by whose values documents are told apart: a carried one of rows/, or a label in a folder of scores/."""

    column: str
    folder: str = ""

    def url(self, layout: Layout, shard: str) -> str:
        """The sidecar of a shard that holds it."""
        return layout.scores(self.folder, shard) if self.folder else layout.rows(shard)


@dataclass(frozen=True)
class Pinned:
    """A classifier of a run with the fingerprint that the plan found; together they name its folder of scores."""

    classifier: Classifier
    fingerprint: str

    @property
    def name(self) -> str:
        """The classifier's name."""
        return self.classifier.name

    @property
    def folder(self) -> str:
        """The folder under scores/."""
        return classifier_folder(self.name, self.fingerprint)

    @property
    def scores(self) -> Scores:
        """What it scores."""
        columns = tuple(self.classifier.columns.items())
        return Scores(self.name, self.folder, self.classifier.score_column, self.fingerprint, columns)

    def check(self) -> None:
        """Raise ModelError unless this process sees the model that the plan saw."""
        if (here := self.classifier.fingerprint()) != self.fingerprint:
            raise ModelError(
                f"{self.name}: this worker finds a model with fingerprint {here[:8]}, the plan found "
                f"{self.fingerprint[:8]}. Put the same files on every node, then run again."
            )


def read(path: str | Path, overrides: Sequence[str] = ()) -> RunSpec:
    """The run that a config file and overrides describe. Raises ConfigError with every mistake."""
    return config.parse(RunSpec, config.load(path), overrides, KINDS, CATALOGS)


def _twice(names: list[str]) -> set[str]:
    return {name for name in names if names.count(name) > 1}
