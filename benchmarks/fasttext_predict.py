"""A fastText classifier against calling fastText oneself: documents and megabytes per CPU second. Prints JSON.

The packaged model ``worth-keeping``, on one core; the candidates take turns round by round after a warm-up. All
normalise a text as this project does and read the same label's probability among all labels:

* ``model.predict`` of one document at a time, as tools that filter with fastText do it;
* the binding below it, ``model.f.predict``, of one document at a time;
* this project's classifier on all documents at once.

Not called fasttext.py, because a script's own folder is where Python looks for fasttext first.
"""

import argparse
import json
import platform
import statistics
from collections.abc import Callable, Sequence
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import fasttext
import numpy as np
from checkpoints import packaged_trunk
from documents import SETS, first, read_documents
from numpy.typing import NDArray
from turns import one_thread, table, take_turns, timed, times_faster

from curation.classifiers.fasttext import FastText, normalise
from curation.classifiers.source import resolve

MODEL = "embedded:models/worth-keeping"
LABEL = "__label__keep"
LOOP = "loop of model.predict"
COLUMNS = {
    "documents per CPU s": ("documents_per_cpu_s", ","),
    "MB per CPU s": ("mb_per_cpu_s", ".2f"),
    "times the loop": ("times_loop", ".3f"),
    "max difference": ("max_difference", ".1e"),
}

Scores = NDArray[np.float32]
Score = Callable[[Sequence[str]], Scores]


def loop(model: Any) -> Score:
    """The documented call, a document at a time."""

    def score(texts: Sequence[str]) -> Scores:
        found = []
        for text in texts:
            labels, probabilities = model.predict(normalise(text), k=-1)
            found.append(probabilities[labels.index(LABEL)])
        return np.array(found, np.float32)

    return score


def binding(model: Any) -> Score:
    """What the documented call calls, a document at a time."""

    def score(texts: Sequence[str]) -> Scores:
        found = []
        for text in texts:
            replies = model.f.predict(normalise(text) + "\n", -1, 0.0, "strict")
            found.append(next(probability for probability, label in replies if label == LABEL))
        return np.array(found, np.float32)

    return score


def ourselves() -> Score:
    """The classifier, as workers hold it."""
    scorer = FastText(name="score", model=MODEL, label=LABEL).load("cpu")
    return lambda texts: scorer(texts)["score"]


def measure(texts: Sequence[str], num_rounds: int) -> dict[str, dict[str, Any]]:
    """Let all warm up and take turns; compare their scores."""
    model = fasttext.load_model(str(resolve(MODEL) / "model.ftz"))
    scorers = {LOOP: loop(model), "loop of model.f.predict": binding(model), "curation": ourselves()}
    turns = {name: partial(timed, partial(score, texts)) for name, score in scorers.items()}
    take_turns(turns, 1)
    seconds, scores = take_turns(turns, num_rounds)
    num_bytes = sum(len(text.encode()) for text in texts)
    return {
        name: {
            "cpu_s": [round(spent, 4) for spent in times],
            "documents_per_cpu_s": round(len(texts) / statistics.median(times)),
            "mb_per_cpu_s": round(num_bytes / 1e6 / statistics.median(times), 2),
            "times_loop": times_faster(times, seconds[LOOP]),
            "max_difference": float(np.abs(scores[name] - scores[LOOP]).max()),
        }
        for name, times in seconds.items()
    }


def main() -> None:
    """Read the texts, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", choices=SETS, default="web", help="pages, or pieces of them")
    parser.add_argument("--texts", type=Path, required=True, help="a Parquet file with a column text")
    parser.add_argument("--num-documents", type=int, default=1000)
    parser.add_argument("--num-rounds", type=int, default=5)
    parser.add_argument("--markdown", action="store_true", help="a table instead of JSON")
    arguments = parser.parse_args()
    one_thread()
    texts = first(read_documents(arguments.documents, arguments.texts, packaged_trunk()), arguments.num_documents)
    found = {
        "model": MODEL,
        "documents": {
            "set": arguments.documents,
            "num_documents": len(texts),
            "num_bytes": sum(len(text.encode()) for text in texts),
        },
        "num_rounds": arguments.num_rounds,
        "processor": platform.machine(),
        "versions": {"fasttext-community": metadata.version("fasttext-community")},
        "candidates": measure(texts, arguments.num_rounds),
    }
    print(table(found["candidates"], COLUMNS) if arguments.markdown else json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
