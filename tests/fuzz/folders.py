"""Random bytes as one file of a folder, or as options: refused by one of our errors, or right.

    python tests/fuzz/folders.py TARGET CORPUS -max_total_time=600

needs ``atheris``. TARGET is one of ``TARGETS``, CORPUS a folder; an empty one is given seeds.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

WORK = Path(tempfile.mkdtemp(prefix="fuzz-"))
SIZES = {
    "vocab_size": 20,
    "num_blocks": 1,
    "hidden_size": 8,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "max_positions": 12,
}
TEXT = "a wörd <mask> 東京"


def small(name: str) -> Path:
    """A folder with a small masked language model."""
    import pyroberta as p

    model = p.RobertaForMaskedLM.from_config(p.RobertaConfig(**SIZES), seed=0)
    model.save_pretrained(WORK / name)
    return WORK / name


def packed(name: str) -> Path:
    """The same, packed."""
    import pyroberta as p

    p.from_pretrained(small(f"{name}-source")).save_packed(WORK / name)
    return WORK / name


def sharded(name: str) -> Path:
    """The same with an index."""
    from pyroberta.checkpoint import open_checkpoint

    folder = small(name)
    names = list(open_checkpoint(folder))
    (folder / "model.safetensors").rename(folder / "one.safetensors")
    index = {"weight_map": dict.fromkeys(names, "one.safetensors")}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def tokenizer(name: str) -> Path:
    """The shipped tokenizer."""
    from pyroberta.shipped import SHIPPED

    (WORK / name).mkdir()
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(Path(SHIPPED) / file, WORK / name / file)
    return WORK / name


def byte_level(name: str) -> Path:
    """A tokenizer of vocab.json and merges.txt."""
    words = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "a", "b", "ab", "Ġ", "Ġa"]
    (WORK / name).mkdir()
    (WORK / name / "vocab.json").write_text(json.dumps({w: n for n, w in enumerate(words)}))
    (WORK / name / "merges.txt").write_text("#version: 0.2\na b\nĠ a\n")
    return WORK / name


def word_pieces(name: str) -> Path:
    """A tokenizer of vocab.txt."""
    (WORK / name).mkdir()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "##b", "w"]
    (WORK / name / "vocab.txt").write_text("\n".join(words) + "\n")
    (WORK / name / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    return WORK / name


def sentences(name: str) -> Path:
    """A folder of sentence-transformers."""
    folder = small(name)
    module = {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}
    pool = module | {"idx": 1, "name": "1", "path": "1_Pooling"}
    pool["type"] = "sentence_transformers.models.Pooling"
    (folder / "modules.json").write_text(json.dumps([module, pool]))
    (folder / "1_Pooling").mkdir()
    pooling = {"word_embedding_dimension": 8, "pooling_mode_mean_tokens": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 8}')
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(tokenizer(f"{name}-{file}") / file, folder / file)
    return folder


def open_model(folder: Path) -> None:
    """Opens a model and calls it."""
    import pyroberta as p

    p.from_pretrained(folder)([[0, 5, 2]])


def open_tokenizer(folder: Path) -> None:
    """Opens a tokenizer and reads a text by it."""
    from pyroberta.text.tokenizer import Tokenizer

    Tokenizer.from_pretrained(folder).encode([TEXT, ""])


def open_sentences(folder: Path) -> None:
    """Opens the steps of a sentence folder."""
    import pyroberta as p

    p.pipeline("sentence-embedding", folder)


def read_options(folder: Path) -> None:
    """Options of a generation, as JSON."""
    import pyroberta as p
    from pyroberta.generation.options import GenerationOptions

    try:
        options = json.loads((folder / "options.json").read_text("utf-8"))
    except (ValueError, RecursionError):
        return
    names = GenerationOptions.__dataclass_fields__
    if not isinstance(options, dict) or not options.keys() <= names.keys():
        return
    GenerationOptions(**options).settle(p.RobertaConfig(**SIZES))


def options(name: str) -> Path:
    """A file of options."""
    (WORK / name).mkdir()
    seed = {"strategy": "sampling", "top_k": 3, "temperature": 0.5, "eos_token_id": [1, 2]}
    (WORK / name / "options.json").write_text(json.dumps(seed))
    return WORK / name


# For each target: what makes its folder, the file that is fuzzed, and what reads the folder.
TARGETS: dict[str, tuple[Callable[[str], Path], str, Callable[[Path], None]]] = {
    "config": (small, "config.json", open_model),
    "safetensors": (small, "model.safetensors", open_model),
    "index": (sharded, "model.safetensors.index.json", open_model),
    "packed": (packed, "model.packed.safetensors", open_model),
    "tokenizer": (tokenizer, "tokenizer.json", open_tokenizer),
    "tokenizer-settings": (tokenizer, "tokenizer_config.json", open_tokenizer),
    "vocabulary": (byte_level, "vocab.json", open_tokenizer),
    "merges": (byte_level, "merges.txt", open_tokenizer),
    "word-pieces": (word_pieces, "vocab.txt", open_tokenizer),
    "modules": (sentences, "modules.json", open_sentences),
    "pooling": (sentences, "1_Pooling/config.json", open_sentences),
    "sentence-settings": (sentences, "sentence_bert_config.json", open_sentences),
    "options": (options, "options.json", read_options),
}


def prepare(target: str) -> tuple[Path, bytes, Callable[[bytes], Any]]:
    """The fuzzed file, its seed, and what tries some bytes in its place."""
    from pyroberta import CheckpointError, ConfigError, InputError

    make, name, read = TARGETS[target]
    folder = make(target)
    file = folder / name

    def attempt(data: bytes) -> None:
        file.write_bytes(data)
        try:
            read(folder)
        except (CheckpointError, ConfigError, InputError) as error:
            if len(str(error)) > 3000:
                raise AssertionError("an error of that length says nothing") from error
        except OSError as error:
            if error.filename is None and "must" not in str(error):
                raise AssertionError("an error without the file's name") from error

    return file, file.read_bytes(), attempt


def main() -> None:
    import atheris

    target = sys.argv.pop(1)
    # Before anything else imports them: what is not instrumented guides nothing.
    with atheris.instrument_imports(include=["pyroberta"]):
        import pyroberta

        for module in pkgutil.walk_packages(pyroberta.__path__, "pyroberta."):
            if not module.name.endswith(("__main__", "_core")):
                importlib.import_module(module.name)
    _, seed, attempt = prepare(target)
    corpus = next((Path(arg) for arg in sys.argv[1:] if not arg.startswith("-")), None)
    if corpus is not None and not any(corpus.iterdir()):
        (corpus / "seed").write_bytes(seed)
    atheris.Setup(sys.argv, attempt)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
