"""The precision certificate of a run, measured on the workers: the same documents scored exactly and cheaply."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xxhash
from numpy.typing import NDArray

from curation.calibration.certificate import Certificate, certify, sample_cuts
from curation.calibration.thresholds import ClassifierThresholds, Thresholds
from curation.core import frames
from curation.core.classifier import Classifier
from curation.core.errors import ModelError, ShardError
from curation.data.reader import read
from curation.data.shards import Shard
from curation.execution.plan import Plan
from curation.execution.precision import AUTO, EXACT, FAST, Choice, in_precision
from curation.execution.spec import RunSpec
from curation.execution.window import run_window
from curation.inference.replica import is_fast_here, load_replica
from curation.inference.tokens import count_tokens
from curation.stages.bucket import Bucket, bucket_column
from curation.stages.tiering import stages

if TYPE_CHECKING:
    from distributed import Client

SEED = 0

_MOST_SHARDS = 32
_WEIGHTS = {"bytes": "n_bytes", "tokens": "n_tokens"}


@dataclass(frozen=True)
class SampleTask:
    """Score some documents of some shards with all classifiers, exactly and in the precisions in question."""

    spec: RunSpec
    shards: tuple[Shard, ...]
    num_each: int
    pending: tuple[str, ...]


@dataclass(frozen=True)
class Sample:
    """Weights and scores of the sampled documents by classifier; `why_not` says why there is nothing to measure."""

    weights: NDArray[Any]
    exact: Mapping[str, NDArray[Any]]
    cheap: Mapping[str, NDArray[Any]]
    why_not: str = ""


def measure(client: "Client", plan: Plan, size: int) -> Mapping[str, Choice]:
    """A choice for each classifier that the plan leaves open, by name.

    About `size` documents are drawn by a fixed seed: from the beginnings of at most 32 shards. Raises ShardError when
    they cannot be read or scored.
    """
    drawn = sorted(plan.shards, key=_lot)[:_MOST_SHARDS]
    num_tasks = max(1, min(len(drawn), len(client.scheduler_info(n_workers=-1)["workers"])))
    num_each = -(-size // max(1, len(drawn)))
    parts = [tuple(drawn[number::num_tasks]) for number in range(num_tasks)]
    samples = []
    for outcome in run_window(
        client, score_sample, [SampleTask(plan.spec, part, num_each, plan.unmeasured) for part in parts]
    ):
        if outcome.result is None:
            raise ShardError(f"The documents that precisions are measured on cannot be scored: {outcome.error}")
        samples.append(outcome.result)
    return _choices(plan, samples)


def score_sample(task: SampleTask) -> Sample:
    """Runs on a worker."""
    spec = task.spec
    movable = [each for each in spec.classifier if each.name in task.pending]
    only_auto = all(each.precision == AUTO for each in movable)
    if only_auto and not is_fast_here(spec.scoring.device):
        return Sample(np.empty(0), {}, {}, "this processor multiplies 16 bits no faster than 32")
    texts, weights = _documents(task)
    exact = _scores([in_precision(each, EXACT) if each in movable else each for each in spec.classifier], spec, texts)
    try:
        cheap = _scores([_cheap(each) for each in movable], spec, texts)
    except ModelError as error:
        if not only_auto:
            raise
        return Sample(np.empty(0), {}, {}, str(error))
    return Sample(weights, exact, cheap)


def _documents(task: SampleTask) -> tuple[list[str | None], NDArray[Any]]:
    """Texts that are scored, from the first partition of each shard, and what each weighs."""
    spec = task.spec
    column = _WEIGHTS.get(spec.tiering.weights)
    texts: list[str | None] = []
    weights: list[NDArray[Any]] = [np.empty(0, np.int64)]
    for shard in task.shards:
        for partition in islice(read(shard, spec.input), 1):
            ok = partition.frame[partition.frame["state"] == "ok"]
            places = np.random.default_rng([SEED, _lot(shard)]).permutation(len(ok))[: task.num_each]
            drawn = ok.iloc[np.sort(places)]
            num_tokens = count_tokens(spec.tokens, drawn["text"].tolist(), drawn["n_bytes"].to_numpy())
            texts += frames.texts(drawn, "text")
            weights.append(drawn.assign(n_tokens=num_tokens)[column].to_numpy() if column else np.ones(len(drawn)))
    return texts, np.concatenate(weights).astype(np.int64)


def _lot(shard: Shard) -> int:
    """A number that decides whether a shard is drawn, and which of its documents."""
    return xxhash.xxh3_64_intdigest(shard.name.encode(), seed=SEED)


def _scores(
    classifiers: Sequence[Classifier], spec: RunSpec, texts: Sequence[str | None]
) -> Mapping[str, NDArray[Any]]:
    columns = load_replica(classifiers, spec.scoring)(texts)
    return {each.name: columns[each.score_column] for each in classifiers}


def _cheap(classifier: Classifier) -> Classifier:
    return in_precision(classifier, FAST) if classifier.precision == AUTO else classifier


def _choices(plan: Plan, samples: Sequence[Sample]) -> Mapping[str, Choice]:
    classifiers = {each.name: each for each in plan.spec.classifier}
    movable = {name: classifiers[name] for name in plan.unmeasured}
    if why_not := next((sample.why_not for sample in samples if sample.why_not), ""):
        return {name: Choice(EXACT, why_not) for name in movable}
    weights = np.concatenate([sample.weights for sample in samples])
    if len(weights) < 2 or not weights.any():
        return {name: Choice(_asked(each), "no documents to measure it on") for name, each in movable.items()}
    exact = {name: np.concatenate([sample.exact[name] for sample in samples]) for name in classifiers}
    cheap = exact | {name: np.concatenate([sample.cheap[name] for sample in samples]) for name in movable}
    buckets, tiers = zip(*(_opinions(plan, scores, weights) for scores in (exact, cheap)), strict=True)
    return {
        name: _decide(
            classifier,
            certify((exact[name], cheap[name]), tuple(each[bucket_column(name)] for each in buckets), tiers),
        )
        for name, classifier in movable.items()
    }


def _decide(classifier: Classifier, certificate: Certificate) -> Choice:
    if classifier.precision != AUTO:
        return Choice(classifier.precision, "asked for", certificate)
    if certificate.is_good:
        return Choice(FAST, "its certificate is good enough", certificate)
    return Choice(EXACT, "fast moves too many documents", certificate)


def _asked(classifier: Classifier) -> str:
    return EXACT if classifier.precision == AUTO else classifier.precision


def _opinions(
    plan: Plan, scores: Mapping[str, NDArray[Any]], weights: NDArray[Any]
) -> tuple[pd.DataFrame, "pd.Series[Any]"]:
    """The buckets of all classifiers and the tiers of the sample, by its own cuts or the run's frozen ones."""
    used = {each.name: each.classifier.score_column for each in plan.used}
    cuts = {
        name: plan.frozen.cuts(name, used[name]) if plan.frozen and name in used else sample_cuts(values, weights)
        for name, values in scores.items()
    }
    frame = pd.DataFrame(dict(scores))
    thresholds = Thresholds(tuple(ClassifierThresholds(name, each) for name, each in cuts.items()))
    tiering = stages(plan.spec.tiering, thresholds, {name: name for name in scores})
    return Bucket(tuple(cuts.items()))(frame), tiering(frame)["tier"]
