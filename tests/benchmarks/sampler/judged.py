"""Two more data sets with labels of machines and of people, and judges beside them; no benchmark by itself.

`mmlu-pro`: of twenty-nine language models' answers to 12,032 questions with up to ten choices one model's are
the machine's labels, and five others are its judges: the score is the share of them that chose another
letter, and the class probabilities are votes. `openqa`: GPT-4's verdicts on 1,490 answers to open questions,
judged by another model's verdict and by a learned scorer, whose score stands for the confidence.

Neither has a column of stated confidence, so that none of the published figures is of them.
"""

from __future__ import annotations

import csv
import gzip
import json
import pathlib

import numpy as np
import politeness
import pyarrow as pa

from actuary.sampler import frames
from actuary.stats import prn

FOLDER = pathlib.Path(__file__).parents[4] / "shared/data"
MMLU = FOLDER / "mmlu-pro-29-llms/preds_wide.csv.gz"
OPENQA = FOLDER / "openqa-judges/nq301.csv.gz"
LETTERS = "ABCDEFGHIJ"
ANNOTATOR = "Meta-Llama-3_1-70B-Instruct"
"""It answered everything."""
JUDGES = (
    "gemini-1.5-flash-002",
    "Qwen1.5-110B",
    "jamba-1.5-large",
    "Meta-Llama-3_1-8B-Instruct",
    "mathstral-7B",
)


def _rows(path: pathlib.Path, benchmark: str) -> list[dict[str, str]] | None:
    if not path.exists():
        print(json.dumps({"benchmark": benchmark, "skipped": f"no data at {path.name}"}))
        return None
    with gzip.open(path, "rt", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _data(
    label: frames.Longs, human: frames.Longs, probabilities: frames.Floats, scores: dict[str, frames.Floats]
) -> politeness.Data:
    size = label.size
    ids = [f"item-{number:05d}" for number in range(size)]
    frame = frames.Frame(
        ids=pa.array(ids),
        shard=np.zeros(size, dtype=np.int64),
        u=prn.uniform(ids, prn.project_key(0)),
        outcome=pa.array(["LABELLED"] * size),
        label=label,
        confidence=probabilities[np.arange(size), label],
        probabilities=probabilities,
        scores=scores,
        length=np.ones(size),
    )
    nothing = np.empty(size, dtype=object)
    return politeness.Data(frame=frame, human=human, text=nothing, given=np.empty((size, 0)))


def mmlu(benchmark: str) -> politeness.Data | None:
    """Reads mmlu-pro, or says that it is not there."""
    rows = _rows(MMLU, benchmark)
    if rows is None:
        return None
    # "" is no answer, and no vote
    votes = np.array([[LETTERS.find(row[name] or "?") for name in (ANNOTATOR, *JUDGES)] for row in rows])
    label, judges = votes[:, 0], votes[:, 1:]
    answered = judges >= 0
    other = (answered & (judges != label[:, None])).sum(axis=1) / np.maximum(answered.sum(axis=1), 1)
    counts = (votes[:, :, None] == np.arange(len(LETTERS))).sum(axis=1)
    probabilities = counts / counts.sum(axis=1, keepdims=True)
    human = np.array([LETTERS.index(row["answer"]) for row in rows])
    return _data(label, human, probabilities, {"judges": other})


def openqa(benchmark: str) -> politeness.Data | None:
    """Reads openqa, or says that it is not there."""
    rows = _rows(OPENQA, benchmark)
    if rows is None:
        return None

    def yes(column: str) -> frames.Longs:
        return np.array([int(row[column] == "Yes") for row in rows])

    label, judge, human = yes("gpt4_verdict"), yes("davinci_verdict"), yes("Acceptable?")
    scored = np.array([float(row["bem_max"]) for row in rows])
    probabilities = np.stack([1.0 - scored, scored], axis=1)
    return _data(
        label,
        human,
        probabilities,
        {
            "scorer": 1.0 - probabilities[np.arange(label.size), label],
            "verdict": (judge != label).astype(np.float64),
        },
    )
