"""Imports run one way: the order of the rooms stands in CONTRIBUTING, and the code keeps to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from rooms import GRAPHS, listed, python_imports, python_room


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


@pytest.mark.parametrize("heading", GRAPHS)
def test_no_two_files_import_each_other_even_by_way_of_others(heading):
    graph = GRAPHS[heading][0]()
    assert len(graph) > 10
    assert list(circles(graph)) == []


@pytest.mark.parametrize("heading", GRAPHS)
def test_imports_go_from_a_higher_room_to_a_lower_one(heading):
    read, room_of = GRAPHS[heading]
    graph, order = read(), list(listed(heading))
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
