"""Prompts: order, digests and content."""

import pyarrow as pa
import pytest

from actuary import errors
from actuary.models import prompts, protocol

CLASSES = (
    prompts.ClassDefinition(name="chat", description="un félin"),
    prompts.ClassDefinition(name="犬"),
)
TEMPLATE = prompts.Template(instruction="Quel animal ?", classes=CLASSES)
ROWS = pa.record_batch({"item_id": ["1", "02"], "text": ["miaou", "ouaf 🐕"]})


def test_what_never_changes_comes_first_and_is_shared() -> None:
    first, second = TEMPLATE.render(ROWS)
    assert first.item_id == "1"
    assert second.item_id == "02"
    assert [p.role for p in first.parts] == ["system", "task", "item"]
    assert first.parts[0] is second.parts[0]
    assert first.parts[1] is second.parts[1]
    assert first.parts[1].text == "Quel animal ?\nClasses:\n- chat: un félin\n- 犬"
    assert second.parts[2] == protocol.Text("ouaf 🐕")


def test_the_digest_names_the_content() -> None:
    again = prompts.Template(instruction="Quel animal ?", classes=CLASSES)
    others = [
        prompts.Template(instruction="Quel animal?", classes=CLASSES),
        prompts.Template(instruction="Quel animal ?", classes=CLASSES[::-1]),
        prompts.Template(instruction="Quel animal ?", classes=CLASSES, system="x"),
        prompts.CriticTemplate(task=TEMPLATE),
    ]
    assert again.digest == TEMPLATE.digest
    assert len(TEMPLATE.digest) == 16
    assert len({TEMPLATE.digest, *(o.digest for o in others)}) == 5


def test_the_digest_stays_the_same_from_version_to_version() -> None:
    # annotations in stores carry it: if this changes, so must prompts._VERSION and this value
    assert TEMPLATE.digest == "b40f9b3b31b7392f"


def test_images_and_questions_are_parts_of_their_own() -> None:
    rows = pa.table(
        {"item_id": ["a", "b"], "image": [b"png", None], "text": [None, "t"], "question": ["how many?", None]}
    )
    first, second = TEMPLATE.render(rows)
    assert first.parts[2:] == (protocol.Image(b"png"), protocol.Text("how many?", "question"))
    assert second.parts[2:] == (protocol.Text("t"),)
    assert protocol.image_of(first) == b"png"
    assert protocol.text_of(first) == "how many?"


def test_an_image_kept_apart_is_fetched() -> None:
    rows = pa.table({"item_id": ["a"], "image_uri": ["images/1"]})
    (prompt,) = TEMPLATE.render(rows, {"images/1": b"large"}.__getitem__)
    assert protocol.image_of(prompt) == b"large"
    with pytest.raises(errors.InvalidInputError, match=r"item 'a'.*images/1"):
        TEMPLATE.render(rows)


def test_a_row_without_content_is_named() -> None:
    rows = pa.table({"item_id": ["a", "b"], "text": ["x", None]})
    with pytest.raises(errors.InvalidInputError, match="item 'b': expected text or an image"):
        TEMPLATE.render(rows)


def test_the_critic_sees_the_label_last() -> None:
    critic = prompts.CriticTemplate(task=TEMPLATE)
    first, second = critic.render(ROWS, ["犬", "chat"])
    assert first.parts[-1] == protocol.Text("Label: 犬", "answer")
    assert second.parts[-1] == protocol.Text("Label: chat", "answer")
    assert first.parts[1] == TEMPLATE.head[1]
    assert protocol.text_of(first) == "miaou"
    assert critic.options == ("right", "wrong")


def test_a_class_named_twice_is_refused() -> None:
    with pytest.raises(errors.InvalidInputError, match="unique"):
        prompts.Template(instruction="", classes=(CLASSES[0], CLASSES[0]))


def test_no_rows_give_no_prompts() -> None:
    assert TEMPLATE.render(ROWS.slice(0, 0)) == []
