"""Importing data sets: what arrives, and what is said about data that are wrong."""

import gzip
import hashlib
import io
import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from actuary import errors
from actuary.campaign import ingest, sources
from actuary.stats import prn
from actuary.storage import artifacts, folder, tables
from unit.campaign.import_help import (
    EXEMPLARS,
    ITEMS,
    KEY,
    TRUTH,
    csv_source,
    refused,
    rows,
    run,
    table,
    write_csv,
)


@pytest.fixture
def store(tmp_path: Path) -> folder.FolderStore:
    return folder.FolderStore(tmp_path / "store")


def png(colour: int = 0, size: int = 4) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (size, size), colour).save(buffer, "PNG")
    return buffer.getvalue()


CONTENT = [["007", "ein Text, mit Komma", "pool", "ja"], ["1e5", 'with "quotes"\nand a line', "test", "nein"]]


class TestFormats:
    def check(self, store: folder.FolderStore, source: sources.Source) -> None:
        result = run(source, store, classes=["ja", "nein"])
        items, truth = rows(store, ITEMS), rows(store, TRUTH)
        assert result.counts == {"pool": 1, "test": 1, "exemplar": 0, "truth": 2}
        assert {i: items[i]["text"] for i in items} == {row[0]: row[1] for row in CONTENT}
        assert {i: items[i]["split"] for i in items} == {"007": "pool", "1e5": "test"}
        assert {i: truth[i]["label"] for i in truth} == {"007": "ja", "1e5": "nein"}

    def test_csv_with_quotes_line_breaks_and_ids_that_look_like_numbers(self, tmp_path, store):
        path = write_csv(tmp_path / "d.csv", ["item_id", "text", "part", "klasse"], *CONTENT)
        self.check(store, csv_source(path, split="part", truth="klasse"))

    def test_csv_with_a_byte_order_mark(self, tmp_path, store):
        path = write_csv(tmp_path / "d.csv", ["item_id", "text", "part", "klasse"], *CONTENT)
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
        self.check(store, csv_source(path, split="part", truth="klasse"))

    def test_jsonl(self, tmp_path, store):
        path = tmp_path / "d.jsonl"
        names = ["item_id", "text", "part", "klasse"]
        path.write_text(
            "\n\n".join(json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False) for row in CONTENT)
        )
        self.check(store, csv_source(path, split="part", truth="klasse"))

    def test_parquet(self, tmp_path, store):
        names = ["key", "text", "part", "klasse"]
        data = pa.table([list(column) for column in zip(*CONTENT, strict=True)], names=names)
        data = data.set_column(3, "klasse", data.column("klasse").dictionary_encode())
        pq.write_table(data.append_column("other", pa.array([1.5, 2.5])), tmp_path / "d.parquet")
        self.check(store, csv_source(tmp_path / "d.parquet", id="key", split="part", truth="klasse"))

    def test_rows_in_memory(self, store):
        names = ["item_id", "text", "split", "label"]
        batch = pa.RecordBatch.from_pydict(
            {n: list(c) for n, c in zip(names, zip(*CONTENT, strict=True), strict=True)}
        )
        columns = sources.Columns(split="split", truth="label")
        self.check(store, sources.Rows([batch.slice(0, 1), batch.slice(1)], columns))

    def test_integer_ids_of_parquet_become_text(self, tmp_path, store):
        pq.write_table(pa.table({"item_id": [1, 22], "text": ["a", "b"]}), tmp_path / "d.parquet")
        run(csv_source(tmp_path / "d.parquet"), store)
        assert sorted(rows(store, ITEMS)) == ["1", "22"]

    def test_a_folder_of_images_with_unicode_names(self, tmp_path, store):
        for label in ("katze", "hünd"):
            (tmp_path / "bilder" / label).mkdir(parents=True)
            for i in range(3):
                (tmp_path / "bilder" / label / f"bild {i}.PNG").write_bytes(png(i))
        (tmp_path / "bilder" / ".hidden.png").write_bytes(b"no image")
        result = run(csv_source(tmp_path / "bilder", truth="folder"), store, classes=["katze", "hünd"])
        assert result.counts["pool"] == result.counts["truth"] == 6
        assert rows(store, ITEMS)["hünd/bild 1.PNG"]["image"] == png(1)
        assert rows(store, TRUTH)["hünd/bild 1.PNG"]["label"] == "hünd"

    def test_images_named_by_a_csv_are_read(self, tmp_path, store):
        (tmp_path / "i").mkdir()
        (tmp_path / "i" / "ä.png").write_bytes(png(7))
        path = write_csv(
            tmp_path / "d.csv", ["item_id", "image", "question"], ["a", "i/ä.png", "What is it?"]
        )
        run(csv_source(path), store)
        assert rows(store, ITEMS)["a"]["image"] == png(7)
        assert rows(store, ITEMS)["a"]["question"] == "What is it?"

    def test_a_large_image_becomes_an_object_named_by_its_digest(self, tmp_path, store):
        data = np.random.default_rng(0).integers(0, 256, (300, 300), dtype=np.uint8)
        (tmp_path / "images").mkdir()
        Image.fromarray(data).save(tmp_path / "images" / "large.png")
        (tmp_path / "images" / "small.png").write_bytes(png())
        run(csv_source(tmp_path / "images"), store)
        item = rows(store, ITEMS)["large.png"]
        assert item["image"] is None
        assert store.get(item["image_uri"]) == (tmp_path / "images" / "large.png").read_bytes()
        assert rows(store, ITEMS)["small.png"]["image_uri"] is None


