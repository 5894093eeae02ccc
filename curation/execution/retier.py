"""Other opinions about scores that are there: a named tiering in the directory of a run. Reads sidecars, no text."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
from rich.console import Console

from curation import config
from curation.core.errors import CalibrationError, ClusterError, ConfigError, ShardError
from curation.core.words import can_name_folder, counted
from curation.data import storage
from curation.data.layout import Layout, classifier_of, rows_schema, schema_of_columns
from curation.data.shards import Shard, read_shards
from curation.data.sidecar import read_record, read_schema
from curation.execution.audit import ShardRecords, problems, read_records
from curation.execution.cluster.connect import connect
from curation.execution.cluster.spec import ClusterSpec
from curation.execution.documents import NAME
from curation.execution.forming import Tiering, form, frozen_thresholds, spec_json
from curation.execution.log import RunLog
from curation.execution.run import INCOMPLETE, RECONCILED, STOPPED
from curation.execution.spec import Scores
from curation.execution.summary import tier_table
from curation.execution.walltime import stop_on_signals
from curation.execution.window import IN_FLIGHT_PER_WORKER, TASK_S
from curation.inference.replica import ScoringSpec
from curation.stages.tiering import TieringSpec


@dataclass(frozen=True)
class RetierSpec:
    """A tiering `name` of the run directory `run`, of the scores that lie there."""

    run: str
    name: str
    tiering: TieringSpec = TieringSpec()
    cluster: ClusterSpec = ClusterSpec(kind="cpu")


@dataclass(frozen=True)
class RetierPlan:
    """What will be formed, of which shards; and those that are not complete."""

    spec: RetierSpec
    tiering: Tiering
    complete: tuple[ShardRecords, ...]
    waiting: tuple[str, ...]

    def lines(self) -> Iterator[str]:
        """The plan for people."""
        tiering, spec = self.tiering, self.spec.tiering
        yield f"run: {tiering.layout.root}, {counted(len(self.complete) + len(self.waiting), 'shard')}"
        yield from (
            f"classifier {each.name}: fingerprint {each.fingerprint[:8]}"
            f"{'' if each in tiering.used else ', not in the ensemble'}"
            for each in tiering.scores
        )
        frozen = f"frozen, from {spec.thresholds}"
        yield f"thresholds: {frozen if spec.frozen else f'exact over all rows, weighted by {spec.weights}'}"
        yield from (f"waits: {line}" for line in self.waiting[:3])
        yield f"tiering: {tiering.layout.tiering(tiering.name)}"
        yield from (f"note: {note}" for note in spec.notes())
        if tiering.frozen is not None:
            yield from (f"note: {caution}" for caution in tiering.frozen.cautions())


def plan(spec: RetierSpec) -> RetierPlan:
    """Check everything that needs no worker. Raises ConfigError with all mistakes."""
    layout = Layout(storage.from_root(spec.run))
    if not storage.exists(layout.shards):
        raise ConfigError(f"run: {spec.run!r} is no directory of a run: it has no shards.parquet.")
    shards = read_shards(layout.shards)
    scores = tuple(stored_scores(layout, shards))
    mistakes = [*_name_mistakes(spec.name), *spec.cluster.mistakes("cpu")]
    mistakes += spec.tiering.mistakes([each.name for each in scores]) if scores else []
    if not scores:
        mistakes.append(f"run: there are no scores in {layout.root}; score it with run_ensemble.py first.")
    frozen = frozen_thresholds(spec.tiering, mistakes)
    tiering = Tiering(layout, spec.name, spec.tiering, scores, carried_columns(layout, shards), frozen)
    if scores:
        mistakes += tiering.mistakes()
    if not mistakes:
        mistakes += _other_tiering(tiering)
    if mistakes:
        raise ConfigError(*mistakes)
    complete, waiting = [], []
    for each in read_records(layout, shards, tiering.needed):
        found = problems(each)
        waiting += found[:1]
        complete += [] if found else [each]
    return RetierPlan(replace(spec, run=layout.root), tiering, tuple(complete), tuple(waiting))


def retier(planned: RetierPlan, console: Console) -> int:
    """Form the tiering; the caller holds the run directory's lock. Gives the exit code of a run."""
    spec = planned.spec
    if planned.waiting and not spec.tiering.allow_partial:
        console.print(
            f"{counted(len(planned.waiting), 'shard')} of this run wait to be scored. Run run_ensemble.py again, or "
            "set tiering.allow_partial=true.",
            highlight=False,
        )
        return INCOMPLETE
    with RunLog(planned.tiering.layout) as log, stop_on_signals(IN_FLIGHT_PER_WORKER, TASK_S) as stopping:
        log.event("retier", name=spec.name, tiering=config.dump(spec.tiering))
        try:
            with connect(spec.cluster, ScoringSpec(device="cpu"), stopping) as client:
                formed = form(
                    client,
                    planned.tiering,
                    planned.complete,
                    console,
                    partial=bool(planned.waiting),
                    stopping=stopping,
                    patience_s=spec.cluster.patience_s,
                )
        except (CalibrationError, ClusterError, ShardError) as error:
            if stopping():
                return _stopped(console)
            log.event("error", message=str(error))
            console.print(str(error), highlight=False, markup=False)
            return INCOMPLETE
        if stopping():
            return _stopped(console)
        storage.sync_folders(planned.tiering.layout.root)
        console.print(tier_table(spec.tiering, formed.totals))
        for name, why in formed.failed.items():
            console.print(f"failed: {name}: {why}", highlight=False, markup=False)
        log.event("end", failed=formed.failed)
        return INCOMPLETE if formed.failed or planned.waiting else RECONCILED


