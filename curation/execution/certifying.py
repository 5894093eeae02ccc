"""The precision certificate of a run, measured on the workers: the same documents scored exactly and cheaply."""

from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import xxhash
from numpy.typing import NDArray

from curation.calibration.certificate import Certificate, certify, sample_cuts
from curation.calibration.thresholds import ClassifierThresholds, Thresholds
from curation.core import frames
from curation.core.classifier import Classifier
from curation.core.errors import CurationError, ModelError
from curation.data.reader import Partition, read
from curation.data.shards import Shard
from curation.execution.choices import AUTO, EXACT, FAST, Choice, in_precision
from curation.execution.cluster.scheduler import workers_of
from curation.execution.plan import Plan
from curation.execution.spec import RunSpec
from curation.execution.window import run_window
from curation.inference.groups import groups
from curation.inference.replica import load_replica
from curation.inference.tokens import count_tokens
from curation.stages.bucket import Bucket, bucket_column
from curation.stages.tiering import stages

if TYPE_CHECKING:
    from distributed import Client

SEED = 0

_MOST_SHARDS = 32
_FEWEST_SCORES = 2


@dataclass(frozen=True)
class SampleTask:
    """Score some documents of some shards with all classifiers, exactly and in the precisions in question."""

    spec: RunSpec
    shards: tuple[Shard, ...]
    num_each: int
    pending: tuple[str, ...]


class _Drawn(NamedTuple):
    """Documents of one shard, and what each weighs."""

    texts: list[str | None]
    weights: NDArray[Any]


@dataclass(frozen=True)
class Sample:
    """Weights and scores of the sampled documents by classifier; why some have no cheap scores."""

    weights: NDArray[Any]
    exact: Mapping[str, NDArray[Any]]
    cheap: Mapping[str, NDArray[Any]]
    why_not: Mapping[str, str]


