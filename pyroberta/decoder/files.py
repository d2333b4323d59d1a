"""The files of an encoder-decoder: one configuration and one set of tensors for both sides."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from ..checkpoint import FileSource, Tensor, open_checkpoint
from ..config import RobertaConfig, read_config_json
from ..errors import CheckpointError, ConfigError
from ..kernels import Kernels
from ..models import RobertaModel
from ..models.base import Model
from ..models.layers import Linear
from .causal import RobertaForCausalLM

# The layer between sides of different widths.
BRIDGE = "enc_to_dec_proj"

_KINDS: dict[str, type[Model[Any]]] = {"encoder": RobertaModel, "decoder": RobertaForCausalLM}


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncoderDecoderFiles:
    """What is in a folder: each side's configuration and tensors, and what holds for both."""

    encoder: tuple[RobertaConfig, FileSource]
    decoder: tuple[RobertaConfig, FileSource]
    bridge: Linear | None
    decoder_start_token_id: int | None
    eos_token_id: int | list[int] | None
    pad_token_id: int | None


def read_folder(
    path: str | os.PathLike[str], kernels: Kernels, *, memory_map: bool
) -> EncoderDecoderFiles:
    """Read the folder of an ``EncoderDecoderModel``; ``RobertaEncoderDecoder.from_pretrained``."""
    config = _read_config(path)
    configs = {side: _side_config(config, side) for side in _KINDS}
    tied = bool(config.get("tie_encoder_decoder"))
    sides, bridge = _split(open_checkpoint(path), configs, tied)
    problems: list[str] = []
    sources: dict[str, FileSource] = {}
    for side, kind in _KINDS.items():
        try:
            source = FileSource(sides[side], memory_map=memory_map)
            shapes = kind._shapes(configs[side], source.names(), False)
            source.check(shapes, Model.aside, cross_attention=configs[side].use_cross_attention)
        except CheckpointError as error:
            problems.append(f"{side}: {error}")
            continue
        source.keep(shapes)
        sources[side] = source
    if problems:
        raise CheckpointError("; ".join(problems))
    return EncoderDecoderFiles(
        encoder=(configs["encoder"], sources["encoder"]),
        decoder=(configs["decoder"], sources["decoder"]),
        bridge=_load_bridge(bridge, kernels),
        decoder_start_token_id=_first(
            config.get("decoder_start_token_id"),
            config["decoder"].get("decoder_start_token_id"),
            configs["decoder"].bos_token_id,
        ),
        eos_token_id=config.get("eos_token_id"),
        pad_token_id=config.get("pad_token_id"),
    )


def read_encoder_config(path: str | os.PathLike[str]) -> RobertaConfig:
    """The configuration of the encoder in a folder of both. Raises as ``read_folder`` does."""
    return _side_config(_read_config(path), "encoder")


def _read_config(path: str | os.PathLike[str]) -> dict[str, Any]:
    config = read_config_json(path)
    if config.get("model_type") != "encoder-decoder":
        raise ConfigError(f"model_type must be 'encoder-decoder', not {config.get('model_type')!r}")
    return config


def _first(*values: Any) -> Any:
    """The first that is not ``None``."""
    return next((value for value in values if value is not None), None)


def _side_config(config: Mapping[str, Any], side: str) -> RobertaConfig:
    """One of the two configurations in a ``config.json``. Raises ConfigError that names it."""
    own = config.get(side)
    if not isinstance(own, Mapping):
        raise ConfigError(f"{side} in config.json must be an object, not {type(own).__name__}")
    try:
        checked = RobertaConfig.from_hf(own)
    except ConfigError as error:
        raise ConfigError(f"{side} in config.json: {error}") from None
    width = own.get("cross_attention_hidden_size")
    if width not in (None, checked.hidden_size):
        raise ConfigError(
            f"{side} in config.json: cross_attention_hidden_size must be the hidden_size "
            f"({checked.hidden_size}), not {width!r}"
        )
    return checked


def _split(
    tensors: Mapping[str, Tensor], configs: Mapping[str, RobertaConfig], tied: bool
) -> tuple[dict[str, dict[str, Tensor]], dict[str, Tensor]]:
    """The tensors of each side, without the side's prefix, and those between them.

    Raises:
        CheckpointError: a tensor of neither side; the layer between them missing or misshapen.
    """
    sides: dict[str, dict[str, Tensor]] = {"encoder": {}, "decoder": {}}
    bridge: dict[str, Tensor] = {}
    extra: list[str] = []
    for name, tensor in tensors.items():
        side, _, rest = name.partition(".")
        if side in sides:
            sides[side][rest] = tensor
        elif side == BRIDGE:
            bridge[rest] = tensor
        else:
            extra.append(f"{name} {list(tensor.shape)}")
    if extra:
        raise CheckpointError(
            f"checkpoint must hold tensors of encoder., decoder. and {BRIDGE}. alone, "
            f"not {'; '.join(sorted(extra))}"
        )
    if tied:
        _share(sides)
    widths = configs["decoder"].hidden_size, configs["encoder"].hidden_size
    wanted = {"weight": widths, "bias": widths[:1]} if widths[0] != widths[1] else {}
    found = {name: tensor.shape for name, tensor in bridge.items()}
    if found != wanted:
        raise CheckpointError(
            f"{BRIDGE} must have the shapes {wanted or 'of no tensor'} for a decoder of width "
            f"{widths[0]} and an encoder of width {widths[1]}, not {found or 'none'}"
        )
    return sides, bridge


def _share(sides: dict[str, dict[str, Tensor]]) -> None:
    """Give each side the tensors of the encoder's graph that the other one has alone."""
    graph = ("embeddings.", "encoder.")
    encoder, decoder = sides["encoder"], sides["decoder"]
    names = [name.removeprefix("roberta.") for name in [*encoder, *decoder]]
    for name in names:
        if name.startswith(graph) and ".crossattention." not in name:
            of_decoder = f"roberta.{name}"
            if name in encoder:
                decoder.setdefault(of_decoder, encoder[name])
            elif of_decoder in decoder:
                encoder[name] = decoder[of_decoder]


def _load_bridge(tensors: Mapping[str, Tensor], kernels: Kernels) -> Linear | None:
    if not tensors:
        return None
    return Linear(tensors["weight"].read(kernels.dtype), tensors["bias"].read(kernels.dtype))
