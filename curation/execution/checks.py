"""What a plan finds wrong with settings that are right one by one: columns, the tokenizer, the run directory."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import psutil

from curation.core import frames
from curation.core.errors import CurationError
from curation.data import storage
from curation.data.inputs import Found
from curation.execution.spec import Pinned, RunSpec
from curation.stages.bucket import bucket_column

_WORTH_SAYING_BYTES = 500_000_000
_FEWER = (
    "Where that is too much, run fewer workers with more threads each (cluster.workers, scoring.compute_threads), or "
    "quantise the model (a .ftz of fastText is some hundred times smaller, and another classifier)."
)
_OUTPUT_SHARE = 0.05  # rows and scores beside the input's bytes; measured on web text: 0.02 to 0.04


def columns(spec: RunSpec, pinned: Sequence[Pinned]) -> Iterator[str]:
    """Columns that two owners would write."""
    chosen = spec.tiering.chosen([each.name for each in pinned])
    owners = defaultdict(list)
    for each in pinned:
        for column in each.classifier.columns:
            owners[column].append(f"classifier {each.name}")
        if each.name in chosen:
            owners[bucket_column(each.name)].append(f"the buckets of {each.name}")
    for column in spec.input.carried:
        owners[column].append("input.carry")
    for column in ("quality", "tier", *(["kept"] if spec.tiering.keep else [])):
        owners[column].append("the tiering")
    for column, names in owners.items():
        if len(names) > 1:
            yield f"the column {column!r} would come from {' and from '.join(names)}; rename one of them."


def frame(spec: RunSpec) -> Iterator[str]:
    """Why frames cannot be of the library that the spec wants, as far as that is seen without a worker."""
    if spec.input.frame == "pandas":
        return
    if reason := frames.why_not(spec.input.frame):
        yield f'[input] frame: "{spec.input.frame}" cannot be used: {reason}; or write frame = "pandas".'
    if spec.scoring.device == "cpu":
        yield (
            f'[input] frame: "{spec.input.frame}" frames are held by a GPU, and scoring.device is "cpu"; '
            'write frame = "pandas", or score on "cuda".'
        )


def tokens(spec: RunSpec) -> Iterator[str]:
    """Why tokens cannot be counted as the spec wants."""
    try:
        spec.tokens.identity()
    except CurationError as error:
        yield f"tokens.count_tokenizer: {error}"


def memory(spec: RunSpec, pinned: Sequence[Pinned]) -> Iterator[str]:
    """What the models that every worker process holds by itself take of this machine's memory, if it is much."""
    sizes = {each.name: size for each in pinned if (size := each.classifier.host_bytes) >= _WORTH_SAYING_BYTES}
    if not sizes:
        return
    named = " and ".join(f"{name} takes {size / 1e9:.1f} GB" for name, size in sizes.items())
    if spec.cluster.settled(spec.scoring.device)[0].kind != "cpu":
        yield f"{named} in every worker process. {_FEWER}"
        return
    num_workers = spec.cluster.num_workers(spec.scoring.compute_threads)
    together, there = sum(sizes.values()) * num_workers / 1e9, psutil.virtual_memory().total / 1e9
    yield (
        f"{named} in each of {num_workers} workers, together {together:.1f} of this machine's {there:.1f} GB. {_FEWER}"
    )


def output(spec: RunSpec, found: Found) -> Iterator[str]:
    """Why the run directory cannot be where it is wanted."""
    place = storage.url_of(*storage.filesystem(spec.output))
    is_inside = any(f"{place}/".startswith(f"{_place(folder)}/") for folder in spec.input.path)
    if is_inside or any(file.url.startswith(f"{place}/") for file in found.files):
        yield f"output: {spec.output} lies within the input, and would be read as input next time; put it elsewhere."
    if (problem := storage.why_not_writable(spec.output)) is not None:
        yield f"output: {spec.output} cannot be made: {problem}. Choose another place."
        return
    free = storage.free_bytes(spec.output)
    need = written_bytes(spec, found)
    if free is not None and free < need:
        yield f"output: {spec.output} has {free:,} bytes free; this run writes about {need:,}. Choose another place."


def written_bytes(spec: RunSpec, found: Found) -> int:
    """About what a run writes."""
    return int(found.num_bytes * (_OUTPUT_SHARE + (1.0 if spec.documents else 0.0)))


def _place(path: str) -> str:
    """Where an input is; as it is written when nothing can open it, which is told elsewhere."""
    try:
        return storage.url_of(*storage.filesystem(path))
    except CurationError:
        return path
