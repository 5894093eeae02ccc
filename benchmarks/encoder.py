"""Encoder classifiers against what people would use instead: CPU seconds per useful token. Prints JSON.

The same weights and the same documents for all; one thread; the candidates take turns round by round, after a warm-up;
padding is no token; ratios are medians over the rounds of CPU seconds for each classifier. The candidates:

* the loop that model cards show, in float32 and in bfloat16: batches of 32 in input order, padded to the longest;
* ``transformers.pipeline``, batches of 32;
* sentence-transformers' ``encode``, batches of 32 sorted by length: [CLS] of the same trunk, then the same head;
* NeMo Curator's own stages with their defaults, in a process of their own (``nemo_curator_stages.py`` says how they
  come to compute on a CPU), where ``--nemo-python`` names a Python that has it;
* this project's replica with one classifier, and with three that differ in their heads, whose trunk runs once.

Differences of scores are those of the first classifier to the float32 card loop, clamped as the candidate clamps;
buckets are 20 quantiles of a candidate's own scores. Weights are the packaged MiniLM's or random ones, so the
differences of `arctic` are no estimate of what trained weights give. `--layers` is for trying things out: this project
computes the last layer for the first token alone, which is worth the more, the fewer layers there are.
"""

import argparse
import json
import platform
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from agreement import agreement
from checkpoints import SHAPES, packaged_trunk, write_checkpoints
from documents import SETS, describe, first, read_documents
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from turns import Turn, markdown, one_thread, table, take_turns, timed, times_faster

from curation.classifiers.encoder import Encoder
from curation.core.classifier import Precision
from curation.inference.precision import is_fast_here
from curation.inference.replica import ScoringSpec, load_replica

BATCH = 32
MAX_TOKENS = 512
NUM_HEADS = 3
CARD = "card loop, float32"
CARD_BFLOAT16 = "card loop, bfloat16"
NEMO_CURATOR = "NeMo Curator"

COLUMNS = {
    "tokens per CPU s and classifier": ("tokens_per_cpu_s_and_classifier", ","),
    "times card loop, float32": ("times_card_float32", ".2f"),
    "times card loop, bfloat16": ("times_card_bfloat16", ".2f"),
    "max difference": ("max_difference", ".1e"),
    "mean difference / std": ("mean_difference_std", ".1e"),
    "Spearman": ("spearman", ".6f"),
    "in another bucket": ("other_bucket_share", ".2%"),
    "distinct scores": ("num_distinct", ","),
}

Scores = NDArray[np.float32]
Score = Callable[[Sequence[str]], Scores]


@dataclass(frozen=True)
class Candidate:
    """Texts → CPU seconds and scores_CN, one row for each of its classifiers; `limits` are those that it clamps to."""

    run: Callable[[Sequence[str]], tuple[float, Scores]]
    num_classifiers: int = 1
    is_ours: bool = False
    limits: tuple[float, float] = (-np.inf, np.inf)


def here(score: Score) -> Candidate:
    """A candidate with one classifier that runs in this process."""
    return Candidate(lambda texts: timed(lambda: score(texts)[np.newaxis]))


