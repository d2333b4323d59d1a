"""Sentence vectors as a step of scikit-learn: needs the extra ``pyroberta[sklearn]``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from .errors import InputError
from .text import SentenceEncoder

if TYPE_CHECKING:
    from numpy.typing import NDArray


# scikit-learn has no types, so that its classes are Any to mypy.
class SentenceVectorizer(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Texts to vectors, in pipelines and searches of scikit-learn.

    It learns nothing of the texts: ``fit`` opens the model. Clones, pickles and workers carry the
    model as its folder's name.

    Args:
        path: a folder or Hub name; ``None``: the checkpoint that comes with the package.
        prompt_name: of the model's prompts, the one to put before each text.
        normalize: scale each vector to length 1.
        truncate_dim: keep so many of a vector's first numbers; ``None``: all.
        compute_type, embedding_type: as for ``from_pretrained``; ``None``: the default.
        batch_tokens: the most tokens that are computed together.

    Example:
        >>> from sklearn.linear_model import LogisticRegression  # doctest: +SKIP
        >>> from sklearn.pipeline import make_pipeline  # doctest: +SKIP
        >>> classify = make_pipeline(SentenceVectorizer(), LogisticRegression())  # doctest: +SKIP
        >>> classify.fit(["I like it.", "I do not."], [1, 0])  # doctest: +SKIP
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        prompt_name: str | None = None,
        normalize: bool = True,
        truncate_dim: int | None = None,
        compute_type: str | None = None,
        embedding_type: str | None = None,
        batch_tokens: int = 2048,
    ) -> None:
        # As scikit-learn wants it: nothing is checked or opened before fit.
        self.path = path
        self.prompt_name = prompt_name
        self.normalize = normalize
        self.truncate_dim = truncate_dim
        self.compute_type = compute_type
        self.embedding_type = embedding_type
        self.batch_tokens = batch_tokens

    def fit(self, X: Any, y: Any = None) -> SentenceVectorizer:
        """Open the model; the texts are only checked.

        Raises:
            InputError: ``X`` is no list or array of ``str``.
            ConfigError, FileNotFoundError, CheckpointError: as ``SentenceEncoder``.
        """
        _read(X)
        self._open()
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:
        """The vectors, float32 ``[n, dimension]``. Raises InputError as ``fit``."""
        texts = _read(X)
        if not hasattr(self, "encoder_"):
            self._open()
        vectors: NDArray[np.float32] = self.encoder_.encode(
            texts,
            prompt_name=self.prompt_name,
            normalize_embeddings=self.normalize,
            truncate_dim=self.truncate_dim,
        )
        return vectors

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """``sentencevectorizer0`` and so on, a name for each number of a vector."""
        if not hasattr(self, "encoder_"):
            self._open()
        width = self.encoder_.get_embedding_dimension()
        count = width if self.truncate_dim is None else min(width, self.truncate_dim)
        return np.array([f"sentencevectorizer{i}" for i in range(count)], object)

    def _open(self) -> None:
        options: dict[str, Any] = {"batch_tokens": self.batch_tokens}
        for name in ("compute_type", "embedding_type"):
            if getattr(self, name) is not None:
                options[name] = getattr(self, name)
        self.encoder_ = SentenceEncoder(self.path, **options)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.requires_fit = False
        return tags


def _read(X: Any) -> list[str]:
    """The texts of a list, an array ``[n]`` or a column of a table."""
    texts = np.asarray(X, object)
    if texts.ndim == 2 and texts.shape[1] == 1:
        texts = texts[:, 0]
    if texts.ndim != 1:
        raise InputError(f"X must be texts [n], not of shape {list(texts.shape)}")
    for i, text in enumerate(texts.tolist()):
        if not isinstance(text, str):
            raise InputError(f"X[{i}] must be a str, not {type(text).__name__}")
    listed: list[str] = texts.tolist()
    return listed
