"""The token budget of a batch: a few probes of what is fastest on this machine, remembered for the next run."""

import contextlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from curation.inference.batches import Batch

if TYPE_CHECKING:
    from curation.inference.trunk import Trunk

CPU_BUDGETS = (2048, 4096, 1024)
GPU_BUDGETS = (32768, 16384, 65536, 131072)
"""What is tried, the usual one first."""

_SECONDS = 8.0
_WORTH_IT = 1.03  # what is not faster by so much is noise
_LENGTHS = (512, 512, 512, 400, 300, 200, 100, 50)  # like web text: half of it is cut off at 512


def usual_budget(device: str) -> int:
    """The budget where nothing is measured."""
    return (CPU_BUDGETS if device == "cpu" else GPU_BUDGETS)[0]


def find_budget(trunks: Sequence["Trunk"], max_tokens: int, device: str, identity: str) -> int:
    """The budget with which the trunks run fastest; the usual one where another is hardly better.

    Remembered under `identity`, which is to name all that it depends on, in the user's cache. Takes some seconds.
    """
    if identity in (remembered := _remembered()):
        return remembered[identity]
    budgets = CPU_BUDGETS if device == "cpu" else GPU_BUDGETS
    found = fastest(budgets, lambda budget: _speed(trunks, budget, max_tokens, device), _SECONDS)
    _remember({**remembered, identity: found})
    return found


def fastest(budgets: Sequence[int], speed: Callable[[int], float], seconds: float) -> int:
    """The first of the budgets, or one that is clearly faster; in two rounds, as far as the seconds reach.

    `speed` gives 0 where memory does not suffice.
    """
    end = time.monotonic() + seconds
    best: dict[int, float] = {}
    for budget in (*budgets, *budgets):
        if time.monotonic() < end and best.get(budget, 1.0) > 0:
            best[budget] = max(best.get(budget, 0.0), speed(budget))
    usual = budgets[0]
    winner = max(best, key=lambda budget: best[budget], default=usual)
    return winner if best.get(winner, 0.0) > _WORTH_IT * best.get(usual, 0.0) else usual


def _speed(trunks: Sequence["Trunk"], budget: int, max_tokens: int, device: str) -> float:
    """Tokens a second through the trunks in batches of this budget; 0 when memory does not suffice."""
    import torch

    batch = _batch(budget, max_tokens)
    start = time.perf_counter()
    try:
        with torch.inference_mode():
            for trunk in trunks:
                trunk(batch, fill=False)
        if device != "cpu":
            torch.cuda.synchronize()
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
        return 0.0
    return len(batch.ids) / (time.perf_counter() - start)


def _batch(budget: int, max_tokens: int) -> Batch:
    """A batch of about `budget` tokens, of texts as long as those on the web."""
    lengths = np.minimum(np.resize(_LENGTHS, max(1, budget)), max_tokens)
    lengths = lengths[: max(1, int(np.searchsorted(np.cumsum(lengths), budget, side="right")))]
    return Batch(np.full(lengths.sum(), 7, np.int64), lengths.astype(np.int64), 0)


def _file() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "curation" / "token_budgets.json"


def _remembered() -> Mapping[str, int]:
    try:
        content: Any = json.loads(_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {key: value for key, value in content.items() if isinstance(value, int)} if isinstance(content, dict) else {}


def _remember(budgets: Mapping[str, int]) -> None:
    """Keep what was found; a cache that cannot be written costs some seconds next time."""
    with contextlib.suppress(OSError):
        _file().parent.mkdir(parents=True, exist_ok=True)
        scratch = _file().with_suffix(f".{os.getpid()}")
        scratch.write_text(json.dumps(dict(budgets), indent=1), encoding="utf-8")
        scratch.replace(_file())
