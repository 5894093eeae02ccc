"""How precisely a trunk computes: exactly, fast, or in bfloat16 throughout. Importing this module imports torch.

``exact`` computes everything in float32. ``fast`` keeps the residual stream, the normalisations, pooler and head in
float32 and multiplies the matrices of the layers in 16 bits: bfloat16 on CPUs, float16 on GPUs, which has eight times
its resolution but ends at 65,504. ``bfloat16`` is the whole model in bfloat16, head included, as the cards of NVIDIA's
edu classifiers load theirs; it has a few hundred distinct scores.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

_CPU_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "sve_bf16", "bf16")


class LowLinear(torch.nn.Module):
    """A linear layer that multiplies in 16 bits, whatever it is given, and gives 16 bits, or 32 when it is `wide`."""

    def __init__(self, linear: torch.nn.Linear, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight: Tensor
        self.bias: Tensor | None
        # Only float16 overflows, so only then are the weights in float32 needed once more.
        self.exact = linear if dtype == torch.float16 else None
        self.is_exact = self.is_wide = False
        self.register_buffer("weight", linear.weight.detach().to(dtype))
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach().to(dtype))

    def forward(self, x: Tensor) -> Tensor:
        """Any shape [..., D_in] → [..., D_out]."""
        if self.is_exact and self.exact is not None:
            return self.exact(x.float())  # type: ignore[no-any-return]
        product = torch.nn.functional.linear(x.to(self.weight.dtype), self.weight, self.bias)
        return product.float() if self.is_wide else product


def low_dtype(device: str) -> torch.dtype:
    """The 16 bits that ``fast`` multiplies in on a device."""
    return torch.bfloat16 if device == "cpu" else torch.float16


def is_fast_here(device: str) -> bool:
    """Whether the device multiplies 16 bits faster than 32."""
    if device != "cpu":
        return True
    abilities = torch.cpu.get_capabilities()
    return any(abilities.get(name) for name in _CPU_INSTRUCTIONS)


def lower(model: torch.nn.Module, dtype: torch.dtype) -> None:
    """Let the linear layers of a model's stacks of layers multiply in `dtype`; what stands around them stays exact."""
    stacks = [stack for stack in model.modules() if isinstance(stack, torch.nn.ModuleList)]
    for parent in {id(each): each for stack in stacks for each in stack.modules()}.values():
        for name, child in list(parent.named_children()):
            if type(child) is torch.nn.Linear:
                setattr(parent, name, LowLinear(child, dtype))


def num_lowered(model: torch.nn.Module) -> int:
    """How many layers of a model multiply in 16 bits."""
    return len(_lowered(model))


def widen(model: torch.nn.Module) -> None:
    """Let the layers of a lowered model give 32 bits, for architectures that add something of 32 bits to them."""
    for each in _lowered(model):
        each.is_wide = True


@contextmanager
def exactly(model: torch.nn.Module) -> Iterator[None]:
    """Let a model that was lowered to float16 compute in float32 while the block runs."""
    layers = _lowered(model)
    for each in layers:
        each.is_exact = True
    try:
        yield
    finally:
        for each in layers:
            each.is_exact = False


def _lowered(model: torch.nn.Module) -> list[LowLinear]:
    return [each for each in model.modules() if isinstance(each, LowLinear)]
