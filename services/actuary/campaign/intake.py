"""What an import lets in: rows are checked, what is wrong is found, what is right is counted.

It keeps the few rows that become no items: exemplars, which instructions show. It writes nothing; where rows
go is the import's matter (`ingest`), and what is told about a single value that of `row_checks`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actuary.campaign import embeddings, findings, row_checks, slices, sources


class Intake:
    """The rows of one import, batch by batch, in one thread."""

    def __init__(
        self,
        source: sources.Source,
        found: findings.Findings,
        classes: Sequence[str] | None,
        *,
        exemplars: bool,
    ) -> None:
        """Checks rows of a source.

        Args:
            source: where they come from; it says where a row is.
            found: what is wrong is added to it.
            classes: the task's; None leaves labels unchecked.
            exemplars: whether some rows may be exemplars.
        """
        self._source = source
        self._found = found
        self._classes = classes
        self._wants_exemplars = exemplars
        self._exemplars: list[pa.RecordBatch] = []
        self._labels: set[str] = set()
        self._labelled = 0
        self.counts = dict.fromkeys((*row_checks.SPLITS, "truth"), 0)
        """Rows by split; exemplars and truth are counted where they are written."""
        self.has_truth = False
        self.slices = slices.Tally(source.columns.slice)
        self._embeddings = embeddings.Check(source.columns.embedding)
        if classes is not None and len(set(classes)) < 2:
            found.add(
                "classes",
                "task.classes",
                f"expected two classes at least; got {', '.join(classes) or 'none'}",
            )

    def check(self, batch: sources.Batch) -> pa.RecordBatch:
        """Reports what is wrong; returns the rows that are no exemplars, with their numbers as `row`."""
        columns = dict(zip(batch.rows.schema.names, batch.rows.columns, strict=True))
        count = batch.rows.num_rows
        ids = columns["item_id"] = pc.fill_null(columns["item_id"], "")
        report = row_checks.Reporter(self._source, self._found, batch.first_row, ids)
        row_checks.check_ids(ids, report)
        row_checks.check_content(columns.get("text"), columns.get("image"), report)
        if "split" in columns:
            columns["split"] = row_checks.checked_split(columns["split"], report)
        if "label" in columns:
            self.has_truth = True
            label = columns["label"] = row_checks.checked_label(columns["label"], self._classes, report)
            self._labels.update(v for v in label.unique().to_pylist() if v is not None)
            self._labelled += count - label.null_count
        if "slice" in columns:
            pool = pc.equal(columns["split"], row_checks.POOL) if "split" in columns else None
            columns["slice"] = slices.checked(columns["slice"], report)
            self.slices.add(columns["slice"], pool, report)
        if "embedding" in columns:
            columns["embedding"] = self._embeddings(columns["embedding"], report)
        columns["row"] = pa.array(np.arange(batch.first_row, batch.first_row + count, dtype=np.int64))
        table = pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))
        if "split" in columns:
            return self._without_exemplars(table, report)
        self.counts[row_checks.POOL] += count
        return table

    def conclude(self, rows: int) -> None:
        """Reports what only all rows together show.

        Args:
            rows: how many there were.
        """
        columns, name = self._source.columns, self._source.name
        if not rows and not self._found:
            self._found.add("rows", name, "the data set is empty: expected one row at least")
        elif not self._found and not self.counts[row_checks.POOL]:
            self._found.add("rows", name, "no row is in the pool: there is nothing to label")
        if self._labelled > 1 and len(self._labels) == 1:
            self._found.add(
                "classes",
                name,
                f"expected labels of two classes at least; all {self._labelled:,} in the column "
                f"{columns.truth!r} (data.truth_column) are {next(iter(self._labels))!r}",
            )
        if rows and columns.slice and not self.slices.items:
            self._found.add(
                "slices",
                name,
                f"expected slices in the column {columns.slice!r} (data.slice_column); it is "
                "empty in every row: name another, or none",
            )
        if rows and columns.embedding and not self._found and not self._embeddings.width:
            self._found.add(
                "embeddings",
                name,
                f"expected lists of numbers in the column {columns.embedding!r} (data.embedding_column); it "
                "is empty in every row: name another, or none",
            )

    def exemplars(self) -> pa.Table:
        """All exemplars, sorted by id."""
        if not self._exemplars:
            return pa.table({"item_id": pa.array([], pa.string()), "row": pa.array([], pa.int64())})
        return pa.Table.from_batches(self._exemplars).sort_by("item_id")

    def _without_exemplars(self, table: pa.RecordBatch, report: row_checks.Reporter) -> pa.RecordBatch:
        chosen = pc.equal(table.column("split"), row_checks.EXEMPLAR)
        if pc.any(chosen).as_py():
            labelled = "label" in table.schema.names
            missing = pc.is_null(table.column("label")) if labelled else chosen
            report(
                pc.and_(chosen, missing),
                "exemplars",
                lambda i: (
                    "an exemplar needs its label"
                    + ("" if labelled else ": name the column that holds it in data.truth_column")
                ),
            )
            if not self._wants_exemplars:
                report(chosen, "exemplars", lambda i: "exemplars are not expected here")
            self._exemplars.append(table.filter(chosen))
            table = table.filter(pc.invert(chosen))
        for entry in pc.value_counts(table.column("split")).to_pylist():
            if entry["values"] in self.counts:
                self.counts[entry["values"]] += entry["counts"]
        return table
