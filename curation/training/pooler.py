"""The head that the published classifiers train on a frozen trunk: dense and tanh, then linear."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from curation.data.labelled import Scale
from curation.training.heads import Head, Method, Standard, Values, macro_f1_of_classes, rate_mistakes
from curation.training.recipe import Setting

_SPREAD = 0.02  # of starting weights, as transformers starts what a checkpoint lacks


@dataclass(frozen=True, eq=False)
class PooledHead:
    """score = head(tanh(features · dense_weightᵀ + dense_bias)), with dense_weight [D, D]."""

    dense_weight: NDArray[np.float32]
    dense_bias: NDArray[np.float32]
    head: Head

    def __call__(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores [n] of features [n, D]."""
        return self.head(np.tanh(features @ self.dense_weight.T + self.dense_bias))

    def tensors(self) -> Mapping[str, NDArray[np.float32]]:
        """What head.safetensors holds."""
        return {**self.head.tensors(), "dense_weight": self.dense_weight, "dense_bias": self.dense_bias}


@dataclass(frozen=True)
class Pooler(Method):
    """AdamW on the mean squared error of pooler and head, learning rate falling linearly to zero.

    The recipe of the FineWeb-Edu classifier, whose best epoch is that of the highest macro F1 of classes. Features are
    standardised for it, and the head starts at the labels' mean; both are folded into the weights in the end.
    """

    kind: ClassVar[str] = "pooler"
    learning_rate: tuple[float, ...] = (3e-4,)
    num_epochs: int = 20
    batch_size: int = 256
    seed: int = 0

    @property
    def settings(self) -> Sequence[Setting]:
        """Every learning rate."""
        return [{"learning_rate": rate} for rate in self.learning_rate]

    def mistakes(self) -> list[str]:
        """What is wrong with the settings."""
        found = rate_mistakes(self.learning_rate)
        positive = {"num_epochs": self.num_epochs, "batch_size": self.batch_size}
        return found + [f"recipe.method.{name}: {value} is below 1." for name, value in positive.items() if value < 1]

    def heads(
        self, features: NDArray[np.float32], labels: NDArray[np.float32], setting: Setting
    ) -> Iterator[PooledHead]:
        """Pooler and head after each epoch."""
        import torch

        standard = Standard.of(features)
        inputs_ND = torch.from_numpy(standard.features.astype(np.float32))
        targets_N = torch.from_numpy(labels.astype(np.float32))
        generator = torch.Generator().manual_seed(self.seed)
        width = inputs_ND.shape[1]
        dense_DD = (torch.randn(width, width, generator=generator) * _SPREAD).requires_grad_()
        dense_bias_D = torch.zeros(width, requires_grad=True)
        weight_D = (torch.randn(width, generator=generator) * _SPREAD).requires_grad_()
        bias = targets_N.mean().clone().requires_grad_()
        parameters = [dense_DD, dense_bias_D, weight_D, bias]
        optimizer = torch.optim.AdamW(parameters, lr=setting["learning_rate"], weight_decay=0.0)
        num_steps = self.num_epochs * -(-len(labels) // self.batch_size)
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, num_steps)
        for _ in range(self.num_epochs):
            for batch in torch.split(torch.randperm(len(labels), generator=generator), self.batch_size):
                optimizer.zero_grad()
                pooled_BD = torch.tanh(inputs_ND[batch] @ dense_DD.T + dense_bias_D)
                torch.autograd.backward((pooled_BD @ weight_D + bias - targets_N[batch]).square().mean())
                optimizer.step()
                schedule.step()
            dense, offset = standard.fold(dense_DD.detach().numpy(), dense_bias_D.detach().numpy())
            yield PooledHead(dense, offset, Head(weight_D.detach().numpy().copy(), bias.item()))

    def merit(self, labels: Values, scores: Values, scale: Scale) -> float:
        """Macro F1 of the classes."""
        return macro_f1_of_classes(labels, scores, scale)
