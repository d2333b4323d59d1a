"""``compare``: from a checkpoint's folder and texts to a report."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from ..architectures import find_class
from ..checks import check_count, is_name_of
from ..compute_types import COMPUTE_TYPES
from ..config import RobertaConfig
from ..errors import InputError
from ..kernels import build_in_use
from ..models import Model, RobertaModel
from ..opening import find_folder, transformer_folder
from ..shipped import SHIPPED
from ..text.batching import BATCH_TOKENS
from ..text.pooling import read_poolings
from ..text.sentence_folder import SentenceFolder, read_sentence_folder
from ..text.tokenizer import Tokenizer
from ..text.vectors import VectorMaker
from ..version import __version__
from .examples import Example, ExampleReader, read_examples
from .kinds import check_kind, chooses
from .measure import Measurement
from .report import AccuracyReport
from .rows import Row
from .thresholds import Thresholds

# The backend and the compute type of the exact model.
_AGAINST = {
    "float64": {"backend": "reference", "compute_type": "float64"},
    "float32": {"backend": "native", "compute_type": "float32"},
}
# So many batches' worth of rows are sorted by length together.
_WINDOW = 4


def compare(
    path: str | os.PathLike[str] | None,
    texts: Iterable[Any],
    compute_types: Sequence[str] | None = None,
    *,
    revision: str | None = None,
    against: str = "float64",
    embedding_type: str | None = None,
    architecture: str | None = None,
    pooling: str | Sequence[str] | None = None,
    limit: int | None = None,
    batch_tokens: int = BATCH_TOKENS,
    thresholds: Thresholds | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> AccuracyReport:
    """Compare a model in some compute types with the same model in an exact one, on these texts.

    All models are held at the same time; the exact one in float64 takes twice the memory of its
    weights in float32, and most of the time.

    Args:
        path: a checkpoint's folder, one of sentence-transformers, or a Hub name; ``None``: the
            shipped one.
        texts: each a ``str``, or a mapping with a ``str`` under ``"text"`` and, if need be,
            another under ``"text_pair"``: a model with a head reads the two as one row, and a
            model of vectors each for itself. What they are scored by stands under

            ``"label"``: accuracy. The name or number of a label; a list of those for multi-label
            classification; for token classification a list with one for each token, special ones
            included, and ``None`` or -100 where there is none; for a masked language model the
            word at the mask, or a list of words.

            ``"score"``: Spearman's correlation of these numbers with the cosines of a pair's
            vectors, or with the logits of a regression model.
        compute_types: of the native backend; ``None``: all that there are, but for ``against``.
        revision: of a Hub name: a branch, a tag or a commit.
        against: the exact type: ``"float64"``, on the reference backend, or ``"float32"``.
        embedding_type: what the compared models keep their word table in, as for
            ``from_pretrained``; the exact one's is as the file has it.
        architecture: as for ``from_pretrained``; ``"base"`` leaves a head out.
        pooling: how the vector of a text is made of its tokens', as for
            ``pipeline("sentence-embedding")``; ``None``: as the folder says.
        limit: take so many texts alone, from the first.
        batch_tokens: the most tokens that are computed together; fewer for a large model.
        thresholds: what each type is held to; see ``AccuracyReport.broken``.
        progress: called after each batch with the number of texts done and that of all.

    Raises:
        InputError: an argument, a text, a label or a score that is not as it should be.
        ConfigError: a model that reads more than texts, or that this package does not compute.
        FileNotFoundError: a folder or file that is not there.
        CheckpointError: a file that is malformed, or weights that give no finite numbers.
        ImportError: the ``tokenizers`` library is missing.

    Example:
        >>> report = compare(None, ["The king lived in a <mask>."])
        >>> report.types[0].agreement  # of the word at the mask
        1.0
    """
    types = _check_types(compute_types, against)
    check_count("batch_tokens", batch_tokens, 1)
    stop = None if limit is None else check_count("limit", limit, 1)
    thresholds = Thresholds() if thresholds is None else thresholds
    if isinstance(texts, (str, Mapping)) or not isinstance(texts, Iterable):
        raise InputError(f"texts must be a list of them, not a {type(texts).__name__}")
    examples = read_examples(islice(texts, stop))
    given = find_folder(SHIPPED if path is None else path, revision=revision)
    sentence, kind = _read_folder(given, architecture, pooling)
    config = RobertaConfig.from_pretrained(sentence.transformer)
    check_kind(kind, config)
    tokenizer = Tokenizer.from_pretrained(
        sentence.transformer, config=config, max_tokens=sentence.max_tokens
    )
    if sentence.lowercase:
        tokenizer = tokenizer.lowercased()
    reader = ExampleReader(kind, config, tokenizer, sentence, examples[0])
    if pooling is not None and not reader.with_vectors:
        raise InputError(
            f"pooling must be left out for this {kind.__name__}, whose texts are not made into "
            f"vectors, not {pooling!r}"
        )
    thresholds.check(
        kind.__name__, decides=chooses(kind, config), scored=reader.score_name is not None
    )
    total = reader.check(examples)

    def load(**options: Any) -> Model[Any]:
        if kind is RobertaModel:
            options["add_pooling_layer"] = False
        return kind.from_pretrained(sentence.transformer, **options)

    done = 0

    def count(rows: int) -> None:
        nonlocal done
        done += rows
        if progress is not None:
            progress(done, total)

    sentence.vectors.width(config.hidden_size)  # refused before anything is computed
    vector = functools.partial(sentence.vectors, skipped=reader.skipped)
    models = {name: load(compute_type=name, embedding_type=embedding_type) for name in types}
    measurement = Measurement(
        load(**_AGAINST[against]),
        models,
        batch_tokens=batch_tokens,
        to_vector=vector if reader.with_vectors else None,
        pairs=reader.pairs,
        progress=count,
    )
    for rows in _windows(reader, examples, _WINDOW * batch_tokens):
        measurement.add(rows)
    wanted = [example.score for example in examples if example.score is not None] or None
    results = measurement.results(wanted)
    scores = measurement.scores(wanted)
    return AccuracyReport(
        model=str(given),
        model_class=kind.__name__,
        against=against,
        embedding_type=embedding_type,
        kernels=build_in_use(),
        version=__version__,
        texts=measurement.rows,
        tokens=measurement.tokens,
        score_name=reader.score_name,
        score=None if scores is None else scores[0],
        types=results,
        broken=tuple(
            line for one in results for line in thresholds.broken_by(one, reader.score_name)
        ),
    )


def _check_types(compute_types: Sequence[str] | None, against: str) -> list[str]:
    if not is_name_of(against, _AGAINST):
        raise InputError(f"against must be one of {', '.join(_AGAINST)}, not {against!r}")
    known = COMPUTE_TYPES
    if compute_types is None:
        return [name for name in known if name != against] or list(known)
    if isinstance(compute_types, str) or not isinstance(compute_types, Sequence):
        raise InputError(f"compute_types must be a list of names, not {compute_types!r}")
    if not compute_types or len({*map(str, compute_types)}) != len(compute_types):
        raise InputError(f"compute_types must name types, each once, not {compute_types!r}")
    for name in compute_types:
        if name not in known:
            raise InputError(f"compute_types must be of {', '.join(known)}, not {name!r}")
    return list(compute_types)


def _read_folder(
    path: Path, architecture: str | None, pooling: str | Sequence[str] | None
) -> tuple[SentenceFolder, type[Model[Any]]]:
    """How the vector of a text is made, and the class of the model."""
    if architecture is None and (path / "modules.json").is_file():
        return read_sentence_folder(path, pooling), RobertaModel
    folder = transformer_folder(path)
    # Of a sentence-transformers folder that is opened as another class, the checkpoint alone.
    makes = VectorMaker(
        poolings=("mean",) if pooling is None else read_poolings("pooling", pooling), normalize=True
    )
    return SentenceFolder(transformer=folder, vectors=makes), find_class(folder, architecture)


def _windows(
    reader: ExampleReader, examples: list[Example], max_tokens: int
) -> Iterator[list[Row]]:
    """The rows of the examples, so many that they are this many tokens; no pair is parted."""
    window: list[Row] = []
    tokens = 0
    for index, example in enumerate(examples):
        rows = reader.rows(example, index)
        window += rows
        tokens += sum(len(row.ids) for row in rows)
        if tokens >= max_tokens:
            yield window
            window, tokens = [], 0
    if window:
        yield window
