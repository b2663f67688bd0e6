"""`actuary init`: a commented campaign.yaml to start from."""

from __future__ import annotations

from pathlib import Path

import typer

from actuary import client as clients
from actuary import errors

TEMPLATE = """\
# A campaign of Actuary. The file is the JSON mapping of the message `actuary.v1.Campaign`:
# every field, its range and its default are described in protos/actuary/v1/campaign.proto.
# Run it with:   actuary run {folder}

display_name: My first campaign

task:
  instruction: Is this review positive or negative?   # models and people read it
  classes:
    - name: positive
      description: The writer recommends it.
    - name: negative
      description: The writer does not recommend it.
  # a class called yes, no, 0 or 1 is written in quotes: "yes"

data:
  uri: items.csv          # CSV, JSONL, Parquet, or a folder of images; relative to this file
  id_column: item_id      # unique; ids stay strings, whatever they look like
  text_column: text       # or image_column: bytes, or paths relative to the file
  # split_column: split   # pool (to label), test, exemplar (labelled examples for the model)
  # slice_column: language   # accuracies are estimated for each value: a language, a camera, a customer
  # embedding_column: embedding   # lists of numbers: with 400 pilot labels, risks are learned from them too
  # truth_column: truth   # kept sealed: only tests and replayed reviewers see it; without test items that
  #                       # have it no test accuracy is shown

annotator:
  model:
    # Labels that you have from some LLM: a CSV, JSONL or Parquet file with item_id, label and, if you can,
    # confidence in [0, 1] or one column p_<class> a class. Other kinds: exemplar, linear (need exemplars),
    # null.
    kind: table
    uri: labels.csv
    prices:               # required: 0 says that it is free, or already paid
      input_micros_per_1000_tokens: 0
      output_micros_per_1000_tokens: 0

critic:
  strategy: confidence    # one minus the annotator's confidence; class-probability asks another model

budget:
  human_labels: 200       # at most the items to label; or human_share: 0.2
  human_label_micros: 80000   # 8 cents a label
  # money_micros: 50000000    # at most 50 dollars for people and machines together; no cap without it

sampling:
  rule: hybrid            # or threshold, square-root, uniform, normalised, exponential
  pilot_items: 60         # labels of a random sample, blind, before the bulk is spent: 20 at least
  audit_share: 0.4        # of the rest, what is drawn by chance, for the interval: all out of the budget
  # slice_minimum: 30     # at least so many of each slice are looked at; class_minimum: of each class

review:
  mode: people            # actuary review {id} --as NAME; or replay, from data.truth_column
  instructions: Read the whole text. Say "cannot tell" rather than guess.
  double_share: 0         # 0.1: a tenth is labelled by two people, a third settles what they disagree on
  lease_duration: 600s

training:
  model: linear           # none, linear, resnet18 (images)

# guarantee:              # prove it: as few labels as show that at most 5 % are wrong, at most the budget
#   mode: target          # or budget: the smallest bound that the budget buys
#   max_error_rate: 0.05

approval: none            # required: wait for `actuary approve` after the quote
seed: 1
"""


def init(folder: Path) -> None:
    """Writes `folder`/campaign.yaml.

    Raises:
        errors.AlreadyExistsError: the file is there; nothing is written over.
    """
    path = folder / "campaign.yaml"
    if folder.exists() and not folder.is_dir():
        raise errors.InvalidInputError(
            f"{folder}: expected a folder to write campaign.yaml into, it is a file"
        )
    if path.exists():
        raise errors.AlreadyExistsError(f"{path} exists: edit it, or name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    text = TEMPLATE.format(folder=folder, id=clients.id_of(folder.absolute().name))
    path.write_text(text, encoding="utf-8")
    typer.echo(f"wrote {path}")
    typer.echo("next: put your items beside it and edit it, then")
    typer.echo(f"check it: actuary doctor {folder}\nrun it:   actuary run {folder}")
