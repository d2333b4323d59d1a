"""Makes a bundle."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from ..checkpoint import is_packed
from ..checkpoint.new_folder import check_new_folder, copy_files, new_folder
from ..convert.pack import pack
from ..errors import ConfigError, InputError
from ..opening import files_beside, find_folder, transformer_folder
from ..opening.files import PACKED_FILE
from ..shipped import SHIPPED
from ..text import pipeline
from ..text.find_task import task_of_folder
from ..text.pipelines import check_task
from ..version import __version__
from . import answer
from .parts import copy_packages, probe, sizes, slim_numpy

# What a process needs of the environment, and which kernels it is to take.
_KEPT = ("PATH", "HOME", "SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYROBERTA_ISA")


@dataclasses.dataclass(frozen=True)
class Bundle:
    """What was made.

    Attributes:
        folder: the new one; ``python -S FOLDER TEXT`` answers.
        task: what it does with a text.
        whole_numpy: whether NumPy came with its own BLAS and LAPACK.
        parts: the bytes of each part by its name, the largest first.
    """

    folder: Path
    task: str
    whole_numpy: bool
    parts: dict[str, int]

    @property
    def size(self) -> int:
        """In bytes, of all files."""
        return sum(self.parts.values())


def bundle(
    model: str | os.PathLike[str] | None,
    out: str | os.PathLike[str],
    *,
    task: str | None = None,
    revision: str | None = None,
    compute_type: str | None = None,
    embedding_type: str | None = None,
    architecture: str | None = None,
    whole_numpy: bool = False,
) -> Bundle:
    """Write the least folder that answers: the model packed, its tokenizer, what it imports.

    It runs with the Python that made it, or another of its minor version, on CPUs whose kernels
    have the layout of those here, and needs nothing that is installed: ``python -S FOLDER TEXT``.
    In Python the folder is put on ``sys.path``, and its model is in ``FOLDER/model``. Before it
    appears, a process of its own has given in it the answers that are given here.

    Args:
        model: a checkpoint's folder, one of sentence-transformers, a packed one, or a Hub name;
            ``None``: the one that is shipped.
        out: a folder that is new or empty. It appears when all is written, or not at all.
        task: of ``pipeline``; ``None``: the one that the model is for.
        revision: of a Hub name.
        compute_type, embedding_type: as for ``from_pretrained``; smaller types, smaller bundles.
        architecture: as for ``from_pretrained``: ``"base"`` leaves a head out; not of a packed one.
        whole_numpy: keep NumPy's own BLAS and LAPACK (28 MB), for a program that multiplies large
            arrays, or solves, in the bundle's NumPy. Else products are plain loops, and
            ``numpy.linalg`` has its norms alone.

    Raises:
        InputError: ``out`` holds something; a model that does not answer.
        ConfigError: a model that has no task; an unknown type.
        CheckpointError, FileNotFoundError: as ``from_pretrained``.
        ImportError: the ``tokenizers`` library is missing.

    Example:
        >>> bundle(None, "small").task  # doctest: +SKIP
        'fill-mask'
    """
    folder = find_folder(SHIPPED if model is None else model, revision=revision, name="MODEL")
    target = check_new_folder("OUT", out)
    name = task_of_folder(folder, None) if task is None else check_task(task)
    with new_folder(target) as partial:
        place = partial / "model"
        if is_packed(transformer_folder(folder)):
            if any(one is not None for one in (compute_type, embedding_type, architecture)):
                raise ConfigError(
                    "compute_type, embedding_type and architecture must be left out for a packed "
                    f"MODEL, not {compute_type!r}, {embedding_type!r} and {architecture!r}"
                )
            _copy_packed(folder, target, place)
        else:
            options = {"compute_type": compute_type, "embedding_type": embedding_type}
            pack(folder, place, architecture=architecture, **options)
        copy_packages(probe(name, place), partial)
        shutil.copyfile(answer.__file__, partial / "__main__.py")
        described = {"task": name, "version": __version__, "python": sys.version.split()[0]}
        (partial / "bundle.json").write_text(json.dumps(described, indent=2) + "\n", "utf-8")
        slim = not whole_numpy and slim_numpy(partial)
        _check(partial, name, slim)
    return Bundle(target, name, not slim, sizes(target))


def _copy_packed(folder: Path, target: Path, place: Path) -> None:
    """A packed folder as it is; ``target``, which may stand in it, is left out."""
    inner = transformer_folder(folder) / PACKED_FILE
    files = [*files_beside(folder, target), inner]
    copy_files({file.relative_to(folder): file for file in files}, place)


def _check(folder: Path, task: str, slim: bool) -> None:
    """Raise InputError unless the folder gives the answers that are given here."""
    # All symbols of all libraries are looked for at once: one that is missing shows.
    environment = {"LD_BIND_NOW": "1"} if slim else {}
    environment |= {name: os.environ[name] for name in _KEPT if name in os.environ}
    lines = _lines(task, folder)
    done = subprocess.run(
        [sys.executable, "-S", str(folder)],
        env=environment | {"PYTHONDONTWRITEBYTECODE": "1"},
        input="".join(f"{line}\n" for line in lines),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    opened = pipeline(task, folder / "model")
    expected = [answer.answer(opened, line) for line in lines]
    if done.stdout.split("\n")[:-1] != expected:
        told = done.stderr.strip()[-400:] or done.stdout[:200]
        raise InputError(f"the bundle must answer as the model does here, and does not: {told}")


def _lines(task: str, folder: Path) -> list[str]:
    """A line or two that the task answers."""
    arguments: dict[str, Any] = {
        "question-answering": {"question": "Who sang?", "context": "Ann sang of the sea."},
        "zero-shot-classification": {"inputs": "It rains.", "candidate_labels": ["a", "b"]},
        "text-ranking": {"inputs": "A door.", "documents": ["The door.", "Rain."]},
        "multiple-choice": {"inputs": "She opened", "choices": ["the door.", "the sea."]},
    }
    if task in arguments:
        return [json.dumps(arguments[task])]
    if task == "fill-mask":
        from ..text import Tokenizer

        mask = Tokenizer.from_pretrained(transformer_folder(folder / "model")).mask_token
        return [f"The king lived in a large {mask}.", f"A {mask}."]
    return ["The king lived in a large house.", "Ärger, 日本 and 😀"]