def measure(client: "Client", plan: Plan, size: int, stopping: Callable[[], bool]) -> Mapping[str, Choice]:
    """A choice for each classifier that the plan leaves open, by name; none when `stopping()` turns true meanwhile.

    About `size` documents are drawn by a fixed seed: from the beginnings of at most 32 shards, of which those that
    cannot be read or scored are left out.
    """
    drawn = sorted(plan.shards, key=_lot)[:_MOST_SHARDS]
    num_tasks = max(1, min(len(drawn), len(workers_of(client))))
    num_each = -(-size // max(1, len(drawn)))
    parts = [tuple(drawn[number::num_tasks]) for number in range(num_tasks)]
    tasks = [SampleTask(plan.spec, part, num_each, plan.unmeasured) for part in parts]
    # A shard that kills its worker does so once more where it is scored, and is told there.
    outcomes = run_window(client, score_sample, tasks, stopping)
    samples = [outcome.result for outcome in outcomes if outcome.result is not None]
    return {} if stopping() else _choices(plan, samples)


def score_sample(task: SampleTask) -> Sample:
    """Runs on a worker."""
    from curation.inference.precision import is_fast_here

    spec = task.spec
    movable = [each for each in spec.classifier if each.name in task.pending]
    documents = list(_documents(task))
    exactly = [in_precision(each, EXACT) if each in movable else each for each in spec.classifier]
    exact = _score_all(exactly, spec, documents)
    why_not: dict[str, str] = {}
    if not is_fast_here(spec.scoring.device):
        left_open = [each.name for each in movable if each.precision == AUTO]
        why_not = dict.fromkeys(left_open, "this processor multiplies 16 bits no faster than 32")
    cheap = _score_cheaply([_cheap(each) for each in movable if each.name not in why_not], spec, documents, why_not)
    scored = [place for place, found in enumerate(zip(exact, cheap, strict=True)) if None not in found]
    return Sample(
        np.concatenate([np.empty(0, np.int64), *(documents[place].weights for place in scored)]),
        _joined([exact[place] for place in scored]),
        _joined([cheap[place] for place in scored]),
        why_not,
    )


def _documents(task: SampleTask) -> Iterator[_Drawn]:
    """From the first partition of each shard, documents that are to be scored, and what each weighs."""
    spec = task.spec
    column = spec.tiering.weight_column
    for shard in task.shards:
        for partition in _first_partition(shard, spec):
            ok = partition.frame[partition.frame["state"] == "ok"]
            places = np.random.default_rng([SEED, _lot(shard)]).permutation(len(ok))[: task.num_each]
            drawn = ok.iloc[np.sort(places)]
            num_tokens = count_tokens(spec.tokens, drawn["text"].tolist(), drawn["n_bytes"].to_numpy())
            weights = drawn.assign(n_tokens=num_tokens)[column].to_numpy() if column else np.ones(len(drawn), np.int64)
            yield _Drawn(frames.texts(drawn, "text"), weights)


def _first_partition(shard: Shard, spec: RunSpec) -> Iterator[Partition]:
    """One partition, or none of a shard that cannot be read: it fails where it is scored, and is told there."""
    with suppress(CurationError):
        yield from islice(read(shard, spec.input), 1)


def _lot(shard: Shard) -> int:
    """A number that decides whether a shard is drawn, and which of its documents."""
    return xxhash.xxh3_64_intdigest(shard.name.encode(), seed=SEED)


def _score_all(
    classifiers: Sequence[Classifier], spec: RunSpec, documents: Sequence[_Drawn]
) -> list[Mapping[str, NDArray[Any]] | None]:
    """The scores of each classifier, shard by shard; None of one that cannot be scored: it fails where it is."""
    replica = load_replica(classifiers, spec.scoring)
    found: list[Mapping[str, NDArray[Any]] | None] = []
    for texts, _ in documents:
        try:
            columns = replica(texts)
        except Exception:  # noqa: BLE001 - whatever it is, it is told where the shard is scored
            found.append(None)
        else:
            found.append({each.name: columns[each.score_column] for each in classifiers})
    return found


def _score_cheaply(
    classifiers: Sequence[Classifier], spec: RunSpec, documents: Sequence[_Drawn], why_not: dict[str, str]
) -> list[Mapping[str, NDArray[Any]] | None]:
    """The same for classifiers that may not be able to compute so, which is added to `why_not`."""
    try:
        return _score_all(classifiers, spec, documents)
    except ModelError as error:
        if len(classifiers) == 1:
            why_not[classifiers[0].name] = str(error)
            return [{} for _ in documents]
    each = [_score_cheaply([classifier], spec, documents, why_not) for classifier in classifiers]
    return [None if None in of_shard else dict(ChainMap(*of_shard)) for of_shard in zip(*each, strict=True)]


def _joined(shards: Sequence[Mapping[str, NDArray[Any]] | None]) -> Mapping[str, NDArray[Any]]:
    there = [shard for shard in shards if shard is not None]
    return {name: np.concatenate([shard[name] for shard in there]) for name in (there[0] if there else ())}


def _cheap(classifier: Classifier) -> Classifier:
    return in_precision(classifier, FAST) if classifier.precision == AUTO else classifier


def _choices(plan: Plan, samples: Sequence[Sample]) -> Mapping[str, Choice]:
    classifiers = {each.name: each for each in plan.spec.classifier}
    why_not = dict(ChainMap(*(dict(sample.why_not) for sample in samples)))
    samples = [sample for sample in samples if len(sample.weights)]
    exact = {name: np.concatenate([np.empty(0), *(sample.exact[name] for sample in samples)]) for name in classifiers}
    for name in plan.unmeasured:
        if np.isfinite(exact[name]).sum() < _FEWEST_SCORES:
            why_not.setdefault(name, "it scored no documents to measure it on")
    measured = [name for name in plan.unmeasured if name not in why_not]
    certificates: Mapping[str, Certificate] = {}
    if measured:
        weights = np.concatenate([sample.weights for sample in samples])
        cheap = exact | {name: np.concatenate([sample.cheap[name] for sample in samples]) for name in measured}
        buckets, tiers = zip(*(_opinions(plan, scores, weights) for scores in (exact, cheap)), strict=True)
        certificates = {
            name: certify((exact[name], cheap[name]), tuple(each[bucket_column(name)] for each in buckets), tiers)
            for name in measured
        }
    return {name: _decided(classifiers, name, certificates, why_not) for name in plan.unmeasured}


def _decided(
    classifiers: Mapping[str, Classifier],
    name: str,
    certificates: Mapping[str, Certificate],
    why_not: Mapping[str, str],
) -> Choice:
    """What follows for one classifier; those that share a forward pass go on sharing it, all fast or all exact."""
    certificate = certificates.get(name)
    if classifiers[name].precision != AUTO:
        return Choice(classifiers[name].precision, "asked for", certificate)
    if certificate is None:
        return Choice(EXACT, why_not[name])
    if not certificate.is_good:
        return Choice(EXACT, "fast moves too many documents", certificate)
    same = [in_precision(each, EXACT) if each.precision else each for each in classifiers.values()]
    (shared,) = (each.names for each in groups(same).passes if name in each.names)
    for other in shared:
        stays = other in why_not or classifiers[other].precision == EXACT
        if stays or (other in certificates and not certificates[other].is_good):
            return Choice(EXACT, f"as {other}, whose forward pass it shares", certificate)
    return Choice(FAST, "its certificate is good enough", certificate)


def _opinions(
    plan: Plan, scores: Mapping[str, NDArray[Any]], weights: NDArray[Any]
) -> tuple[pd.DataFrame, "pd.Series[Any]"]:
    """The buckets of all classifiers and the tiers of the sample, by its own cuts or the run's frozen ones.

    A sample is too small for groups, and a rule moves no bucket: without both.
    """
    used, frozen = {each.name: each.column for each in plan.tiering.used}, plan.tiering.frozen
    is_frozen = frozen is not None and not frozen.group
    cuts = {
        name: frozen.cuts(name, used[name]) if frozen and is_frozen and name in used else sample_cuts(values, weights)
        for name, values in scores.items()
    }
    frame = pd.DataFrame(dict(scores), dtype=np.float32)
    thresholds = Thresholds(tuple(ClassifierThresholds(name, each) for name, each in cuts.items()))
    tiering = stages(replace(plan.spec.tiering, group="", keep=""), thresholds, {name: name for name in scores})
    return Bucket(tuple(cuts.items()))(frame), tiering(frame)["tier"]
