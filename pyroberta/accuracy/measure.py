"""Rows of ids through the exact model and, beside it, through one model for each compute type.

No text is known here. What is kept of a batch are sums and a number for each row, so memory depends
on the batch and the models, hardly on how many rows there are.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..arrays import Array, IntArray
from ..checks import check_count
from ..errors import CheckpointError, ConfigError, InputError
from ..models import Model
from ..text.batching import BATCH_TOKENS, plan_batches
from .kinds import check_kind, has_words, is_multi_label, is_regression
from .report import TypeAccuracy
from .rows import Row, gold_of, types_of
from .scores import spearman
from .sums import TypeSums, cosines

# The exact model's hidden states of a batch, in float64, take at most this. In a batch of 4,096
# tokens those of a model of 24 blocks and 1,024 columns would take 840 MB.
_MAX_HIDDEN_BYTES = 2**28
# And its logits, of some tokens at a time: those of a token among 250,002 words are 2 MB.
_MAX_LOGITS_BYTES = 2**27


class Measurement:
    """Compares models with an exact one, on rows that are added some at a time.

    Args:
        reference: the exact model.
        models: the others, of the same class and sizes, by the names of their compute types.
        batch_tokens: the most tokens that are computed together; fewer for a large model.
        to_vector: makes one vector of a row's last hidden state ``[tokens, hidden]``; ``None``:
            rows have no vector.
        pairs: every two rows are a pair, whose value is the cosine of their vectors.
        progress: called after each batch with its number of rows.

    Attributes:
        rows, tokens: how many were compared.

    Raises:
        ConfigError: models that do not go together, or that need more than ids.

    Example:
        >>> model = RobertaForMaskedLM.from_config(RobertaConfig(num_blocks=2), seed=0)
        >>> measurement = Measurement(model, {"itself": model})
        >>> measurement.add([Row([0, 5, 6, 2]), Row([0, 7, 2])])
        >>> measurement.results()[0].worst_error.max_error
        0.0
    """

    def __init__(
        self,
        reference: Model[Any],
        models: Mapping[str, Model[Any]],
        *,
        batch_tokens: int = BATCH_TOKENS,
        to_vector: Callable[[Array], Array] | None = None,
        pairs: bool = False,
        progress: Callable[[int], object] | None = None,
    ) -> None:
        kind, config = type(reference), reference.config
        check_kind(kind, config)
        for name, model in models.items():
            if type(model) is not kind or model.config != config:
                raise ConfigError(
                    f"models must have the class and configuration of the reference {reference!r}, "
                    f"not those of {name!r}: {model!r}"
                )
        self._models = [reference, *models.values()]
        self._kind = kind
        self._config = config
        bytes_of_token = 8 * config.hidden_size * (config.num_blocks + 1)
        self._batch_tokens = min(
            check_count("batch_tokens", batch_tokens, 1),
            max(1, _MAX_HIDDEN_BYTES // bytes_of_token),
        )
        self._regression = is_regression(kind, config)
        self._multi_label = is_multi_label(kind, config)
        self._to_vector = to_vector
        self._pairs = pairs
        self._progress = progress
        self._sums = [TypeSums(name, config.num_blocks) for name in models]
        self._decisions = self._known = 0
        self._right = [0] * len(self._models)
        self._values: list[list[float]] = [[] for _ in self._models]
        self.rows = self.tokens = 0

    def add(self, rows: Sequence[Row]) -> None:
        """Compare on these rows too; with ``pairs`` an even number of them.

        They are batched by length, which serves best with several batches' worth of rows.

        Raises:
            InputError: ids that the model does not have, or too many.
            CheckpointError: the exact model gives numbers that are not finite.
        """
        width = 0 if self._to_vector is None else self._config.hidden_size
        vectors = np.zeros((len(self._models), len(rows), width))
        values = np.zeros((len(self._models), len(rows)))
        for batch in plan_batches([len(row.ids) for row in rows], self._batch_tokens):
            self._add_batch([rows[i] for i in batch], batch, vectors, values)
            if self._progress is not None:
                self._progress(len(batch))
        if self._to_vector is not None:
            for sums, got in zip(self._sums, vectors[1:], strict=True):
                sums.vectors.add(got, vectors[0])
        if self._pairs:
            values = np.stack([cosines(of_one[::2], of_one[1::2]) for of_one in vectors])
        if self._pairs or self._regression:
            for kept, new in zip(self._values, values, strict=True):
                kept.extend(new.tolist())
        self.rows += len(rows)
        self.tokens += sum(len(row.ids) for row in rows)

    def scores(self, wanted: Sequence[float] | None = None) -> list[float] | None:
        """The score of the exact model and then of each type; ``None`` where there is none.

        Args:
            wanted: a number for each row, or for each pair: the score is Spearman's correlation
                with these, of the only logit of a row or of the cosines. ``None``: the score is
                the part of the decisions with known ``gold`` that is right.
        """
        if wanted is not None:
            return [spearman(values, wanted) for values in self._values]
        return [right / self._known for right in self._right] if self._known else None

    def results(self, wanted: Sequence[float] | None = None) -> tuple[TypeAccuracy, ...]:
        """What was found of each compute type; ``wanted`` as for ``scores``."""
        scores = self.scores(wanted)
        changes = scores and [score - scores[0] for score in scores]
        if scores is not None and wanted is None:
            # Rounded once: 15 right of 20 in place of 16 is a change of -0.05 and no bit more.
            changes = [(right - self._right[0]) / self._known for right in self._right]
        return tuple(
            TypeAccuracy(
                compute_type=sums.name,
                hidden_states=tuple(one.difference() for one in sums.hidden_states),
                logits=None if self._kind.decides == "nothing" else sums.logits.difference(),
                vectors=None if self._to_vector is None else sums.vectors.difference(),
                decisions=self._decisions,
                agreement=sums.equal / self._decisions if self._decisions else None,
                score=None if scores is None else scores[n],
                score_change=None if changes is None else changes[n],
            )
            for n, sums in enumerate(self._sums, 1)
        )

    def _add_batch(
        self, rows: list[Row], numbers: list[int], vectors: Array, values: Array
    ) -> None:
        """Compare on one batch; what belongs to ``rows[i]`` is put at ``numbers[i]``."""
        exact = self._call(self._models[0], rows)
        _check_finite(self._models[0], exact.hidden_states)
        last, outputs = [exact.hidden_states[-1]], [exact]
        for model, sums in zip(self._models[1:], self._sums, strict=True):
            output = self._call(model, rows)
            for one, got, want in zip(
                sums.hidden_states, output.hidden_states, exact.hidden_states, strict=True
            ):
                one.add(got, want)
            last.append(output.hidden_states[-1])
            outputs.append(dataclasses.replace(output, hidden_states=None))
            del output, got  # else they would stand beside the next model's
        if self._to_vector is not None:
            for of_model, hidden in zip(vectors, last, strict=True):
                for number, of_row in zip(numbers, exact.of_rows(hidden), strict=True):
                    of_model[number] = self._to_vector(of_row)
        gold, begin = gold_of(rows), 0
        for logits in self._logits(rows, last, outputs):
            for sums, got in zip(self._sums, logits[1:], strict=True):
                sums.logits.add(got, logits[0])
            if self._regression:
                values[:, numbers] = [of_model[:, 0] for of_model in logits]
                continue
            chosen = [self._choose(of_model) for of_model in logits]
            end = begin + len(chosen[0])
            self._count(chosen, None if gold is None else gold[begin:end])
            begin = end

    def _call(self, model: Model[Any], rows: list[Row]) -> Any:
        """The output for a batch, with the hidden states; of a language model without logits."""
        options: dict[str, Any] = {"output_hidden_states": True}
        if has_words(self._kind):
            options["logit_positions"] = np.empty((0, 2), np.int64)
        return model.encode_rows([row.ids for row in rows], types_of(rows), **options)

    def _logits(
        self, rows: list[Row], last: list[Array], outputs: list[Any]
    ) -> Iterator[list[Array]]:
        """Logits ``[n, choices]`` of some decisions at a time, of every model, the exact one first.

        Decisions come in the order of the rows, and in a row in that of its tokens.
        """
        decides, offsets = self._kind.decides, outputs[0].offsets
        if decides == "nothing":
            return
        if decides == "span":
            for begin, end in itertools.pairwise(offsets.tolist()):
                yield [
                    np.stack([o.start_logits[begin:end], o.end_logits[begin:end]]) for o in outputs
                ]
        elif has_words(self._kind):
            at = np.array(
                [
                    offset + place
                    for offset, row in zip(offsets.tolist(), rows, strict=False)
                    for place in (range(len(row.ids)) if row.places is None else row.places)
                ],
                np.int64,
            )
            span = max(1, _MAX_LOGITS_BYTES // (8 * self._config.vocab_size))
            for begin in range(0, len(at), span):
                some = at[begin : begin + span]
                yield [
                    one._parts.head(one._parts.kernels, hidden[some])
                    for one, hidden in zip(self._models, last, strict=True)
                ]
        else:
            yield [output.logits for output in outputs]

    def _choose(self, logits: Array) -> IntArray:
        """What each row of logits chooses, -1 where it is not finite; of equals the first."""
        if self._multi_label:
            return np.where(np.isnan(logits), -1, logits > 0).ravel().astype(np.int64)
        chosen = logits.argmax(axis=1)  # a NaN where there is one
        best = np.take_along_axis(logits, chosen[:, None], axis=1)[:, 0]
        return np.where(np.isfinite(best), chosen, -1)

    def _count(self, chosen: list[IntArray], gold: IntArray | None) -> None:
        self._decisions += len(chosen[0])
        for sums, choice in zip(self._sums, chosen[1:], strict=True):
            sums.equal += int(np.count_nonzero(choice == chosen[0]))
        if gold is not None:
            if len(gold) != len(chosen[0]):
                raise InputError("gold must have a number for each decision of its row")
            known = gold >= 0
            self._known += int(np.count_nonzero(known))
            for n, choice in enumerate(chosen):
                self._right[n] += int(np.count_nonzero(choice[known] == gold[known]))


def _check_finite(model: Model[Any], hidden_states: Sequence[Array]) -> None:
    for n, hidden in enumerate(hidden_states):
        if not np.isfinite(hidden).all():
            where = f"block {n - 1}" if n else "the embeddings"
            raise CheckpointError(
                f"checkpoint must give finite numbers in {model.compute_type}, not inf or nan "
                f"after {where}"
            )
