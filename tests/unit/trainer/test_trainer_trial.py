"""Trials: what they learn from, that they repeat, and what they reach on digits."""

import dataclasses
import json

import numpy as np
import pytest
import safetensors.numpy
import scipy.sparse
import scipy.stats

from actuary import errors
from actuary.trainer import networks, policy, trial


def blobs(n: int = 120, classes: int = 3, seed: int = 0) -> trial.TrainingData:
    """Images of 8 x 8 whose class is which third is bright; the machine confuses 2 with 0."""
    rng = np.random.default_rng(seed)

    def draw(count: int) -> tuple[np.ndarray, np.ndarray]:
        y = rng.integers(0, classes, count)
        x = rng.integers(0, 120, (count, 8, 8))
        for i, label in enumerate(y):
            x[i, :, label * 2 : label * 2 + 2] += 100
        return x.astype(np.uint8), y

    (x, y), (test_x, test_y) = draw(n), draw(60)
    machine = np.where(y == 2, 0, y)
    human = np.where(rng.random(n) < 0.4, y, -1)
    return trial.TrainingData(
        x=x,
        machine=machine,
        soft=np.eye(classes)[machine] * 0.8 + 0.2 / classes,
        human=human,
        g=np.where(human >= 0, 2.5, 0.0),
        everyone=y,
        test_x=test_x,
        test_y=test_y,
    )


DATA = blobs()


def run(labels: policy.Labels, data: trial.TrainingData = DATA, **settings: object) -> trial.TrialResult:
    chosen = policy.Trial(model="linear", labels=labels, **settings)  # type: ignore[arg-type]
    return trial.run_trial(chosen, data)


def test_the_mixture_learns_a_class_that_the_machine_never_says() -> None:
    machine, act, human = (run(labels) for labels in ("machine", "act", "human"))
    assert machine.accuracy is not None
    assert act.accuracy is not None
    assert human.accuracy is not None
    assert machine.test_correct <= (DATA.test_y != 2).sum()
    assert act.accuracy > machine.accuracy
    assert human.accuracy >= 0.95


def test_the_interval_is_clopper_and_pearsons() -> None:
    result = run("machine", epochs=3)
    expected = scipy.stats.binomtest(result.test_correct, 60).proportion_ci(method="exact")
    assert result.interval is not None
    assert (result.interval.low, result.interval.high) == pytest.approx((expected.low, expected.high))
    assert result.correct.sum() == result.test_correct


@pytest.mark.parametrize("labels", ["machine", "act", "human"])
def test_the_same_trial_gives_the_same_bytes(labels: policy.Labels) -> None:
    first, second = run(labels, epochs=4, seed=5), run(labels, epochs=4, seed=5)
    assert first.weights == second.weights
    card = first.card(("a", "b", "c"))
    assert card == second.card(("a", "b", "c"))
    assert json.loads(json.dumps(card)) == card
    assert run(labels, epochs=4, seed=6).weights != first.weights


def test_the_saved_weights_are_the_model() -> None:
    result = run("human", epochs=10)
    state = safetensors.numpy.load(result.weights)
    inputs = ((DATA.test_x.astype(np.float32) - state["input.mean"]) / state["input.scale"]).reshape(60, -1)
    predicted = (inputs @ state["weight"].T + state["bias"]).argmax(axis=1)
    assert ((predicted == DATA.test_y) == result.correct).all()


def test_what_only_people_labelled_takes_part_in_the_mixture_with_weight_one() -> None:
    machine, human, g = DATA.machine.copy(), DATA.human.copy(), DATA.g.copy()
    machine[0] = machine[1] = -1
    human[0], g[0], human[1] = 2, 9.0, -1
    data = dataclasses.replace(DATA, machine=machine, human=human, g=g)
    rows, t, m = trial.rows_and_targets(policy.Trial(model="linear", labels="act"), data)
    assert rows[0] == 0
    assert 1 not in rows
    assert t[0] == pytest.approx([0, 0, 1])
    assert m[0] == pytest.approx(1)
    assert t.sum(axis=1) == pytest.approx(m)


def test_a_label_that_only_corrects_leaves_the_machines_target() -> None:
    human, g = DATA.human.copy(), DATA.g.copy()
    human[0], g[0] = 1, 0.0
    data = dataclasses.replace(DATA, human=human, g=g)
    _, t, _ = trial.rows_and_targets(policy.Trial(model="linear", labels="act"), data)
    assert t[0] == pytest.approx(DATA.soft[0])


def test_without_a_test_set_no_accuracy_is_given() -> None:
    result = run(
        "machine", dataclasses.replace(DATA, test_x=DATA.test_x[:0], test_y=DATA.test_y[:0]), epochs=1
    )
    assert result.accuracy is None
    assert result.interval is None
    assert result.card(("a",))["test_accuracy"] is None


def test_a_trial_without_labels_is_refused() -> None:
    with pytest.raises(errors.PreconditionError, match="trial `human`"):
        run("human", dataclasses.replace(DATA, everyone=None))


def test_a_trial_that_diverges_says_so() -> None:
    with pytest.raises(errors.PreconditionError, match=r"lower training\.learning_rate"):
        run("act", learning_rate=1e30, epochs=3)


def test_progress_is_told_and_may_stop_the_trial() -> None:
    told: list[tuple[int, int]] = []

    def tell(epoch: int, epochs: int) -> None:
        told.append((epoch, epochs))
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trial.run_trial(policy.Trial(model="linear", labels="machine", epochs=5), DATA, tell)
    assert told == [(1, 5), (2, 5)]


def test_sparse_text_features_are_learned_from() -> None:
    y = DATA.everyone
    assert y is not None
    rng = np.random.default_rng(2)
    dense = np.eye(3)[y] + 0.1 * rng.random((len(y), 3))
    data = dataclasses.replace(
        DATA,
        x=scipy.sparse.csr_matrix(dense),
        test_x=scipy.sparse.csr_matrix(np.eye(3)[DATA.test_y]),
    )
    assert run("human", data).accuracy == 1.0


@pytest.mark.slow
def test_resnet18_is_a_resnet18_and_trains() -> None:
    import torch

    network = networks.build("resnet18", (3, 32, 32), 10)
    # 11,181,642: torchvision's resnet18 with ten classes has as many parameters
    assert sum(p.numel() for p in network.module.parameters()) == 11_181_642
    assert network.forward(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    small = dataclasses.replace(
        blobs(33), x=np.kron(blobs(33).x, np.ones((4, 4), np.uint8))[:, None], test_x=DATA.test_x[:0, None]
    )
    small = dataclasses.replace(small, test_y=DATA.test_y[:0])
    settings = policy.Trial(model="resnet18", labels="act", epochs=1, batch_size=32)
    result = trial.run_trial(settings, small)
    assert np.isfinite(result.final_loss)


def test_resnet18_takes_no_text() -> None:
    with pytest.raises(errors.UnsupportedError, match="take linear"):
        networks.build("resnet18", (100,), 2)
