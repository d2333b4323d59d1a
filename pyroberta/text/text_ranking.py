"""text-ranking: how well each document answers a query, by a model that reads both together."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..activations import FORMULAS
from ..arrays import Array
from ..checks import check_count, excerpt, pick_flag
from ..config import read_config_json
from ..errors import ConfigError, InputError
from ..kernels.arithmetic import in_usual_arithmetic
from ..logits import softmax
from ..models import RobertaForSequenceClassification
from ..opening import transformer_folder
from ..small_json import read_json_object
from .encoding import Encoding
from .task import Loading, Self
from .text_classification import AGGREGATIONS, check_aggregation, read_pair
from .text_inputs import Answer, Answers, Job, Score, TextOptions, read_many, warn_of_cuts
from .text_task import TextTask
from .tokenizer import Text
from .torch_names import torch_activation


@dataclasses.dataclass(frozen=True, kw_only=True)
class RankingOptions(TextOptions):
    """What can be chosen for text-ranking.

    Attributes:
        activation_fn: what makes scores of logits: a function of an array, the full name of a
            class of ``torch.nn`` or an object of it; ``None``: what the folder says, or else the
            sigmoid for a single label and nothing for several.
        apply_softmax: of several labels, make the scores sum to 1.
        window_aggregation: with ``stride``, what a pair's logits are of those of its document's
            windows: their ``"max"``, their ``"mean"``, or the ``"first"``.
    """

    activation_fn: Any = None
    apply_softmax: bool = False
    window_aggregation: str = "max"

    def __post_init__(self) -> None:
        super().__post_init__()
        given = self.activation_fn
        kind = type(given)
        if isinstance(given, str) or kind.__module__.startswith("torch.nn."):
            named = given if isinstance(given, str) else f"{kind.__module__}.{kind.__qualname__}"
            torch_activation(named, "activation_fn")  # refused here, made where it is used
            object.__setattr__(self, "activation_fn", named)
        elif given is not None and not callable(given):
            raise InputError(f"activation_fn must be a function, not {excerpt(given)}")
        flag = pick_flag("apply_softmax", self.apply_softmax, False)
        object.__setattr__(self, "apply_softmax", flag)
        check_aggregation(self.window_aggregation)


class TextRanking(TextTask):
    """How well documents answer a query: sentence-transformers' ``CrossEncoder``.

    See ``TextTask`` for what all tasks take and ``RankingOptions`` for the options. Where a query
    and a document are too long together, the longer of the two is cut.

    Example:
        >>> ranking = pipeline("text-ranking", path)  # doctest: +SKIP
        >>> ranking.rank("how to open a door", ["Turn the key.", "It rained."])  # doctest: +SKIP
        [{'corpus_id': 0, 'score': 0.93}, {'corpus_id': 1, 'score': 0.01}]
    """

    model_class = RobertaForSequenceClassification
    options_class = RankingOptions
    noun = "pairs"

    @classmethod
    def from_folder(cls: type[Self], folder: Path, loading: Loading, **options: Any) -> Self:
        options.setdefault("activation_fn", _said_activation(folder))
        return super().from_folder(folder, loading, **options)

    def __call__(self, inputs: Any, documents: Any = None, **options: Any) -> Any:
        """``rank`` of a query and its documents, or ``predict`` of pairs."""
        if documents is None:
            return self.predict(inputs, **options)
        return self.rank(inputs, documents, **options)

    def rank(
        self,
        query: str,
        documents: Sequence[str],
        *,
        top_k: int | None = None,
        return_documents: bool = False,
        **options: Any,
    ) -> list[dict[str, Any]]:
        """The documents with their scores, the best first; of equals the first.

        Args:
            query: what is asked.
            documents: what may answer it.
            top_k: how many to give; ``None``: all.
            return_documents: also give each document, as ``text``.
            **options: of the pipeline, for this call.

        Returns:
            Dictionaries with ``corpus_id``, the document's number, and ``score``.

        Raises:
            InputError: a query or document that is no text; a model of several labels.
        """
        if self.model.config.num_labels != 1:
            raise InputError(
                f"model must have one label to rank by, not {self.model.config.num_labels}: "
                "predict gives the scores of each"
            )
        if not isinstance(query, str):
            raise InputError(f"query must be a str, not {excerpt(query)}")
        top = None if top_k is None else check_count("top_k", top_k, 1)
        listed = list(read_many(documents, "documents"))
        for i, document in enumerate(listed):
            if not isinstance(document, str):
                raise InputError(f"documents[{i}] must be a str, not {excerpt(document)}")
        found = self._scores([(query, document) for document in listed], options)
        n_cut = {i: one.truncation for i, one in enumerate(found)}
        scores = self._activated(found, options).tolist()
        ranked = Answers()
        for i in sorted(range(len(listed)), key=lambda i: -scores[i])[:top]:
            answer = Answer(corpus_id=i, score=float(scores[i]))
            if return_documents:
                answer["text"] = str(listed[i])
            answer.truncation = n_cut[i]
            ranked.append(answer)
        ranked.truncation = sum(n_cut.values())
        return ranked

    def predict(self, inputs: Any, **options: Any) -> Any:
        """The scores of pairs of texts.

        Args:
            inputs: pairs, each a list or tuple of two texts or a dictionary with ``text`` and
                ``text_pair``; or one pair.
            **options: of the pipeline, for this call. ``show_progress_bar`` is taken, without
                effect; ``convert_to_numpy=False`` gives a list.

        Returns:
            float32 ``[n]``, for a model of several labels ``[n, labels]``; of one pair its score
            or ``[labels]``.
        """
        options.pop("show_progress_bar", None)
        as_array = options.pop("convert_to_numpy", True)
        if isinstance(inputs, np.ndarray):
            inputs = inputs.tolist()
        is_one = self.is_one(inputs, None)
        found = self._scores([inputs] if is_one else inputs, options)
        scores = self._activated(found, options)
        if is_one:
            return scores[0]
        return scores if as_array else list(scores)

    def stream(self, inputs: Iterable[Any], **options: Any) -> Iterator[Any]:
        """The score of each pair in turn, as ``predict`` gives it; see ``TextTask``.

        Raises:
            InputError, TypeError: as a call.
        """
        for found in super().stream(inputs, **options):
            scores = self._activated([found], options)[0]
            if scores.ndim:
                yield scores
                continue
            score = Score(scores)
            score.truncation = found.truncation
            yield score

    def is_one(self, inputs: Any, options: Any) -> bool:
        if isinstance(inputs, Mapping):
            return True
        return isinstance(inputs, (list, tuple)) and bool(inputs) and isinstance(inputs[0], str)

    def read(self, item: Any, index: int, options: Any) -> Text:
        text = read_pair(item, index, self.noun)
        if isinstance(text, str):
            raise InputError(f"pairs[{index}] must be two texts, not {excerpt(text)}")
        return text

    def encode(self, item: Text, index: int, options: Any) -> list[Encoding]:
        # Windows are of the document: the query stands in each.
        sequence = None if options.stride is None else 1
        whole = self.tokenizer.encode_with_offsets(item, index)
        return self.fit(whole, index, options, sequence=sequence)

    def answer(self, job: Job, outputs: list[Array], options: Any) -> Answers:
        return Answers(AGGREGATIONS[options.window_aggregation](np.stack(outputs)))

    def _scores(self, pairs: Any, options: dict[str, Any]) -> list[Answers]:
        """The logits of each pair."""
        chosen = self._changed(self.options, dict(options))
        found = list(self._answers_of(read_many(pairs, self.noun), chosen, None))
        warn_of_cuts(sum(one.truncation > 0 for one in found))
        return found

    @in_usual_arithmetic
    def _activated(self, found: list[Answers], options: dict[str, Any]) -> Array:
        """float32 ``[n]`` or ``[n, labels]``: the scores that logits are made into."""
        chosen = self._changed(self.options, dict(options))
        count = self.model.config.num_labels
        logits = np.array(found, np.float64).reshape(len(found), count)
        given = chosen.activation_fn
        function: Callable[[Array], Array] = FORMULAS["sigmoid" if count == 1 else "linear"]
        if given is not None:
            is_name = isinstance(given, str)
            function = torch_activation(given, "activation_fn") if is_name else given
        scores = np.asarray(function(logits))
        if count == 1:
            scores = scores.reshape(len(found))
        elif chosen.apply_softmax:
            scores = softmax(scores)
        return scores.astype(np.float32)


def _said_activation(folder: Path) -> Any:
    """The activation that a folder of sentence-transformers names; ``None``: none.

    Raises:
        ConfigError: it is none that is computed here.
    """
    config = read_config_json(transformer_folder(folder))
    own = config.get("sentence_transformers")
    beside = read_json_object(folder / "config_sentence_transformers.json", missing_ok=True)
    said = [
        ("activation_fn in config_sentence_transformers.json", beside.get("activation_fn")),
        (
            "sentence_transformers.activation_fn in config.json",
            own.get("activation_fn") if isinstance(own, Mapping) else None,
        ),
        (
            "sbert_ce_default_activation_function in config.json",
            config.get("sbert_ce_default_activation_function"),
        ),
    ]
    for name, value in said:
        if value is not None:
            try:
                torch_activation(value, name)
            except ConfigError as error:
                raise ConfigError(f"{error}; or give activation_fn= yourself") from None
            return value
    return None
