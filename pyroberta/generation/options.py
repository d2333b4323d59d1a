"""What can be asked of a generation, checked once; nothing here runs a model."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ..arrays import Array, IntArray
from ..checks import check_count, check_flag, excerpt, is_name_of
from ..config import RobertaConfig
from ..errors import InputError

LogitsProcessor = Callable[[list[IntArray], Array], Array]

# New tokens where no length is asked for, or as many as the model has room for.
DEFAULT_NEW_TOKENS = 20

# What each strategy reads that the others do not.
_OF_STRATEGY: dict[str, tuple[str, ...]] = {
    "greedy": (),
    "sampling": ("temperature", "top_k", "top_p", "seed"),
    "beam": ("num_beams", "length_penalty", "early_stopping"),
    "contrastive": ("top_k", "alpha"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class GenerationOptions:
    """The options of ``generate`` and ``stream``. What is ``None`` takes its default.

    A row's length is the number of its attended tokens, those of the prompt included.

    Args:
        strategy: how a token is chosen. ``"greedy"``: the most probable one. ``"sampling"``:
            drawn by its probability. ``"beam"``: the most probable text of ``num_beams`` that are
            followed side by side. ``"contrastive"``: probable, and unlike what was written before
            (Su et al. 2022, arXiv:2202.06417). ``None``: what the next two ask for, or greedy.
        do_sample: as Hugging Face spells ``strategy="sampling"``.
        max_new_tokens: tokens that a row gets at most.
        max_length: its length at most. At most one of these two; with neither, 20 new tokens, or
            fewer where the model has less room.
        min_new_tokens, min_length: no end before so many; at most one of them.
        temperature: for sampling: the logits are divided by it. Above 0; default 1.
        top_k: for sampling: only the ``top_k`` most probable tokens (default: all); for
            contrastive search: the candidates (default 4).
        top_p: for sampling: only the most probable tokens that together reach it. In (0, 1];
            default 1.
        seed: for sampling: one number, whose row ``i`` draws from ``(seed, i)``, or one for each
            row, whose text then does not depend on the batch. Default: unforeseeable.
        num_beams: texts of a row that are followed; default 4. More than 1 means
            ``strategy="beam"`` where no strategy is named, and 1 means none.
        length_penalty: a beam's score is its log-probability divided by (its new tokens) to this
            power: above 0 favours long texts. Default 1.
        early_stopping: when a row's beams end: ``True`` as soon as ``num_beams`` texts are
            complete; ``False`` (default) when a better one is unlikely; ``"never"`` when it is
            impossible.
        alpha: the weight of the unlikeness in contrastive search, in [0, 1]; default 0.6.
        repetition_penalty: logits of tokens that the row holds are divided by it where above 0
            and multiplied where below (Keskar et al. 2019, arXiv:1909.05858). Above 0; default 1.
        no_repeat_ngram_length: no run of so many tokens occurs twice in a row.
        suppressed_token_ids: never chosen.
        forced_bos_token_id: the second token of a row whose prompt is one token.
        forced_eos_token_id: the last token of a row that reaches its greatest length. Both
            default to the configuration's.
        eos_token_id: ends a row: one or several; ``()`` for none. Default: the configuration's.
        pad_token_id: what follows in the result after a row's end. Default: the configuration's.
        bos_token_id: the prompt where ``input_ids`` is ``None``. Default: the configuration's.
        logits_processors: functions of ``(ids, logits)`` that return logits, called in their
            order after the options above and before temperature, top_k and top_p. ``ids``: for
            each row that goes on (each beam of it) its attended tokens so far, read-only int64
            arrays; ``logits``: ``[rows, vocab]`` (log-probabilities in beam search).

    Raises:
        InputError: a value out of range; options that contradict each other.

    Example:
        >>> GenerationOptions(strategy="sampling", top_p=0.9, max_new_tokens=8).top_p
        0.9
    """

    strategy: str | None = None
    do_sample: bool | None = None
    max_new_tokens: int | None = None
    max_length: int | None = None
    min_new_tokens: int | None = None
    min_length: int | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    seed: int | Sequence[int] | None = None
    num_beams: int | None = None
    length_penalty: float | None = None
    early_stopping: bool | str | None = None
    alpha: float | None = None
    repetition_penalty: float | None = None
    no_repeat_ngram_length: int | None = None
    suppressed_token_ids: Sequence[int] = ()
    forced_bos_token_id: int | None = None
    forced_eos_token_id: int | None = None
    eos_token_id: int | Sequence[int] | None = None
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    logits_processors: Sequence[LogitsProcessor] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "strategy", self._named_strategy())
        if not is_name_of(self.strategy, _OF_STRATEGY):
            raise InputError(
                f"strategy must be one of {', '.join(_OF_STRATEGY)}, not {self.strategy!r}"
            )
        owned: dict[str, list[str]] = {
            name: [] for names in _OF_STRATEGY.values() for name in names
        }
        for strategy, names in _OF_STRATEGY.items():
            for name in names:
                owned[name].append(strategy)
        for name, owners in owned.items():
            if getattr(self, name) is not None and self.strategy not in owners:
                raise InputError(
                    f"{name} must be left out with strategy={self.strategy!r} "
                    f"(it is of {', '.join(owners)}), not {getattr(self, name)!r}"
                )
        self._check_lengths()
        for name, low in (("top_k", 1), ("num_beams", 2), ("no_repeat_ngram_length", 1)):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name), low)
        for name, (what, holds) in _NUMBERS.items():
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _number(name, getattr(self, name), what, holds))
        early = self.early_stopping
        if early is not None and not isinstance(early, bool) and early != "never":
            raise InputError(
                f'early_stopping must be True, False or "never", not {self.early_stopping!r}'
            )
        processors = self.logits_processors
        if not isinstance(processors, Iterable) or not all(map(callable, processors)):
            raise InputError(f"logits_processors must be a list of functions, not {processors!r}")
        object.__setattr__(self, "logits_processors", tuple(processors))

    def _named_strategy(self) -> Any:
        """The strategy named, or that which ``do_sample`` and ``num_beams`` ask for."""
        asked = self.do_sample is not None and check_flag("do_sample", self.do_sample)
        beams = self.num_beams
        if isinstance(beams, (int, np.integer)) and beams == 1 and self.strategy != "beam":
            object.__setattr__(self, "num_beams", None)
            beams = None
        if self.strategy is None:
            named = "beam" if beams is not None else "sampling" if asked else "greedy"
        else:
            named = self.strategy
        if self.do_sample is not None and asked != (named == "sampling"):
            wanted = "left out or True" if named == "sampling" else "left out or False"
            raise InputError(
                f"do_sample must be {wanted} with {named!r} search, not {self.do_sample!r}"
                if self.strategy is None
                else f"do_sample must be {wanted} with strategy={named!r}, not {self.do_sample!r}"
            )
        return named

    def _check_lengths(self) -> None:
        for one, other in (("max_new_tokens", "max_length"), ("min_new_tokens", "min_length")):
            values = getattr(self, one), getattr(self, other)
            if None not in values:
                raise InputError(
                    f"{one} must be left out where {other} is given, "
                    f"not both: {values[0]!r} and {values[1]!r}"
                )
        for name, low in (
            ("max_new_tokens", 1),
            ("max_length", 1),
            ("min_new_tokens", 0),
            ("min_length", 0),
        ):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name), low)
        for least, most in (("min_new_tokens", "max_new_tokens"), ("min_length", "max_length")):
            low, high = getattr(self, least), getattr(self, most)
            if low is not None and high is not None and low > high:
                raise InputError(f"{least} must be at most {most} ({high}), not {low}")

    def settle(self, config: RobertaConfig) -> GenerationOptions:
        """The same with the model's defaults in place, its ids checked against the model.

        ``eos_token_id`` and ``suppressed_token_ids`` become tuples.

        Raises:
            InputError: an id that the model does not have; a forced one that is suppressed.
        """

        def checked(name: str, value: int) -> int:
            token_id = check_count(name, value, 0)
            if token_id >= config.vocab_size:
                raise InputError(
                    f"{name} must be in [0, vocab_size) = [0, {config.vocab_size}), not {token_id}"
                )
            return token_id

        def several(name: str, value: Any) -> tuple[int, ...]:
            if isinstance(value, (str, bytes)):
                raise InputError(f"{name} must be one or several ids, not {value!r}")
            values = tuple(value) if isinstance(value, Iterable) else (value,)
            return tuple(dict.fromkeys(checked(name, one) for one in values))

        new: dict[str, Any] = {}
        for name in ("pad_token_id", "bos_token_id", "forced_bos_token_id", "forced_eos_token_id"):
            value = getattr(self, name)
            value = getattr(config, name) if value is None else value
            new[name] = None if value is None else checked(name, value)
        eos = config.eos_token_id if self.eos_token_id is None else self.eos_token_id
        new["eos_token_id"] = () if eos is None else several("eos_token_id", eos)
        suppressed = several("suppressed_token_ids", self.suppressed_token_ids)
        new["suppressed_token_ids"] = suppressed
        for name in ("forced_bos_token_id", "forced_eos_token_id"):
            if new[name] in suppressed:
                raise InputError(
                    f"suppressed_token_ids must not hold {name} ({new[name]}), not {suppressed}"
                )
        if (self.min_new_tokens or self.min_length) and config.vocab_size == len(
            {*suppressed, *new["eos_token_id"]}
        ):
            raise InputError("suppressed_token_ids and eos_token_id must leave a token, not none")
        defaults: dict[str, Any] = {
            "beam": {"num_beams": 4, "length_penalty": 1.0, "early_stopping": False},
            "contrastive": {"top_k": 4, "alpha": 0.6},
        }
        for name, value in defaults.get(str(self.strategy), {}).items():
            new[name] = value if getattr(self, name) is None else getattr(self, name)
        for name in ("top_k", "num_beams"):
            value = new.get(name, getattr(self, name))
            if value is not None and value > config.vocab_size:
                raise InputError(
                    f"{name} must be at most vocab_size ({config.vocab_size}), not {value}"
                )
        return dataclasses.replace(self, **new)


# The options that are numbers, in which range each is.
_NUMBERS: dict[str, tuple[str, Callable[[float], bool]]] = {
    "temperature": ("above 0", lambda x: x > 0),
    "repetition_penalty": ("above 0", lambda x: x > 0),
    "top_p": ("in (0, 1]", lambda x: 0 < x <= 1),
    "alpha": ("in [0, 1]", lambda x: 0 <= x <= 1),
    "length_penalty": ("that is finite", lambda x: True),
}


def _number(name: str, value: Any, what: str, holds: Callable[[float], bool]) -> float:
    """A float: a whole number of thousands of digits to some power would be computed for hours."""
    if isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError):
            number = float(value)
            if math.isfinite(number) and holds(number):
                return number
    raise InputError(f"{name} must be a number {what}, not {excerpt(value)}")
