"""A planned mix in the words of those who train: one file for each phase and trainer."""

import json
from collections.abc import Iterator

import numpy as np
import yaml

from curation.mixing.plan import MixPlan

_DIGITS = 9


def files(plan: MixPlan) -> Iterator[tuple[str, str]]:
    """(name, text) of every file.

    Paths are `path` of a counted source, and otherwise its name: where the tokens of a source lie is for the trainer to
    say, which reads them after its own tokenizer.
    """
    for place, phase in enumerate(plan.spec.phase):
        drawn = np.flatnonzero(plan.tokens[:, place]).tolist()
        weights = [round(float(plan.weights[row, place]), _DIGITS) for row in drawn]
        names = [plan.sources[row].name for row in drawn]
        paths = [plan.sources[row].path or plan.sources[row].name for row in drawn]
        repeated = [max(1.0, float(plan.epochs[row, place])) for row in drawn]
        blend = " ".join(f"{weight:.{_DIGITS}f} {path}" for weight, path in zip(weights, paths, strict=True))
        yield f"megatron-{phase.name}.txt", blend + "\n"
        yield (
            f"olmo-core-{phase.name}.yaml",
            _yaml(
                {
                    "requested_tokens": int(plan.tokens[:, place].sum()),
                    "source_configs": [
                        {
                            "source_name": name,
                            "target_ratio": weight,
                            "max_repetition_ratio": round(times, 6),
                            "paths": [path],
                        }
                        for name, weight, times, path in zip(names, weights, repeated, paths, strict=True)
                    ],
                }
            ),
        )
        yield f"nanotron-{phase.name}.yaml", _yaml({"dataset_folder": paths, "dataset_weights": weights})
        interleave = {"datasets": paths, "probabilities": weights, "stopping_strategy": "all_exhausted"}
        yield f"interleave-datasets-{phase.name}.json", json.dumps(interleave, indent=1) + "\n"


def _yaml(value: object) -> str:
    return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True))
