"""What the tasks over texts share: options, reading ahead, windows, batches, and what was cut."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

from ..architectures import find_class
from ..checks import check_count, excerpt
from ..errors import ConfigError, InputError
from ..kernels.arithmetic import in_usual_arithmetic
from ..opening import transformer_folder
from .batching import BATCH_TOKENS, plan_batches
from .encoding import Encoding, cut
from .task import Loading, Self, Task
from .text_inputs import Job, TextOptions, read_many, warn_of_cuts, without_harmless
from .tokenizer import Text, Tokenizer

# Texts are encoded so many batches at a time, and as many ahead of those that are computed.
_BATCHES_AHEAD = 4
# A guess, for how much text makes a batch; a wrong one makes chunks larger or smaller.
_LETTERS_A_TOKEN = 4


class TextTask(Task):
    """A task that gives an answer for each text.

    Called with one input or many (a list, a tuple, an array of ``str``, any iterable); ``stream``
    gives one answer after the other. Texts are encoded in a thread of their own while the rows
    before them are computed. Rows of any lengths are computed together, nothing is padded.

    Args:
        model: of ``model_class``.
        tokenizer: the model's.
        batch_tokens: the most tokens that are computed together.
        batch_size: how many inputs ``stream`` takes before it gives their answers; ``None``: as
            many as fill some batches. It changes no answer.
        **options: fields of ``options_class``. ``device="cpu"``, ``framework``, ``num_workers``
            and ``padding`` are taken too, without effect.

    Raises:
        ConfigError: another device.
        TypeError: an option that is none of the task's.
    """

    options_class: ClassVar[type[Any]] = TextOptions
    # What one input is called in errors.
    noun: ClassVar[str] = "texts"
    is_shipped: ClassVar[bool] = False

    def __init__(
        self,
        model: Any,
        tokenizer: Tokenizer,
        *,
        batch_tokens: int = BATCH_TOKENS,
        batch_size: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(model, tokenizer, batch_tokens=batch_tokens)
        self.batch_size = None if batch_size is None else check_count("batch_size", batch_size, 1)
        self.options = self._changed(self.options_class(), options)

    @classmethod
    def from_folder(cls: type[Self], folder: Path, loading: Loading, **options: Any) -> Self:
        _check_head(folder, cls.model_class, loading.options.get("adapter"))
        return super().from_folder(folder, loading, **options)

    def _chosen(self) -> list[str]:
        values = [
            (field, getattr(self.options, field.name)) for field in dataclasses.fields(self.options)
        ]
        return [f"{field.name}={value!r}" for field, value in values if value != field.default]

    def _changed(self, options: Any, given: dict[str, Any]) -> Any:
        """The options with those of a call in their place."""
        given = without_harmless(given)
        known = [field.name for field in dataclasses.fields(options)]
        for name in given:
            if name not in known:
                raise TypeError(f"{name} must be an option of this task: {', '.join(known)}")
        changed = dataclasses.replace(options, **given) if given else options
        self._check_options(changed)
        return changed

    def _check_options(self, options: Any) -> None:
        """Refuse options that do not fit the model."""

    def __call__(self, inputs: Any, **options: Any) -> Any:
        """The answer for one input, or a list of them for several.

        Raises:
            InputError: an input that is none; it says its number.
            TypeError: an option that is none of the task's.
        """
        chosen = self._changed(self.options, dict(options))
        is_one = self.is_one(inputs, chosen)
        items = iter([inputs]) if is_one else read_many(inputs, self.noun)
        answers = list(self._answers_of(items, chosen, None))
        warn_of_cuts(sum(getattr(answer, "truncation", 0) > 0 for answer in answers))
        return self.of_call(answers, inputs, options) if is_one else answers

    def stream(self, inputs: Iterable[Any], **options: Any) -> Iterator[Any]:
        """The answers one after the other, for inputs without end too.

        Args:
            inputs: any iterable. It is read in the calling thread, and not far ahead; with
                ``batch_size=1`` not at all.
            **options: as for a call.

        Raises:
            InputError, TypeError: as a call.
        """
        batch_size = options.get("batch_size", self.batch_size)
        if batch_size is not None:
            batch_size = check_count("batch_size", batch_size, 1)
        chosen = self._changed(self.options, dict(options))
        n_cut = 0
        for answer in self._answers_of(read_many(inputs, self.noun), chosen, batch_size):
            n_cut += getattr(answer, "truncation", 0) > 0
            yield answer
        warn_of_cuts(n_cut)

    def is_one(self, inputs: Any, options: Any) -> bool:
        """Whether a call's argument is one input and no list of them."""
        return isinstance(inputs, str)

    def of_call(self, answers: list[Any], item: Any, given: dict[str, Any]) -> Any:
        """What a call with one input gives, ``given`` its options."""
        return answers[0]

    # What each task says.

    def read(self, item: Any, index: int, options: Any) -> Any:
        """An input, checked. Raises InputError."""
        if not isinstance(item, str):
            raise InputError(f"{self.noun}[{index}] must be a str, not {excerpt(item)}")
        return item

    def encode(self, item: Any, index: int, options: Any) -> list[Encoding]:
        """The rows of one input."""
        return self.encode_text(item, index, options)

    def encode_all(self, items: Sequence[tuple[int, Any]], options: Any) -> list[Job]:
        """The rows of several inputs, each with its number."""
        return [Job(index, item, self.encode(item, index, options)) for index, item in items]

    def weigh(self, rows: Sequence[Encoding]) -> tuple[list[int] | None, int]:
        """Another cost of each row than its tokens, and the most of it in a batch."""
        return None, 0

    def run(self, rows: Sequence[Sequence[int]], types: Any) -> Any:
        """The model's output for some rows of ids."""
        return self.model.encode_rows(rows, types)

    def of_batch(self, output: Any, options: Any) -> Sequence[Any]:
        """What a batch's output says of each row."""
        return list(output.logits)

    def answer(self, job: Job, outputs: list[Any], options: Any) -> Any:
        """The answer to one input, of what the model said of its rows."""
        raise NotImplementedError

    # What they share.

    def encode_text(self, text: Text, index: int, options: TextOptions) -> list[Encoding]:
        """The row of a text or pair, or one row a window; raises as ``fit``."""
        return self.fit(self.tokenizer.encode_with_offsets(text, index), index, options)

    def fit(
        self,
        whole: Encoding,
        index: int,
        options: TextOptions,
        *,
        sequence: int | None = None,
        reserved: int = 0,
    ) -> list[Encoding]:
        """What is encoded as a row within the limit, or as one row a window.

        Args:
            whole: the encoding, however long.
            index: the input's number in errors.
            options: those of the call.
            sequence: the text that alone is cut or read by windows; ``None``: the longest.
            reserved: how many tokens of the limit are left free.

        Raises:
            InputError: it is too long and may not be cut; there is no room for a window.
        """
        limit = self.tokenizer.limit(options.max_length)
        if limit is None or len(whole) + reserved <= limit:
            return [whole]
        limit -= reserved
        if options.stride is not None:
            lengths = [len(whole.places_of(i)) for i in range(len(whole.texts))]
            longest = lengths.index(max(lengths)) if sequence is None else sequence
            parts = whole.windows(limit, options.stride, sequence=longest)
            return [dataclasses.replace(whole.take(part), n_cut=0) for part in parts]
        if not options.truncation:
            raise InputError(
                f"{self.noun}[{index}] must have at most {limit} tokens with the special ones, "
                f"not {len(whole)}; truncation=True cuts it, stride=... reads it by windows"
            )
        part = cut(whole, limit, self.tokenizer.truncation_side, sequence=sequence)
        if len(part) > limit:
            raise InputError(
                f"max_length must leave room for the tokens that are not cut, not be {limit}"
            )
        return [part]

    def _answers_of(
        self, inputs: Iterator[Any], options: Any, batch_size: int | None
    ) -> Iterator[Any]:
        """The answers to checked options; what reads the inputs runs as its caller has set it."""
        numbered = enumerate(inputs)
        chunk = self._next_chunk(numbered, options, batch_size)
        if not chunk:
            return
        jobs = self.encode_all(chunk, options)
        if batch_size == 1:  # nothing is read before its turn
            while jobs:
                yield from self._answers(jobs, options)
                jobs = self.encode_all(self._next_chunk(numbered, options, 1), options)
            return
        chunk = self._next_chunk(numbered, options, batch_size)
        if not chunk:
            yield from self._answers(jobs, options)
            return
        with ThreadPoolExecutor(1, "pyroberta-tokenizer") as thread:
            while jobs:
                encoding = thread.submit(self.encode_all, chunk, options)
                yield from self._answers(jobs, options)
                jobs = encoding.result()
                chunk = self._next_chunk(numbered, options, batch_size)

    def _next_chunk(
        self, inputs: Iterator[tuple[int, Any]], options: Any, batch_size: int | None
    ) -> list[tuple[int, Any]]:
        """The next inputs, checked: ``batch_size`` of them, or some batches full."""
        if batch_size is not None:
            return [
                (i, self.read(item, i, options)) for i, item in itertools.islice(inputs, batch_size)
            ]
        chunk: list[tuple[int, Any]] = []
        left = _BATCHES_AHEAD * self.batch_tokens * _LETTERS_A_TOKEN
        for index, item in inputs:
            chunk.append((index, self.read(item, index, options)))
            left -= 8 + _letters(item)
            if left <= 0:
                break
        return chunk

    @in_usual_arithmetic
    def _answers(self, jobs: list[Job], options: Any) -> list[Any]:
        """The answers to some inputs."""
        outputs = self._compute([row for job in jobs for row in job.rows], options)
        answers, start = [], 0
        for job in jobs:
            end = start + len(job.rows)
            answer = self.answer(job, outputs[start:end], options)
            n_cut = sum(row.n_cut for row in job.rows)
            if n_cut and hasattr(answer, "truncation"):
                answer.truncation = n_cut
            answers.append(answer)
            start = end
        return answers

    def _compute(self, rows: Sequence[Encoding], options: Any) -> list[Any]:
        """What the model says of each row."""
        outputs: list[Any] = [None] * len(rows)
        has_types = self.config_of(self.model).max_token_types > 1
        weights, most = self.weigh(rows)
        lengths = [len(row) for row in rows]
        for batch in plan_batches(lengths, self.batch_tokens, weights, most):
            types = None
            if has_types and any(rows[i].types is not None for i in batch):
                types = [rows[i].types or [0] * len(rows[i]) for i in batch]
            output = self.run([rows[i].ids for i in batch], types)
            for i, one in zip(batch, self.of_batch(output, options), strict=True):
                outputs[i] = one
            del output  # else it would stand beside the next batch's
        return outputs


def _check_head(folder: Path, wanted: Any, adapter: Any) -> None:
    """Refuse a folder that says that it has another head; one that says none is read."""
    try:
        named = find_class(transformer_folder(folder), adapter=adapter)
    except ConfigError:
        return
    if named is not wanted:
        raise ConfigError(
            f"model must be a {wanted.__name__} for this task, not a {named.__name__}, which "
            f"{str(folder)!r} says it is; where that is wrong, give the model itself, by "
            f"{wanted.__name__}.from_pretrained(path)"
        )


def _letters(item: Any) -> int:
    """About how much text an input is."""
    if isinstance(item, str):
        return len(item)
    parts = item.values() if isinstance(item, dict) else item
    return sum(map(_letters, parts)) if isinstance(parts, Iterable) else 0
