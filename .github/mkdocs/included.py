"""What pages include, so that it stands in one place: sections of the README, and code.

A page's line ``<!-- README: How fast -->`` becomes what stands under that heading, a line
``# include: untrained.py`` in a block the file of this folder.
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent
_README = _HERE.parents[1] / "README.md"
_SECTION = re.compile(r"^<!-- README: (.+) -->$", re.M)
_CODE = re.compile(r"^( *)# include: (\S+)\n", re.M)


def section(heading: str) -> str:
    """What stands under a heading of the README."""
    parts = _README.read_text(encoding="utf-8").split("\n## ")
    found = {title: text for title, _, text in (part.partition("\n") for part in parts)}
    return found[heading].strip()


def with_code(text: str) -> str:
    """A text with the files that it includes."""
    return _CODE.sub(
        lambda mark: textwrap.indent((_HERE / mark[2]).read_text(encoding="utf-8"), mark[1]), text
    )


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by MkDocs for each page."""
    return with_code(_SECTION.sub(lambda mark: section(mark[1]), markdown))
