import pytest

from actuary import errors
from actuary.review import files, submission
from component.review.conftest import BATCH, CLASSES, Item


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_a_file_of_tasks_that_people_filled_in_comes_back_as_answers(opened, tmp_path, ending):
    desk = opened([Item("007", rank=1), Item('a "quoted", ü\nid', rank=2), Item("3", rank=3)])
    tasks = desk.acquire(BATCH, "a", 3).tasks
    path = tmp_path / f"tasks ü.{ending}"
    assert files.write_tasks(files.rows_of(tasks), path) == 3
    assert files.read_answers(path, CLASSES) == ()  # nobody has answered yet
    text = path.read_text(encoding="utf-8")
    if ending == "csv":
        assert text.splitlines()[1] == "000000000,007,text of 007,,,,,,"
        text = text.replace("of 007,,,,,,", "of 007,,,,鳥,,2.5").replace("of 3,,,,,,", "of 3,,,,,yes,")
    else:
        lines = text.splitlines()
        lines[0] = lines[0].replace('"label": ""', '"label": "鳥"').replace('"seconds": ""', '"seconds": 2.5')
        lines[2] = lines[2].replace('"cannot_tell": ""', '"cannot_tell": true')
        text = "\n".join(lines)
    path.write_text(text, encoding="utf-8")
    answers = files.read_answers(path, CLASSES)
    assert answers == (
        submission.Answer(task="000000000", label="鳥", seconds=2.5),
        submission.Answer(task="000000002", label=None),
    )
    assert all(result.accepted for result in desk.submit(BATCH, "a", answers))


def test_images_are_written_beside_the_file(tmp_path):
    rows = [files.Row(task="000000001", item_id="i", image=b"\x89PNG rest")]
    files.write_tasks(rows, tmp_path / "t.csv")
    assert (tmp_path / "t-images" / "000000001.png").read_bytes() == b"\x89PNG rest"
    assert "t-images/000000001.png" in (tmp_path / "t.csv").read_text()


def test_all_wrong_lines_are_named_at_once(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(
        "task,label,cannot_tell,seconds\n000000000,catt,,\n000000001,cat,yes,\n,cat,,\n"
        "000000002,cat,perhaps,\n000000003,cat,,nan\n000000004\n000000005,cat,,3\n"
    )
    with pytest.raises(errors.InvalidInputError) as caught:
        files.read_answers(path, CLASSES)
    assert [v.field for v in caught.value.violations] == [f"a.csv:{line}" for line in range(2, 8)]
    assert "did you mean 'cat'?" in caught.value.message


def test_wrong_files_are_refused_by_name(tmp_path):
    for name, content, said in [
        ("a.txt", "", "csv or .jsonl"), ("a.csv", "item,label\n", "task is missing"),
        ("b.csv", "", "are none"),
    ]:  # fmt: skip
        (tmp_path / name).write_text(content)
        with pytest.raises(errors.InvalidInputError, match=said):
            files.read_answers(tmp_path / name, CLASSES)
    (tmp_path / "a.jsonl").write_text('{"task": "1"}\nnonsense\n')
    with pytest.raises(errors.InvalidInputError, match=r"a\.jsonl:2"):
        files.read_answers(tmp_path / "a.jsonl", CLASSES)
    (tmp_path / "c.csv").write_bytes(b"task,label\n\xff\xfe,x\n")
    with pytest.raises(errors.InvalidInputError, match="UTF-8"):
        files.read_answers(tmp_path / "c.csv", CLASSES)
    with pytest.raises(errors.InvalidInputError, match="cannot be read"):
        files.read_answers(tmp_path / "none.csv", CLASSES)
