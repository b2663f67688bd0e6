"""Writes the dashboards of `boards` into the chart."""

from __future__ import annotations

from pathlib import Path

from dashboards import boards, grafana

FOLDER = Path(__file__).resolve().parents[1] / "actuary" / "dashboards"


def files() -> dict[Path, str]:
    """What is to be written, by path."""
    return {FOLDER / f"{board.name}.json": grafana.render(board) for board in boards.BOARDS}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    wanted = files()
    for stale in set(FOLDER.glob("*.json")) - set(wanted):
        stale.unlink()
    for path, text in wanted.items():
        path.write_text(text, encoding="utf-8")
