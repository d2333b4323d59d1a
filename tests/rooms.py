"""The rooms of the package and of its kernels: the lists of CONTRIBUTING, and who imports whom."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def listed(heading: str) -> dict[str, str]:
    """The rooms of CONTRIBUTING's list under a heading, the lowest first, and what is in each."""
    text = (ROOT / ".github/CONTRIBUTING.md").read_text()
    part = text[text.index(f"## {heading}") :]
    block = re.search(r"^```\n(.*?)^```$", part, re.M | re.S)
    assert block
    lines = [line.split(maxsplit=1) for line in block[1].splitlines() if line.strip()]
    assert len({line[0] for line in lines}) == len(lines)
    return dict(lines)


@functools.cache
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


@functools.cache
def includes() -> dict[str, set[str]]:
    """For each file of csrc the files of csrc that it includes."""
    base = ROOT / "csrc"
    files = {p.relative_to(base).as_posix(): p for p in base.rglob("*") if p.is_file()}
    return {
        name: {one for one in re.findall(r'^#include "(.+)"', p.read_text(), re.M) if one in files}
        for name, p in files.items()
    }


def python_room(name: str) -> str:
    return name.split(".")[1] if "." in name else name


def cpp_room(name: str) -> str:
    """A folder of csrc, or a header that is a room of its own with the file that has its body."""
    return name.split("/")[0] if "/" in name else name.replace(".cpp", ".h")


GRAPHS = {
    "Rooms of the package": (python_imports, python_room),
    "Rooms of the kernels": (includes, cpp_room),
}


def room_imports(heading: str) -> dict[str, set[str]]:
    """For each room of a list the rooms that its files import, itself left out."""
    read, room_of = GRAPHS[heading]
    graph: dict[str, set[str]] = {room: set() for room in listed(heading)}
    for name, others in read().items():
        graph[room_of(name)] |= {room_of(one) for one in others} - {room_of(name)}
    return graph
