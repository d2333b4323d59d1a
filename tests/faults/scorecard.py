"""The lines of the scorecard, and their table."""

from __future__ import annotations

import random
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from . import arrays, configurations, hostile, injection
from .judge import ANY, FAILURES, Case, run_cases

COLUMNS = ("crashed", "hung", "wrongly accepted", "raw or unclear error", "data lost")


class Folders:
    """What the cases are made of: small models, and the shipped checkpoint packed."""

    def __init__(self, folder: Path) -> None:
        from checkpoint.torch_writer import saved

        from pyroberta import RobertaConfig, RobertaForMaskedLM, from_pretrained
        from pyroberta.shipped import SHIPPED

        self.folder = folder
        self.shipped = Path(SHIPPED)
        self.small, self.packed = folder / "small", folder / "packed"
        self.shipped_packed = folder / "shipped-packed"
        config = RobertaConfig(
            vocab_size=20,
            num_blocks=1,
            hidden_size=8,
            num_attention_heads=2,
            intermediate_size=8,
            max_positions=12,
        )
        model = RobertaForMaskedLM.from_config(config, seed=0)
        model.save_pretrained(self.small)
        model.save_packed(self.packed)
        from_pretrained(self.shipped).save_packed(self.shipped_packed)
        for name in ("tokenizer.json", "tokenizer_config.json"):
            (self.shipped_packed / name).write_bytes((self.shipped / name).read_bytes())
        from safetensors.numpy import load_file

        self.torch_file = saved(load_file(self.small / "model.safetensors")).zip()
        self.torch_older = saved(load_file(self.small / "model.safetensors")).legacy()

    def make(self, name: str) -> Path:
        """A new folder."""
        made = self.folder / name
        made.mkdir(parents=True)
        return made


def _opened(own: Path) -> Callable[[], str]:
    def run() -> str:
        from pyroberta import from_pretrained

        return str(from_pretrained(own)([[0, 5, 2]]).logits)

    return run


def _kinds(folders: Folders, line: str) -> Iterator[tuple[str, Path, Path]]:
    """For each kind of file a folder that has it, and the file."""
    import shutil

    for name, source, file in (
        ("config.json", folders.small, "config.json"),
        ("safetensors", folders.small, "model.safetensors"),
        ("packed", folders.packed, "model.packed.safetensors"),
        ("torch", folders.small, "pytorch_model.bin"),
        ("older torch", folders.small, "pytorch_model.bin"),
        ("index", folders.small, "model.safetensors.index.json"),
    ):
        own = folders.folder / line / name
        shutil.copytree(source, own)
        if name in ("torch", "older torch"):
            (own / "model.safetensors").unlink()
            data = folders.torch_file if name == "torch" else folders.torch_older
            (own / file).write_bytes(data)
        if name == "index":
            import json

            from pyroberta.checkpoint import open_checkpoint

            names = list(open_checkpoint(own))
            (own / "model.safetensors").rename(own / "one.safetensors")
            (own / file).write_text(
                json.dumps({"weight_map": dict.fromkeys(names, "one.safetensors")})
            )
        yield name, own, own / file


def _damaged(file: Path, data: bytes, run: Callable[[], str]) -> Callable[[], str]:
    """Writes the damaged file, then opens its folder."""

    def damaged() -> str:
        file.write_bytes(data)
        return run()

    return damaged


def truncations(folders: Folders) -> Iterator[Case]:
    """Each kind of file cut at every byte."""
    for name, own, file in _kinds(folders, "cut"):
        data = file.read_bytes()
        if name == "config.json" or name == "index":
            data = data.rstrip()
        for end in range(len(data)):
            yield Case(f"{name} cut at {end}", _damaged(file, data[:end], _opened(own)))


def flips(folders: Folders, count: int = 5000) -> Iterator[Case]:
    """Single bits of headers and of JSON turned: refused, or a model that answers."""
    draw = random.Random(0)
    kinds = list(_kinds(folders, "flipped"))
    for n in range(count):
        name, own, file = kinds[n % len(kinds)]
        original = folders.folder / "originals" / name
        if not original.exists():
            original.parent.mkdir(exist_ok=True)
            original.write_bytes(file.read_bytes())
        data = bytearray(original.read_bytes())
        room = len(data)
        if name in ("safetensors", "packed"):
            room = 8 + struct.unpack("<Q", data[:8])[0]
        at = draw.randrange(room)
        data[at] ^= 1 << draw.randrange(8)
        yield Case(f"{name} {n} at {at}", _damaged(file, bytes(data), _opened(own)), wanted=ANY)


LINES: dict[str, Callable[[Folders], Iterable[Case]]] = {
    "hostile files": lambda f: hostile.cases(
        f.make("hostile"), f.shipped, f.shipped_packed, f.torch_file
    ),
    "configurations": lambda f: configurations.cases(f.make("configurations"), f.small),
    "cut at every byte": truncations,
    "bits turned": flips,
    "arrays": lambda f: arrays.cases(),
}


def count(line: str, folders: Folders, failed: Callable[[str], None]) -> dict[str, int]:
    """The counts of one line of cases; ``failed`` is told each case that did."""
    verdicts = run_cases(list(LINES[line](folders)))
    counts = Counter(verdict.partition(":")[0] for verdict in verdicts.values())
    for name, verdict in verdicts.items():
        if verdict != "right":
            failed(f"{line}: {name}: {verdict}")
    return {"cases": len(verdicts), **{column: counts[column] for column in FAILURES}}


def count_faults(folder: Path) -> dict[str, int]:
    """The counts of the injected faults."""
    total: Counter[str] = Counter()
    for kinds in injection.run(folder).values():
        for counts in kinds.values():
            total.update(counts)
    return {
        "cases": total["faults"],
        "crashed": total["crashed"],
        "wrongly accepted": total["wrong"],
        "raw or unclear error": total["unclear"],
        "data lost": total["lost"],
    }


def main(arguments: list[str]) -> int:
    """Print the table; 1 where anything failed."""
    verbose = "-v" in arguments
    asked = [line for line in arguments if line != "-v"] or [*LINES, "injected faults"]
    complaints: list[str] = []
    print(f"| {'':18} | cases | {' | '.join(COLUMNS)} | seconds |")
    print(f"|{'---|' * (len(COLUMNS) + 3)}")
    total = 0
    for line in asked:
        start = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            if line == "injected faults":
                counts = count_faults(Path(folder))
            else:
                counts = count(line, Folders(Path(folder)), complaints.append)
        figures = [counts.get(column, 0) for column in COLUMNS]
        total += sum(figures)
        shown = " | ".join(f"{n:{len(c)}}" for n, c in zip(figures, COLUMNS, strict=True))
        print(f"| {line:18} | {counts['cases']:5} | {shown} | {time.monotonic() - start:7.0f} |")
        sys.stdout.flush()
    for complaint in complaints if verbose else complaints[:20]:
        print(complaint, file=sys.stderr)
    return int(total > 0)
