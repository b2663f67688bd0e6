"""Labels at hand: every format, and every way in which a file can be wrong."""

import asyncio
import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actuary import errors
from actuary.models import protocol, table

CLASSES = ("ja", "nein")


def open_file(name: str, data: bytes) -> table.TableModel:
    context = protocol.ModelContext(classes=CLASSES, open=lambda uri: io.BytesIO(data))
    return table.TableModel(protocol.ModelSpec(kind="table", uri=name), context)


def ask(model: table.TableModel, *ids: str) -> protocol.ScoreBatch:
    asked = [protocol.Prompt(i, ()) for i in ids]
    answers = asyncio.run(model.score(asked, CLASSES))
    protocol.check_answers(asked, answers, len(CLASSES))
    return answers


def csv(*lines: str) -> bytes:
    return "\n".join(lines).encode()


def parquet(columns: dict[str, object]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


WITH_PROBABILITIES = {
    "csv columns": ("l.csv", csv("item_id,label,p_ja,p_nein", "007,nein,0.25,0.75", "7,,,")),
    "csv list": ("l.csv", csv("item_id,label,probabilities", '007,nein,"[0.25, 0.75]"', "7,,")),
    "tsv": ("l.tsv", csv("item_id\tlabel\tp_ja\tp_nein", "007\tnein\t0.25\t0.75", "7\t\t\t")),
    "bom": ("l.csv", "\ufeffitem_id,label,p_ja,p_nein\r\n007,nein,0.25,0.75\r\n7,,,\r\n".encode()),
    "jsonl": (
        "l.jsonl",
        csv('{"item_id": "007", "label": "nein", "probabilities": [0.25, 0.75]}', '{"item_id": "7"}', ""),
    ),
    "parquet": (
        "l.parquet",
        parquet({"item_id": ["007", "7"], "label": ["nein", None], "probabilities": [[0.25, 0.75], None]}),
    ),
}


@pytest.mark.parametrize("name", WITH_PROBABILITIES)
def test_every_format_gives_the_same(name: str) -> None:
    model = open_file(*WITH_PROBABILITIES[name])
    answers = ask(model, "7", "007", "absent")
    assert list(answers.item_ids) == ["7", "007"]
    assert answers.label_index.tolist() == [-1, 1]
    assert answers.log_probabilities is not None
    assert np.exp(answers.log_probabilities[1]) == pytest.approx([0.25, 0.75])
    assert np.isnan(answers.log_probabilities[0]).all()
    assert answers.failures == {"absent": f"{WITH_PROBABILITIES[name][0]} has no row for this item"}
    assert model.capabilities.probabilities


def test_labels_alone_suffice() -> None:
    model = open_file("l.csv", csv("item_id,label", "é,ja"))
    answers = ask(model, "é")
    assert answers.log_probabilities is None
    assert np.isnan(answers.confidence).all()
    assert not model.capabilities.probabilities
    assert answers.tokens_in.tolist() == [0]


def test_rounded_probabilities_are_made_to_sum_to_one() -> None:
    answers = ask(open_file("l.csv", csv("item_id,label,p_ja,p_nein", "a,ja,0.6667,0.3334")), "a")
    assert answers.log_probabilities is not None
    assert np.exp(answers.log_probabilities).sum() == pytest.approx(1, abs=1e-15)


BAD = {
    "label": (csv("item_id,label", "a,ja", "b,nien"), r"row 2: label 'nien' is no class.*mean 'nein'"),
    "duplicate": (csv("item_id,label", "a,ja", "b,ja", "a,ja"), r"row 3: item 'a' is in row 1 already"),
    "no id": (csv("item_id,label", ",ja"), r"row 1: expected an item_id"),
    "nan": (csv("item_id,label,p_ja,p_nein", "a,ja,nan,0.5"), r"row 1: probabilities: .* got nan, 0.5"),
    "negative": (csv("item_id,label,p_ja,p_nein", "a,ja,-0.1,1.1"), r"row 1: probabilities: .* got -0.1"),
    "sum": (csv("item_id,label,p_ja,p_nein", "a,ja,0.5,0.4"), r"row 1: probabilities: expected a sum .* 0.9"),
    "half": (csv("item_id,label,p_ja,p_nein", "a,ja,0.5,"), r"row 1: probabilities: .* got 0.5, nan"),
    "confidence": (csv("item_id,label,confidence", "a,ja,1.5"), r"row 1: confidence: .*\[0, 1\], got 1.5"),
    "confidence nan": (csv("item_id,label,confidence", "a,ja,NaN"), r"row 1: confidence: .* got nan"),
    "no number": (csv("item_id,label,confidence", "a,ja,high"), r"row 1: confidence: .* got 'high'"),
    "no label column": (csv("item_id,lable", "a,ja"), r"l.csv: no column label; it has item_id, lable"),
    "missing class": (csv("item_id,label,p_ja", "a,ja,1"), r"l.csv: no column p_nein"),
    "empty": (b"", r"l.csv: expected at least one row"),
    "header only": (csv("item_id,label"), r"l.csv: expected at least one row"),
    "ragged": (
        csv("item_id,label", "a,ja,x", "b,nien"),
        r"row 1: expected 2 columns(.|\n)*row 2: label 'nien'",
    ),
    "not utf-8": (
        b"item_id,label\na,ja\n\xff\xfe,ja",
        r"l.csv, row 2: item_id: expected UTF-8, got byte 0xff",
    ),
    "open quote": (csv("item_id,label", "a,ja", 'b,"nein', "c,ja"), r"row 2: a quoted field .* never closed"),
    "doubled column": (csv("item_id,label,label", "a,ja,ja"), r"l.csv: the column 'label' is there twice"),
    "one class": (
        csv("item_id,label", "a,ja", "b,ja", "c,"),
        r"l.csv: expected two classes .* 'ja' in all 2 rows",
    ),
    "order": (
        csv("item_id,label,probabilities", 'a,ja,"[0.1, 0.9]"', 'b,nein,"[0.8, 0.2]"', 'c,ja,"[0.9, 0.1]"'),
        r"l.csv: in 2 of 3 rows the label is not the most probable class: .* ja, nein",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_with_file_and_row(name: str) -> None:
    data, message = BAD[name]
    with pytest.raises(errors.InvalidInputError, match=message):
        open_file("l.csv", data)


def test_a_list_of_another_length_is_refused() -> None:
    line = json.dumps({"item_id": "a", "label": "ja", "probabilities": [1.0]})
    with pytest.raises(errors.InvalidInputError, match=r"row 1: probabilities: expected a list of 2"):
        open_file("l.jsonl", line.encode())


def test_a_line_that_is_no_object_is_named() -> None:
    with pytest.raises(errors.InvalidInputError, match=r"l.jsonl, row 2: expected a JSON object"):
        open_file("l.jsonl", csv('{"item_id": "a", "label": "ja"}', "{nope"))
    with pytest.raises(
        errors.InvalidInputError, match=r"l.jsonl, row 1: expected a JSON object, got '\[1\]'"
    ):
        open_file("l.jsonl", b"[1]")


def test_a_file_of_unknown_kind_gets_the_list() -> None:
    with pytest.raises(errors.InvalidInputError, match=r"\.csv, \.tsv"):
        open_file("l.xlsx", b"")


def test_a_file_that_is_no_parquet_is_refused() -> None:
    with pytest.raises(errors.InvalidInputError, match="not readable as parquet"):
        open_file("l.parquet", b"nope")


def test_many_problems_are_counted() -> None:
    lines = [f"{i},vielleicht{i}" for i in range(100)]
    with pytest.raises(errors.InvalidInputError, match="and 80 more problems") as caught:
        open_file("l.csv", csv("item_id,label", *lines))
    assert len(caught.value.violations) == 21


def test_rows_with_the_same_problem_are_named_together() -> None:
    lines = [f"{i},{'vielleicht' if i % 2 else 'ja'}" for i in range(100)]
    with pytest.raises(errors.InvalidInputError) as caught:
        open_file("l.csv", csv("item_id,label", *lines))
    assert str(caught.value) == (
        "l.csv, row 2: label 'vielleicht' is no class: expected ja, nein "
        "(and in 49 further rows: 4, 6, 8, 10, 12, …)"
    )


def test_labels_of_one_class_with_confidences_are_taken() -> None:
    answers = ask(open_file("l.csv", csv("item_id,label,confidence", "a,ja,.9", "b,ja,.6")), "b")
    assert answers.confidence.tolist() == [0.6]


@given(
    st.lists(
        st.tuples(st.text(min_size=1, max_size=8), st.sampled_from([*CLASSES, ""]), st.floats(0, 1)),
        min_size=1,
        max_size=20,
        unique_by=lambda row: row[0],
    )
)
def test_whatever_is_written_is_read_back(rows: list[tuple[str, str, float]]) -> None:
    data = "\n".join(json.dumps({"item_id": i, "label": k, "confidence": c}) for i, k, c in rows)
    answers = ask(open_file("l.jsonl", data.encode()), *(r[0] for r in rows))
    assert answers.confidence.tolist() == [r[2] for r in rows]
    assert [(*CLASSES, "")[i] for i in answers.label_index] == [r[1] for r in rows]
