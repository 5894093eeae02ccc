"""One trunk pass over tokenised texts, with every head that reads it."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from curation.core.errors import DeviceError, ModelError
from curation.inference.batches import Batch, Framed, alike, batches, halves, runs
from curation.inference.tokens import Template, Tokens

if TYPE_CHECKING:
    from torch import Tensor

    from curation.inference.heads import Head
    from curation.inference.states import States

_CPU_OUT_OF_MEMORY = "DefaultCPUAllocator"


class Encodes(Protocol):
    """What is asked of a trunk."""

    @property
    def shape(self) -> tuple[int, int] | None:
        """The tokens of every batch and of its longest text, if they are fixed."""

    @property
    def alike_only(self) -> bool:
        """Whether only texts of equal length may share a batch."""

    @property
    def may_overflow(self) -> bool:
        """Whether it computes in numbers that end at 65,504."""

    def __call__(self, batch: Batch, *, fill: bool = True) -> "States":
        """The hidden states of a batch."""

    def exactly(self, batch: Batch) -> "States":
        """The same in float32."""


@dataclass
class Limit:
    """How many tokens were too many for a device's memory: batches as large are halved before they are tried.

    `num_out_of_memory` counts how often it ran out.
    """

    num_tokens: float = math.inf
    num_out_of_memory: int = 0


@dataclass(frozen=True)
class Outputs:
    """What the heads gave, float32 [n, C] for each in the order of the texts.

    How many batches were halved for want of memory, and how many texts were computed again in float32 because 16 bits
    could not hold them.
    """

    heads: tuple[NDArray[np.float32], ...]
    num_halved: int
    num_overflowed: int


def forward(
    trunk: Encodes,
    heads: Sequence["Head"],
    tokens: Tokens,
    template: Template,
    *,
    token_budget: int,
    device: str,
    limit: Limit | None = None,
) -> Outputs:
    """Run every text through the trunk once and every head on its hidden states.

    When memory runs out, that batch is halved and redone, and `limit` remembers how large it was. Raises ModelError
    when one text does not fit.
    """
    import torch

    texts = Framed(tokens, template)
    work = _Work(trunk, heads, texts, device, limit or Limit())
    split = alike if trunk.alike_only else batches if trunk.shape is None else runs
    with _device_errors(device), torch.inference_mode():
        outputs = work.run(split(texts.lengths, token_budget))
        overflowed = np.flatnonzero(~_is_finite(outputs)) if trunk.may_overflow else np.empty(0, np.int64)
        if len(overflowed):
            split = alike if trunk.alike_only else batches
            parts = split(texts.lengths[overflowed], token_budget)
            again = work.run([overflowed[part] for part in parts], exact=True)
            for values, exact in zip(outputs, again, strict=True):
                values[overflowed] = exact[overflowed]
    return Outputs(outputs, work.num_halved, len(overflowed))


@contextmanager
def _device_errors(device: str) -> Iterator[None]:
    """A device's own failure as a DeviceError; it may show only when results are copied back."""
    import torch

    try:
        yield
    except torch.AcceleratorError as error:
        raise DeviceError(f"{device} has failed, and so will all that this process asks of it: {error}") from error


class _Work:
    """Batches through a trunk and its heads; nothing is copied back before the last one is on its way."""

    def __init__(self, trunk: Encodes, heads: Sequence["Head"], texts: Framed, device: str, limit: Limit) -> None:
        self.trunk, self.heads, self.texts, self.device, self.limit = trunk, heads, texts, device, limit
        self.num_halved = 0

    def run(self, places: Sequence[NDArray[np.int64]], *, exact: bool = False) -> tuple[NDArray[np.float32], ...]:
        """The outputs of each head for all texts; 0 for those that are in no batch."""
        todo = [(batch, True) for batch in reversed(places)]
        done: list[tuple[NDArray[np.int64], list[Tensor]]] = []
        while todo:
            batch, whole = todo.pop()
            num_tokens = self._laid_out(batch, whole=whole)
            if num_tokens < self.limit.num_tokens or len(batch) == 1:
                outputs = self._attempt(self.texts.batch(batch), whole=whole, exact=exact)
                if outputs is not None:
                    done.append((batch, outputs))
                    continue
                self.limit.num_tokens = min(self.limit.num_tokens, num_tokens)
                self.limit.num_out_of_memory += 1
            self.num_halved += 1
            if len(batch) == 1:
                raise ModelError(
                    f"One text of {self.texts.lengths[batch[0]]} tokens does not fit into the memory of {self.device}. "
                    "Lower the classifier's max_tokens, or free memory there."
                )
            todo.extend((half, False) for half in reversed(halves(batch)))
        return tuple(self._gathered(done, head) for head in range(len(self.heads)))

    def _laid_out(self, places: NDArray[np.int64], *, whole: bool) -> int:
        """The tokens that a batch takes memory for: padding and filling count."""
        lengths = self.texts.lengths[places]
        if self.trunk.shape is None:
            return int(lengths.max()) * len(places)
        return max(int(lengths.sum()), self.trunk.shape[0] if whole else 0)

    def _attempt(self, batch: Batch, *, whole: bool, exact: bool) -> "list[Tensor] | None":
        """The outputs of each head; None when memory ran out."""
        import torch

        try:
            states = self.trunk.exactly(batch) if exact else self.trunk(batch, fill=whole)
            return [head(states).float() for head in self.heads]
        except torch.OutOfMemoryError:
            pass
        except RuntimeError as error:
            if _CPU_OUT_OF_MEMORY not in str(error):
                raise
        # Out here nothing refers to the failed batch any more, so that its memory can be given back.
        if self.device != "cpu":
            torch.cuda.empty_cache()
        return None

    def _gathered(self, done: Sequence[tuple[NDArray[np.int64], "list[Tensor]"]], head: int) -> NDArray[np.float32]:
        import torch

        if not done:
            return np.empty((0, 1), np.float32)
        outputs_BC = torch.cat([outputs[head] for _, outputs in done]).cpu().numpy()
        gathered = np.zeros((len(self.texts.lengths), outputs_BC.shape[1]), np.float32)
        gathered[np.concatenate([batch for batch, _ in done])] = outputs_BC
        return gathered


def _is_finite(outputs: Sequence[NDArray[Any]]) -> NDArray[np.bool_]:
    """Whether all outputs of a text are."""
    finite: NDArray[np.bool_] = np.logical_and.reduce([np.isfinite(values).all(axis=1) for values in outputs])
    return finite
