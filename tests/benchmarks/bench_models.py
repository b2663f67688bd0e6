"""What prompts and answers cost before any model: rendered, sent through the window, scored by `null`."""

from __future__ import annotations

import asyncio
import json
import time

import pyarrow as pa

from actuary.models import prompts, protocol, registry, window

_ITEMS = 200_000
_CHUNK = 2_000


async def _run(rows: pa.RecordBatch, template: prompts.Template, model: protocol.Model) -> int:
    batches = (template.render(rows.slice(first, _CHUNK)) for first in range(0, _ITEMS, _CHUNK))
    return sum([len(s.scores.item_ids) async for s in window.run(model, batches, template.options)])


def main() -> None:
    """Prints one JSON line."""
    rows = pa.record_batch(
        {
            "item_id": [f"item-{i:08d}" for i in range(_ITEMS)],
            "text": [
                f"This is the text of item {i}, about as long as a tweet mostly is." for i in range(_ITEMS)
            ],
        }
    )
    template = prompts.Template(
        instruction="Which colour?", classes=tuple(prompts.ClassDefinition(name=c) for c in "abc")
    )
    model = registry.open_model(
        protocol.ModelSpec(kind="null"), protocol.ModelContext(classes=template.options)
    )
    start = time.perf_counter()
    scored = asyncio.run(_run(rows, template, model))
    seconds = time.perf_counter() - start
    assert scored == _ITEMS
    line = {
        "benchmark": "models.null_rate",
        "value": round(scored / seconds),
        "unit": "items/s",
        "against": None,
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