class TestWhatIsWritten:
    def source(self, count: int = 100, **columns) -> sources.Rows:
        batch = pa.RecordBatch.from_pydict(
            {"item_id": [f"ü{i}" for i in range(count)], "text": [f"text {i}" for i in range(count)]}
        )
        return sources.Rows([batch.slice(i, 17) for i in range(0, count, 17)], sources.Columns(**columns))

    def test_items_lie_sorted_in_the_shard_of_their_hash_with_their_random_number(self, store):
        result = run(self.source(), store)
        manifest, digest = artifacts.read_manifest(store, ITEMS)
        assert (result.shards, manifest.shards, result.items_digest) == (16, 16, digest)
        assert manifest.rows == 100
        for shard in range(16):
            piece = tables.read_shard(store, manifest, shard)
            ids = piece.column("item_id").to_pylist()
            hashes, u = prn.digest(ids, KEY)
            assert ids == sorted(ids, key=str.encode)
            assert (tables.shard_of(hashes, 16) == shard).all()
            assert (piece.column("u").to_numpy() == u).all()

    def test_exemplars_live_with_their_label_and_nowhere_else(self, store):
        batch = pa.RecordBatch.from_pydict(
            {
                "item_id": ["a", "b", "c"],
                "text": ["x", "y", "z"],
                "part": ["exemplar", "pool", None],
                "label": ["no", "yes", ""],
            }
        )
        source = sources.Rows([batch], sources.Columns(split="part", truth="label"))
        result = run(source, store, classes=["no", "yes"])
        assert result.counts == {"pool": 2, "test": 0, "exemplar": 1, "truth": 1}
        assert sorted(rows(store, ITEMS)) == ["b", "c"]
        assert rows(store, TRUTH) == {"b": {"item_id": "b", "label": "yes"}}
        assert rows(store, EXEMPLARS)["a"]["label"] == "no"

    def test_without_a_truth_column_nothing_is_sealed(self, store):
        result = run(self.source(), store)
        assert result.truth_digest is None
        assert list(store.list("sealed/")) == []

    def test_the_same_import_again_changes_nothing(self, store):
        first = run(self.source(), store)
        before = {info.key: store.get(info.key) for info in store.list("")}
        again = run(self.source(), store)
        assert again.existed
        assert (again.items_digest, again.counts) == (first.items_digest, first.counts)
        assert {info.key: store.get(info.key) for info in store.list("")} == before

    def test_another_import_at_the_same_place_is_refused(self, store):
        run(self.source(), store)
        with pytest.raises(errors.AlreadyExistsError, match="another campaign id"):
            run(self.source(), store, shards=20)

    def test_an_import_that_died_before_its_items_counted_is_done_over(self, store):
        batch = pa.RecordBatch.from_pydict({"item_id": ["a", "b"], "text": ["x", "y"], "t": ["no", "yes"]})
        source = sources.Rows([batch], sources.Columns(truth="t"))
        run(source, store)
        store.delete(artifacts.key_of(ITEMS))
        changed = sources.Rows([batch.slice(0, 1)], sources.Columns(truth="t"))
        result = run(changed, store, classes=["no", "yes"])
        assert result.counts["truth"] == 1
        assert table(store, TRUTH).num_rows == 1

    def test_what_is_spilled_gives_the_same_shards(self, store, tmp_path, monkeypatch):
        held = run(self.source(1000), store)
        monkeypatch.setattr(ingest.partition.Partition.__init__, "__kwdefaults__", {"memory_bytes": 3000})
        spilled = run(self.source(1000), folder.FolderStore(tmp_path / "other"))
        assert spilled.items_digest == held.items_digest

    def test_progress_ends_at_its_total(self, store):
        seen: dict[str, tuple[int, int]] = {}
        run(self.source(), store, progress=lambda phase, done, total: seen.update({phase: (done, total)}))
        assert seen == {"read": (100, 100), "write": (16, 16)}

    def test_phases_are_measured(self, store):
        phases = run(self.source(), store).phases
        assert tuple(phases) == ingest.PHASES
        assert all(seconds > 0 for seconds in phases.values())

    @pytest.mark.parametrize(
        ("size", "shards"), [(0, 16), (400_000, 16), (1_000_000, 40), (10**9, 20_000), (25_000 * 17 + 1, 18)]
    )
    def test_a_shard_has_about_25000_items(self, size, shards):
        assert ingest.default_shards(sources.Size(rows=size, bytes=0)) == shards

    @settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(
        ids=st.lists(
            st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=60),
            unique=True,
            min_size=1,
            max_size=40,
        ),
        shards=st.integers(1, 30),
    )
    def test_every_id_comes_back_once_as_it_was(self, tmp_path_factory, ids, shards):
        base = tmp_path_factory.mktemp("ids")
        store = folder.FolderStore(base / "store")
        path = write_csv(base / "d.csv", ["item_id", "text"], *[[i, "text"] for i in ids])
        run(csv_source(path), store, shards=shards)
        assert sorted(table(store, ITEMS).column("item_id").to_pylist()) == sorted(ids)


