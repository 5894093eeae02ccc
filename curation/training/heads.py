"""Linear heads on frozen trunk features, and the two ways to fit one."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from curation.data.labelled import Scale
from curation.evaluation.metrics import MacroF1
from curation.training.recipe import Setting

Values = NDArray[np.floating]

_NOISE = 1e-6  # of the spread that is usual among features


class FittedHead(Protocol):
    """A fitted head of any form."""

    def __call__(self, features: NDArray[np.float32], /) -> NDArray[np.float32]:
        """Scores [n] of features [n, D]."""

    def tensors(self) -> Mapping[str, NDArray[np.float32]]:
        """What head.safetensors holds."""


@dataclass(frozen=True, eq=False)
class Head:
    """A weight [D] and a bias: score = features · weight + bias."""

    weight: NDArray[np.float32]
    bias: float

    def __call__(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores [n] of features [n, D]."""
        return features @ self.weight + np.float32(self.bias)

    def tensors(self) -> Mapping[str, NDArray[np.float32]]:
        """What head.safetensors holds: weight [1, D] and bias [1]."""
        return {"weight": self.weight[np.newaxis].copy(), "bias": np.asarray([self.bias], np.float32)}


class Method(ABC):
    """A way to fit a head: a frozen dataclass, filled from a config's `[recipe.method]` table."""

    kind: ClassVar[str]

    @property
    @abstractmethod
    def settings(self) -> Sequence[Setting]:
        """What is chosen from on validation."""

    @abstractmethod
    def mistakes(self) -> list[str]:
        """What is wrong with the settings themselves."""

    @abstractmethod
    def heads(
        self, features: NDArray[np.float32], labels: NDArray[np.float32], setting: Setting
    ) -> Iterator[FittedHead]:
        """The head after each epoch; a single one where there are no epochs."""

    @abstractmethod
    def merit(self, labels: Values, scores: Values, scale: Scale) -> float:
        """What the choice maximises; the labels lie on this scale."""


@dataclass(frozen=True)
class Descent(Method):
    """Adam on the mean squared error, learning rate falling linearly to zero, best epoch by macro F1 of classes.

    The recipe of the FineWeb-Edu classifier. `l2` is the weight of |w|² in the loss, w being the weight of standardised
    features; learning rate and `l2` are chosen with the epoch.
    """

    kind: ClassVar[str] = "descent"
    learning_rate: tuple[float, ...] = (3e-4,)
    l2: tuple[float, ...] = (0.0,)
    num_epochs: int = 20
    batch_size: int = 256
    seed: int = 0

    @property
    def settings(self) -> Sequence[Setting]:
        """Every pair of learning rate and `l2`."""
        return [{"learning_rate": rate, "l2": l2} for rate, l2 in product(self.learning_rate, self.l2)]

    def mistakes(self) -> list[str]:
        """What is wrong with the settings."""
        found = rate_mistakes(self.learning_rate)
        positive = {"num_epochs": self.num_epochs, "batch_size": self.batch_size}
        found += [f"recipe.method.{name}: {value} is below 1." for name, value in positive.items() if value < 1]
        return found + _l2_mistakes(self.l2)

    def heads(self, features: NDArray[np.float32], labels: NDArray[np.float32], setting: Setting) -> Iterator[Head]:
        """The head after each epoch. It starts at zero weight and the labels' mean."""
        import torch

        standard = Standard.of(features)
        inputs_ND = torch.from_numpy(standard.features.astype(np.float32))
        targets_N = torch.from_numpy(labels.astype(np.float32))
        weight_D = torch.zeros(inputs_ND.shape[1], requires_grad=True)
        bias = targets_N.mean().clone().requires_grad_()
        optimizer = torch.optim.Adam([weight_D, bias], lr=setting["learning_rate"])
        num_steps = self.num_epochs * -(-len(labels) // self.batch_size)
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, num_steps)
        generator = torch.Generator().manual_seed(self.seed)
        for _ in range(self.num_epochs):
            for batch in torch.split(torch.randperm(len(labels), generator=generator), self.batch_size):
                optimizer.zero_grad()
                error = inputs_ND[batch] @ weight_D + bias - targets_N[batch]
                loss = error.square().mean() + setting["l2"] * weight_D.square().sum()
                torch.autograd.backward(loss)
                optimizer.step()
                schedule.step()
            yield _linear(standard, weight_D.detach().numpy(), bias.item())

    def merit(self, labels: Values, scores: Values, scale: Scale) -> float:
        """Macro F1 of the classes."""
        return macro_f1_of_classes(labels, scores, scale)


