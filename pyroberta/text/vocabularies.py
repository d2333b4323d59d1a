"""Tokenizers built from the files of a vocabulary, where a folder has no ``tokenizer.json``.

Each gives the ids of the class of transformers that reads such files, over the models of the
``tokenizers`` library.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..checks import excerpt
from ..errors import CheckpointError
from ..small_json import read_json_object, read_small
from .library import library_reads
from .sentencepiece_file import SentencePieces, read_sentencepieces
from .tokenizer_settings import Settings

# The largest that is known, of 250,000 words, has 5 MB.
_MOST_BYTES = 2**26

# What transformers' slow tokenizers part words at: Python's white space.
_SPACE = r"\t\n\x0b\x0c\r\x1c-\x1f \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"


def build_tokenizer(folder: Path, settings: Settings, library: Any) -> tuple[str, Any]:
    """The tokenizer of a folder's vocabulary, and the file that it is named by.

    Raises:
        FileNotFoundError: there is none.
        CheckpointError: a file is not what its name says, or is for a class that is not known.
    """
    for files, build in _BUILDERS.items():
        if all((folder / file).exists() for file in files):
            backend = build(folder, settings, library)
            backend.encode_special_tokens = False
            return files[0], backend
    names = "; ".join(" and ".join(files) for files in _BUILDERS)
    raise FileNotFoundError(f"{folder} must hold tokenizer.json, or one of: {names}")


def _byte_level(folder: Path, settings: Settings, library: Any) -> Any:
    """RoBERTa's, from ``vocab.json`` and ``merges.txt``."""
    vocab, merges = folder / "vocab.json", folder / "merges.txt"
    ids = read_json_object(vocab)
    lines = [line.rstrip("\n") for line in _lines(merges)]
    pairs = [tuple(line.split(" ")) for line in lines if not line.startswith("#version")]
    with library_reads(f"{vocab} and {merges.name} must be of one tokenizer"):
        model = library.models.BPE(ids, pairs)
    backend = library.Tokenizer(model)
    backend.pre_tokenizer = library.pre_tokenizers.ByteLevel(
        add_prefix_space=settings.prefix_space() is True
    )
    backend.decoder = library.decoders.ByteLevel()
    return backend


def _wordpiece(folder: Path, settings: Settings, library: Any) -> Any:
    """BERT's, from ``vocab.txt``: a word a line, its id the line's number."""
    named = settings.tokenizer_class
    if named is not None and not settings.is_wordpiece():
        raise CheckpointError(
            f"tokenizer_class in {settings.file} must be one of WordPiece for a vocab.txt alone, "
            f"not {excerpt(named)}: save tokenizer.json beside it with transformers' "
            "AutoTokenizer.from_pretrained(path).save_pretrained(path)"
        )
    words = {line.rstrip("\n"): i for i, line in enumerate(_lines(folder / "vocab.txt"))}
    with library_reads(f"{folder / 'vocab.txt'} must hold the words of a WordPiece tokenizer"):
        model = library.models.WordPiece(words, unk_token=_text(settings, "unk"))
    backend = library.Tokenizer(model)
    # What it does to a text is set by the settings, or else by the defaults of its class.
    backend.normalizer = library.normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = library.pre_tokenizers.BertPreTokenizer()
    backend.decoder = library.decoders.WordPiece(prefix="##")
    return backend


def _text(settings: Settings, role: str) -> str:
    """BERT's special token of a role, as the settings or its class spell it."""
    token = settings.role(f"{role}_token") or f"[{role.upper()}]"
    content = token.get("content") if isinstance(token, Mapping) else token
    if not isinstance(content, str):
        raise CheckpointError(
            f"{role}_token in {settings.file} must be a text, not {excerpt(token)}"
        )
    return content


def _fast_bpe(folder: Path, settings: Settings, library: Any) -> Any:
    """PhoBERT's and BERTweet's, from ``vocab.txt`` and ``bpe.codes`` as fastBPE writes them.

    ``vocab.txt`` spells a piece that ends no word ``"do@@"``, ``bpe.codes`` one that does
    ``"g</w>"``: both are put in the second spelling, which is the library's.
    """
    if settings.flag("normalization"):
        raise CheckpointError(
            f"normalization in {settings.file} must be false, not true: BERTweet's rules for "
            "tweets are not computed; normalise the texts before, and set it to false"
        )
    vocab, codes = folder / "vocab.txt", folder / "bpe.codes"
    ids = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}
    for number, line in enumerate(_lines(vocab), 1):
        word, space, _ = line.strip().rpartition(" ")
        if not space:
            raise CheckpointError(
                f"{vocab} must hold a word and its count in line {number}, not {excerpt(line)}"
            )
        ids[word] = len(ids)
    special = {name: ids.pop(name) for name in ("<s>", "<pad>", "</s>", "<unk>")}
    pieces = {_piece(word): number for word, number in ids.items()}
    count = len(special) + len(ids)
    pieces |= special | {"<mask>": ids.get("<mask>", count)}
    merges = [tuple(line.split()[:-1]) for line in _lines(codes)]
    pairs = [(a, b) for a, b in (merge for merge in merges if len(merge) == 2)]
    # A piece on the way to another one need not be a word. The library wants an id for it all the
    # same: one that no vocabulary reaches, and that the tokenizer gives out as <unk>.
    for a, b in pairs:
        for piece in (a, b, a + b):
            pieces.setdefault(piece, NO_WORD + len(pieces))
    with library_reads(f"{vocab} and {codes.name} must be of one tokenizer"):
        model = library.models.BPE(pieces, pairs, unk_token="<unk>", end_of_word_suffix="</w>")
    backend = library.Tokenizer(model)
    backend.pre_tokenizer = library.pre_tokenizers.Split(
        library.Regex(f"[^{_SPACE}]+\\n?"), "removed", invert=True
    )
    backend.decoder = library.decoders.BPEDecoder(suffix="</w>")
    return backend


