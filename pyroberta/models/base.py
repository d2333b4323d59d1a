"""What all architectures share of a call: its way from ids to hidden states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import numpy as np

from ..arrays import IntArray
from ..checks import pick_flag
from ..kernels.arithmetic import in_usual_arithmetic
from ..run_options import CrossAttention, KeyValueCache, RunOptions
from .call import Call, Decides, Encoded, read_dropout
from .inputs import read_batch, read_head_mask
from .outputs import ModelOutput
from .ragged import Ragged
from .rows import read_rows
from .weights import Weights

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Output = TypeVar("Output", bound=ModelOutput)


class Model(Weights, Generic[Output]):
    """An encoder and a head. Calls are safe from several threads at once.

    Made by ``from_pretrained`` or ``from_config``.

    Attributes:
        architecture: the ancestor's name for the class, e.g. ``"base"``.
        decides: what its logits choose, ``"nothing"`` of a base model.
        config: the model's ``RobertaConfig``.
        compute_type: what the products are computed in.
        embedding_type: what the word table was narrowed to; ``None``: it is as the file has it.
        backend: ``"native"`` or ``"reference"``.
    """

    decides: ClassVar[Decides] = "nothing"
    # The inputs are [batch, choices, tokens].
    _has_choices: ClassVar[bool] = False

    @in_usual_arithmetic
    def __call__(
        self,
        input_ids: ArrayLike,
        attention_mask: ArrayLike | None = None,
        token_type_ids: ArrayLike | None = None,
        position_ids: ArrayLike | None = None,
        attention_head_mask: ArrayLike | None = None,
        *,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        training: bool = False,
        rng: np.random.Generator | None = None,
    ) -> Output:
        """Compute the model's output for a batch.

        Args:
            input_ids: integers ``[batch, tokens]`` in ``[0, vocab_size)``; ``[batch, choices,
                tokens]`` for the multiple-choice model, and so the next three.
            attention_mask: ``[batch, tokens]``: above 0 where a token is attended to. Masked
                tokens are not computed, and their outputs are 0. ``None``: all are attended.
            token_type_ids: integers ``[batch, tokens]``; ``None``: 0.
            position_ids: integers ``[batch, tokens]``; ``None``: tokens that are not the pad
                count up from ``pad_token_id + 1``.
            attention_head_mask: numbers ``[num_blocks, num_attention_heads]`` that multiply the
                attention weights of each head; ``None``: 1.
            output_hidden_states, output_attentions: what else to give; ``None``: as the
                configuration says. Asking changes no bit of the other outputs.
            training: apply dropout, drawn from ``rng``, on the reference kernels.
            rng: for ``training=True``.

        Raises:
            InputError: an argument of another shape, kind or range; a row whose first token is
                masked, where the head reads that one.
        """
        return self._output(
            self._run(
                self._read_call(
                    (input_ids, attention_mask, token_type_ids, position_ids),
                    attention_head_mask,
                    output_hidden_states,
                    output_attentions,
                    training,
                    rng,
                )
            )
        )

    @in_usual_arithmetic
    def encode_rows(
        self,
        rows: Sequence[Any],
        token_type_ids: Sequence[Any] | None = None,
        attention_head_mask: ArrayLike | None = None,
        *,
        output_hidden_states: bool | None = None,
    ) -> Output:
        """Compute the model's output for rows of any lengths: nothing is padded on either side.

        The bits are those of a call with the same rows, padded, and their mask. Arrays that a call
        gives as ``[batch, tokens, ...]`` come as ``[total, ...]``, the rows' places one after the
        other; ``output.offsets`` says where each row begins, ``output.of_rows(array)`` cuts there.

        Args:
            rows: for each row its ids, a list or array of integers in ``[0, vocab_size)``, all
                attended; for the multiple-choice model for each row a list of its choices' rows.
            token_type_ids: for each row as many integers; ``None``: 0.
            attention_head_mask, output_hidden_states: as in a call.

        Raises:
            InputError: an argument of another shape, kind or range; it names the row.

        Example:
            >>> model = RobertaModel.from_config(RobertaConfig(num_blocks=2), seed=0)
            >>> output = model.encode_rows([[0, 31, 51, 2], [0, 77, 2]])
            >>> output.last_hidden_state.shape, output.offsets.tolist()
            ((7, 768), [0, 4, 7])
        """
        call = self._read_rows(rows, token_type_ids, attention_head_mask, output_hidden_states)
        return self._output(self._run(call))

    def _output(self, encoded: Encoded) -> Output:
        """What the head makes of the encoded batch."""
        raise NotImplementedError

    def _reads_first_token(self) -> bool:
        """Whether the head reads the first token of each row, which then may not be masked."""
        return False

    def _read_call(
        self,
        batch: tuple[ArrayLike, ArrayLike | None, ArrayLike | None, ArrayLike | None],
        attention_head_mask: ArrayLike | None,
        output_hidden_states: bool | None,
        output_attentions: bool | None,
        training: bool,
        rng: np.random.Generator | None,
        before: IntArray | None = None,
    ) -> Call:
        """Check the arguments of a call; ``before``: see ``read_batch``."""
        ragged = read_batch(self.config, *batch, choices=self._has_choices, before=before)
        looks = output_hidden_states, output_attentions
        return self._checked(ragged, attention_head_mask, *looks, training, rng)

    def _read_rows(
        self,
        rows: Sequence[Any],
        token_type_ids: Sequence[Any] | None,
        attention_head_mask: ArrayLike | None,
        output_hidden_states: bool | None,
    ) -> Call:
        """Check the arguments of ``encode_rows``."""
        ragged = read_rows(self.config, rows, token_type_ids, choices=self._has_choices)
        return self._checked(ragged, attention_head_mask, output_hidden_states, False, False, None)

    def _checked(
        self,
        ragged: Ragged,
        attention_head_mask: ArrayLike | None,
        output_hidden_states: bool | None,
        output_attentions: bool | None,
        training: bool,
        rng: np.random.Generator | None,
    ) -> Call:
        config = self.config
        hidden_states = pick_flag(
            "output_hidden_states", output_hidden_states, config.output_hidden_states
        )
        attentions = pick_flag("output_attentions", output_attentions, config.output_attentions)
        return Call(
            ragged=ragged,
            head_mask=read_head_mask("attention_head_mask", attention_head_mask, config),
            want_hidden_states=hidden_states,
            want_attentions=attentions,
            first=ragged.first_tokens() if self._reads_first_token() else None,
            dropout=read_dropout(config, training, rng),
        )

    def _run(
        self,
        call: Call,
        *,
        cache: KeyValueCache | None = None,
        cross: CrossAttention | None = None,
    ) -> Encoded:
        """Embeddings and blocks: the way from a checked call to what a head reads."""
        dropout = call.dropout
        parts = self._parts if dropout is None else self._for_training()
        x = parts.embeddings(parts.kernels, call.ragged)
        if dropout is not None:
            x = dropout(x, dropout.rate)
        options = RunOptions(
            head_mask=call.head_mask,
            causal=self._is_causal,
            want_attentions=call.want_attentions,
            dropout=dropout,
            cache=cache,
            cross=cross,
        )
        result = parts.blocks(
            x, call.ragged.offsets, options, want_hidden_states=call.want_hidden_states
        )
        return Encoded(self.config, parts, call.ragged, result, dropout, call.first)
