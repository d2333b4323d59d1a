"""Train the tokenizer and the shipped RoBERTa masked LM from the text of corpus.py.

The tokenizer is a byte-level BPE learnt from the training text. The model is a small
RobertaForMaskedLM, trained with dynamic whole-word masking (15 % of the words of a line, at
least one; 80 % become `<mask>`, 10 % a random token, 10 % stay). Lines are batched with
others of about their length, and the vocabulary logits are computed at masked places only.
The learning rate warms up and then falls to 0 along a cosine, over `--steps` steps or over
`--minutes` of wall time. Every `--snapshot` minutes, and at the end, the script writes a
complete model folder (float16 weights) and a checkpoint to resume from (`--resume`).
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch.nn import functional
from transformers import RobertaConfig, RobertaForMaskedLM

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
BOS, PAD, EOS = 0, 1, 2
MAX_LENGTH = 128


def read_lines(folder: Path) -> list[str]:
    """All lines of the text files in a folder, in a fixed order."""
    return [line for path in sorted(folder.glob("*.txt")) for line in path.read_text().splitlines()]


def train_tokenizer(lines: list[str], vocab_size: int) -> Tokenizer:
    """A byte-level BPE with RoBERTa's special tokens; `<mask>` gets the last id."""
    tokenizer = Tokenizer(models.BPE(unk_token=None))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - 1,
        special_tokens=[AddedToken(t, special=True, normalized=True) for t in SPECIAL],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(lines, trainer)
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", EOS), ("<s>", BOS), trim_offsets=True, add_prefix_space=False
    )
    return tokenizer


def encode(tokenizer: Tokenizer, lines: list[str]) -> list[np.ndarray]:
    """Token ids of every line, with `<s>` and `</s>`, cut at MAX_LENGTH."""
    out = []
    for encoding in tokenizer.encode_batch(lines):
        ids = encoding.ids
        if len(ids) > MAX_LENGTH:
            ids = [*ids[: MAX_LENGTH - 1], EOS]
        out.append(np.array(ids, dtype=np.int64))
    return out


def batches(
    rows: list[np.ndarray], tokens: int, rng: np.random.Generator | None
) -> Iterator[torch.Tensor]:
    """Padded batches of about `tokens` tokens, lines of like length together.

    With `rng` the lines are mixed within their length and the batches shuffled.
    """
    lengths = np.array([len(r) for r in rows], dtype=np.float64)
    if rng is not None:
        lengths += rng.random(len(rows))
    order = np.argsort(lengths, kind="stable")
    groups: list[list[int]] = [[]]
    for index in order:
        if groups[-1] and (len(groups[-1]) + 1) * len(rows[index]) > tokens:
            groups.append([])
        groups[-1].append(int(index))
    if rng is not None:
        rng.shuffle(groups)
    for group in groups:
        batch = np.full((len(group), max(len(rows[i]) for i in group)), PAD, dtype=np.int64)
        for at, index in enumerate(group):
            batch[at, : len(rows[index])] = rows[index]
        yield torch.from_numpy(batch)