class TestBadInput:
    def test_duplicate_ids_name_both_rows(self, tmp_path, store):
        path = write_csv(tmp_path / "d.csv", ["item_id", "text"], ["a", "x"], ["b", "y"], ["a", "z"])
        message = refused(csv_source(path), store)
        assert f"{path}, row 3: the id 'a' was there before: {path}, row 1" in message

    def test_twenty_of_a_kind_are_named_and_the_rest_counted(self, tmp_path, store):
        path = write_csv(tmp_path / "d.csv", ["item_id", "text"], *[["same", "x"]] * 31)
        message = refused(csv_source(path), store)
        assert message.count("the id 'same'") == 20
        assert "10 more: duplicate ids" in message

    def test_everything_wrong_is_named_at_once(self, tmp_path, store):
        path = write_csv(
            tmp_path / "d.csv",
            ["item_id", "text", "split", "label"],
            ["a", "x", "pool", "yes"],
            ["a", "x", "pool", "yes"],
            ["", "x", "pool", "yes"],
            ["c", " \t", "pool", "yes"],
            ["d", "x", "train", "yes"],
            ["e", "x", "pool", "yess"],
            ["f", "x", "exemplar", ""],
            ["g" * 257, "x", "pool", "yes"],
        )
        message = refused(csv_source(path, split="split", truth="label"), store, classes=["yes", "no"])
        lines = message.splitlines()
        assert len(lines) == 7
        for row, words in [
            (2, "was there before"),
            (3, "no id"),
            (4, "the text is empty"),
            (5, "expected pool, test, exemplar; got 'train'"),
            (6, "'yess' is no class of the task: expected one of yes, no. Did you mean 'yes'?"),
            (7, "an exemplar needs its label"),
            (8, "at most 256 bytes; got 257"),
        ]:
            assert any(line.startswith(f"{path}, row {row}: ") and words in line for line in lines), (
                row,
                lines,
            )

    @pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
    def test_a_missing_column_lists_those_there_and_the_nearest(self, tmp_path, store, kind):
        path = tmp_path / f"d.{kind}"
        if kind == "csv":
            write_csv(path, ["ident", "txt"], ["a", "x"])
        elif kind == "jsonl":
            path.write_text('{"ident": "a", "txt": "x"}\n')
        else:
            pq.write_table(pa.table({"ident": ["a"], "txt": ["x"]}), path)
        message = refused(csv_source(path, id="idents", text="text"), store)
        assert f"{path}: no column 'idents' (data.id_column); it has 'ident', 'txt'" in message
        assert "Did you mean 'ident'?" in message
        assert "Did you mean 'txt'?" in message

    def test_a_table_without_content_asks_for_a_column(self, tmp_path, store):
        path = write_csv(tmp_path / "d.csv", ["item_id", "body"], ["a", "x"])
        assert "expected a text or an image column" in refused(csv_source(path), store)

    @pytest.mark.parametrize("content", ["", "item_id,text\n"])
    def test_an_empty_csv_is_named(self, tmp_path, store, content):
        (tmp_path / "d.csv").write_text(content)
        assert f"{tmp_path / 'd.csv'}: the data set is empty" in refused(
            csv_source(tmp_path / "d.csv"), store
        )

    def test_other_empty_data_sets_are_named(self, tmp_path, store):
        (tmp_path / "d.jsonl").write_text("\n")
        pq.write_table(pa.table({"item_id": [""], "text": [""]}).slice(1), tmp_path / "d.parquet")
        (tmp_path / "images").mkdir()
        for name in ("d.jsonl", "d.parquet", "images"):
            assert "the data set is empty" in refused(csv_source(tmp_path / name), store)
        assert "the data set is empty" in refused(sources.Rows([], sources.Columns()), store)

    def test_a_data_set_without_a_pool_is_named(self, tmp_path, store):
        path = write_csv(tmp_path / "d.csv", ["item_id", "text", "s"], ["a", "x", "test"])
        assert "nothing to label" in refused(csv_source(path, split="s"), store)

    def test_an_unreadable_image_is_named_by_its_path(self, tmp_path, store):
        (tmp_path / "images").mkdir()
        (tmp_path / "images" / "good.png").write_bytes(png())
        (tmp_path / "images" / "bad.png").write_bytes(b"this is no image")
        (tmp_path / "images" / "cut.png").write_bytes(png(1, 64)[:60])
        (tmp_path / "images" / "empty.png").write_bytes(b"")
        message = refused(csv_source(tmp_path / "images"), store)
        for name in ("bad.png", "cut.png", "empty.png"):
            assert f"{tmp_path / 'images' / name}: " in message
        assert "good.png" not in message

    def test_an_image_path_must_exist_and_stay_beside_its_file(self, tmp_path, store):
        (tmp_path / "data").mkdir()
        (tmp_path / "secret.png").write_bytes(png())
        path = write_csv(
            tmp_path / "data" / "d.csv",
            ["item_id", "image"],
            ["a", "gone.png"],
            ["b", "../secret.png"],
            ["c", str(tmp_path / "secret.png")],
        )
        message = refused(csv_source(path), store)
        assert f"{path}, row 1: cannot read" in message
        assert f"{path}, row 2: '../secret.png': expected a path inside" in message
        assert f"{path}, row 3: " in message

    def test_one_class_only(self, tmp_path, store):
        path = write_csv(tmp_path / "d.csv", ["item_id", "text", "t"], ["a", "x", "yes"], ["b", "y", "yes"])
        assert "expected two classes" in refused(csv_source(path, truth="t"), store, classes=["yes"])
        assert "two classes at least" in refused(csv_source(path, truth="t"), store)

    def test_an_image_outside_a_class_folder(self, tmp_path, store):
        (tmp_path / "images").mkdir()
        (tmp_path / "images" / "a.png").write_bytes(png())
        message = refused(csv_source(tmp_path / "images", truth="folder"), store, classes=["a", "b"])
        assert f"{tmp_path / 'images' / 'a.png'}: expected <class>/<image>" in message

    def test_exemplars_without_truth_column(self, tmp_path, store):
        path = write_csv(
            tmp_path / "d.csv", ["item_id", "text", "s"], ["a", "x", "exemplar"], ["b", "x", "pool"]
        )
        message = refused(csv_source(path, split="s"), store)
        assert f"{path}, row 1: an exemplar needs its label: name the column" in message

    def test_an_exemplar_is_no_item_too(self, tmp_path, store):
        path = write_csv(
            tmp_path / "d.csv",
            ["item_id", "text", "s", "t"],
            ["a", "x", "exemplar", "no"],
            ["a", "x", "pool", "yes"],
        )
        message = refused(csv_source(path, split="s", truth="t"), store)
        assert f"{path}, row 2: the id 'a' is that of an exemplar too" in message

    def test_a_row_with_too_many_fields_is_named(self, tmp_path, store):
        path = tmp_path / "d.csv"
        path.write_text("item_id,text\na,x\nb,y,z\nc,w\nd\ne,\n")
        message = refused(csv_source(path), store)
        assert f"{path}, row 2: expected 2 columns; got 3: 'b,y,z'" in message
        assert f"{path}, row 4: expected 2 columns; got 1: 'd'" in message
        assert f"{path}, row 5: the text is empty" in message

    def test_a_column_that_is_there_twice(self, tmp_path, store):
        (tmp_path / "d.csv").write_text("item_id,text,text\na,x,y\n")
        assert "the column 'text' is there twice" in refused(csv_source(tmp_path / "d.csv"), store)

    def test_bytes_that_are_no_utf8(self, tmp_path, store):
        (tmp_path / "d.csv").write_bytes(b"item_id,text\na,gr\xfc\xdfe\n")
        said = refused(csv_source(tmp_path / "d.csv"), store)
        assert "d.csv, row 1: text: expected UTF-8, got byte 0xfc" in said

    def test_a_quote_that_is_never_closed(self, tmp_path, store):
        """A parser that takes the end of the file for its end would lose the rows behind it, silently."""
        (tmp_path / "d.csv").write_text('item_id,text,note\na,x,\nb,y\nc,z,"\nd,w,\n')
        said = refused(csv_source(tmp_path / "d.csv"), store)
        assert "d.csv, row 3: a quoted field opens here and is never closed" in said
        assert "d.csv, row 2: expected 3 columns; got 2" in said

    @pytest.mark.parametrize("name", ["d.csv.gz", "d.jsonl.gz"])
    @pytest.mark.parametrize("damage", ["cut", "none"])
    def test_a_packed_file_that_is_broken(self, tmp_path, store, name, damage):
        rows = [
            json.dumps({"item_id": f"{i}", "text": hashlib.md5(b"%d" % i).hexdigest()}) for i in range(9999)
        ]
        if ".csv" in name:
            rows = ["item_id,text", *(",".join(json.loads(row).values()) for row in rows)]
        packed = gzip.compress("\n".join(rows).encode())
        (tmp_path / name).write_bytes(packed[: len(packed) // 2] if damage == "cut" else b"plain text")
        said = refused(csv_source(tmp_path / name), store)
        assert said.startswith(f"{tmp_path / name}: expected a whole .gz file; it is cut off or damaged")

    def test_truth_of_one_class_only(self, tmp_path, store):
        path = write_csv(tmp_path / "d.csv", ["item_id", "text", "t"], ["a", "x", "yes"], ["b", "y", "yes"])
        said = refused(csv_source(path, truth="t"), store, classes=["yes", "no"])
        assert said == (
            f"{path}: expected labels of two classes at least; all 2 in the column 't' (data.truth_column) "
            "are 'yes'"
        )

    def test_images_that_are_links_to_nothing_or_of_another_format(self, tmp_path, store):
        folder = tmp_path / "images"
        folder.mkdir()
        (folder / "a.png").write_bytes(png())
        (folder / "b.png").symlink_to(tmp_path / "gone.png")
        (folder / "c.HEIC").write_bytes(b"x")
        (folder / "notes.txt").write_text("passed over")
        said = refused(csv_source(folder), store)
        assert f"{folder / 'b.png'}: cannot read {folder / 'b.png'}: No such file" in said
        assert f"{folder / 'c.HEIC'}: expected .png, .jpg" in said
        assert "notes" not in said

    def test_lines_that_are_no_objects(self, tmp_path, store):
        path = tmp_path / "d.jsonl"
        path.write_text('{"item_id": "a", "text": "x"}\n\n{"item_id"\n[1]\n{"item_id": 1.5, "text": "x"}\n')
        message = refused(csv_source(path), store)
        assert f"{path}, row 2: expected a JSON object" in message
        assert f"{path}, row 3: expected a JSON object; got list" in message
        assert f"{path}, row 4: column 'item_id': expected text; got float" in message
        assert message.count(", row 2:") == message.count(", row 3:") == 1

    def test_a_parquet_column_of_another_type(self, tmp_path, store):
        pq.write_table(pa.table({"item_id": [1.5], "text": ["x"]}), tmp_path / "d.parquet")
        message = refused(csv_source(tmp_path / "d.parquet"), store)
        assert "column 'item_id': expected string; got double" in message

    def test_a_file_that_is_no_parquet(self, tmp_path, store):
        (tmp_path / "d.parquet").write_bytes(b"PAR1 this is not")
        assert "d.parquet: expected Parquet" in refused(csv_source(tmp_path / "d.parquet"), store)

    @pytest.mark.parametrize(
        ("uri", "words"),
        [
            ("nothing.csv", "expected a csv file"),
            ("data.xml", "csv, jsonl, parquet, images"),
            ("ftp://b/d.csv", "expected a path, file://… or s3://bucket/key"),
        ],
    )
    def test_a_source_that_is_not_there(self, uri, words):
        with pytest.raises(errors.InvalidInputError, match=words):
            sources.open_source(uri, sources.Columns())

    @pytest.mark.parametrize("shards", [0, -1, 20_001])
    def test_a_number_of_shards_out_of_range(self, store, shards):
        with pytest.raises(errors.InvalidInputError, match="20,000"):
            run(sources.Rows([], sources.Columns()), store, shards=shards)

    def test_an_error_while_reading_is_raised_here_and_leaves_nothing(self, store):
        class Broken(sources.Rows):
            def batches(self, found):
                yield from super().batches(found)
                raise OSError(5, "the disk is gone")

        batch = pa.RecordBatch.from_pydict({"item_id": ["a"], "text": ["x"]})
        with pytest.raises(OSError, match="the disk is gone"):
            run(Broken([batch], sources.Columns()), store)
        assert list(store.list("")) == []
        assert os.listdir(Path(store._root).parent / "scratch") == []
