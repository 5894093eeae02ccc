"""A mix in the words of those who train: one file for each phase and trainer."""

import json
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import yaml
from numpy.typing import NDArray

from curation.mixing.plan import MixPlan

_DIGITS = 12  # of a weight in a blend; Megatron makes their sum 1 itself


class Part(NamedTuple):
    """What a trainer draws from in a phase: which share of its tokens, how often each of them, and where they are."""

    name: str
    path: str
    weight: float
    epochs: float


def parts(plan: MixPlan, phase: int, among: NDArray[np.bool_] | None = None) -> list[Part]:
    """Every source that a phase draws from, or those of them that are `among` these.

    The path is that of a counted source, and otherwise its name: where its tokens lie is for the trainer to say, which
    reads them after its own tokenizer.
    """
    weights, epochs = plan.weights[:, phase].tolist(), plan.epochs[:, phase].tolist()
    is_drawn = plan.tokens[:, phase] > 0
    return [
        Part(plan.sources[row].name, plan.sources[row].path or plan.sources[row].name, weights[row], epochs[row])
        for row in np.flatnonzero(is_drawn if among is None else is_drawn & among).tolist()
    ]


def files(phase: str, num_tokens: int, drawn: Sequence[Part]) -> Iterator[tuple[str, str]]:
    """(name, text) of the files of a phase.

    `megatron`: what Megatron-LM's --data-path is given, or a file for --data-args-path. `olmo-core`: a
    SourceMixtureList. `nanotron`: NanosetDatasetsArgs, under data_stages.data.dataset. `interleave-datasets`: paths,
    and arguments of datasets.interleave_datasets, which draws rows: of equal length, such as packed sequences. It does
    not know where to stop: at `stop_at_tokens`.
    """
    total = math.fsum(each.weight for each in drawn)
    weights = [each.weight / total for each in drawn]
    paths = ["_".join(each.path.split()) for each in drawn]  # Megatron splits a blend at blanks
    blend = " ".join(f"{weight:.{_DIGITS}g} {path}" for weight, path in zip(weights, paths, strict=True))
    yield f"megatron-{phase}.txt", blend + "\n"
    listed = [
        {
            "source_name": each.name,
            "target_ratio": weight,
            "paths": [path],
            "max_repetition_ratio": max(1.0, math.ceil(each.epochs * 10**6) / 10**6),
        }
        for each, weight, path in zip(drawn, weights, paths, strict=True)
    ]
    yield f"olmo-core-{phase}.yaml", f"# requested_tokens: {num_tokens}\n" + _yaml({"sources": listed})
    yield f"nanotron-{phase}.yaml", _yaml({"dataset_folder": paths, "dataset_weights": weights})
    interleave = {"probabilities": weights, "stopping_strategy": "all_exhausted"}
    yield (
        f"interleave-datasets-{phase}.json",
        json.dumps(
            {"paths": paths, "stop_at_tokens": num_tokens, "arguments": interleave}, indent=1, ensure_ascii=False
        )
        + "\n",
    )


def _yaml(value: object) -> str:
    return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True))
