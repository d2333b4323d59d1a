"""The house, drawn: the rooms of CONTRIBUTING's lists on floors, by what they import.

A floor is one above the highest that its rooms import from. The site draws it each time that it is
built, in the place of a page's line ``<!-- house: Rooms of the package -->``.
"""

from __future__ import annotations

import html
import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

import rooms

_MARK = re.compile(r"^<!-- house: (.+) -->$", re.M)


def floors(graph: dict[str, set[str]]) -> list[list[str]]:
    """The rooms of each floor, the lowest first, in the order of the list."""
    level: dict[str, int] = {}
    for room, below in graph.items():  # those it imports stand before it in the list
        level[room] = 1 + max((level[one] for one in below), default=-1)
    heights = range(1 + max(level.values()))
    return [[room for room in graph if level[room] == height] for height in heights]


def draw(heading: str) -> str:
    """The house of a list, and under it a table of what each room imports."""
    graph, what = rooms.room_imports(heading), rooms.listed(heading)
    lines = ['<div class="house">', '<div class="house-roof"></div>']
    for floor in reversed(floors(graph)):
        boxes = "".join(
            f'<div class="house-room"><b>{html.escape(room)}</b>{html.escape(what[room])}</div>'
            for room in floor
        )
        lines.append(f'<div class="house-floor">{boxes}</div>')
    lines += ["</div>", "", "| room | imports from |", "|---|---|"]
    for room in reversed(graph):
        below = [f"`{one}`" for one in graph if one in graph[room]]
        lines.append(f"| `{room}` | {', '.join(below) or 'no other room'} |")
    return "\n".join(lines)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by MkDocs for each page."""
    return _MARK.sub(lambda mark: draw(mark[1]), markdown)
