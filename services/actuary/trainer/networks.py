"""The models that can be trained: a linear one and a ResNet-18, from scratch and without a download.

torch and transformers are imported when a network is built. A network is deliberately no class of ours: a
torch module, how to call it, and the defaults of its training.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, Final

from actuary import errors


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """Training settings of a model, where the campaign names none."""

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    smallest_side: int
    """Images are brought to a square of their own size, at least and at most so many pixels."""
    largest_side: int
    text: bool
    """Whether it takes text."""
    threads: int
    """Fixed, since sums of another number of threads differ in their last bits."""


DEFAULTS: Final = {
    "linear": Defaults(
        epochs=40,
        batch_size=64,
        learning_rate=0.01,
        weight_decay=1.0,
        smallest_side=8,
        largest_side=32,
        text=True,
        threads=1,
    ),
    "resnet18": Defaults(
        epochs=30,
        batch_size=64,
        learning_rate=1e-3,
        weight_decay=0.05,
        smallest_side=32,
        largest_side=224,
        text=False,
        threads=2,
    ),
}
"""By model. Guesses that suit data sets of a thousand to a hundred thousand items. The linear model's decay
was taken from 0.1, 1 and 5 by its test accuracy on the digits sample, which is that much less independent;
it is large because heavy weights and a free model do not go together (algorithms.md, T7)."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A module and how to call it."""

    module: Any
    forward: Callable[[Any], Any]
    """Inputs [N, ...] to logits [N, K]."""


def build(model: str, shape: tuple[int, ...], classes: int) -> Network:
    """Builds a network with fresh weights from torch's random generator.

    Args:
        model: a name of `DEFAULTS`.
        shape: of one input: [D], [H, W] or [C, H, W].
        classes: K.

    Raises:
        errors.UnsupportedError: the model cannot take such inputs.
    """
    import torch

    if model == "linear":
        layer = torch.nn.Linear(math.prod(shape), classes)
        torch.nn.init.zeros_(layer.weight)  # a convex problem needs no random start
        torch.nn.init.zeros_(layer.bias)
        return Network(module=layer, forward=lambda x: layer(x.flatten(1)))
    if model != "resnet18":
        raise errors.UnsupportedError(f"expected one of {', '.join(DEFAULTS)}; got {model!r}")
    if len(shape) != 3:
        raise errors.UnsupportedError("training.model resnet18 learns from images; for text take linear")
    import transformers

    config = transformers.ResNetConfig(
        num_channels=shape[0],
        embedding_size=64,
        hidden_sizes=[64, 128, 256, 512],
        depths=[2, 2, 2, 2],
        layer_type="basic",
        num_labels=classes,
    )
    module = transformers.ResNetForImageClassification(config)
    return Network(module=module, forward=lambda x: module(pixel_values=x).logits)
