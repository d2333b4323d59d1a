"""The pages of the reference, made of docstrings as the site is built: a public name, a page."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any

_MARK = "<!-- names -->"
_PACKAGE = Path(__file__).parents[2] / "pyroberta"

# Modules whose public names have a page together, and what is on it.
_MODULES = {
    "text": "The tasks",
    "accuracy": "Compute types compared",
    "trust": "Steps compared",
    "convert": "Checkpoints made into others",
    "bundle": "One folder that answers",
    "sklearn": "A step of scikit-learn",
    "tables": "Tables of Arrow",
    "ray": "Datasets of Ray",
    "spark": "Data frames of Spark",
}
# What is public there and stands in no `__all__`.
_NAMES = {
    "sklearn": ["SentenceVectorizer"],
    "tables": ["TableTask"],
    "ray": ["map_texts"],
    "spark": ["map_texts"],
}
# Options, which tasks take by their names.
_OPTIONS = {
    "text": [
        "text_task.TextTask",
        "text_inputs.TextOptions",
        "fill_mask.FillMaskOptions",
        "text_classification.TextClassificationOptions",
        "token_classification.TokenClassificationOptions",
        "question_answering.QuestionAnsweringOptions",
        "zero_shot.ZeroShotOptions",
        "text_ranking.RankingOptions",
        "multiple_choice.MultipleChoiceOptions",
    ]
}
# Made by from_pretrained or a call: how their __init__ is called is nobody's concern.
_MADE = ("Cache", "RobertaModel", "RobertaFor", "Comparison", "Report", "Trace", "Tokenizer")


def public_names(module: str = "") -> list[str]:
    """``__all__`` of a room of the package, or of the package itself."""
    if module in _NAMES:
        return _NAMES[module]
    for node in ast.parse((_PACKAGE / module / "__init__.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    raise LookupError(module)


def _path(module: str, name: str) -> str:
    """Where a room's public name is found: it may be that of a file too, which is read first."""
    inside = f".{name}" if (_PACKAGE / module / f"{name}.py").is_file() else ""
    return f"pyroberta.{module}{inside}.{name}"


def _entry(name: str, level: int) -> str:
    module, _, last = name.rpartition(".")
    made = any(part in last for part in _MADE)
    filters = ["!^_[^_]", "!^__(?!call__)"] if made else ["!^_[^_]", "!^__(?!call__|init__)"]
    options = {
        "heading_level": level,
        "merge_init_into_class": str(not made).lower(),
        "filters": filters,
    }
    if module.startswith("pyroberta.text") and last != "Tokenizer":
        # Tasks have many methods more, which tasks alone call.
        options["members"] = ["__call__", "stream", "rank", "predict"]
        options["inherited_members"] = str("Generation" in last).lower()
    return f"::: {name}\n    options:\n" + "".join(
        f"      {option}: {value}\n" for option, value in options.items()
    )


def pages() -> dict[str, tuple[str, str]]:
    """For each page's file its title and its text."""
    made = {}
    for name in public_names():
        made[f"reference/{name}.md"] = (name, _entry(f"pyroberta.{name}", 1))
    for module, what in _MODULES.items():
        names = [name for name in public_names(module) if name not in public_names()]
        entries = [_entry(_path(module, name), 2) for name in names]
        entries += [_entry(f"pyroberta.{module}.{name}", 2) for name in _OPTIONS.get(module, [])]
        if module == "text":
            entries.append(_entry("pyroberta.generation.GenerationOptions", 2))
        title = f"pyroberta.{module}"
        made[f"reference/{module}.md"] = (title, f"# `{title}`\n\n{what}.\n\n" + "\n".join(entries))
    return made


def index() -> str:
    """A list of the pages, each with the first line of its docstring."""
    import pyroberta

    lines = ["| name | what it is |", "|---|---|"]
    for name in public_names():
        first = (inspect.getdoc(getattr(pyroberta, name)) or "").partition("\n")[0]
        lines.append(f"| [`{name}`]({name}.md) | {first.replace('``', '`')} |")
    for module, what in _MODULES.items():
        lines.append(f"| [`pyroberta.{module}`]({module}.md) | {what}. |")
    return "\n".join(lines)


def on_config(config: Any) -> None:
    """Called by MkDocs: the pages stand in the navigation, after those that mkdocs.yml names."""
    (listed,) = (item["Reference"] for item in config.nav if "Reference" in item)
    listed += [{title: uri} for uri, (title, _) in pages().items()]


def on_page_markdown(markdown: str, **_: Any) -> str | None:
    """Called by MkDocs for each page: the list, in the place of its mark."""
    return markdown.replace(_MARK, index()) if _MARK in markdown else None


def on_files(files: Any, config: Any) -> None:
    """Called by MkDocs: the pages, which no folder holds."""
    from mkdocs.structure.files import File

    for uri, (_, text) in pages().items():
        files.append(File.generated(config, uri, content=text))
