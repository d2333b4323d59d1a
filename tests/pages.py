"""Markdown whose code is run: the blocks of a page in its order, in one namespace and folder.

``python tests/pages.py PAGE`` runs one in the working folder. A block ```` ```python ```` is
executed, one of ```` ```sh ```` handed to a shell; ```` ```text title="Output" ```` holds what the
block before it printed. A block that imports an optional library which is not installed is left
out, and the library told.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import io
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

_INCLUDED = Path(__file__).parents[1] / ".github/mkdocs"
_FENCE = re.compile(r"^( *)```(\w+)([^\n]*)\n(.*?)^\1```$", re.M | re.S)
_INCLUDE = re.compile(r"^# include: (\S+)\n", re.M)
# What the extra test does not bring; any other import that fails is a mistake of the page.
_OPTIONAL = {"pyarrow", "sklearn"}
# The console's command, and python: of the one that runs this.
_SHELL = 'pyroberta() { "$PYTHON" -m pyroberta "$@"; }\npython() { "$PYTHON" "$@"; }\n'


class Block(NamedTuple):
    """A fenced block: its language and what stands beside it, where its text begins, its text."""

    language: str
    info: str
    line: int
    text: str


def code_blocks(file: Path) -> list[Block]:
    """The fenced blocks of a Markdown file, those within notes too."""
    page = file.read_text(encoding="utf-8")
    return [
        Block(
            found[2],
            found[3].strip(),
            page.count("\n", 0, found.start(4)) + 1,
            _INCLUDE.sub(
                lambda name: (_INCLUDED / name[1]).read_text(encoding="utf-8"),
                re.sub(f"^{found[1]}", "", found[4], flags=re.M),
            ),
        )
        for found in _FENCE.finditer(page)
    ]


def run_page(file: Path) -> set[str]:
    """Run a page's blocks here; gives the libraries that some of them lack."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    missing: set[str] = set()
    printed: str | None = None
    for block in code_blocks(file):
        if block.language == "python":
            if lacks := _lacks(block.text):
                missing, printed = missing | lacks, None
                continue
            code = compile("\n" * (block.line - 1) + block.text, str(file), "exec")
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(code, namespace)
            printed = out.getvalue()
        elif block.language == "sh":
            done = subprocess.run(
                ["sh", "-euc", _SHELL + block.text],
                env=os.environ | {"PYTHON": sys.executable},
                stdout=subprocess.PIPE,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{file}:{block.line}: status {done.returncode}"
            printed = done.stdout
        elif "Output" in block.info and printed is not None:
            where = f"{file}:{block.line}: is printed otherwise:\n{printed}"
            assert _lines(printed) == _lines(block.text), where
    return missing


def _lacks(code: str) -> set[str]:
    imports = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Import)]
    names = {alias.name.partition(".")[0] for node in imports for alias in node.names}
    froms = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.ImportFrom)]
    names |= {(node.module or "").partition(".")[0] for node in froms}
    return {name for name in names & _OPTIONAL if importlib.util.find_spec(name) is None}


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().splitlines()]


if __name__ == "__main__":
    here = str(Path(__file__).parent)  # Python's own first entry, unless it was told to have none
    sys.path[:] = [place for place in sys.path if place != here]
    print(*sorted(run_page(Path(sys.argv[1]))))
