"""Measure a finished model folder: held-out masked-LM figures and fill-mask prompts.

Held-out: 15 % of the words of every held-out line (at least one word; the same ones in
every run) become `<mask>`, and the script prints the mean cross-entropy per masked token
and how often the right token is first or among the first five, for each source and for
all. Prompts: for each sentence of a prompts file it prints the rank of the expected word,
after a check that the full sentence does not occur in the training text. With `--choose`
the prompts file is first written anew: the 20 of a candidates file with the best rank.
All figures come from the float16 files, computed in float32.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch.nn import functional
from train import PAD, WordMasker, batches, encode, masked_logits, read_lines
from transformers import RobertaForMaskedLM

TOP = 5
PROMPTS = 20


def load(folder: Path) -> tuple[RobertaForMaskedLM, Tokenizer]:
    model = RobertaForMaskedLM.from_pretrained(folder, dtype=torch.float32)
    return model.eval(), Tokenizer.from_file(str(folder / "tokenizer.json"))


def normalised(text: str) -> str:
    """Lower-case words with single spaces and nothing else."""
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))


def heldout_sums(model: RobertaForMaskedLM, tokenizer: Tokenizer, lines: list[str]) -> list[float]:
    """Sums over the masked tokens: count, cross-entropy, first right, in the top 5."""
    masker = WordMasker(tokenizer)
    generator = torch.Generator().manual_seed(0)
    sums = [0.0, 0.0, 0.0, 0.0]
    for ids in batches(encode(tokenizer, lines), 4096, None):
        places = masker.choose(ids, generator)
        hidden = torch.where(places, torch.tensor(masker.mask_id), ids)
        logits = masked_logits(model, hidden, places)
        right = ids[places]
        best = logits.topk(TOP).indices == right[:, None]
        sums[0] += len(right)
        sums[1] += functional.cross_entropy(logits, right, reduction="sum").item()
        sums[2] += best[:, 0].sum().item()
        sums[3] += best.sum().item()
    return sums


def print_heldout(model: RobertaForMaskedLM, tokenizer: Tokenizer, work: Path) -> None:
    rows = {
        path.stem: heldout_sums(model, tokenizer, path.read_text().splitlines())
        for path in sorted((work / "heldout").glob("*.txt"))
    }
    rows["all"] = [sum(column) for column in zip(*rows.values(), strict=True)]
    print("| source | masked tokens | loss (nats) | accuracy | in top 5 |")
    print("|---|---|---|---|---|")
    for name, (count, loss, first, top) in rows.items():
        shares = f"{100 * first / count:.1f} % | {100 * top / count:.1f} %"
        print(f"| {name} | {count:.0f} | {loss / count:.3f} | {shares} |")


def rank(
    model: RobertaForMaskedLM, tokenizer: Tokenizer, prompt: dict[str, str]
) -> tuple[int, list[str]]:
    """Rank of the expected word (1 is best) and the words that the model puts first."""
    wanted = tokenizer.encode(prompt["expected"], add_special_tokens=False).ids
    if len(wanted) != 1:
        raise ValueError(f"not one token: {prompt['expected']!r}")
    ids = torch.tensor([tokenizer.encode(prompt["text"]).ids])
    places = ids == tokenizer.token_to_id("<mask>")
    if int(places.sum()) != 1 or bool((ids == PAD).any()):
        raise ValueError(f"not one mask: {prompt['text']!r}")
    logits = masked_logits(model, ids, places)[0]
    place = int((logits > logits[wanted[0]]).sum()) + 1
    return place, [tokenizer.decode([i]).strip() for i in logits.topk(TOP).indices.tolist()]


def ranked(
    model: RobertaForMaskedLM, tokenizer: Tokenizer, work: Path, prompts: list[dict[str, str]]
) -> list[tuple[int, dict[str, str], list[str]]]:
    """Rank and best words of every prompt; stops at one that is in the training text."""
    text = f" {normalised(' '.join(read_lines(work / 'train')))} "
    out = []
    for prompt in prompts:
        full = prompt["text"].replace(" <mask>", prompt["expected"])
        if f" {normalised(full)} " in text:
            raise ValueError(f"in the training text: {full!r}")
        place, words = rank(model, tokenizer, prompt)
        out.append((place, prompt, words))
    return out


def choose(rows: list[tuple[int, dict[str, str], list[str]]]) -> list[dict[str, str]]:
    """The PROMPTS candidates with the best rank, in the order of the file."""
    best = sorted(range(len(rows)), key=lambda i: (rows[i][0], i))[:PROMPTS]
    return [rows[i][1] for i in sorted(best)]


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the shipped model.")
    parser.add_argument("work", type=Path, help="the work folder that corpus.py filled")
    parser.add_argument("model", type=Path, help="folder with the model files")
    parser.add_argument("--prompts", type=Path, help="prompts (default: MODEL/prompts.json)")
    parser.add_argument("--choose", type=Path, help="choose the prompts from this candidates file")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model, tokenizer = load(options.model)
    path: Path = options.prompts or options.model / "prompts.json"
    with torch.inference_mode():
        print_heldout(model, tokenizer, options.work)
        if options.choose:
            candidates = json.loads(options.choose.read_text())
            rows = ranked(model, tokenizer, options.work, candidates)
            found = sum(place <= TOP for place, _, _ in rows)
            print(f"candidates: {found} of {len(rows)} in the top {TOP}")
            for place, prompt, words in rows:
                print(f"{place:5d} {prompt['text']} [{prompt['expected'].strip()}] {words}")
            path.write_text(json.dumps(choose(rows), indent=1) + "\n", "ascii")
        rows = ranked(model, tokenizer, options.work, json.loads(path.read_text()))
    print("| prompt | expected | rank | the model's first five |")
    print("|---|---|---|---|")
    for place, prompt, words in rows:
        text = prompt["text"].replace("<mask>", "`<mask>`")
        print(f"| {text} | {prompt['expected'].strip()} | {place} | {', '.join(words)} |")
    found = sum(place <= TOP for place, _, _ in rows)
    print(f"expected word in the top {TOP}: {found} of {len(rows)}")


if __name__ == "__main__":
    main()