def _stopped(console: Console) -> int:
    console.print("Stopped; what was finished is kept. The same command goes on.", highlight=False)
    return STOPPED


def _name_mistakes(name: str) -> list[str]:
    if name == NAME:
        return [f"name: {NAME!r} is the run's own tiering, which run_ensemble.py forms; choose another name."]
    if not can_name_folder(name):
        return [f"name: {name!r} names a folder: letters, digits, dots, hyphens and underscores only."]
    return []


def carried_columns(layout: Layout, shards: Sequence[Shard]) -> tuple[tuple[str, str], ...]:
    """The carried columns with their types, as the first shard's rows have them."""
    there = next((layout.rows(shard.name) for shard in shards if storage.exists(layout.rows(shard.name))), "")
    fixed = {"id", *rows_schema({}).names}
    return tuple(each for each in schema_of_columns(read_schema(there)) if each[0] not in fixed) if there else ()


def stored_scores(layout: Layout, shards: Sequence[Shard]) -> Iterator[Scores]:
    """What lies under scores/, said by the first file in each folder that can be read.

    Of two models under one name, only the one that has scored more shards; where both have, that is a mistake. Raises
    ConfigError for it, and where no file of a folder can be read.
    """
    names = {f"{shard.name}.parquet" for shard in shards}
    num_files: dict[str, list[str]] = {}
    for path in storage.list_files(storage.join(layout.root, "scores")):
        folder, _, name = path.partition("/")
        if name in names:
            num_files.setdefault(folder, []).append(name)
    by_name: dict[str, list[str]] = {}
    for folder in num_files:
        if known := classifier_of(folder):
            by_name.setdefault(known[0], []).append(folder)
    for name, folders in by_name.items():
        most = max(len(num_files[folder]) for folder in folders)
        best = [folder for folder in folders if len(num_files[folder]) == most]
        if len(best) > 1:
            raise ConfigError(
                f"run: {name!r} has scored as {', '.join(sorted(best))}; remove the folders that are not wanted."
            )
        yield _first_readable(layout, name, best[0], num_files[best[0]])


def _first_readable(layout: Layout, name: str, folder: str, files: Sequence[str]) -> Scores:
    for file in files:
        url = layout.scores(folder, file.removesuffix(".parquet"))
        if (record := read_record(url)) is None:
            continue
        schema = read_schema(url)
        if column := next((field.name for field in schema if field.type == pa.float32()), ""):
            return Scores(name, folder, column, record["classifier"], schema_of_columns(schema))
    raise ConfigError(
        f"run: no file of scores/{folder} can be read; remove that folder, and score again with run_ensemble.py or do "
        f"without {name!r}."
    )


def _other_tiering(tiering: Tiering) -> list[str]:
    """Why a tiering of this name is another one; empty if there is none yet, or an equal one."""
    layout, name = tiering.layout, tiering.name
    if not storage.exists(layout.spec(name)):
        return []
    if storage.read_bytes(layout.spec(name)) != spec_json(tiering.spec):
        what = "settings"
    elif (
        tiering.frozen is not None
        and storage.exists(layout.thresholds(name))
        and (storage.read_bytes(layout.thresholds(name)) != tiering.frozen.to_json().encode())
    ):
        what = "thresholds"
    else:
        return []
    taken = f"name: {layout.tiering(name)} is a tiering of other {what}, and none is overwritten."
    return [f"{taken} Choose another name, or remove that folder."]
