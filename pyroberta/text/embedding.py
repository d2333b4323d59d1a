"""feature-extraction and sentence-embedding: texts to the vectors of tokens, or of whole texts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Array
from ..checks import check_flag
from ..errors import ConfigError, InputError
from ..kernels.arithmetic import in_usual_arithmetic
from ..models import RobertaModel
from .batching import BATCH_TOKENS, plan_batches, read_texts
from .sentence_folder import POOLINGS, read_sentence_folder, transformer_folder
from .task import Loading, Task
from .tokenizer import Tokenizer

# Numbers that are pooled at a time: in float64 they are 64 KB, which stays in L2.
_POOLED = 8192


class FeatureExtraction(Task):
    """The hidden state of each token of a text after the last block.

    Args:
        model: the encoder.
        tokenizer: the model's.
        batch_tokens: the most tokens that are computed together.
        return_tensors: give NumPy arrays, not nested lists.

    Example:
        >>> extract = pipeline("feature-extraction", return_tensors=True)  # doctest: +SKIP
        >>> extract("A text.").shape  # [1, tokens, hidden]
        (1, 5, 128)
    """

    model_class = RobertaModel

    def __init__(
        self,
        model: RobertaModel,
        tokenizer: Tokenizer,
        *,
        batch_tokens: int = BATCH_TOKENS,
        return_tensors: bool = False,
    ) -> None:
        super().__init__(model, tokenizer, batch_tokens=batch_tokens)
        self.return_tensors = check_flag("return_tensors", return_tensors, ConfigError)

    @classmethod
    def from_folder(cls, folder: Path, loading: Loading, **options: Any) -> FeatureExtraction:
        return super().from_folder(transformer_folder(folder), _without_pooler(loading), **options)

    def __call__(self, texts: str | list[str], *, return_tensors: bool | None = None) -> Any:
        """``[1, tokens, hidden]`` for one text, a list of those for a list.

        Args:
            texts: one or several.
            return_tensors: for this call, in place of the pipeline's.

        Raises:
            InputError: a text that cannot be encoded for the model.
        """
        checked, single = read_texts(texts)
        arrays = self.return_tensors
        if return_tensors is not None:
            arrays = check_flag("return_tensors", return_tensors, ConfigError)
        rows = self.tokenizer.encode(checked)
        features: list[Any] = [None] * len(rows)
        for row, hidden in hidden_states(self.model, rows, self.batch_tokens):
            # A copy, so that one kept row does not keep its whole batch.
            features[row] = hidden[None].copy() if arrays else [hidden.tolist()]
            del hidden
        return features[0] if single else features


class SentenceEmbedding(Task):
    """One vector for each text: its tokens' vectors, pooled.

    Pooling is done in float64 over the row's own tokens and rounded once, so the bits of a vector
    do not depend on the texts beside it. White space around a text is dropped, as
    sentence-transformers does.

    Args:
        model: the encoder.
        tokenizer: the model's.
        batch_tokens: the most tokens that are computed together.
        pooling: ``"mean"`` of all tokens, ``"cls"`` (the first), ``"max"`` of each component, or
            ``"mean_sqrt_len"``: their sum over the square root of their number.
        normalize: scale each vector to length 1.
        prompt: put before each text.
        lowercase: put texts in lower case.
        pools_prompt: whether the prompt's tokens are pooled too; if not, a prompt is refused.

    Example:
        >>> embed = pipeline("sentence-embedding")  # doctest: +SKIP
        >>> embed(["A text.", "Another."]).shape
        (2, 128)
    """

    model_class = RobertaModel

    def __init__(
        self,
        model: RobertaModel,
        tokenizer: Tokenizer,
        *,
        batch_tokens: int = BATCH_TOKENS,
        pooling: str = "mean",
        normalize: bool = True,
        prompt: str = "",
        lowercase: bool = False,
        pools_prompt: bool = True,
    ) -> None:
        if pooling not in POOLINGS:
            raise ConfigError(f"pooling must be one of {', '.join(POOLINGS)}, not {pooling!r}")
        super().__init__(model, tokenizer, batch_tokens=batch_tokens)
        self.pooling = pooling
        self.normalize = check_flag("normalize", normalize, ConfigError)
        self.lowercase = check_flag("lowercase", lowercase, ConfigError)
        self.pools_prompt = check_flag("pools_prompt", pools_prompt, ConfigError)
        self.prompt = check_prompt(prompt, self.pools_prompt)

    @classmethod
    def from_folder(cls, folder: Path, loading: Loading, **options: Any) -> SentenceEmbedding:
        """As the folder of sentence-transformers says, but for what ``options`` say."""
        given = read_sentence_folder(folder, options.get("pooling"), options.get("normalize"))
        settings: dict[str, Any] = {
            "pooling": given.pooling,
            "normalize": given.normalize,
            "prompt": given.prompt,
            "lowercase": given.lowercase,
            "pools_prompt": given.pools_prompt,
        }
        options = settings | {k: v for k, v in options.items() if v is not None}
        config = cls.read_config(given.transformer)
        tokenizer = loading.read_tokenizer(given.transformer, config, given.max_tokens)
        load = _without_pooler(loading).options
        model = RobertaModel.from_pretrained(given.transformer, **load)
        return cls(model, tokenizer, **options)

    def __call__(self, texts: str | list[str], *, prompt: str | None = None) -> NDArray[np.float32]:
        """The vectors, float32 ``[n, hidden]``; ``[hidden]`` for one ``str``.

        Args:
            texts: one or several.
            prompt: for this call, in place of the pipeline's.

        Raises:
            InputError: a text that cannot be encoded for the model.
            ConfigError: a prompt for a model that leaves its tokens out.
        """
        checked, single = read_texts(texts)
        prefix = self._prefix(prompt)
        vectors = self._embed(
            [
                self.tokenizer.encode_one(clean(text, prefix, self.lowercase), i)
                for i, text in enumerate(checked)
            ]
        )
        return vectors[0] if single else vectors

    def stream(
        self, texts: Iterable[str], *, prompt: str | None = None
    ) -> Iterator[NDArray[np.float32]]:
        """The vector of each text in turn, ``[hidden]``, with few texts held at any time.

        Args:
            texts: read as far as is needed.
            prompt: as in a call.

        Raises:
            InputError, ConfigError: as in a call; the number of a text counts from the first.
        """
        prefix = self._prefix(prompt)
        window: list[list[int]] = []
        tokens = 0
        for i, text in enumerate(texts):
            if not isinstance(text, str):
                raise InputError(f"texts[{i}] must be a str, not {type(text).__name__}")
            window.append(self.tokenizer.encode_one(clean(text, prefix, self.lowercase), i))
            tokens += len(window[-1])
            if tokens >= self.batch_tokens:
                yield from self._embed(window)
                window, tokens = [], 0
        yield from self._embed(window)

    def _prefix(self, prompt: str | None) -> str:
        return self.prompt if prompt is None else check_prompt(prompt, self.pools_prompt)

    @in_usual_arithmetic
    def _embed(self, rows: list[list[int]]) -> NDArray[np.float32]:
        """The vectors of encoded texts, ``[n, hidden]``."""
        vectors = np.empty((len(rows), self.model.config.hidden_size), np.float32)
        for row, hidden in hidden_states(self.model, rows, self.batch_tokens):
            vectors[row] = to_vector(hidden, self.pooling, self.normalize)
            del hidden
        return vectors


def _without_pooler(loading: Loading) -> Loading:
    return dataclasses.replace(loading, options=loading.options | {"add_pooling_layer": False})


def hidden_states(
    model: RobertaModel, rows: list[list[int]], batch_tokens: int
) -> Iterator[tuple[int, Array]]:
    """Each row's number and the hidden states of its tokens, ``[tokens, hidden]``, in any order.

    The arrays are views of their batch's: who lets each one go before he takes the next has one
    batch in memory at a time.
    """

    def encode(batch: list[int]) -> list[Array]:
        output = model.encode_rows([rows[row] for row in batch])
        return output.of_rows(output.last_hidden_state)

    for batch in plan_batches([len(ids) for ids in rows], batch_tokens):
        yield from zip(batch, encode(batch), strict=True)


def check_prompt(prompt: str, pools_prompt: bool) -> str:
    """The prompt, or ConfigError for one whose tokens are to be left out of the pooling."""
    if not isinstance(prompt, str):
        raise ConfigError(f"prompt must be a str, not {prompt!r}")
    if prompt and not pools_prompt:
        raise ConfigError(
            f"prompt must be empty, not {prompt!r}: this model's pooling leaves the tokens of "
            "a prompt out (include_prompt is false), which is not computed here"
        )
    return prompt


def clean(text: str, prompt: str, lowercase: bool) -> str:
    """``text`` as it is encoded for a sentence's vector."""
    text = (prompt + text).strip()
    return text.lower() if lowercase else text