class WordMasker:
    """Chooses whole words to mask; a word is a run of tokens that continue with a letter."""

    def __init__(self, tokenizer: Tokenizer, share: float = 0.15) -> None:
        size = tokenizer.get_vocab_size()
        pieces = [tokenizer.id_to_token(i) or "" for i in range(size)]
        self.size, self.share = size, share
        self.mask_id = size - 1
        self.inner = torch.tensor([p[:1].isascii() and p[:1].isalpha() for p in pieces])
        self.letter_end = torch.tensor([p[-1:].isascii() and p[-1:].isalpha() for p in pieces])

    def choose(self, ids: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """A boolean tensor: the places of the chosen words, at least one word a row."""
        goes_on = torch.zeros_like(ids, dtype=torch.bool)
        goes_on[:, 1:] = self.inner[ids[:, 1:]] & self.letter_end[ids[:, :-1]]
        word = (~goes_on).long().cumsum(1) - 1
        scores = torch.rand(ids.shape, generator=generator).gather(1, word)
        scores[(ids < len(SPECIAL)) | (ids == self.mask_id)] = 2.0
        least = scores.min(1, keepdim=True).values
        return ((scores < self.share) | (scores == least)) & (scores < 2.0)

    def corrupt(
        self, ids: torch.Tensor, chosen: torch.Tensor, generator: torch.Generator
    ) -> torch.Tensor:
        """80 % of the chosen places become `<mask>`, 10 % a random token, 10 % stay."""
        draw = torch.rand(ids.shape, generator=generator)
        noise = torch.randint(len(SPECIAL), self.size - 1, ids.shape, generator=generator)
        out = torch.where(chosen & (draw < 0.8), torch.tensor(self.mask_id), ids)
        return torch.where(chosen & (draw >= 0.9), noise, out)


def masked_logits(
    model: RobertaForMaskedLM, ids: torch.Tensor, places: torch.Tensor
) -> torch.Tensor:
    """Vocabulary logits at the given places only."""
    keep = ids != PAD
    hidden = model.roberta(ids, attention_mask=None if bool(keep.all()) else keep.long())[0]
    return model.lm_head(hidden[places])


def on_grid(weight: torch.Tensor) -> torch.Tensor:
    """A matrix, rounded to multiples of one power of two, 16 to 32 of them its root mean square.

    Errors of 1.2 % (root mean square), and 0.001 nats of the held-out loss: the low bits of
    float16 are zero then, and a wheel's deflate takes 2.0 MB for what was 3.4 MB.
    """
    if weight.ndim < 2 or not weight.any():
        return weight
    exact = weight.double()
    step = 2.0 ** (exact.square().mean().sqrt().log2() - 4.5).round()
    return (exact / step).round() * step


def write_model(folder: Path, model: RobertaForMaskedLM, tokenizer: Tokenizer) -> None:
    """The folder to ship: configuration, float16 weights and tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    left_out = ("lm_head.decoder.", "position_ids", "token_type_ids")
    tensors = {
        name: on_grid(value.detach()).to(torch.float16).contiguous().clone()
        for name, value in model.state_dict().items()
        if not any(part in name for part in left_out)
    }
    config = model.config
    shown = {
        "architectures": ["RobertaForMaskedLM"],
        "attention_probs_dropout_prob": 0.0,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.0,
        "hidden_size": config.hidden_size,
        "initializer_range": config.initializer_range,
        "intermediate_size": config.intermediate_size,
        "layer_norm_eps": 1e-5,
        "max_position_embeddings": config.max_position_embeddings,
        "model_type": "roberta",
        "num_attention_heads": config.num_attention_heads,
        "num_hidden_layers": config.num_hidden_layers,
        "pad_token_id": PAD,
        "tie_word_embeddings": True,
        "torch_dtype": "float16",
        "type_vocab_size": 1,
        "vocab_size": config.vocab_size,
    }
    names = {"bos": "<s>", "cls": "<s>", "eos": "</s>", "sep": "</s>", "pad": "<pad>"}
    tokens = {f"{k}_token": v for k, v in {**names, "unk": "<unk>", "mask": "<mask>"}.items()}
    settings = {"tokenizer_class": "RobertaTokenizerFast", "model_max_length": MAX_LENGTH}
    settings |= {"add_prefix_space": False, "clean_up_tokenization_spaces": False, **tokens}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    for name, value in (("config", shown), ("tokenizer_config", settings)):
        (folder / f"{name}.json").write_text(json.dumps(value, indent=2) + "\n", "ascii")


@dataclass
class Progress:
    """What a resumed run must know besides model and optimizer."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    epoch: int = 0


def rate_at(done: float, warm_up: float = 0.04) -> float:
    """Share of the peak learning rate when `done` (0 to 1) of the training is over."""
    if done < warm_up:
        return done / warm_up
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (done - warm_up) / (1 - warm_up))))