# Ids from here on are of pieces that are no words: beyond every vocabulary (config.py's limit).
NO_WORD = 2**24


def _piece(word: str) -> str:
    return word[:-2] if word.endswith("@@") else word + "</w>"


def _unigram(folder: Path, settings: Settings, library: Any) -> Any:
    """XLM-RoBERTa's and CamemBERT's, from a model of SentencePiece.

    The ids are those of fairseq's dictionary, which both were trained with: its special tokens come
    first, and SentencePiece's own are left out.
    """
    file = folder / "sentencepiece.bpe.model"
    read = read_sentencepieces(file)
    if _is_camembert(folder, settings):
        first = [("<s>NOTUSED", 0.0), ("<pad>", 0.0), ("</s>NOTUSED", 0.0), ("<unk>", 0.0)]
        first += [("<unk>NOTUSED", -100.0)]
        skipped = 1
    else:
        first = [(name, 0.0) for name in ("<s>", "<pad>", "</s>", "<unk>")]
        skipped = 3
    pieces = [*first, *read.pieces[skipped:], ("<mask>", 0.0)]
    with library_reads(f"{file} must hold the pieces of a Unigram tokenizer"):
        model = library.models.Unigram(pieces, unk_id=3, byte_fallback=False)
    backend = library.Tokenizer(model)
    scheme = "never" if settings.flag("add_prefix_space") is False else "always"
    space = {"replacement": "▁", "prepend_scheme": scheme}
    spaces = library.pre_tokenizers.Metaspace(**space)
    if read.charsmap:  # by which all white space becomes a space
        backend.normalizer = _charsmap(file, read, library)
        split = library.pre_tokenizers.WhitespaceSplit()
        backend.pre_tokenizer = library.pre_tokenizers.Sequence([split, spaces])
    else:  # transformers 5 splits at tabs and lines here too; the model itself and 4 do not
        normalizers = library.normalizers
        backend.normalizer = normalizers.Sequence(
            [normalizers.Strip(), normalizers.Replace(library.Regex(" {2,}"), " ")]
        )
        backend.pre_tokenizer = spaces
    backend.decoder = library.decoders.Metaspace(**space)
    return backend


def _is_camembert(folder: Path, settings: Settings) -> bool:
    """Which of the two layouts it is, by the tokenizer's class or else by the model's type."""
    name = settings.tokenizer_class
    if name is None:
        config = read_json_object(folder / "config.json", missing_ok=True)
        name = {
            "camembert": "CamembertTokenizer",
            "xlm-roberta": "XLMRobertaTokenizer",
        }.get(str(config.get("model_type")), "")
    if name.removesuffix("Fast") not in ("CamembertTokenizer", "XLMRobertaTokenizer"):
        raise CheckpointError(
            f"tokenizer_class in {settings.file} must be XLMRobertaTokenizer or CamembertTokenizer "
            f"for a sentencepiece.bpe.model, not {excerpt(settings.tokenizer_class)}"
        )
    return name.startswith("Camembert")


def _charsmap(file: Path, read: SentencePieces, library: Any) -> Any:
    with library_reads(f"{file} must have a sound table of characters"):
        return library.normalizers.Precompiled(read.charsmap)


def _lines(file: Path) -> list[str]:
    """The lines of a text in UTF-8, as Python's files part them. Raises CheckpointError."""
    try:
        text = read_small(file, most_bytes=_MOST_BYTES).decode()
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{file} must be a text in UTF-8, not one with {error}") from None
    return re.findall(r"[^\n]*\n|[^\n]+", text)


# What each is built from, in the order in which they are looked for.
_BUILDERS = {
    ("vocab.json", "merges.txt"): _byte_level,
    ("vocab.txt", "bpe.codes"): _fast_bpe,
    ("vocab.txt",): _wordpiece,
    ("sentencepiece.bpe.model",): _unigram,
}


def has_tokenizer(folder: Path) -> bool:
    """Whether a folder has the files of a tokenizer."""
    return (folder / "tokenizer.json").exists() or any(
        all((folder / file).exists() for file in files) for files in _BUILDERS
    )
