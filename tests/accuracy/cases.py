"""What the tests of the accuracy report share: texts, labels, pairs, files of them."""

from __future__ import annotations

import json

TEXTS = ["The king lived in a large house.", "", "A boat.", "It rained all day and all night. " * 9]
LABELS = ("bad", "so so", "good")
PAIRS = [
    ("A dog runs.", "A dog ran away."),
    ("A dog runs.", "The Lord spoke unto Moses."),
    ("The king was old.", "The queen was old."),
    ("", "A man."),
    ("It rained all day.", "A number of persons."),
]
SCORES = [5.0, 1.0, 4.0, 0.5, 2]


def pair_lines():
    return [
        {"text": a, "text_pair": b, "score": score}
        for (a, b), score in zip(PAIRS, SCORES, strict=True)
    ]


def write(path, lines):
    """A file of texts, or of JSON lines."""
    path.write_text(
        "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines),
        "utf-8",
    )
    return path
