"""How far a compute type is from the exact result, on a user's own texts.

``measure.py`` runs rows of ids through the exact model and through each type beside it;
``examples.py`` makes texts, labels and scores into such rows; ``texts.py`` is ``compare``, from a
folder and texts to a report; ``report.py`` is what comes out, with the thresholds; ``table.py``
and ``plot.py`` show it.
"""

from __future__ import annotations

from .measure import Measurement
from .report import AccuracyReport, Difference, TypeAccuracy
from .rows import Row
from .texts import compare
from .thresholds import Thresholds

__all__ = [
    "AccuracyReport",
    "Difference",
    "Measurement",
    "Row",
    "Thresholds",
    "TypeAccuracy",
    "compare",
]
