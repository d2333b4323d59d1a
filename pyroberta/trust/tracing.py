"""``trace``: a model's call, with every step kept."""

from __future__ import annotations

import fnmatch
import functools
import hashlib
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..arrays import Array
from ..checkpoint import PackedSource, Source
from ..checks import as_array, check_patterns, excerpt
from ..decoder.cache import check_encoder
from ..errors import InputError
from ..kernels.arithmetic import in_usual_arithmetic
from ..models import Model
from ..models.inputs import read_head_mask
from .case import Case, Encoder
from .kernel_steps import KernelSteps
from .steps import Step, graph
from .trace_file import Trace, make_metadata, write_trace

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Layout = Literal["padded", "ragged"]


@in_usual_arithmetic
def trace(
    model: Model[Any],
    input_ids: ArrayLike,
    attention_mask: ArrayLike | None = None,
    token_type_ids: ArrayLike | None = None,
    position_ids: ArrayLike | None = None,
    attention_head_mask: ArrayLike | None = None,
    *,
    encoder_hidden_state: ArrayLike | None = None,
    encoder_attention_mask: ArrayLike | None = None,
    cross_attention_head_mask: ArrayLike | None = None,
    output: str | os.PathLike[str] | None = None,
    steps: Sequence[str] = (),
    layout: Layout = "padded",
) -> Trace:
    """Compute a batch and keep every step of the graph, by name.

    The steps are those of the model's backend and compute type, with the bits that a call computes;
    ``scores``, which native kernels never write, are NumPy's of their queries and keys.

    Args:
        model: of any class, not opened from a packed file.
        input_ids, attention_mask, token_type_ids, position_ids, attention_head_mask: as in a call.
        encoder_hidden_state, encoder_attention_mask, cross_attention_head_mask: as in a call of a
            causal model with cross attention.
        output: a safetensors file to write; steps are written as they are computed, so memory
            holds some of them alone. ``None``: all stay in memory.
        steps: patterns of the names to keep (``"block.3.*"``); none: all.
        layout: ``"padded"`` has the caller's shapes, zeros where masked (scores ``-inf``);
            ``"ragged"`` the attended tokens alone, ``[total, cols]``, attentions flat.

    Raises:
        InputError: an argument of another shape, kind or range; a packed model; patterns that fit
            no step.

    Example:
        >>> model = RobertaModel.from_config(RobertaConfig(num_blocks=2), seed=0)
        >>> pyroberta.trace(model, [[0, 31, 51, 2]])["embeddings.sum"].shape
        (1, 4, 768)
    """
    if not isinstance(model, Model):
        raise InputError(f"model must be a model of this package, not {excerpt(model)}")
    source = model._source
    if isinstance(source, PackedSource):
        raise InputError("model must come from a checkpoint, not from a packed file")
    if layout not in ("padded", "ragged"):
        raise InputError(f"layout must be 'padded' or 'ragged', not {excerpt(layout)}")
    batch = input_ids, attention_mask, token_type_ids, position_ids
    call = model._read_call(batch, attention_head_mask, False, False, False, None)
    encoder = encoder_hidden_state, encoder_attention_mask
    config = model.config
    case = Case(
        config=config,
        causal=model._is_causal,
        ragged=call.ragged,
        attention_head_mask=call.head_mask,
        cross_attention_head_mask=read_head_mask(
            "cross_attention_head_mask", cross_attention_head_mask, config
        ),
        encoder=_read_encoder(model, *encoder, batch=call.ragged.batch),
        given=np.asarray(input_ids, np.int64).reshape(call.ragged.batch, call.ragged.tokens),
    )
    tensors = sorted(source.names())
    every = graph(config, model.architecture, tensors, cross=case.encoder is not None)
    kept = choose_steps(every, steps)
    runner = _Runner(KernelSteps(model._parts.kernels, source, case), every, case, kept, layout)
    opened = model._opened
    metadata = make_metadata(
        case,
        kept,
        architecture=model.architecture,
        compute_type=model.compute_type,
        backend=model.backend,
        layout=layout,
        checkpoint="" if opened is None else str(opened[0]),
        checksum=weights_checksum(source),
        tensors=tensors,
    )
    if output is None:
        arrays = {step.name: runner.read(step.name) for step in kept}
        return Trace(
            metadata, {n: functools.partial(np.asarray, a) for n, a in arrays.items()}, case, every
        )
    shape = case.size if layout == "ragged" else case.padded_size
    shapes = {step.name: shape(step) for step in kept}
    x = None if case.encoder is None else case.encoder.x
    write_trace(output, metadata, shapes, runner.read, model._parts.kernels.dtype, x)
    return Trace.open(output)


