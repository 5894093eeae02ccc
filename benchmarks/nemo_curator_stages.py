"""NeMo Curator's own classifier stages as a process that scores on request; `encoder.py` starts it.

Run by the Python of an environment of its own: ``pip install torch 'nemo-curator[text-cpu]==1.4.0' 'transformers<5'``,
for its TokenizerStage calls a method that transformers 5 no longer has. That stage and its FineWebModelStage run as
they are, in this process and without Ray: ``setup()`` once, then ``process()`` of one after the other on each
partition. The defaults stand: 512 tokens, padded to 512, sorted by length, batches of 256, each cut to the longest of
its own, autocast.

Two things are not its own, because it knows no other device than CUDA:

* ``torch.nn.Module.cuda`` does nothing, so that the model stays on the CPU;
* ``torch.autocast("cuda")``, which is float16, becomes autocast to bfloat16 on the CPU. What this costs in accuracy
  is bfloat16's and not NeMo Curator's on a GPU.

Its scores are clamped to [0, 5] by the stage; the reply says how many lie on a border.

A line on standard input is a number of documents; the reply is a line of JSON: CPU seconds of both stages, scores.
"""

import argparse
import json
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from nemo_curator.stages.text.classifiers.fineweb_edu import _FineWebBaseClassifier
from nemo_curator.tasks import DocumentBatch

HOW = "its stages in process, without Ray; cuda() does nothing; autocast to bfloat16 on the CPU for float16 on CUDA"

_SCORE = "float_score"
_LOWEST, _HIGHEST = 0.0, 5.0
_autocast = torch.autocast


def compute_on_cpu() -> None:
    """Let code that asks for CUDA compute on this CPU, in one thread."""
    torch.nn.Module.cuda = lambda module, _device=None: module
    torch.autocast = _on_cpu
    torch.set_num_threads(1)


def _on_cpu(device_type: str, *args: Any, **kwargs: Any) -> Any:
    if device_type == "cuda":
        return _autocast("cpu", dtype=torch.bfloat16)
    return _autocast(device_type, *args, **kwargs)


def load(folder: Path) -> list[Any]:
    """The stages of a FineWeb-Edu classifier with the checkpoint in `folder`."""
    stages = _FineWebBaseClassifier(model_identifier=str(folder)).decompose()
    for stage in stages:
        stage.setup()
    return stages


def score(stages: list[Any], texts: list[str], partition: int) -> dict[str, Any]:
    """The scores of all texts in order, and the CPU seconds of the stages."""
    parts = [texts[start : start + partition] for start in range(0, len(texts), partition)]
    batches = [DocumentBatch(dataset_name="", data=pd.DataFrame({"text": part})) for part in parts]
    start = time.process_time()
    done = [_through(stages, batch) for batch in batches]
    cpu_s = time.process_time() - start
    scores = [value for batch in done for value in batch.to_pandas()[_SCORE]]
    return {"cpu_s": cpu_s, "scores": scores, "num_at_border": sum(value in (_LOWEST, _HIGHEST) for value in scores)}


def _through(stages: list[Any], batch: DocumentBatch) -> DocumentBatch:
    for stage in stages:
        batch = stage.process(batch)
    return batch


def main() -> None:
    """Load, say what runs, then answer line by line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("texts", type=Path, help="a JSON file: the list of the documents")
    parser.add_argument("partition", type=int, help="documents in a partition")
    arguments = parser.parse_args()
    replies, sys.stdout = sys.stdout, sys.stderr  # what libraries print is no reply
    compute_on_cpu()
    stages, texts = load(arguments.checkpoint), json.loads(arguments.texts.read_text(encoding="utf-8"))
    versions = {name: metadata.version(name) for name in ("nemo-curator", "torch", "transformers", "tokenizers")}
    print(
        json.dumps({"how": HOW, "partition": arguments.partition, "clamped_to": [_LOWEST, _HIGHEST]} | versions),
        file=replies,
        flush=True,
    )
    for line in sys.stdin:
        print(json.dumps(score(stages, texts[: int(line)], arguments.partition)), file=replies, flush=True)


if __name__ == "__main__":
    main()