def train(options: argparse.Namespace) -> None:
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    lines = read_lines(options.work / "train")
    kept = options.work / "tokenizer.json"
    if options.resume and kept.exists():
        tokenizer = Tokenizer.from_file(str(kept))
    else:
        tokenizer = train_tokenizer(lines, options.vocab)
        tokenizer.save(str(kept))
    rows = encode(tokenizer, lines)
    masker = WordMasker(tokenizer)
    config = RobertaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=options.hidden,
        num_hidden_layers=options.blocks,
        num_attention_heads=options.heads,
        intermediate_size=4 * options.hidden,
        max_position_embeddings=MAX_LENGTH + 2,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        attn_implementation="eager",  # quicker than sdpa for short lines on CPU,
    )
    model = RobertaForMaskedLM(config)
    whole = [p for p in model.parameters() if p.dim() > 1]
    small = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": whole, "weight_decay": 0.01}, {"params": small, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.98), fused=True)
    at = Progress()
    checkpoint = options.work / "checkpoint.pt"
    if options.resume and checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        at = Progress(**state["progress"])
    count = sum(p.numel() for p in model.parameters())
    print(f"{count} parameters, {len(rows)} lines, {sum(map(len, rows))} tokens", flush=True)
    generator = torch.Generator().manual_seed(options.seed + at.step)
    began = time.monotonic() - at.seconds
    written = at.seconds
    losses: list[float] = []
    finished = False
    while not finished:
        shuffler = np.random.default_rng((options.seed, at.step))
        for ids in batches(rows, options.batch_tokens, shuffler):
            clock = at.seconds / (60 * options.minutes)
            done = at.step / options.steps if options.steps else clock
            if done >= 1:
                finished = True
                break
            for group in optimizer.param_groups:
                group["lr"] = options.rate * rate_at(done)
            places = masker.choose(ids, generator)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                logits = masked_logits(model, masker.corrupt(ids, places, generator), places)
            loss = functional.cross_entropy(logits.float(), ids[places])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
            at.step += 1
            at.tokens += ids.numel()
            at.seconds = time.monotonic() - began
            if at.step % 50 == 0:
                print(
                    f"step {at.step} epoch {at.epoch} tokens {at.tokens} done {done:.3f} "
                    f"loss {np.mean(losses[-50:]):.4f} seconds {at.seconds:.0f}",
                    flush=True,
                )
            if at.seconds - written > 60 * options.snapshot:
                written = at.seconds
                write_model(options.out, model, tokenizer)
                state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
                torch.save({**state, "progress": vars(at)}, checkpoint)
        at.epoch += 1
    write_model(options.out, model, tokenizer)
    print(f"finished: {vars(at)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Train tokenizer and model of the shipped masked LM.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("work", type=Path, help="the work folder that corpus.py filled")
    parser.add_argument("out", type=Path, help="folder for the finished model files")
    parser.add_argument("--steps", type=int, default=0, help="train this many steps")
    parser.add_argument("--minutes", type=float, default=45.0, help="wall time, without --steps")
    parser.add_argument("--vocab", type=int, default=4800, help="tokens in the vocabulary")
    parser.add_argument("--hidden", type=int, default=128, help="width of the model")
    parser.add_argument("--blocks", type=int, default=6, help="transformer blocks")
    parser.add_argument("--heads", type=int, default=4, help="attention heads")
    parser.add_argument("--batch-tokens", type=int, default=8192, help="tokens in a batch")
    parser.add_argument("--rate", type=float, default=2e-3, help="peak learning rate")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--seed", type=int, default=1, help="seed of weights, masks and order")
    parser.add_argument("--snapshot", type=float, default=8.0, help="minutes between snapshots")
    parser.add_argument("--resume", action="store_true", help="go on from work/checkpoint.pt")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
