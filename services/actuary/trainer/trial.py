"""One training run: targets from labels and weights, deterministic training, the test, the saved weights.

The same trial on the same data gives the same weights: seeds, threads and the order of the data are fixed.
There is deliberately no early stopping: a validation set small enough to be spared would decide by chance.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from actuary import errors
from actuary.stats import intervals
from actuary.stats import training as targets
from actuary.trainer import loss, networks, policy

_EVALUATION_ROWS = 512

Progress = Callable[[int, int], None]
"""Told epochs done and epochs in all; may raise to stop the trial."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TrainingData:
    """What all trials of a campaign learn from. N items, K classes."""

    x: Any
    """[N, D], [N, H, W] or [N, C, H, W]: uint8 pixels, floats, or a scipy.sparse matrix of floats."""
    machine: npt.NDArray[np.int64]
    """[N] the machine's own label; -1 where it has none."""
    soft: npt.NDArray[np.float64]
    """[N, K] its class target s for the mixture: probabilities, out of fold where people labelled; rows sum
    to 1. Not read where neither `machine` nor `human` is known."""
    human: npt.NDArray[np.int64]
    """[N] the label of people; -1 where they gave none."""
    g: npt.NDArray[np.float64]
    """[N] weight of that label; 0 where it only corrects."""
    everyone: npt.NDArray[np.int64] | None
    """[N] a label of people for every item, as a replay knows it; None outside one."""
    test_x: Any
    """[M, ...] as x; empty where there is no test set."""
    test_y: npt.NDArray[np.int64]
    """[M] known truth of the test set."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TrialResult:
    """What came of a trial."""

    trial: policy.Trial
    test_correct: int
    test_items: int
    correct: npt.NDArray[np.bool_] = dataclasses.field(repr=False)
    """[M] which test items it got right; what a paired comparison needs."""
    accuracy: float | None
    """On the test set; None without one."""
    interval: intervals.Interval | None
    """Clopper-Pearson, exact for independent test items."""
    train_items: int
    final_loss: float
    epochs: int
    seconds: float
    weights: bytes = dataclasses.field(repr=False)
    """The state in safetensors format: the module's tensors, `input.mean` and `input.scale`."""

    def card(self, classes: tuple[str, ...]) -> dict[str, Any]:
        """What stands beside the weights: how to use them and what they are worth. Deterministic."""
        return {
            "model": self.trial.model,
            "labels": self.trial.labels,
            "lambda": self.trial.lam,
            "weight_cap": self.trial.cap if np.isfinite(self.trial.cap) else None,
            "seed": self.trial.seed,
            "epochs": self.epochs,
            "classes": list(classes),
            "train_items": self.train_items,
            "test_items": self.test_items,
            "test_accuracy": self.accuracy,
            "test_accuracy_low": self.interval.low if self.interval else None,
            "test_accuracy_high": self.interval.high if self.interval else None,
        }