class _Runner:
    """Computes the steps in order and forgets each once nothing reads it any more."""

    def __init__(
        self,
        arithmetic: KernelSteps,
        every: tuple[Step, ...],
        case: Case,
        kept: Sequence[Step],
        layout: Layout,
    ) -> None:
        self._arithmetic = arithmetic
        self._case = case
        self._layout = layout
        last = every.index(kept[-1])
        self._steps = iter(every[: last + 1])
        self._readers = last_readers(every)
        self._arrays = case.inputs()

    def read(self, name: str) -> Array:
        """The array of a step as the trace has it; steps are asked for in their order."""
        for step in self._steps:
            values = self._arithmetic.compute(step, self._arrays)
            self._arrays[step.name] = values
            for used in [n for n in self._arrays if self._readers.get(n) in (None, step.name)]:
                if used != step.name:
                    del self._arrays[used]
            if step.name == name:
                return values if self._layout == "ragged" else self._case.pad(step, values)
        raise AssertionError(name)


def last_readers(every: Sequence[Step]) -> dict[str, str]:
    """For each step and input the last step that reads it."""
    readers = {}
    for step in every:
        for name in step.feeds:
            readers[name] = step.name
        if step.kind == "context":  # which the kernels compute of queries and keys
            here = step.name.rpartition(".")[0]
            readers |= {f"{here}.{name}": step.name for name in ("query", "key")}
    return readers


def choose_steps(every: Sequence[Step], patterns: Sequence[str]) -> tuple[Step, ...]:
    """The steps whose names fit one of the patterns; all, where there are none."""
    patterns = check_patterns("steps", patterns)
    if not patterns:
        return tuple(every)
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(step.name, pattern) for step in every):
            raise InputError(
                f"steps must be patterns of steps' names, such as 'block.0.*', not "
                f"{excerpt(pattern)}, which fits none"
            )
    return tuple(
        step for step in every if any(fnmatch.fnmatchcase(step.name, one) for one in patterns)
    )


def weights_checksum(source: Source) -> str:
    """SHA-256 over all tensors in float32, by name: equal for equal weights in any file format."""
    digest = hashlib.sha256()
    for name in sorted(source.names()):
        for piece in _pieces(source, name):
            digest.update(np.ascontiguousarray(piece, np.dtype("<f4")).view(np.uint8).data)
        digest.update(name.encode())
    return digest.hexdigest()


def _pieces(source: Source, name: str) -> Iterator[Array]:
    """A tensor some rows at a time: a word table can be a gigabyte."""
    if "embeddings.weight" not in name:
        yield source.read(name).reshape(-1)
        return
    table = source.table(name)
    for begin in range(0, table.shape[0], 4096):
        yield table.rows(slice(begin, begin + 4096)).reshape(-1)


def _read_encoder(
    model: Model[Any], hidden: ArrayLike | None, mask: ArrayLike | None, batch: int
) -> Encoder | None:
    crosses = model.architecture == "for_causal_language_modeling" and (
        model.config.use_cross_attention
    )
    if not crosses:
        for name, value in (("encoder_hidden_state", hidden), ("encoder_attention_mask", mask)):
            if value is not None:
                raise InputError(f"{name} must be None for a model without cross attention")
        return None
    if hidden is None:
        raise InputError(
            "encoder_hidden_state must be given to a model with cross attention, not None"
        )
    x, offsets, places = check_encoder(model.config, hidden, mask, batch)
    tokens = as_array("encoder_hidden_state", hidden).shape[1]
    return Encoder(x.astype(np.float64), offsets, places, tokens)
