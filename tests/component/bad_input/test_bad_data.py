"""Data sets that cannot be imported: file and row are named, nothing is kept, and a mended one goes in."""

from __future__ import annotations

import io

import PIL.Image
import pytest

from actuary.campaign import row_checks


def refused(place, client, *expected):
    """Sends the campaign, which must fail at its import, say what is expected and keep nothing."""
    check(place, place.fail(client), *expected)
    campaign = client.get(place.name)
    assert campaign.stage == "import"
    assert not campaign.HasField("purse")


def check(place, message, *expected):
    """What holds of every import that failed."""
    for part in expected:
        assert part in message
    assert place.artifacts() == set()
    assert [info.key for info in place.store().list(f"{place.campaign}/importJobs")] == []


def test_duplicate_ids_are_named_with_both_rows(place, client):
    place.items({"item_id": "item-7", "text": "again", "colour": "red"})
    said = place.run()
    assert said.code == 1
    check(place, said.error(), f"{place.root}/items.csv, row 101", "'item-7'", "row 8")
    assert said.results["state"] == "FAILED"
    assert (said.results["spent_micros"], said.results["human_labels"]) == (0, 0)

    place.items()
    assert place.actuary("resume", place.name).code == 0
    place.past_import(client)


def test_a_missing_column_is_named_with_the_nearest_there_is(place, client):
    place.spec({"data.truth_column": "color", "data.text_column": "txt"})
    refused(
        place,
        client,
        f"{place.root}/items.csv: no column 'color' (data.truth_column); it has 'item_id', 'text', 'colour'. "
        "Did you mean 'colour'?",
        "no column 'txt' (data.text_column); it has 'item_id', 'text', 'colour'. Did you mean 'text'?",
    )

    place.spec()  # the same id, with a spec that was mended
    place.create(client)
    place.past_import(client)


def test_an_empty_data_set(place, client):
    file = place.root / "items.csv"
    file.write_text("item_id,text,colour\n", encoding="utf-8")
    refused(place, client, f"{file}: the data set is empty: expected one row at least")


def test_a_data_set_that_is_not_there(place, client):
    (place.root / "items.csv").unlink()
    refused(place, client, f"data.uri: expected a csv file; there is none at {place.root}/items.csv")


def test_everything_wrong_in_a_file_is_said_at_once(place, client):
    """Labels that are no class, ids that are missing, rows of another width, texts that are empty."""
    place.items(
        {"item_id": "a", "text": "x", "colour": "rde"},
        {"item_id": "", "text": "x", "colour": "red"},
        {"item_id": "b", "text": "", "colour": "red"},
        {"item_id": "item-3", "text": "x", "colour": "red"},
    )
    file = place.root / "items.csv"
    with file.open("a", encoding="utf-8") as lines:
        lines.write("c,x,red,more\n")
    refused(
        place,
        client,
        f"{file}, row 101: the label 'rde' is no class of the task: expected one of red, green, blue. "
        "Did you mean 'red'?",
        f"{file}, row 102: no id",
        f"{file}, row 103: the text is empty",
        f"{file}, row 104: ",
        f"{file}, row 105: expected 3 columns; got 4: 'c,x,red,more'",
    )


def test_an_unreadable_image_is_named(place, client):
    folder = place.root / "images"
    folder.mkdir()
    for i in range(25):
        buffer = io.BytesIO()
        PIL.Image.new("L", (2, 2), i).save(buffer, "PNG")
        (folder / f"{i}.png").write_bytes(buffer.getvalue())
    good = (folder / "3.png").read_bytes()
    (folder / "3.png").write_bytes(good[:20])
    (folder / "vier.png").write_text("no picture", encoding="utf-8")
    people = {"review.mode": "people", "data.truth_column": None, "budget.human_labels": 20}
    place.spec({"data.uri": "images", **people, "sampling.audit_items": 0})
    refused(place, client, f"{folder}/3.png: expected an image; ", f"{folder}/vier.png: expected an image; ")

    (folder / "3.png").write_bytes(good)
    (folder / "vier.png").unlink()
    client.resume(place.name)
    place.past_import(client)


def test_a_jpeg_that_is_cut_off_is_no_image():
    stream = io.BytesIO()
    PIL.Image.effect_noise((64, 64), 90).save(stream, "JPEG")
    whole = stream.getvalue()
    assert row_checks._image_problem(whole) == ""
    assert "truncated" in row_checks._image_problem(whole[: len(whole) // 2])


@pytest.mark.slow
def test_unicode_everywhere_in_what_is_refused_and_in_what_is_kept(place, client):
    """Ids, labels, columns, names of files and folders; ids that look like numbers stay text."""
    classes = ("鳥", "café", "naïve 🙂")
    folder = place.root / "Übung 数据"
    folder.mkdir()
    ids = ["007", "7", "7.0", "1e3", "é", "e\N{COMBINING ACUTE ACCENT}", "ключ", "🙂", "a/b", "a b"]
    ids += [f"数-{i}" for i in range(50)]
    rows = [{"ид": item, "текст": f"文 {item}", "πλ": classes[n % 3]} for n, item in enumerate(ids)]
    place.table("Übung 数据/données été.csv", [*rows, {"ид": "é", "текст": "x", "πλ": "鳥鳥"}])
    place.spec(
        {
            "display_name": "Ünïcödé",
            "task.instruction": "¿Qué?",
            "task.classes": [{"name": name} for name in classes],
            "data.uri": "Übung 数据/données été.csv",
            "data.id_column": "ид",
            "data.text_column": "текст",
            "data.truth_column": "πλ",
            "budget.human_labels": 30,
            "sampling.audit_items": 5,
        }
    )
    refused(
        place,
        client,
        f"{folder}/données été.csv, row 61: ",
        "'é'",
        "the label '鳥鳥' is no class of the task: expected one of 鳥, café, naïve 🙂",
    )

    place.table("Übung 数据/données été.csv", rows)
    again = place.run()
    assert (again.code, again.results["state"]) == (0, "SUCCEEDED")
    table = client.export(place.name)
    assert sorted(table.column("item_id").to_pylist()) == sorted(ids)
    known = {row["ид"]: row["πλ"] for row in rows}
    answered = [row for row in table.to_pylist() if row["source"] == "human"]
    assert len(answered) == 30
    assert all(row["label"] == known[row["item_id"]] for row in answered)
    target = place.root / "результат.csv"
    assert place.actuary("export", place.name, str(target)).code == 0
    assert {line.split(",")[0].strip('"') for line in target.read_text("utf-8").splitlines()[1:]} == set(ids)