def rows_and_targets(
    trial: policy.Trial, data: TrainingData
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The rows that a trial learns from, with their targets t and masses m.

    Raises:
        errors.PreconditionError: it has no rows.
    """
    n, classes = data.soft.shape
    eye = np.eye(classes)
    if trial.labels == "machine":
        rows = np.flatnonzero(data.machine >= 0)
        t, m = eye[data.machine[rows]], np.ones(len(rows))
    elif trial.labels == "human":
        everyone = np.full(n, -1, np.int64) if data.everyone is None else data.everyone
        rows = np.flatnonzero(everyone >= 0)
        t, m = eye[everyone[rows]], np.ones(len(rows))
    else:
        # what only people labelled has no machine's part: its label with weight 1 is all that is known
        alone = (data.machine < 0) & (data.human >= 0)
        rows = np.flatnonzero((data.machine >= 0) | alone)
        soft, g = data.soft.copy(), data.g.copy()
        soft[alone] = eye[data.human[alone]]
        g[alone] = 1.0
        t, m = targets.act_targets(data.human[rows], soft[rows], g[rows], trial.lam, trial.cap)
    if len(rows) == 0:
        raise errors.PreconditionError(f"no item has a label for the trial `{trial.labels}`")
    return rows, t, m


def run_trial(
    trial: policy.Trial, data: TrainingData, progress: Progress | None = None, *, alpha: float = 0.05
) -> TrialResult:
    """Trains and tests.

    Args:
        trial: what to train, on which labels.
        data: of the campaign.
        progress: told after every epoch.
        alpha: one minus the confidence level of the accuracy's interval.

    Raises:
        errors.PreconditionError: no item has a label of the kind asked for.
        errors.UnsupportedError: the model cannot take such data, or torch is not installed.
    """
    try:
        import safetensors.torch
        import torch
    except ModuleNotFoundError as error:
        raise errors.UnsupportedError(
            f"training needs the package {error.name!r}: install actuary[compute]"
        ) from error
    start = time.perf_counter()
    rows, t, m = rows_and_targets(trial, data)
    defaults = networks.DEFAULTS[trial.model]
    epochs = trial.epochs or defaults.epochs
    size = min(trial.batch_size or defaults.batch_size, len(rows))
    torch.set_num_threads(defaults.threads)
    torch.manual_seed(trial.seed)
    torch.use_deterministic_algorithms(True)
    rng = np.random.default_rng(trial.seed)
    inputs = _Inputs.fit(data.x, rows)
    network = networks.build(trial.model, data.x.shape[1:], data.soft.shape[1])
    targets_t = torch.tensor(t, dtype=torch.float32)
    masses_t = torch.tensor(m, dtype=torch.float32)
    optimizer = torch.optim.AdamW(
        network.module.parameters(),
        lr=trial.learning_rate or defaults.learning_rate,
        weight_decay=defaults.weight_decay,
    )
    batches = -(-len(rows) // size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * batches)
    mean_loss = 0.0
    network.module.train()
    for epoch in range(epochs):
        mean_loss = 0.0
        # pieces of nearly the same size: a last batch of one item would break batch normalisation
        for piece in np.array_split(rng.permutation(len(rows)), batches):
            optimizer.zero_grad()
            logits = network.forward(inputs.tensor(data.x, rows[piece]))
            value = loss.act_loss(logits, targets_t[piece], masses_t[piece])
            value.backward()
            optimizer.step()
            schedule.step()
            mean_loss += float(value.detach()) * len(piece) / len(rows)
        if progress is not None:
            progress(epoch + 1, epochs)
    if not np.isfinite(mean_loss):
        raise errors.PreconditionError(
            f"training diverged (loss {mean_loss}): lower training.learning_rate or training.weight_cap"
        )
    predicted = _predict(network, inputs, data.test_x)
    correct = predicted == data.test_y
    hits, trials = int(correct.sum()), len(correct)
    state = {name: tensor.contiguous() for name, tensor in network.module.state_dict().items()}
    state |= {"input.mean": inputs.mean, "input.scale": inputs.scale}
    return TrialResult(
        trial=trial,
        test_correct=hits,
        test_items=trials,
        correct=correct,
        accuracy=hits / trials if trials else None,
        interval=intervals.clopper_pearson(hits, trials, alpha) if trials else None,
        train_items=len(rows),
        final_loss=mean_loss,
        epochs=epochs,
        seconds=time.perf_counter() - start,
        weights=safetensors.torch.save(state),
    )


@dataclasses.dataclass(frozen=True, slots=True)
class _Inputs:
    """How raw inputs become tensors: centred, and divided by one common scale."""

    mean: Any
    scale: Any

    @classmethod
    def fit(cls, x: Any, rows: npt.NDArray[np.int64]) -> _Inputs:
        import torch

        if not isinstance(x, np.ndarray):  # sparse text has length 1 already, and centring would fill it
            return cls(torch.zeros(1), torch.ones(1))
        chosen = x[rows]
        # one mean a pixel where images are small and alike; one a channel would do for photographs, too
        mean = chosen.mean(axis=0, dtype=np.float64)
        spread = np.sqrt(max(float((chosen.astype(np.float32) - mean.astype(np.float32)).var()), 1e-12))
        return cls(torch.tensor(mean, dtype=torch.float32), torch.tensor([spread], dtype=torch.float32))

    def tensor(self, x: Any, rows: npt.NDArray[np.int64]) -> Any:
        import torch

        chosen = x[rows] if isinstance(x, np.ndarray) else x[rows].toarray()
        return (torch.from_numpy(chosen.astype(np.float32)) - self.mean) / self.scale


def _predict(network: networks.Network, inputs: _Inputs, x: Any) -> npt.NDArray[np.int64]:
    import torch

    network.module.eval()
    found = [np.zeros(0, np.int64)]
    with torch.inference_mode():
        for first in range(0, x.shape[0], _EVALUATION_ROWS):
            rows = np.arange(first, min(first + _EVALUATION_ROWS, x.shape[0]))
            found.append(network.forward(inputs.tensor(x, rows)).argmax(dim=1).numpy())
    return np.concatenate(found)