def card_loop(folder: Path, dtype: torch.dtype) -> Score:
    """The loop that model cards show, in batches in input order."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=dtype).eval()

    def score(texts: Sequence[str]) -> Scores:
        found = []
        for start in range(0, len(texts), BATCH):
            batch = list(texts[start : start + BATCH])
            inputs = tokenizer(batch, return_tensors="pt", padding="longest", truncation=True, max_length=MAX_TOKENS)
            with torch.inference_mode():
                found.append(model(**inputs).logits.squeeze(-1).float().numpy())
        return np.concatenate(found)

    return score


def pipeline(folder: Path) -> Score:
    """``transformers.pipeline``, in batches."""
    classify = transformers.pipeline(
        "text-classification", model=str(folder), function_to_apply="none", device="cpu", dtype=torch.float32
    )

    def score(texts: Sequence[str]) -> Scores:
        replies = classify(list(texts), batch_size=BATCH, truncation=True, max_length=MAX_TOKENS)
        return np.array([reply["score"] for reply in replies], np.float32)

    return score


def sentence_transformer(folder: Path) -> Score:
    """``SentenceTransformer.encode`` to the trunk's [CLS], then the classifier's own pooler and last layer."""
    trunk = Transformer(str(folder), max_seq_length=MAX_TOKENS)
    encoder = SentenceTransformer(
        modules=[trunk, Pooling(trunk.get_embedding_dimension(), pooling_mode="cls")], device="cpu"
    )
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()

    def score(texts: Sequence[str]) -> Scores:
        first_BD = encoder.encode(list(texts), batch_size=BATCH, convert_to_tensor=True, show_progress_bar=False)
        with torch.inference_mode():
            scores_B1: torch.Tensor = model.classifier(model.bert.pooler(first_BD.unsqueeze(1)))
        return scores_B1.squeeze(-1).numpy()

    return score


def ourselves(folders: Sequence[Path], precision: Precision) -> Candidate:
    """A replica, as workers hold it."""
    replica = load_replica([_recipe(folder, precision) for folder in folders], ScoringSpec(device="cpu"))

    def score(texts: Sequence[str]) -> Scores:
        return np.stack(list(replica(texts).values()))

    return Candidate(lambda texts: timed(lambda: score(texts)), num_classifiers=len(folders), is_ours=True)


def _recipe(folder: Path, precision: Precision) -> Encoder:
    return Encoder(name=folder.name, model=str(folder), max_tokens=MAX_TOKENS, precision=precision)


@contextmanager
def nemo_curator(python: Path, folder: Path, texts: Sequence[str], partition: int) -> Iterator[tuple[Candidate, Any]]:
    """NeMo Curator's stages in a process of their own, which has the `texts`; and what is to be said about them."""
    script = Path(__file__).with_name("nemo_curator_stages.py")
    file = folder.with_name("texts.json")
    file.write_text(json.dumps(list(texts)), encoding="utf-8")
    command = [str(python), str(script), str(folder), str(file), str(partition)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        about = _reply(process)

        def run(some: Sequence[str]) -> tuple[float, Scores]:
            print(len(some), file=process.stdin, flush=True)
            reply = _reply(process)
            about["num_scores_at_border"] = reply["num_at_border"]
            return reply["cpu_s"], np.array([reply["scores"]], np.float32)

        yield Candidate(run, limits=tuple(about["clamped_to"])), about


def _reply(process: subprocess.Popen[str]) -> Any:
    if not (line := process.stdout.readline() if process.stdout else ""):
        raise SystemExit(f"NeMo Curator's process ended with exit code {process.wait()}; what it wrote stands above.")
    return json.loads(line)


def measure(texts: Sequence[str], num_tokens: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Write the classifiers, let all candidates warm up and take turns, compare."""
    few = texts[:BATCH]
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folders = write_checkpoints(
            Path(name), arguments.model, arguments.layers, num_heads=NUM_HEADS, texts=few, max_tokens=MAX_TOKENS
        )
        candidates = _peers(folders[0]) | _ours(folders, arguments.precisions)
        nemo = None
        if arguments.nemo_python:
            candidates[NEMO_CURATOR], nemo = stack.enter_context(
                nemo_curator(arguments.nemo_python, folders[0], texts, arguments.nemo_partition)
            )
        _, warm_up = take_turns(_turns(candidates, few), 1)
        expected_CN = np.stack([card_loop(folder, torch.float32)(few) for folder in folders])
        seconds, scores = take_turns(_turns(candidates, texts), arguments.num_rounds)
    return {
        "candidates": _compare(candidates, seconds, scores, num_tokens),
        "ours_times_others": _ours_times_others(candidates, seconds),
        "max_difference_of_heads_at_warm_up": {
            each: np.abs(scores_CN - expected_CN).max(axis=1).tolist()
            for each, scores_CN in warm_up.items()
            if len(scores_CN) > 1
        },
        "nemo_curator": nemo,
        "left_out": {} if nemo else {NEMO_CURATOR: "no --nemo-python"},
    }


def _compare(
    candidates: Mapping[str, Candidate], seconds: Mapping[str, list[float]], scores: Mapping[str, Scores], tokens: int
) -> dict[str, dict[str, Any]]:
    """Speed and agreement of every candidate."""
    each_s = _per_classifier(candidates, seconds)
    return {
        name: {
            "num_classifiers": candidate.num_classifiers,
            "cpu_s": [round(spent, 3) for spent in seconds[name]],
            "tokens_per_cpu_s_and_classifier": round(tokens / statistics.median(each_s[name])),
            "times_card_float32": times_faster(each_s[name], each_s[CARD]),
            "times_card_bfloat16": times_faster(each_s[name], each_s[CARD_BFLOAT16]),
            **agreement(scores[name][0], scores[CARD][0].clip(*candidate.limits)),
        }
        for name, candidate in candidates.items()
    }


def _ours_times_others(
    candidates: Mapping[str, Candidate], seconds: Mapping[str, list[float]]
) -> dict[str, dict[str, float]]:
    """How many times as fast each of ours is as each of the others, for every classifier."""
    each_s = _per_classifier(candidates, seconds)
    others = [name for name, candidate in candidates.items() if not candidate.is_ours]
    return {
        name: {other: times_faster(each_s[name], each_s[other]) for other in others}
        for name, candidate in candidates.items()
        if candidate.is_ours
    }


def _per_classifier(candidates: Mapping[str, Candidate], seconds: Mapping[str, list[float]]) -> dict[str, list[float]]:
    return {name: [each / candidates[name].num_classifiers for each in times] for name, times in seconds.items()}


def _peers(folder: Path) -> dict[str, Candidate]:
    return {
        CARD: here(card_loop(folder, torch.float32)),
        CARD_BFLOAT16: here(card_loop(folder, torch.bfloat16)),
        "transformers.pipeline, float32": here(pipeline(folder)),
        "sentence-transformers, float32": here(sentence_transformer(folder)),
    }


def _ours(folders: Sequence[Path], precisions: Sequence[Precision]) -> dict[str, Candidate]:
    return {
        f"curation, {precision}" + (f", {num} classifiers" if num > 1 else ""): ourselves(folders[:num], precision)
        for num in (1, len(folders))
        for precision in precisions
    }


def _turns(candidates: Mapping[str, Candidate], texts: Sequence[str]) -> dict[str, Turn[Scores]]:
    return {name: partial(candidate.run, texts) for name, candidate in candidates.items()}


def report(found: Mapping[str, Any]) -> str:
    """What was found as Markdown: every candidate, ours against all others, and the rest as JSON."""
    ours = found["ours_times_others"]
    against = [
        {"times as fast as": other} | {name: format(times[other], ".2f") for name, times in ours.items()}
        for other in next(iter(ours.values()))
    ]
    rest = {key: value for key, value in found.items() if key not in {"candidates", "ours_times_others"}}
    return "\n\n".join([table(found["candidates"], COLUMNS), markdown(against), f"`{json.dumps(rest)}`"])


def main() -> None:
    """Read the texts, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=SHAPES, default="minilm")
    parser.add_argument(
        "--layers", type=int, default=0, help="how many of the trunk's layers; 0: all; fewer flatter us"
    )
    parser.add_argument("--documents", choices=SETS, default="web", help="pages, or pieces of them")
    parser.add_argument("--texts", type=Path, required=True, help="a Parquet file with a column text")
    parser.add_argument("--num-documents", type=int, default=300)
    parser.add_argument("--num-rounds", type=int, default=3)
    parser.add_argument("--precisions", nargs="+", choices=("exact", "fast"), default=["exact", "fast"])
    parser.add_argument("--nemo-python", type=Path, help="the Python of an environment with nemo-curator")
    parser.add_argument("--nemo-partition", type=int, default=1000, help="documents in a partition")
    parser.add_argument("--markdown", action="store_true", help="tables instead of JSON")
    arguments = parser.parse_args()
    one_thread()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    texts = first(read_documents(arguments.documents, arguments.texts, packaged_trunk()), arguments.num_documents)
    documents = describe(texts, packaged_trunk(), MAX_TOKENS)
    packages = ("torch", "transformers", "tokenizers", "sentence-transformers")
    about = {
        "model": arguments.model,
        "num_layers": arguments.layers or "all",
        "documents": {"set": arguments.documents} | documents,
        "num_rounds": arguments.num_rounds,
        "processor": f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}",
        "multiplies_bfloat16": is_fast_here("cpu"),
        "versions": {each: metadata.version(each) for each in packages},
    }
    found = about | measure(texts, documents["num_tokens"], arguments)
    print(report(found) if arguments.markdown else json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
