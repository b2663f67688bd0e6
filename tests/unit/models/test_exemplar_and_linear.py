"""The in-process classifiers: what they know, what they say when they cannot know."""

import asyncio
import io

import numpy as np
import pyarrow as pa
import pytest
import scipy.special
from PIL import Image

from actuary import errors
from actuary.models import exemplar, linear, pixels, prompts, protocol, registry

KINDS = ("exemplar", "linear")
CLASSES = ("hoch", "quer")
TEMPLATE = prompts.Template(
    instruction="Which way?", classes=tuple(prompts.ClassDefinition(name=c) for c in CLASSES)
)


def bar(
    upright: bool, at: int, *, size: int = 20, mode: str = "L", form: str = "PNG", seed: int = 0
) -> bytes:
    rng = np.random.default_rng(seed)
    levels = rng.uniform(0, 40, (size, size))
    middle = slice(at * size // 20, (at + 4) * size // 20)
    levels[(slice(None), middle) if upright else (middle, slice(None))] += 200
    sink = io.BytesIO()
    Image.fromarray(levels.astype(np.uint8)).convert(mode).save(sink, form)
    return sink.getvalue()


def images(items: dict[str, bytes], labels: list[str] | None = None) -> pa.Table:
    columns = {"item_id": list(items), "image": pa.array(items.values(), pa.binary())}
    return pa.table(columns | ({"label": labels} if labels else {}))


EXEMPLARS = images(
    {
        "h1": bar(True, 6),
        "h2": bar(True, 10, seed=1),
        "q1": bar(False, 6, seed=2),
        "q2": bar(False, 10, seed=3),
    },
    ["hoch", "hoch", "quer", "quer"],
)
TEXTS = pa.table(
    {
        "item_id": ["a", "b", "c", "d"],
        "text": ["der Turm ist hoch", "hohe Türme und Berge", "quer durch das Feld", "der Balken liegt quer"],
        "label": ["hoch", "hoch", "quer", "quer"],
    }
)


def open_model(kind: str, exemplars: pa.Table, **options: str) -> protocol.Model:
    context = protocol.ModelContext(classes=CLASSES, exemplars=exemplars)
    return registry.open_model(protocol.ModelSpec(kind=kind, options=options), context)


def ask(model: protocol.Model, rows: pa.Table) -> protocol.ScoreBatch:
    asked = TEMPLATE.render(rows)
    answers = asyncio.run(model.score(asked, CLASSES))
    protocol.check_answers(asked, answers, 2)
    return answers


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("mode", "form", "size"), [("L", "PNG", 20), ("RGB", "JPEG", 61), ("RGBA", "PNG", 33), ("P", "GIF", 8)]
)
def test_images_of_any_size_and_mode_are_understood(kind: str, mode: str, form: str, size: int) -> None:
    rows = images(
        {
            f"{up}{at}": bar(up, at, size=size, mode=mode, form=form, seed=at)
            for up in (True, False)
            for at in (5, 8, 11)
        }
    )
    answers = ask(open_model(kind, EXEMPLARS), rows)
    assert [CLASSES[i] for i in answers.label_index] == ["hoch"] * 3 + ["quer"] * 3
    assert np.exp(answers.log_probabilities).sum(axis=1) == pytest.approx(1)
    assert (answers.tokens_in > 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_texts_are_understood(kind: str) -> None:
    rows = pa.table({"item_id": ["1", "2", "3"], "text": ["ist der Turm hoch", "liegt quer", "!"]})
    answers = ask(open_model(kind, TEXTS), rows)
    assert [CLASSES[i] for i in answers.label_index[:2]] == ["hoch", "quer"]
    # nothing in common with any exemplar: nothing is known
    assert np.exp(answers.log_probabilities[2]) == pytest.approx([0.5, 0.5], abs=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_an_unreadable_image_fails_alone(kind: str) -> None:
    rows = images({"good": bar(True, 7), "bad": b"no image", "cut": bar(True, 7)[:60]})
    answers = ask(open_model(kind, EXEMPLARS), rows)
    assert list(answers.item_ids) == ["good"]
    assert set(answers.failures) == {"bad", "cut"}
    assert "cannot read the image" in answers.failures["bad"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_item_without_what_the_exemplars_have_is_a_failure(kind: str) -> None:
    answers = ask(open_model(kind, EXEMPLARS), pa.table({"item_id": ["t"], "text": ["hoch"]}))
    assert "exemplars with image" in answers.failures["t"]


@pytest.mark.parametrize("kind", KINDS)
def test_batches_and_the_order_of_exemplars_change_nothing(kind: str) -> None:
    rows = images({str(i): bar(i % 2 == 0, i, seed=i) for i in range(12)})
    whole = ask(open_model(kind, EXEMPLARS), rows)
    single = [ask(open_model(kind, EXEMPLARS.take([3, 1, 2, 0])), rows.slice(i, 1)) for i in range(12)]
    again = np.concatenate([s.log_probabilities for s in single])
    assert whole.log_probabilities == pytest.approx(again, abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("exemplars", "message"),
    [
        (EXEMPLARS.slice(0, 2), "at least one of class 'quer'"),
        (images({"x": b"?", "y": bar(True, 3)}, ["hoch", "quer"]), "'x'.*cannot read"),
        (images({"x": bar(True, 3)}, ["schräg"]), "'x'.*'schräg' is no class"),
    ],
)
def test_bad_exemplars_are_named(kind: str, exemplars: pa.Table, message: str) -> None:
    with pytest.raises(errors.InvalidInputError, match=message):
        open_model(kind, exemplars)


def test_one_exemplar_a_class_is_enough() -> None:
    answers = ask(open_model("exemplar", EXEMPLARS.take([0, 2])), images({"x": bar(False, 8)}))
    assert answers.label_index.tolist() == [1]


def test_exemplars_that_contradict_one_another_make_a_modest_model() -> None:
    mixed = EXEMPLARS.set_column(2, "label", pa.array(["hoch", "quer", "hoch", "quer"]))
    rows = images({"x": bar(True, 8, seed=9)})
    sure = ask(open_model("exemplar", EXEMPLARS), rows).confidence[0]
    modest = ask(open_model("exemplar", mixed), rows).confidence[0]
    assert modest < 0.7 < sure


def test_the_temperature_has_the_best_leave_one_out_likelihood() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 4)
    similarity = rng.normal(size=(12, 12)) * 0.2 + (labels[:, None] == labels) * 0.3
    chosen = exemplar._temperature(similarity, labels, 3)

    def likelihood(t: float) -> float:
        total = 0.0
        for i in range(12):
            best = [max(similarity[i, j] for j in range(12) if j != i and labels[j] == k) for k in range(3)]
            total += best[labels[i]] / t - np.log(sum(np.exp(b / t) for b in best))
        return total

    assert likelihood(chosen) >= max(likelihood(chosen * 0.85), likelihood(chosen * 1.15))


def test_the_fit_is_where_the_slope_is_zero() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(40, 3)), rng.integers(0, 3, 40)
    weights, bias = linear.fit(x, y, 3, 0.5)
    p = scipy.special.softmax(x @ weights + bias, axis=1)
    assert x.T @ (p - np.eye(3)[y]) + 0.5 * weights == pytest.approx(np.zeros((3, 3)), abs=1e-2)
    assert bias.sum() == pytest.approx(0)


def test_gradients_of_a_ramp_point_one_way() -> None:
    ramp = np.tile(np.linspace(0, 1, 16), (1, 16, 1))  # grows to the right: orientation 0 in every cell
    shares = pixels.gradients(ramp).reshape(16, 8) ** 2
    assert shares[:, 0] == pytest.approx(np.full(16, 1 / 16))
    assert shares[:, 1:] == pytest.approx(np.zeros((16, 7)))


def test_an_image_that_unfolds_to_gigabytes_is_refused() -> None:
    sink = io.BytesIO()
    Image.new("1", (9000, 9000)).save(sink, "PNG")
    levels, bad = pixels.gray([sink.getvalue()], 16)
    assert "more than" in bad[0]
    assert (levels == 0).all()
