import hashlib

import pytest

from actuary import errors
from actuary.review import content
from component.review.conftest import write_artifact

IMAGE = b"a large image"
KEY = f"campaigns/c/items/images/{hashlib.sha256(IMAGE).hexdigest()}"


@pytest.fixture
def items(store):
    rows = [
        {"_shard": 0, "item_id": "small", "image": b"inline", "question": "what?"},
        {"_shard": 0, "item_id": "large", "image_uri": KEY},
        {"_shard": 1, "item_id": "text", "text": "größe"},
    ]
    store.put(KEY, IMAGE)
    return write_artifact(
        store, "campaigns/c/items", "items", [{**r, "split": "pool", "u": 0.5} for r in rows]
    )


def place(items, item_id, shard=0):
    return content.Place(items, shard, item_id)


def test_an_item_is_shown_with_its_image_wherever_that_lies(store, items):
    wanted = [place(items, "small"), place(items, "large"), place(items, "text", 1)]
    found = content.Contents(store, size=10).read(wanted)
    assert [found[each] for each in wanted] == [
        content.Content(text=None, image=b"inline", question="what?"),
        content.Content(text=None, image=IMAGE, question=None),
        content.Content(text="größe", image=None, question=None),
    ]


def test_an_image_that_was_changed_is_noticed(store, items):
    store.put(KEY, b"another image")
    with pytest.raises(errors.DataLossError, match=KEY):
        content.Contents(store, size=10).read([place(items, "large")])


def test_an_item_that_is_not_in_its_shard_is_not_found(store, items):
    with pytest.raises(errors.NotFoundError, match="'text'"):
        content.Contents(store, size=10).read([place(items, "text", 0)])


def test_what_was_read_ahead_is_not_read_again(store, items):
    contents = content.Contents(store, size=10)
    contents.read([place(items, "small")], ahead=[place(items, "large"), place(items, "text", 1)])
    store.delete("campaigns/c/items/shard-00000.parquet")
    assert contents.read([place(items, "large")])[place(items, "large")].image == IMAGE
    store.delete("campaigns/c/items/shard-00001.parquet")
    with pytest.raises(errors.NotFoundError):  # no shard is read for what is only ahead
        contents.read([place(items, "text", 1)])


def test_no_more_is_kept_than_the_cache_holds(store, items):
    contents = content.Contents(store, size=1)
    assert len(contents.read([place(items, "small"), place(items, "large")])) == 2
    assert len(contents._kept) == 1