@dataclass(frozen=True)
class Ridge(Method):
    """The minimum of mean squared error + `l2` · |w|² in closed form, w being the weight of standardised features.

    `l2` is chosen by mean squared error.
    """

    kind: ClassVar[str] = "ridge"
    l2: tuple[float, ...] = (0.1, 0.3, 0.6, 1.0, 2.0)

    @property
    def settings(self) -> Sequence[Setting]:
        """Every `l2`."""
        return [{"l2": l2} for l2 in self.l2]

    def mistakes(self) -> list[str]:
        """What is wrong with the settings."""
        return _l2_mistakes(self.l2) + [
            "recipe.method.l2: 0 leaves a ridge without a solution where features are not independent; 1e-6 is little."
            for value in self.l2
            if value == 0
        ]

    def heads(self, features: NDArray[np.float32], labels: NDArray[np.float32], setting: Setting) -> Iterator[Head]:
        """The one head. The bias is not penalised."""
        standard = Standard.of(features)
        inputs, middle = standard.features, float(labels.mean())
        gram = inputs.T @ inputs / len(inputs) + setting["l2"] * np.eye(inputs.shape[1])
        weight = np.linalg.solve(gram, inputs.T @ (labels - middle) / len(inputs))
        yield _linear(standard, weight, middle)

    def merit(self, labels: Values, scores: Values, scale: Scale) -> float:  # noqa: ARG002 - an error is one anywhere
        """Minus the mean squared error."""
        return -float(np.square(labels - scores).mean())


def rate_mistakes(rates: tuple[float, ...]) -> list[str]:
    """What is wrong with learning rates to choose from."""
    found = [] if rates else ["recipe.method.learning_rate: at least one value is needed."]
    wrong = [rate for rate in rates if not 0 < rate < math.inf]
    return found + [f"recipe.method.learning_rate: {rate:g} is no number above 0." for rate in wrong]


def _l2_mistakes(l2: tuple[float, ...]) -> list[str]:
    found = [] if l2 else ["recipe.method.l2: at least one value is needed."]
    return found + [f"recipe.method.l2: {value:g} is no number from 0 on." for value in l2 if not 0 <= value < math.inf]


@dataclass(frozen=True, eq=False)
class Standard:
    """Features [n, D] at mean 0 and variance 1, and what brings a head on them back to plain features."""

    features: NDArray[np.float64]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

    @classmethod
    def of(cls, features: NDArray[np.float32]) -> "Standard":
        """Features brought there; one that is constant, but perhaps for noise, is 0.

        Trunks have such features. Weighed by so small a spread, they would make heads whose scores are rounding errors.
        """
        wide = features.astype(np.float64)
        mean, scale = wide.mean(axis=0), wide.std(axis=0)
        is_constant = scale <= _NOISE * np.median(scale)
        scale[is_constant] = 1.0
        return cls(np.where(is_constant, 0.0, wide - mean) / scale, mean, scale)

    def fold(
        self, weight_OD: NDArray[np.floating], bias_O: NDArray[np.floating]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The weight and bias that give on plain features what these give on standardised ones."""
        plain_OD = weight_OD.astype(np.float64) / self.scale
        return plain_OD.astype(np.float32), (bias_O - plain_OD @ self.mean).astype(np.float32)


def macro_f1_of_classes(labels: Values, scores: Values, scale: Scale) -> float:
    """Macro F1 of whole numbers: labels and scores rounded, scores clipped to the scale of the labels."""
    return MacroF1(np.rint)(labels, np.clip(scores, *scale))


def _linear(standard: Standard, weight_D: NDArray[np.floating], bias: float) -> Head:
    """The head on plain features that scores as these do on standardised ones."""
    weight_1D, bias_1 = standard.fold(weight_D[np.newaxis], np.asarray([bias]))
    return Head(weight_1D[0], float(bias_1[0]))
