"""How a folder lies: which of its folders has the model, and which files are read of it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath

from ..checks import excerpt
from ..errors import CheckpointError, ConfigError
from ..small_json import read_json, read_json_object
from .files import ADAPTER_CONFIG, ADAPTER_WEIGHTS, INDEX, WEIGHTS, belongs

MODULES = "modules.json"

# The library whose modules are known here; a class of another name may compute anything.
_LIBRARY = "sentence_transformers"


# Weights that are not read, by the pattern of a file's name, and what to do with them. The one that
# stands first is named.
_MERGE = f"an adapter's weights are read with the {ADAPTER_CONFIG} beside them"
_TRANSFORMERS_4 = "convert {}'s weights where transformers 4 is: from_pretrained(..., from_{}=True)"
_GRAPH = "{} holds no checkpoint: open the one that it was exported from"
_OTHERS = {
    "adapter_model.*": _MERGE,
    "tf_model*.h5": _TRANSFORMERS_4.format("TensorFlow", "tf"),
    "flax_model*.msgpack": _TRANSFORMERS_4.format("Flax", "flax"),
    "*.onnx": _GRAPH.format("ONNX"),
    "onnx/*.onnx": _GRAPH.format("ONNX"),
    "openvino_model*.xml": _GRAPH.format("OpenVINO"),
    "rust_model.ot": _GRAPH.format("rust-bert"),
    "*.gguf": _GRAPH.format("GGUF"),
    "*.ckpt*": "save the model that a training saved in it, by its save_pretrained(...)",
}

# What else is read of a checkpoint's folder.
_SMALL = (
    "config.json",
    ADAPTER_CONFIG,
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "bpe.codes",
    "sentencepiece.bpe.model",
    "spiece.model",
    "config_sentence_transformers.json",
    MODULES,
)

# What a folder holds besides weights: configurations, vocabularies, how sentences are pooled.
_SMALL_ENDINGS = (".json", ".txt", ".model", ".codes")


@dataclasses.dataclass(frozen=True)
class SentenceModule:
    """A row of ``modules.json``.

    Attributes:
        type: its class, as the file spells it.
        folder: where its files are.
    """

    type: str
    folder: Path

    @property
    def kind(self) -> str:
        """The name of its class; all of ``type`` for one of another library."""
        return self.type.rpartition(".")[2] if self.type.split(".")[0] == _LIBRARY else self.type


def read_modules(folder: Path) -> list[SentenceModule]:
    """The modules of a sentence-transformers folder, in order.

    Raises:
        CheckpointError: ``modules.json`` is malformed.
        ConfigError: it is no list of modules, or one stands outside the folder.
    """
    file = folder / MODULES
    modules = read_json(file)
    if not isinstance(modules, list) or not all(isinstance(m, Mapping) for m in modules):
        raise ConfigError(f"{file} must hold a list of modules, not {excerpt(modules)}")
    found, names = [], set()
    for index, module in enumerate(modules):
        kind, inside = module.get("type"), module.get("path", "")
        if not isinstance(kind, str) or not isinstance(inside, str):
            raise ConfigError(
                f"{file} must name the type and the path of each module, not {excerpt(module)}"
            )
        # A path out of the folder would let the file name any other on the machine.
        if Path(inside).is_absolute() or ".." in Path(inside).parts or "\0" in inside:
            raise ConfigError(
                f"path of {kind.rpartition('.')[2]} in {file} must be inside {folder}, "
                f"not {inside!r}"
            )
        name = str(module.get("name", index))
        if name in names:  # in its own library the later of two takes the place of the first
            raise ConfigError(f"{file} must give each module a name of its own, not {name!r} twice")
        names.add(name)
        found.append(SentenceModule(kind, folder / inside))
    return found


def transformer_folder(path: str | os.PathLike[str]) -> Path:
    """The folder of the checkpoint itself: ``path``, or the one that its ``modules.json`` names."""
    folder = Path(path)
    if (folder / MODULES).is_file():
        modules = read_modules(folder)
        if modules and modules[0].kind == "Transformer":
            return modules[0].folder
    return folder


def what_it_is(folder: Path) -> str:
    """What of ``_OTHERS`` a folder without a model's files holds, for its error; else nothing."""
    for pattern, what in _OTHERS.items():
        found = next(iter(sorted(folder.glob(pattern))), None)
        if found is not None:
            return f", not {found.relative_to(folder)} alone: {what}"
    return ""


def is_complete(folder: Path) -> bool:
    """Whether a folder has all the files of its weights, and those of its modules."""
    try:
        modules = read_modules(folder)[1:] if (folder / MODULES).is_file() else []
        # A Normalize module has no file, so no folder on the Hub either.
        there = all(m.kind == "Normalize" or m.folder.is_dir() for m in modules)
        return there and _has_weights(transformer_folder(folder))
    except (CheckpointError, ConfigError):
        return True  # what is wrong with the files is said where they are read


def _has_weights(folder: Path) -> bool:
    for name in (*WEIGHTS, *ADAPTER_WEIGHTS):
        if not (folder / name).exists():
            continue
        if not name.endswith(INDEX):
            return True
        shards = read_json_object(folder / name).get("weight_map")
        return not isinstance(shards, Mapping) or all(
            (folder / str(shard)).exists() for shard in shards.values()
        )
    return False


def files_to_read(names: Collection[str], module_folders: Collection[str]) -> Iterator[str]:
    """Which files of a repository are read, of all those that it has.

    Args:
        names: of its files, folders parted by ``/``.
        module_folders: those that its ``modules.json`` names.
    """
    by_folder: dict[str, set[str]] = {}
    for name in names:
        path = PurePosixPath(name)
        by_folder.setdefault(str(path.parent), set()).add(path.name)
    for folder in sorted({".", *map(str, map(PurePosixPath, module_folders))}):
        there = by_folder.get(folder, set())
        wanted = {name for name in there if name in _SMALL or _is_settings(name)}
        weights = next((name for name in WEIGHTS if name in there), None)
        if weights is not None:
            wanted |= {name for name in there if belongs(name, weights)}
        wanted |= {name for name in ADAPTER_WEIGHTS if name in there}
        yield from (name if folder == "." else f"{folder}/{name}" for name in sorted(wanted))


def _is_settings(name: str) -> bool:
    return name.startswith("sentence_") and name.endswith("_config.json")


def files_beside(folder: Path, out: Path) -> list[Path]:
    """The files of a checkpoint's folder that are not its weights, with all of its modules.

    Args:
        folder: a checkpoint's, or one of sentence-transformers.
        out: a folder that may stand in it, and is left out.
    """
    modules = read_modules(folder) if (folder / MODULES).is_file() else []
    transformer = transformer_folder(folder)
    found = []
    for base in dict.fromkeys([folder, *(module.folder for module in modules)]):
        if not base.is_dir() or base.resolve() == out.resolve():
            continue
        there = sorted(file for file in base.iterdir() if file.is_file())
        own = base in (folder, transformer)
        weights = next((name for name in WEIGHTS if (base / name).exists()), None)
        found += [
            file
            for file in there
            if (file.name.endswith(_SMALL_ENDINGS) and not file.name.endswith(INDEX))
            or (not own and weights is not None and belongs(file.name, weights))
        ]
    return found
