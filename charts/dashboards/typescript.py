"""The dashboards as TypeScript, so that Grafana's own types check them: `make lint` hands it to tsc.

The types are those of the npm package @grafana/schema. What panels of one kind have as options is not among
them.
"""

from __future__ import annotations

import json
from typing import Any

from dashboards import boards, grafana

_HEAD = """import type { Dashboard } from "@grafana/schema";

// a file has the value of an enumeration where the type has its member
type Json<T> = T extends string ? `${T}` : T extends object ? { [K in keyof T]: Json<T[K]> } : T;
"""
_OF_THE_BUILDER = ("auto", "auto_min", "auto_count")
"""What the builder gives every variable, and Grafana's types know of intervals only."""


def _known(dashboard: dict[str, Any]) -> dict[str, Any]:
    for variable in dashboard["templating"]["list"]:
        for key in _OF_THE_BUILDER:
            variable.pop(key, None)
    return dashboard


if __name__ == "__main__":
    print(_HEAD)
    for board in boards.BOARDS:
        made = json.dumps(_known(json.loads(grafana.render(board))), indent=1)
        print(f"export const {board.name}: Json<Dashboard> = {made};")
