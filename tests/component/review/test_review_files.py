import csv
import json

import pytest

from actuary import errors
from actuary.review import files
from actuary.v1 import review_service_pb2
from component.review.conftest import BATCH, CLASSES


def task(number, item_id="i", **values):
    return review_service_pb2.ReviewTask(name=f"{BATCH}/tasks/{number:09d}", item_id=item_id, **values)


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_a_file_of_tasks_that_people_filled_in_comes_back_as_answers(tmp_path, ending):
    tasks = [task(0, "007", text="text of 007"), task(1, 'a "quoted", ü\nid'), task(2, "3", text="text of 3")]
    path = tmp_path / "new folder" / f"tasks ü.{ending}"
    files.check_target(path)
    files.write_tasks(tasks, path)
    assert [(row.row, row.task, row.answer) for row in files.read(path, CLASSES)] == [
        (number, each.name, None) for number, each in enumerate(tasks, start=1)
    ]  # nobody has answered yet
    text = path.read_text(encoding="utf-8")
    if ending == "csv":
        assert text.splitlines()[1] == f"{BATCH}/tasks/000000000,007,text of 007,,,,,,"
        text = text.replace("of 007,,,,,,", "of 007,,,,鳥,,2.5").replace("of 3,,,,,,", "of 3,,,,,yes,")
    else:
        lines = text.splitlines()
        lines[0] = lines[0].replace('"label": ""', '"label": "鳥"').replace('"seconds": ""', '"seconds": 2.5')
        lines[2] = lines[2].replace('"cannot_tell": ""', '"cannot_tell": true')
        text = "\n".join(lines)
    path.write_text(text, encoding="utf-8")
    assert [row.answer for row in files.read(path, CLASSES)] == [
        review_service_pb2.Answer(task=tasks[0].name, label="鳥", seconds=2.5),
        None,
        review_service_pb2.Answer(task=tasks[2].name, cannot_tell=True),
    ]


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_a_spreadsheet_of_another_country_is_read(tmp_path, delimiter):
    path = tmp_path / "t.csv"
    with path.open("w", encoding="utf-8-sig", newline="") as stream:
        table = csv.writer(stream, delimiter=delimiter)
        table.writerow(["task", "item_id", "label", "cannot_tell", "seconds", "reviewer"])
        table.writerow([task(0).name, "a, b", " cat ", "", "1", "Zoë "])
        table.writerow([task(1).name, "c", "", "x", "", ""])
    first, second = files.read(path, CLASSES)
    assert (first.answer.label, first.reviewer, second.answer.cannot_tell) == ("cat", "Zoë", True)


def test_images_are_written_beside_the_file(tmp_path):
    files.write_tasks([task(1, image=b"\x89PNG rest")], tmp_path / "t.csv")
    assert (tmp_path / "t.images" / "000000001.png").read_bytes() == b"\x89PNG rest"
    assert "t.images/000000001.png" in (tmp_path / "t.csv").read_text()


def test_a_file_that_cannot_be_written_is_refused_before_tasks_are_taken(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.InvalidInputError, match=r"file/t\.csv: cannot be written"):
        files.check_target(tmp_path / "file" / "t.csv")
    (tmp_path / "t.csv").write_text("answers")
    with pytest.raises(errors.AlreadyExistsError, match="perhaps with answers in it"):
        files.check_target(tmp_path / "t.csv")
    with pytest.raises(errors.InvalidInputError, match=r"csv or \.jsonl"):
        files.check_target(tmp_path / "t.xlsx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "t.csv"]


def test_a_file_that_was_begun_is_no_file(tmp_path):
    def tasks():
        yield task(0)
        raise OSError(28, "No space left on device")

    with pytest.raises(errors.ExhaustedError, match="No space left"):
        files.write_tasks(tasks(), tmp_path / "t.csv")
    assert list(tmp_path.iterdir()) == []


def test_all_wrong_rows_are_named_at_once(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(
        "task,label,cannot_tell,seconds\n000000000,catt,,\n000000001,cat,yes,\n\n,cat,,\n"
        "000000002,cat,perhaps,\n000000003,cat,,nan\n000000004\n000000005,cat,,-5\n000000006,cat,,3\n"
    )
    with pytest.raises(errors.InvalidInputError) as caught:
        files.read(path, CLASSES)
    assert [v.field for v in caught.value.violations] == [f"{path}, row {row}" for row in range(1, 8)]
    assert "did you mean 'cat'?" in caught.value.message


def test_wrong_files_are_refused_by_name(tmp_path):
    name = task(0).name
    for ending, content, said in [
        ("txt", b"", "csv or .jsonl"),
        ("csv", b"item,label\n", "task is missing"),
        ("csv", b"", "are none"),
        ("csv", b"task,label\n", "expected rows of tasks"),
        ("csv", f'task,label\n{name},"cat\n{name},cat\n'.encode(), "expected CSV"),
        ("csv", b"task,label\n\xff\xfe,x\n", "got byte 0xff: save it as UTF-8"),
        ("jsonl", b'{"task": "1", "label": ""}\nnonsense\n', "row 2: expected a JSON object"),
        ("jsonl", b'["task", "label"]\n', "row 1: expected a JSON object with the keys"),
        ("jsonl", b"\n", "expected rows of tasks"),
        ("jsonl", json.dumps({"task": name, "label": 1}).encode(), "row 1: .*got '1'"),
    ]:
        path = tmp_path / f"a.{ending}"
        path.write_bytes(content)
        with pytest.raises(errors.InvalidInputError, match=said):
            files.read(path, CLASSES)
    with pytest.raises(errors.InvalidInputError, match="cannot be read"):
        files.read(tmp_path / "none.csv", CLASSES)
