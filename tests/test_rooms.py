"""Imports run one way: the order of the rooms stands in CONTRIBUTING, and the code keeps to it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def rooms(heading: str) -> list[str]:
    """The rooms of CONTRIBUTING's list under a heading, the lowest first."""
    text = (ROOT / ".github/CONTRIBUTING.md").read_text()
    part = text[text.index(f"## {heading}") :]
    block = re.search(r"^```\n(.*?)^```$", part, re.M | re.S)
    assert block
    return [line.split()[0] for line in block[1].splitlines() if line.strip()]


def python_imports() -> dict[str, set[str]]:
    """For each module of the package the modules that it imports, wherever in it."""
    files = {
        ".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p
        for p in [*(ROOT / "pyroberta").rglob("*.py"), ROOT / "pyroberta/_core.pyi"]
    }
    graph: dict[str, set[str]] = {}
    for name, file in files.items():
        package = name if file.name == "__init__.py" else name.rpartition(".")[0]
        graph[name] = set()
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom):
                base = node.module or ""
                if node.level:
                    parts = package.split(".")
                    base = ".".join([*parts[: len(parts) - node.level + 1], *filter(None, [base])])
                inside = [f"{base}.{alias.name}" for alias in node.names]
                found = {one if one in files else base for one in inside}
            elif isinstance(node, ast.Import):
                found = {alias.name for alias in node.names}
            else:
                continue
            # A package that is asked for a name of its own (version) is not gone into.
            graph[name] |= {one for one in found if one in files and one != name}
    return graph


def includes() -> dict[str, set[str]]:
    """For each file of csrc the files of csrc that it includes."""
    base = ROOT / "csrc"
    files = {p.relative_to(base).as_posix(): p for p in base.rglob("*") if p.is_file()}
    return {
        name: {one for one in re.findall(r'^#include "(.+)"', p.read_text(), re.M) if one in files}
        for name, p in files.items()
    }


def circles(graph: dict[str, set[str]]) -> Iterator[list[str]]:
    """Each way from a module back to itself that a search finds."""
    done: set[str] = set()

    def walk(name: str, path: list[str]) -> Iterator[list[str]]:
        if name in path:
            yield [*path[path.index(name) :], name]
        elif name not in done:
            for other in sorted(graph[name]):
                yield from walk(other, [*path, name])
            done.add(name)

    for name in sorted(graph):
        yield from walk(name, [])


def upward(graph: dict[str, set[str]], order: list[str], room_of) -> list[str]:
    """The imports from a lower room to a higher one."""
    return [
        f"{name} -> {other}"
        for name, others in sorted(graph.items())
        for other in sorted(others)
        if order.index(room_of(name)) < order.index(room_of(other))
    ]


def python_room(name: str) -> str:
    return name.split(".")[1] if "." in name else name


def cpp_room(name: str) -> str:
    """A folder of csrc, or a header that is a room of its own with the file that has its body."""
    return name.split("/")[0] if "/" in name else name.replace(".cpp", ".h")


GRAPHS = {
    "Rooms of the package": (python_imports, python_room),
    "Rooms of the kernels": (includes, cpp_room),
}


@pytest.mark.parametrize("heading", GRAPHS)
def test_no_two_files_import_each_other_even_by_way_of_others(heading):
    graph = GRAPHS[heading][0]()
    assert len(graph) > 10
    assert list(circles(graph)) == []


@pytest.mark.parametrize("heading", GRAPHS)
def test_imports_go_from_a_higher_room_to_a_lower_one(heading):
    read, room_of = GRAPHS[heading]
    graph, order = read(), rooms(heading)
    assert len(set(order)) == len(order)
    assert {room_of(name) for name in graph} == set(order)
    assert upward(graph, order, room_of) == []


def test_two_files_alone_know_the_extension():
    known_by = {name for name, others in python_imports().items() if "pyroberta._core" in others}
    assert known_by == {"pyroberta.kernels.native", "pyroberta.kernels.extension"}


def test_what_is_looked_for_would_be_found():
    graph = {"a.low": {"a.high"}, "a.high": {"a.mid"}, "a.mid": {"a.low"}}
    assert list(circles(graph)) == [["a.high", "a.mid", "a.low", "a.high"]]
    order = ["low", "mid", "high"]
    assert upward(graph, order, python_room) == ["a.low -> a.high"]
