"""The documents of a planned mix, written: every phase a folder of Parquet, every row a document drawn once.

Which documents are drawn how often follows from the plan, the seed, and where each lies (see `drawing`). Two passes
over sidecars find the keys at which the phases end (`cuts`); then what is drawn of each shard is copied (`copying`).
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from rich.console import Console

from curation import config
from curation.core.errors import ClusterError, ConfigError, ShardError
from curation.core.fingerprint import fingerprint
from curation.core.words import counted
from curation.data import storage
from curation.data.inputs import InputSpec
from curation.data.layout import Layout
from curation.data.sidecar import SidecarWriter
from curation.execution.cluster.connect import connect
from curation.execution.documents import NAME
from curation.execution.log import RunLog
from curation.execution.progress import progress
from curation.execution.resume import former_config
from curation.execution.run import INCOMPLETE, RECONCILED, STOPPED
from curation.execution.walltime import stop_on_signals
from curation.execution.window import IN_FLIGHT_PER_WORKER, TASK_S, OnWorkers, run_window
from curation.inference.replica import ScoringSpec
from curation.mixing import exports
from curation.mixing.copying import Copied, CopyTask, copy_shard
from curation.mixing.cuts import Drawn, find_cuts, places_of
from curation.mixing.drawing import Cut
from curation.mixing.exports import Part
from curation.mixing.folder import MixFolder, as_json, export
from curation.mixing.plan import MixPlan, look, same_mix
from curation.mixing.spec import MixSpec
from curation.mixing.supply import NO_SUPPLY, Tiered

FORMAT = 1
_DISK_SHARE = 0.5  # of the bytes of text; web text in English takes 0.45 in Parquet


FILES = pa.schema(
    [
        *(pa.field(name, pa.string(), nullable=False) for name in ("run", "shard", "path", "phase")),
        pa.field("epoch", pa.int32(), nullable=False),
        *(pa.field(name, pa.int64(), nullable=False) for name in ("documents", "tokens")),
    ]
)
"""The files that were written, their paths below the mix."""


class Reading(NamedTuple):
    """How the text of a run is read: from its input, or with `copies` from its documents/ where they are right."""

    input: InputSpec
    copies: bool


@dataclass(frozen=True)
class WritePlan:
    """What will be written. `made_of` is equal when what is drawn, runs and seed are; equal files follow from it."""

    spec: MixSpec
    plan: MixPlan
    runs: tuple[Tiered, ...]
    readings: Mapping[str, Reading]
    made_of: str

    @property
    def folder(self) -> MixFolder:
        """Where it goes."""
        return MixFolder(self.spec.output)

    @property
    def is_written(self) -> NDArray[np.bool_]:
        """Which sources come from runs; of the others only a count is known."""
        return np.asarray([bool(each.run) for each in self.plan.sources])

    @property
    def num_bytes(self) -> int:
        """About the text that is written."""
        epochs = self.plan.epochs.sum(axis=1).tolist()
        return int(sum(each.num_bytes * times for each, times in zip(self.plan.sources, epochs, strict=True)))

    @property
    def disk_bytes(self) -> int:
        """About what that takes."""
        return int(self.num_bytes * _DISK_SHARE)

    def lines(self) -> Iterator[str]:
        """The plan for people."""
        tokens = self.plan.tokens[self.is_written].sum(axis=0).tolist()
        for phase, num_tokens in zip(self.spec.phase, tokens, strict=True):
            yield f"phase {phase.name}: {num_tokens:,} tokens to write"
        for source, drawn in zip(self.plan.sources, self.plan.tokens.sum(axis=1).tolist(), strict=True):
            if not source.run and drawn:
                yield f"not written: {source.name}, {drawn:,} tokens: only its count is known"
        yield f"disk: {self.num_bytes:,} bytes of text, some {self.disk_bytes:,} as Parquet, in {self.spec.output}"
        yield "order: that of the input; whoever trains on it has to shuffle"


def plan(spec: MixSpec) -> WritePlan:
    """Check everything that needs no worker. Raises ConfigError with what is wrong."""
    spec = replace(spec, output=storage.from_root(spec.output))
    folder = MixFolder(spec.output)
    if mistakes := [*spec.mistakes(), *spec.cluster.mistakes("cpu")]:
        raise ConfigError(*mistakes)
    if not storage.exists(folder.plan_json):
        raise ConfigError(f"output: there is no plan in {folder.root}; make it with plan_mix.py first.")
    planned = MixPlan.from_json(storage.read_bytes(folder.plan_json), folder.plan_json)
    if not same_mix(planned.spec, spec):
        raise ConfigError(f"{folder.plan_json}: is the plan of other settings; run plan_mix.py with these.")
    if not planned.runs:
        raise ConfigError("run: no source is of a run, so there is no document to write; exports/ has all there is.")
    runs, readings = look(spec), {}
    for run, then in zip(runs, planned.runs, strict=True):
        if run.identity != then.identity:
            mistakes.append(
                f"run.{then.name}: {then.path} has changed since it was planned with; run plan_mix.py again."
            )
        try:
            readings[then.name] = _reading(run)
        except ConfigError as error:
            mistakes += error.mistakes
    found = WritePlan(spec, planned, runs, readings, _made_of(spec.seed, planned))
    if mistakes := [*mistakes, *_place_mistakes(found)]:
        raise ConfigError(*mistakes)
    return found


def write(planned: WritePlan, console: Console) -> int:
    """Write the documents; the caller holds the lock of the output. Gives the exit code of a run.

    Raises ConfigError when another plan, or documents of another, came here before the lock was held.
    """
    spec = planned.spec
    if mistakes := list(_overtaken(planned)):
        raise ConfigError(*mistakes)
    storage.sweep_scratch(spec.output)
    with RunLog(Layout(spec.output)) as log, stop_on_signals(IN_FLIGHT_PER_WORKER, TASK_S) as stopping:
        log.event("write", made_of=planned.made_of, config=config.dump(spec))
        done = _Done()
        try:
            with connect(spec.cluster, ScoringSpec(device="cpu"), stopping) as client:
                on_workers = partial(run_window, client, stopping=stopping, patience_s=spec.cluster.patience_s)
                if (drawn := _drawn(planned, on_workers, stopping)) is not None:
                    _copy_all(planned, drawn, on_workers, console, done)
        except (ClusterError, ShardError) as error:
            if not stopping():
                log.event("error", message=str(error))
                console.print(str(error), highlight=False, markup=False)
                return INCOMPLETE
        if stopping():
            console.print("Stopped; what was finished is kept. The same command goes on.", highlight=False)
            return STOPPED
        for name, why in done.failed.items():
            console.print(f"failed: {name}: {why}", highlight=False, markup=False)
        code = INCOMPLETE if done.failed else _finish(planned, done, console)
        log.event("end", exit_code=code, failed=done.failed)
        return code


def _made_of(seed: int, plan: MixPlan) -> str:
    """What all documents follow from: what is drawn of which run by which phase, and the seed."""
    drawn = [[each.name, *row] for each, row in zip(plan.sources, plan.tokens.tolist(), strict=True) if each.run]
    made_of = {"seed": seed, "phases": [each.name for each in plan.spec.phase], "drawn": drawn}
    return fingerprint(made_of | {"runs": {each.name: each.identity for each in plan.runs}})


def _overtaken(planned: WritePlan) -> Iterator[str]:
    """What has come into the output since it was looked at, and until nobody else may write there."""
    folder = planned.folder
    data = storage.read_bytes(folder.plan_json) if storage.exists(folder.plan_json) else b""
    if not data or _made_of(planned.spec.seed, MixPlan.from_json(data, folder.plan_json)) != planned.made_of:
        yield f"{folder.plan_json}: was planned anew meanwhile; start write_mix.py again with the settings that it has."
    yield from _other_documents(planned)


def _reading(run: Tiered) -> Reading:
    """As it was scored, but for all that was read beside the text."""
    layout, supply = run.sidecars.layout, run.supply
    former = former_config(layout)
    if "input" not in former:
        raise ConfigError(f"run.{supply.name}: {layout.config_json} does not say what was read; run it there again.")
    copies = bool(former.get("documents")) and supply.tiering == NAME and not set(NO_SUPPLY) & set(supply.tiers)
    reading = config.parse(InputSpec, former["input"])
    return Reading(replace(reading, id_column="", carry=(), where=""), copies)


def _place_mistakes(planned: WritePlan) -> Iterator[str]:
    """Why the documents cannot be where they are wanted."""
    output, folder = planned.spec.output, planned.folder
    if (problem := storage.why_not_writable(output)) is not None:
        yield f"output: {output} cannot be written: {problem}. Choose another place."
    elif storage.exists(folder.draw_json):
        yield from _other_documents(planned)
    elif (free := storage.free_bytes(output)) is not None and free < planned.disk_bytes:
        need = f"this writes about {planned.disk_bytes:,}"
        yield f"output: {output} has {free:,} bytes free; {need}. Choose another place."


def _other_documents(planned: WritePlan) -> Iterator[str]:
    """That documents are there which follow from something else."""
    output, url = planned.spec.output, planned.folder.draw_json
    if storage.exists(url) and json.loads(storage.read_bytes(url))["made_of"] != planned.made_of:
        yield (
            f"output: {output} holds documents of another plan or seed, and none are overwritten. Choose another "
            "output, or remove that folder."
        )


def _drawn(planned: WritePlan, on_workers: OnWorkers, stopping: Callable[[], bool]) -> Drawn | None:
    """Where the phases end: what is known already, or found and kept; None when it was told to stop."""
    url = planned.folder.draw_json
    if storage.exists(url):
        known = json.loads(storage.read_bytes(url))["sources"]
        cuts = tuple(tuple(Cut(*cut) for cut in each["cuts"]) for each in known)
        return Drawn(cuts, tuple(each["longest"] for each in known))
    found = find_cuts(on_workers, planned.plan, planned.runs, planned.spec.seed, stopping)
    if found is not None:
        sources = [
            {"name": source.name, "run": source.run, "key": source.key, "longest": longest, "cuts": cuts}
            for source, cuts, longest in zip(planned.plan.sources, found.cuts, found.longest, strict=True)
        ]
        phases = [each.name for each in planned.spec.phase]
        about = {"format": FORMAT, "made_of": planned.made_of, "seed": planned.spec.seed, "phases": phases}
        storage.write_bytes(url, as_json(about | {"sources": sources}))
    return found


@dataclass
class _Done:
    """What has been written: files with run and shard; documents and tokens by phase and source; the longest ones."""

    files: list[tuple[str, str, Copied]] = field(default_factory=list)
    documents: Counter[tuple[int, int]] = field(default_factory=Counter)
    tokens: Counter[tuple[int, int]] = field(default_factory=Counter)
    longest: tuple[int, ...] = ()
    failed: dict[str, str] = field(default_factory=dict)


def _copy_all(planned: WritePlan, drawn: Drawn, on_workers: OnWorkers, console: Console, done: _Done) -> None:
    done.longest = drawn.longest
    tasks = sorted(_tasks(planned), key=lambda task: -task.shard.num_bytes)
    places = {run.supply.name: [place for _, place in places_of(planned.plan, run.supply.name)] for run in planned.runs}
    with progress("writing", sum(task.shard.num_bytes for task in tasks), console) as advance:
        for outcome in on_workers(copy_shard, tasks):
            run, shard, copied = outcome.item.sidecars.supply.name, outcome.item.shard, outcome.result
            if copied is None:
                done.failed[f"{run}/{shard.name}"] = outcome.error
                advance(shard.num_bytes, num_failed=1)
                continue
            done.files += [(run, shard.name, file) for file in copied.files]
            for phase, row, documents, tokens in copied.drawn:
                done.documents[phase, places[run][row]] += documents
                done.tokens[phase, places[run][row]] += tokens
            advance(
                shard.num_bytes,
                sum(file.documents for file in copied.files),
                sum(file.tokens for file in copied.files),
            )


def _tasks(planned: WritePlan) -> Iterator[CopyTask]:
    output, mix = planned.spec.output, planned.made_of
    for run in planned.runs:
        reading = planned.readings[run.supply.name]
        for shard, made_of in zip(run.shards, run.made_of, strict=True):
            yield CopyTask(output, mix, run.sidecars, shard, made_of, reading.input, reading.copies)


def _finish(planned: WritePlan, done: _Done, console: Console) -> int:
    """Hold what was drawn against the plan; write the manifest, and the mix in the words of trainers."""
    plan, spec, folder = planned.plan, planned.spec, planned.folder
    phases, problems = [], []
    for at, phase in enumerate(spec.phase):
        rows = np.flatnonzero(planned.is_written & (plan.tokens[:, at] > 0)).tolist()
        drawn = [
            {
                "name": plan.sources[row].name,
                "planned_tokens": int(plan.tokens[row, at]),
                "tokens": done.tokens[at, row],
                "documents": done.documents[at, row],
            }
            for row in rows
        ]
        problems += [
            f"{each['name']}: {each['tokens']:,} tokens in phase {phase.name}, not {each['planned_tokens']:,}"
            for each, row in zip(drawn, rows, strict=True)
            if abs(done.tokens[at, row] - int(plan.tokens[row, at])) > done.longest[row]
        ]
        num_tokens, num_documents = (sum(counts[at, row] for row in rows) for counts in (done.tokens, done.documents))
        phases.append({"name": phase.name, "tokens": num_tokens, "documents": num_documents, "sources": drawn})
        console.print(f"phase {phase.name}: {num_documents:,} documents, {num_tokens:,} tokens", highlight=False)
        export(folder, "written", phase.name, int(plan.tokens[:, at].sum()), _parts(planned, at))
    files = sorted(({"run": run, "shard": shard} | file._asdict() for run, shard, file in done.files), key=_path)
    with SidecarWriter(folder.files_parquet, FILES) as writer:
        writer.write(pa.Table.from_pylist(files, FILES))
        writer.finish({"kind": "mix files", "mix": planned.made_of, "num_rows": len(files)})
    manifest = {
        "format": FORMAT,
        "made_of": planned.made_of,
        "seed": spec.seed,
        "command": f"python pipelines/write_mix.py {folder.config_json} seed={spec.seed}",
        "runs": [each._asdict() for each in plan.runs],
        "not_written": [each.name for each in plan.sources if not each.run],
        "phases": phases,
        "num_files": len(files),
    }
    storage.sync_folders(spec.output)
    storage.write_bytes(folder.manifest_json, as_json(manifest))
    for problem in problems:
        console.print(f"does not add up: {problem}", highlight=False, markup=False)
    console.print(f"Written: {counted(len(files), 'file')} in {spec.output}", highlight=False)
    return INCOMPLETE if problems else RECONCILED


def _path(file: Mapping[str, Any]) -> str:
    return str(file["path"])


def _parts(planned: WritePlan, phase: int) -> list[Part]:
    """What a trainer draws from where documents were written: their folder, once, and the sources beside it."""
    plan, name = planned.plan, planned.spec.phase[phase].name
    weight = float(plan.weights[planned.is_written, phase].sum())
    written = [Part(name, planned.folder.phase(name), weight, 1.0)] if weight else []
    return [*written, *exports.parts(plan, phase, ~planned.is_written)]
