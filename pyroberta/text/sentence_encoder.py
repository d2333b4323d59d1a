"""``SentenceEncoder``: embeddings under the names that sentence-transformers has for them."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..checks import excerpt, is_name_of
from ..errors import ConfigError, InputError
from ..opening import find_folder
from ..opening.layout import MODULES
from ..shipped import SHIPPED
from ..small_json import read_json_object
from .embedding import SentenceEmbedding, hidden_states
from .pipelines import pipeline
from .similarity import SIMILARITIES, quantized, similarity, unit_vectors
from .text_inputs import check_device
from .tokenizer import Tokenizer

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_VALUES = ("sentence_embedding", "token_embeddings")


class SentenceEncoder:
    """Vectors of sentences: sentence-transformers' ``SentenceTransformer`` without PyTorch.

    Args:
        path: a folder or a Hub name; ``None``: the checkpoint that comes with the package. One
            that sentence-transformers did not save has mean pooling, and vectors of any length.
        revision: of a Hub name.
        prompts: texts to put before others, by their names; ``None``: the folder's.
        default_prompt_name: which of them a call takes that names none.
        similarity_fn_name: what ``similarity`` computes; ``None``: what the folder says, or else
            ``"cosine"``.
        truncate_dim: keep so many of a vector's first numbers.
        device: ``None``, -1 or ``"cpu"``.
        **options: as for ``pipeline``: ``compute_type``, ``backend``, ``batch_tokens``, ...

    Raises:
        ConfigError, FileNotFoundError, CheckpointError, ImportError: as ``pipeline``.

    Example:
        >>> model = SentenceEncoder()  # doctest: +SKIP
        >>> vectors = model.encode(["It rains.", "It is raining."])  # doctest: +SKIP
        >>> model.similarity(vectors, vectors).shape  # doctest: +SKIP
        (2, 2)
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        revision: str | None = None,
        prompts: Mapping[str, str] | None = None,
        default_prompt_name: str | None = None,
        similarity_fn_name: str | None = None,
        truncate_dim: int | None = None,
        device: Any = None,
        **options: Any,
    ) -> None:
        check_device(device)
        folder = find_folder(SHIPPED if path is None else path, revision=revision)
        if not (folder / MODULES).is_file():
            options.setdefault("normalize", False)
        options |= {"prompts": prompts, "prompt_name": default_prompt_name}
        options = {name: value for name, value in options.items() if value is not None}
        if prompts is not None and default_prompt_name is not None:
            options.pop("prompt_name")
            if default_prompt_name not in prompts:
                raise ConfigError(
                    f"default_prompt_name must be one of {', '.join(prompts)}, "
                    f"not {excerpt(default_prompt_name)}"
                )
            options["prompt"] = prompts[default_prompt_name]
        if truncate_dim is not None:
            options["truncate_dim"] = truncate_dim
        embedding = pipeline("sentence-embedding", folder, **options)
        assert isinstance(embedding, SentenceEmbedding)
        self._embedding = embedding
        self.similarity_fn_name = _similarity_name(folder, similarity_fn_name)

    def __repr__(self) -> str:
        return f"SentenceEncoder({self._embedding!r})"

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer."""
        return self._embedding.tokenizer

    @property
    def max_seq_length(self) -> int | None:
        """The most tokens of a sentence, special ones included."""
        return self._embedding.tokenizer.max_tokens

    @property
    def prompts(self) -> dict[str, str]:
        """The prompts that a call can name."""
        return self._embedding.prompts

    @property
    def device(self) -> str:
        """Always ``"cpu"``."""
        return "cpu"

    def get_embedding_dimension(self) -> int:
        """The numbers of a vector."""
        return self._embedding.dimension

    get_sentence_embedding_dimension = get_embedding_dimension

    def encode(
        self,
        sentences: str | Iterable[str],
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        output_value: str | None = "sentence_embedding",
        precision: str = "float32",
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: Any = None,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
    ) -> Any:
        """The vectors of sentences.

        Args:
            sentences: one or several.
            prompt_name: the name of a prompt to put before each.
            prompt: the prompt itself.
            batch_size: taken, without effect: batches are made by tokens, and nothing is padded.
            show_progress_bar: draw one with ``tqdm``.
            output_value: ``"sentence_embedding"``; ``"token_embeddings"``: for each sentence
                ``[tokens, hidden]``; ``None``: a dictionary of both for each.
            precision: ``"float32"``, ``"int8"``, ``"uint8"``, ``"binary"`` or ``"ubinary"``.
            convert_to_numpy: give an array; ``False``: a list of vectors.
            convert_to_tensor: give a tensor; needs PyTorch.
            device: ``None``, -1 or ``"cpu"``.
            normalize_embeddings: scale each vector to length 1.
            truncate_dim: keep so many of a vector's first numbers.

        Returns:
            float32 ``[n, dimension]``, ``[dimension]`` for one ``str``, or what is asked for.

        Raises:
            InputError: a sentence that is no ``str``; no such prompt, value or precision.
        """
        check_device(device)
        if output_value is not None and not is_name_of(output_value, _VALUES):
            raise InputError(
                f"output_value must be None or one of {', '.join(_VALUES)}, "
                f"not {excerpt(output_value)}"
            )
        is_one = isinstance(sentences, str)
        texts = [sentences] if isinstance(sentences, str) else _listed(sentences)
        tokens = None
        if output_value != "sentence_embedding":
            tokens = self._token_embeddings(texts, prompt, prompt_name)
            if output_value == "token_embeddings":
                return tokens[0] if is_one else tokens
        rows = self._embedding.stream(
            texts, prompt=prompt, prompt_name=prompt_name, truncate_dim=truncate_dim
        )
        if show_progress_bar:
            rows = _with_progress(rows, len(texts))
        found = list(rows)
        vectors = (
            np.stack(found) if found else np.empty((0, self.get_embedding_dimension()), np.float32)
        )
        if normalize_embeddings:
            vectors = unit_vectors(vectors)
        if tokens is not None:
            both = [
                {"sentence_embedding": vector, "token_embeddings": of_tokens}
                for vector, of_tokens in zip(vectors, tokens, strict=True)
            ]
            return both[0] if is_one else both
        made = quantized(vectors, precision)
        if convert_to_tensor:
            made = _tensor(made)
        elif not convert_to_numpy and not is_one:
            return list(made)
        return made[0] if is_one else made

    def encode_query(self, sentences: str | Iterable[str], **options: Any) -> Any:
        """``encode`` with the prompt named ``"query"``, if there is one, and no other."""
        return self._encode_as("query", sentences, options)

    def encode_document(self, sentences: str | Iterable[str], **options: Any) -> Any:
        """``encode`` with the prompt named ``"document"``, if there is one, and no other."""
        return self._encode_as("document", sentences, options)

    def similarity(self, embeddings1: ArrayLike, embeddings2: ArrayLike) -> NDArray[np.float32]:
        """How alike each vector is to each other, ``[n, m]``; see ``similarity_fn_name``."""
        return similarity(embeddings1, embeddings2, self.similarity_fn_name)

    def similarity_pairwise(
        self, embeddings1: ArrayLike, embeddings2: ArrayLike
    ) -> NDArray[np.float32]:
        """How alike each vector of the first is to its like of the second, ``[n]``."""
        a, b = np.atleast_2d(np.asarray(embeddings1)), np.atleast_2d(np.asarray(embeddings2))
        if a.shape != b.shape:
            raise InputError(f"embeddings2 must have the shape {a.shape}, not {b.shape}")
        pairs = [similarity(x, y, self.similarity_fn_name)[0, 0] for x, y in zip(a, b, strict=True)]
        return np.array(pairs, np.float32)

    def _encode_as(self, name: str, sentences: Any, options: dict[str, Any]) -> Any:
        if options.get("prompt") is None and options.get("prompt_name") is None:
            options["prompt_name"] = name
        return self.encode(sentences, **options)

    def _token_embeddings(
        self, texts: list[str], prompt: str | None, prompt_name: str | None
    ) -> list[NDArray[np.float32]]:
        embedding = self._embedding
        prefix = embedding.prefix(prompt, prompt_name)
        rows = embedding.tokenizer.encode([prefix + text for text in texts])
        found: list[Any] = [None] * len(rows)
        for row, hidden in hidden_states(embedding.model, rows, embedding.batch_tokens):
            found[row] = hidden.copy()
        return found


def _listed(sentences: Any) -> list[str]:
    if not isinstance(sentences, Iterable):
        raise InputError(f"sentences must be a str or several, not {excerpt(sentences)}")
    listed = sentences.tolist() if isinstance(sentences, np.ndarray) else list(sentences)
    for i, sentence in enumerate(listed):
        if not isinstance(sentence, str):
            raise InputError(f"sentences[{i}] must be a str, not {excerpt(sentence)}")
    return listed


def _similarity_name(folder: Path, asked: str | None) -> str:
    file = folder / "config_sentence_transformers.json"
    said = read_json_object(file, missing_ok=True).get("similarity_fn_name")
    name = asked or said or "cosine"
    if not is_name_of(name, SIMILARITIES):
        where = "similarity_fn_name" if asked else f"similarity_fn_name in {file}"
        raise ConfigError(f"{where} must be one of {', '.join(SIMILARITIES)}, not {excerpt(name)}")
    return str(name)


def _with_progress(rows: Any, total: int) -> Any:
    try:
        tqdm = importlib.import_module("tqdm")
    except ImportError:
        return rows
    return tqdm.tqdm(rows, total=total, desc="Sentences")


def _tensor(array: NDArray[Any]) -> Any:
    try:
        torch = importlib.import_module("torch")
    except ImportError as error:
        raise ImportError(
            f"convert_to_tensor needs PyTorch, which is not there ({error})"
        ) from None
    return torch.from_numpy(array)