def to_vector(hidden: Array, pooling: str, normalize: bool) -> NDArray[np.float64]:
    """The vector ``[hidden]`` of a text from those of its tokens ``[tokens, hidden]``."""
    vector = pool(hidden, pooling)
    if normalize:
        # A vector of zeros stays one.
        vector = vector / max(float(np.sqrt((vector * vector).sum())), 1e-12)
    return vector


def pool(hidden: Array, pooling: str) -> NDArray[np.float64]:
    """The tokens of ``hidden [tokens, hidden]`` as one vector ``[hidden]``, in float64.

    Sums are taken over some columns at a time, which adds the same numbers in the same order, row
    after row, and needs no float64 copy of the whole text. The copy of the columns is contiguous
    wherever the row stood in its batch, so that order is one too.
    """
    tokens, width = hidden.shape
    columns = max(16, _POOLED // tokens)
    # A last column by itself would be added pairwise, in another order: it goes with the others.
    if columns < width - 1:
        ends = [*range(columns, width - 1, columns), width]
        pieces = zip([0, *ends], ends, strict=False)
        return np.concatenate([pool(hidden[:, begin:end], pooling) for begin, end in pieces])
    x = np.array(hidden, np.float64, order="C")
    result: NDArray[np.float64]
    if pooling == "cls":
        result = x[0]
    elif pooling == "max":
        result = x.max(axis=0)
    else:
        divisor = tokens if pooling == "mean" else np.sqrt(tokens)
        result = x.sum(axis=0) / divisor
    return result
