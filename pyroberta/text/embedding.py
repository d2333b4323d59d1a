"""feature-extraction and sentence-embedding: texts to the vectors of tokens, or of whole texts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import Array, IntArray
from ..checks import check_flag
from ..errors import ConfigError, InputError
from ..kernels.arithmetic import in_usual_arithmetic
from ..models import RobertaModel
from .batching import BATCH_TOKENS, plan_batches, read_texts
from .pooling import read_poolings
from .prompts import Prompts, check_prompt, check_token_left
from .sentence_folder import read_sentence_folder
from .sentence_steps import Normalize, Step
from .task import Loading, Task
from .tokenizer import Tokenizer
from .vectors import VectorMaker

if TYPE_CHECKING:
    from numpy.typing import NDArray


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
        return super().from_folder(folder, _without_pooler(loading), **options)

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
    """One vector for each text, as sentence-transformers makes them.

    Pooling and what follows it are done in float64 over the row's own tokens and rounded once, so
    the bits of a vector do not depend on the texts beside it.

    Args:
        model: the encoder.
        tokenizer: the model's.
        batch_tokens: the most tokens that are computed together.
        pooling: ``"mean"`` of all tokens, ``"cls"`` (the first), ``"max"`` of each component,
            ``"mean_sqrt_len"`` (their sum over the square root of their number),
            ``"weightedmean"`` (the first token weighs 1, the second 2, ...), ``"lasttoken"``; or a
            list of these, whose vectors are put one after the other.
        normalize: scale each vector to length 1.
        steps: what is made of the pooled vector before that: the modules of a folder.
        truncate_dim: keep so many of a vector's first numbers; ``None``: all.
        prompt: put before each text that a call names no other for.
        prompts: others, by their names.
        lowercase: put texts in lower case.
        pools_prompt: whether the prompt's tokens are pooled too.

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
        pooling: str | Sequence[str] = "mean",
        normalize: bool = True,
        steps: Sequence[Step] = (),
        truncate_dim: int | None = None,
        prompt: str = "",
        prompts: Mapping[str, str] | None = None,
        lowercase: bool = False,
        pools_prompt: bool = True,
    ) -> None:
        self.lowercase = check_flag("lowercase", lowercase, ConfigError)
        tokenizer = tokenizer.lowercased() if self.lowercase else tokenizer
        super().__init__(model, tokenizer, batch_tokens=batch_tokens)
        self._makes = VectorMaker(
            poolings=read_poolings("pooling", pooling),
            steps=tuple(steps),
            normalize=check_flag("normalize", normalize, ConfigError),
        ).cut(truncate_dim)
        self._width(self._makes)
        self._prompts = Prompts(
            default=check_prompt(prompt),
            by_name=dict(prompts or {}),
            pooled=check_flag("pools_prompt", pools_prompt, ConfigError),
        )

    @property
    def pooling(self) -> str | tuple[str, ...]:
        """The pooling, or several of them."""
        poolings = self._makes.poolings
        return poolings[0] if len(poolings) == 1 else poolings

    @property
    def normalize(self) -> bool:
        """Whether all vectors have length 1."""
        makes = self._makes
        last = makes.steps[-1] if makes.steps and makes.truncate_dim is None else None
        return makes.normalize or isinstance(last, Normalize)

    @property
    def truncate_dim(self) -> int | None:
        """The most numbers of a vector."""
        return self._makes.truncate_dim

    @property
    def prompt(self) -> str:
        """The prompt of a call that names none."""
        return self._prompts.default

    @property
    def prompts(self) -> dict[str, str]:
        """The prompts that a call can name."""
        return dict(self._prompts.by_name)

    @property
    def pools_prompt(self) -> bool:
        """Whether a prompt's tokens are pooled."""
        return self._prompts.pooled

    def prefix(self, prompt: str | None = None, prompt_name: str | None = None) -> str:
        """What stands before the texts of a call with this prompt or name. Raises InputError."""
        return self._prompts.choose(prompt, prompt_name)

    @property
    def dimension(self) -> int:
        """The numbers of a vector."""
        return self._width(self._makes)

    @classmethod
    def from_folder(cls, folder: Path, loading: Loading, **options: Any) -> SentenceEmbedding:
        """As the folder of sentence-transformers says, but for what ``options`` say."""
        options = {name: value for name, value in options.items() if value is not None}
        asked = (options.pop(name, None) for name in ("pooling", "normalize", "truncate_dim"))
        given = read_sentence_folder(folder, *asked)
        settings: dict[str, Any] = {
            "pooling": given.vectors.poolings,
            "normalize": given.vectors.normalize,
            "steps": given.vectors.steps,
            "truncate_dim": given.vectors.truncate_dim,
            "prompt": given.prompts.default,
            "prompts": given.prompts.by_name,
            "lowercase": given.lowercase,
            "pools_prompt": given.prompts.pooled,
        }
        if "prompt_name" in options:  # of all calls that name no other
            options["prompt"] = given.prompts.choose(
                options.get("prompt"), options.pop("prompt_name")
            )
        config = cls.read_config(given.transformer)
        tokenizer = loading.read_tokenizer(given.transformer, config, given.max_tokens)
        load = _without_pooler(loading).options
        model = RobertaModel.from_pretrained(given.transformer, **load)
        return cls(model, tokenizer, **(settings | options))

    def __call__(
        self,
        texts: str | list[str],
        *,
        prompt: str | None = None,
        prompt_name: str | None = None,
        truncate_dim: int | None = None,
    ) -> NDArray[np.float32]:
        """The vectors, float32 ``[n, dimension]``; ``[dimension]`` for one ``str``.

        Args:
            texts: one or several. White space around a text is a part of it.
            prompt: for this call, in place of the pipeline's.
            prompt_name: one of the model's prompts by its name; not looked at beside ``prompt``.
            truncate_dim: for this call, in place of the pipeline's.

        Raises:
            InputError: a text that cannot be encoded for the model; no such prompt.
        """
        checked, single = read_texts(texts)
        makes = self._makes.cut(truncate_dim)
        prefix = self._prompts.choose(prompt, prompt_name)
        skipped = self._prompts.count_tokens(self.tokenizer, prefix)
        rows = [self._encode(text, i, prefix, skipped) for i, text in enumerate(checked)]
        vectors = self._embed(rows, makes, skipped)
        return vectors[0] if single else vectors

    def encode_query(self, texts: str | list[str], **options: Any) -> NDArray[np.float32]:
        """The vectors of what is searched for: a call with the prompt named ``"query"``.

        Without one of that name there is no prompt, not the default one either, as in
        sentence-transformers. ``options`` as in a call.
        """
        return self._encode_as(self._prompts.of_query(), texts, options)

    def encode_document(self, texts: str | list[str], **options: Any) -> NDArray[np.float32]:
        """The vectors of what is searched: as ``encode_query``, with the name ``"document"``."""
        return self._encode_as(self._prompts.of_document(), texts, options)

    def stream(
        self,
        texts: Iterable[str],
        *,
        prompt: str | None = None,
        prompt_name: str | None = None,
        truncate_dim: int | None = None,
    ) -> Iterator[NDArray[np.float32]]:
        """The vector of each text in turn, ``[dimension]``, with few texts held at any time.

        Args:
            texts: read as far as is needed.
            prompt, prompt_name, truncate_dim: as in a call.

        Raises:
            InputError: as in a call; the number of a text counts from the first.
        """
        makes = self._makes.cut(truncate_dim)
        prefix = self._prompts.choose(prompt, prompt_name)
        skipped = self._prompts.count_tokens(self.tokenizer, prefix)
        window: list[IntArray] = []
        tokens = 0
        for i, text in enumerate(texts):
            if not isinstance(text, str):
                raise InputError(f"texts[{i}] must be a str, not {type(text).__name__}")
            window.append(self._encode(text, i, prefix, skipped))
            tokens += len(window[-1])
            if tokens >= self.batch_tokens:
                yield from self._embed(window, makes, skipped)
                window, tokens = [], 0
        yield from self._embed(window, makes, skipped)

    def _encode_as(
        self, prompt: str, texts: str | list[str], options: dict[str, Any]
    ) -> NDArray[np.float32]:
        if options.get("prompt") is None and options.get("prompt_name") is None:
            options["prompt"] = prompt
        return self(texts, **options)

    def _encode(self, text: str, index: int, prefix: str, skipped: int) -> IntArray:
        """A text's ids, as an array at once: a list of them takes five times the memory."""
        ids = self.tokenizer.encode_one(prefix + text, index)
        return np.array(check_token_left(ids, skipped, index), np.int64)

    def _width(self, makes: VectorMaker) -> int:
        return makes.width(self.model.config.hidden_size)

    @in_usual_arithmetic
    def _embed(
        self, rows: Sequence[IntArray], makes: VectorMaker, skipped: int
    ) -> NDArray[np.float32]:
        """The vectors of encoded texts, ``[n, dimension]``."""
        vectors = np.empty((len(rows), self._width(makes)), np.float32)
        for row, hidden in hidden_states(self.model, rows, self.batch_tokens):
            vectors[row] = makes(hidden, skipped)
            del hidden
        return vectors


def _without_pooler(loading: Loading) -> Loading:
    return dataclasses.replace(loading, options=loading.options | {"add_pooling_layer": False})


def hidden_states(
    model: RobertaModel, rows: Sequence[Sequence[int] | IntArray], batch_tokens: int
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
