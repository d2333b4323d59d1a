"""The site of `.github/docs`: its code runs, what it lists is all there is, and it builds."""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import rooms
from support import needs_core

import pyroberta
from pyroberta.cli import command

ROOT = Path(__file__).parents[1]
SITE = ROOT / ".github/mkdocs.yml"
DOCS = ROOT / ".github/docs"
PAGES = sorted(file.relative_to(DOCS).as_posix() for file in DOCS.rglob("*.md"))

pytestmark = pytest.mark.skipif(
    not SITE.is_file(), reason="needs .github, which a source distribution has not"
)


def hook(name: str) -> ModuleType:
    """A file of `.github/mkdocs`, which is no package."""
    spec = importlib.util.spec_from_file_location(f"site_{name}", SITE.parent / f"mkdocs/{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def text_of(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def commands() -> dict[str, str]:
    """Each command of ``pyroberta`` and its line of help."""
    (found,) = (
        action
        for action in command._parser()._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    return {action.dest: str(action.help) for action in found._choices_actions}


@needs_core
@pytest.mark.parametrize("page", PAGES)
def test_the_code_of_a_page_runs_and_prints_what_stands_there(page, tmp_path):
    pytest.importorskip("tokenizers")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(Path(__file__).parent / "pages.py"), str(DOCS / page)],
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if missing := done.stdout.strip():
        pytest.skip(f"all but the blocks that need {missing} ran")


def test_each_public_name_has_a_page():
    pages = hook("reference").pages()
    assert {f"reference/{name}.md" for name in pyroberta.__all__} <= set(pages)
    for uri, (title, text) in pages.items():
        assert f"::: pyroberta.{Path(uri).stem}" in text, title


def test_the_navigation_lists_each_page_once():
    nav = SITE.read_text(encoding="utf-8").partition("\nnav:\n")[2]
    assert sorted(re.findall(r"- (\S+\.md)$", nav, re.M)) == PAGES


@pytest.mark.parametrize("name", commands())
def test_each_command_is_listed_with_its_help_and_shown(name):
    row = re.compile(rf"^\| \[`pyroberta {name}`\]\(\S+\) \| (.+) \|$", re.M)
    assert row.findall(text_of("commands.md")) == [commands()[name]]
    shown = re.compile(rf"^pyroberta {name}\b", re.M)
    assert any(shown.search(text_of(page)) for page in PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_the_files_that_a_page_names_are_there(page):
    named = re.findall(r"`((?:pyroberta|csrc|tests|bench|\.ci|\.github)/[^`*\s]+)`", text_of(page))
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_lines_are_short(page):
    table = ("|", "printf", "pyroberta")
    lines = [line for line in text_of(page).splitlines() if not line.startswith(table)]
    assert [line for line in lines if len(line) > 120] == []


@pytest.mark.parametrize("heading", rooms.GRAPHS)
def test_the_house_has_each_room_above_those_that_it_imports(heading):
    house = hook("house")
    graph = rooms.room_imports(heading)
    floors = house.floors(graph)
    height = {room: level for level, floor in enumerate(floors) for room in floor}
    assert set(height) == set(rooms.listed(heading)) == set(graph)
    for room, below in graph.items():
        assert height[room] == 1 + max((height[one] for one in below), default=-1)
    drawn = house.draw(heading)
    assert re.findall(r"<b>(.+?)</b>", drawn) == [room for floor in floors[::-1] for room in floor]
    assert [row.split("`")[1] for row in re.findall(r"^\| `.*", drawn, re.M)] == [*graph][::-1]


def test_pages_stand_for_all_marks():
    marks = [mark for page in PAGES for mark in re.findall(r"<!-- (\w+): (.+) -->", text_of(page))]
    assert [name for kind, name in marks if kind == "house"] == list(rooms.GRAPHS)
    for kind, name in marks:
        assert kind == "house" or len(hook("included").section(name)) > 1000


def test_the_site_builds_without_a_warning(tmp_path):
    for module in ("mkdocs", "material", "mkdocstrings_handlers"):
        pytest.importorskip(module, reason="the extra docs is not installed")
    site = tmp_path / "site"
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(SITE), "-d", str(site)]
    done = subprocess.run(
        build,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for page in [*PAGES, *hook("reference").pages()]:
        built = (site / page).with_suffix(".html").read_text(encoding="utf-8")
        assert not re.search(r"<!-- (house|README|names)|&lt;!--", built)
        # Nothing is fetched from elsewhere.
        assert not re.search(r'(?:src|<link[^>]*href)="(?:https?:)?//', built)
    for heading, page in zip(rooms.GRAPHS, ("how/house", "how/kernels"), strict=True):
        drawn = hook("house").draw(heading).partition("\n\n")[0]
        assert drawn in (site / f"{page}.html").read_text(encoding="utf-8")
